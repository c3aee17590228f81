"""Profiles of the demonstration's visitors: weighted tables of devices, countries and sources.

The shares are round numbers near what small European sites see. Names of sources, channels, browsers and systems
are those that the collector itself would derive.
"""

from __future__ import annotations

import random
from bisect import bisect
from itertools import accumulate
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class WeightedChoice(Generic[T]):
    """Values with weights, to draw from."""

    def __init__(self, weights: dict[T, float]) -> None:
        self.values = tuple(weights)
        self._cumulative = list(accumulate(weights.values()))
        # Of the last weight nothing is left out: the product below can round up to the total.
        self._total = self._cumulative.pop()

    def draw(self, random_: random.Random) -> T:
        """One value, as often as its share of the weights."""
        return self.values[bisect(self._cumulative, random_.random() * self._total)]


class DemoDevice(NamedTuple):
    """What a visitor reads with: the device columns of an event."""

    browser: str
    browser_version: str
    os: str
    os_version: str
    device: str
    size: str


class DemoArrival(NamedTuple):
    """Where a visit comes from: the source columns of an event, how many leave at once, and where it lands."""

    referrer: str = ""
    source: str = ""
    channel: str = "Direct"
    utm_source: str = ""
    utm_medium: str = ""
    utm_campaign: str = ""
    utm_content: str = ""
    utm_term: str = ""
    click_id: str = ""
    bounce: float = 0.45
    landing: str = ""


# Browser, its version, system, its version, and the share among devices of the kind. Versions are those that
# browsers tell: Windows always says 10, macOS 10, and Chrome on Android 10, whatever runs beneath.
_KINDS: dict[str, dict[tuple[str, str, str, str], float]] = {
    "desktop": {
        ("Chrome", "155", "Windows", "10"): 0.31,
        ("Edge", "155", "Windows", "10"): 0.16,
        ("Firefox", "145", "Windows", "10"): 0.09,
        ("Safari", "26", "macOS", "10"): 0.13,
        ("Chrome", "155", "macOS", "10"): 0.13,
        ("Firefox", "145", "macOS", "10"): 0.04,
        ("Firefox", "145", "Linux", ""): 0.06,
        ("Chrome", "155", "Linux", ""): 0.05,
        ("Chrome", "155", "ChromeOS", "14541"): 0.03,
    },
    "mobile": {
        ("Safari", "26", "iOS", "26"): 0.40,
        ("Safari", "18", "iOS", "18"): 0.08,
        ("Chrome", "155", "iOS", "26"): 0.06,
        ("Chrome", "155", "Android", "10"): 0.33,
        ("Samsung Internet", "29", "Android", "10"): 0.08,
        ("Firefox", "145", "Android", "15"): 0.05,
    },
    "tablet": {
        ("Safari", "18", "iOS", "18"): 0.70,
        ("Chrome", "154", "Android", "13"): 0.30,
    },
}
_SIZES: dict[str, dict[str, float]] = {
    "desktop": {"xl": 0.55, "lg": 0.36, "md": 0.09},
    "mobile": {"xs": 0.93, "sm": 0.07},
    "tablet": {"md": 0.68, "lg": 0.32},
}


def _devices(**shares: float) -> WeightedChoice[DemoDevice]:
    """Devices of which each kind has its share."""
    return WeightedChoice(
        {
            DemoDevice(*software, kind, size): share * software_share * size_share
            for kind, share in shares.items()
            for software, software_share in _KINDS[kind].items()
            for size, size_share in _SIZES[kind].items()
        }
    )


# At work people sit at a desk; at the weekend they hold a telephone.
WEEKDAY_DEVICES = _devices(desktop=0.54, mobile=0.42, tablet=0.04)
WEEKEND_DEVICES = _devices(desktop=0.31, mobile=0.61, tablet=0.08)

COUNTRIES = WeightedChoice(
    {
        "SE": 310, "DE": 118, "GB": 92, "US": 88, "NO": 66, "DK": 58, "FI": 52, "NL": 38, "FR": 34, "PL": 22,
        "ES": 20, "IT": 18, "CH": 15, "AT": 13, "BE": 12, "IN": 12, "CA": 11, "IE": 8, "CZ": 7, "EE": 6,
        "AU": 6, "PT": 6, "BR": 5, "JP": 4, "IS": 4, "LT": 3, "LV": 3, "RO": 3, "GR": 3, "HU": 3,
        "NZ": 2, "ZA": 2, "SG": 2, "KR": 2, "MX": 1, "AR": 1, "TR": 1, "UA": 1, "": 9,
    }
)  # fmt: skip

ARRIVALS = WeightedChoice(
    {
        DemoArrival(bounce=0.40): 330,
        DemoArrival("google.com", "Google", "Organic Search", bounce=0.48): 262,
        DemoArrival("duckduckgo.com", "DuckDuckGo", "Organic Search", bounce=0.46): 46,
        DemoArrival("bing.com", "Bing", "Organic Search", bounce=0.47): 38,
        DemoArrival("ecosia.org", "Ecosia", "Organic Search", bounce=0.47): 15,
        DemoArrival("search.brave.com", "Brave", "Organic Search", bounce=0.45): 9,
        DemoArrival("chatgpt.com", "ChatGPT", "AI Assistants", bounce=0.38): 34,
        DemoArrival("claude.ai", "Claude", "AI Assistants", bounce=0.37): 16,
        DemoArrival("perplexity.ai", "Perplexity", "AI Assistants", bounce=0.39): 9,
        DemoArrival("l.facebook.com", "Facebook", "Organic Social", bounce=0.66): 36,
        DemoArrival("l.instagram.com", "Instagram", "Organic Social", bounce=0.70): 28,
        DemoArrival("linkedin.com", "LinkedIn", "Organic Social", bounce=0.58): 26,
        DemoArrival("reddit.com/r/selfhosted", "Reddit", "Organic Social", bounce=0.61): 19,
        DemoArrival("mastodon.social", "Mastodon", "Organic Social", bounce=0.55): 11,
        DemoArrival("youtube.com", "Youtube", "Organic Video", bounce=0.60): 10,
        DemoArrival("github.com", "GitHub", "Referral", bounce=0.36): 22,
        DemoArrival("sv.wikipedia.org/wiki/Keramik", "Wikipedia", "Referral", bounce=0.52): 12,
        DemoArrival("hantverkskartan.example/keramik", "hantverkskartan.example", "Referral", bounce=0.41): 14,
        DemoArrival("slojdbloggen.example/2026/glasyr", "slojdbloggen.example", "Referral", bounce=0.44): 9,
        DemoArrival("", "newsletter", "Email", "newsletter", "email", "monthly", bounce=0.30): 30,
        DemoArrival(
            "google.com",
            "Google",
            "Paid Search",
            utm_medium="(gclid)",
            click_id="gclid",
            bounce=0.52,
            landing="/demo/workshops",
        ): 20,
        DemoArrival(
            "l.instagram.com",
            "Instagram",
            "Paid Social",
            "instagram",
            "paid",
            "autumn-glaze",
            "carousel",
            bounce=0.68,
            landing="/demo/shop/teapot",
        ): 14,
    }
)

# What a few days of a campaign add: a mailing, and the talk about it.
CAMPAIGN = WeightedChoice(
    {
        DemoArrival(
            "",
            "newsletter",
            "Email",
            "newsletter",
            "email",
            "winter-fair",
            "button",
            bounce=0.27,
            landing="/demo/winter-fair",
        ): 60,
        DemoArrival("", "newsletter", "Email", "newsletter", "email", "winter-fair", "header", bounce=0.31): 18,
        DemoArrival(
            "news.ycombinator.com", "Hacker News", "Organic Social", bounce=0.67, landing="/demo/journal/silent-kiln"
        ): 34,
        DemoArrival(
            "l.facebook.com", "Facebook", "Paid Social", "facebook", "paid", "winter-fair", "video", bounce=0.6
        ): 20,
    }
)

# The kind of evidence under which each visit consented.
EVIDENCE = WeightedChoice({"cookieconsent": 0.58, "cookie": 0.36, "granted": 0.06})

# The most read first. The addresses of the pottery at /demo are among them, so that visits to it add to these.
PAGES = (
    "/demo",
    "/demo/shop",
    "/demo/workshops",
    "/demo/journal/silent-kiln",
    "/demo/shop/mug-blue",
    "/demo/about",
    "/demo/journal/first-glaze",
    "/demo/shop/bowl-large",
    "/demo/contact",
    "/demo/shop/teapot",
    "/demo/journal",
    "/demo/winter-fair",
    "/demo/journal/clay-from-the-river",
    "/demo/shop/plate-set",
    "/demo/workshops/beginners",
    "/demo/journal/why-we-fire-at-night",
    "/demo/shop/vase-tall",
    "/demo/delivery",
    "/demo/workshops/raku",
    "/demo/journal/mending-with-gold",
    "/demo/shop/mug-ash",
    "/demo/visit-us",
    "/demo/journal/ten-years",
    "/demo/shop/espresso-cups",
    "/demo/workshops/children",
    "/demo/privacy",
    "/demo/journal/a-kiln-of-our-own",
    "/demo/shop/gift-card",
    "/demo/terms",
    "/demo/workshops/gift",
)


def zipf(values: tuple[str, ...], exponent: float) -> WeightedChoice[str]:
    """Values of which the n-th is drawn in proportion to 1 / n ** exponent, as pages of a site are."""
    return WeightedChoice({value: 1 / rank**exponent for rank, value in enumerate(values, start=1)})


ENTRY_PAGES = zipf(PAGES, 1.15)
NEXT_PAGES = zipf(PAGES, 0.75)
