"""How Plausible's collector behaves, case by case, and how Tyst does: what is sent, what is answered, what is stored.

`SAME` are the cases in which both do the same. `DIFFERENT` are those in which Tyst does otherwise, with the reason
in the words of docs/plausible.md; they show what Tyst does. The letters: A request and answer, B addresses, C sources,
D channels, E devices and bots, F visitor's address and country, G properties and revenue, H engagement, I visitors and
visits, J what a site controls, K what real trackers send.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36"
WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
REQUEST_ERROR = {"request": ["Unable to parse request body as json"]}

Columns = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Send:
    """One request. `keys` are laid over a plain pageview of the row's own site; `raw` is a body sent as it is."""

    keys: dict[str, Any] = field(default_factory=dict)
    raw: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    person: int = 1
    """Each person has an address of their own, unless `headers` say otherwise."""
    after: int = 1
    """Seconds since the request before, or since noon."""
    path: str = "/api/event"
    method: str = "POST"
    status: int = 202
    errors: dict[str, list[str]] | None = None
    """The whole answer, where it is an error."""
    dropped: str | None = None
    """The answer's `X-Tyst-Dropped`."""
    trimmed: str | None = None
    """The answer's `X-Tyst-Trimmed`."""


@dataclass(frozen=True, slots=True)
class Row:
    """One case: requests, and for each row stored of its site the columns it is about, in order."""

    sends: tuple[Send, ...]
    stored: tuple[Columns, ...]
    site: dict[str, Any] = field(default_factory=dict)
    domain: str = ""
    """The site, where it is not called after the case."""
    exits: tuple[str, ...] | None = None
    """Exit pages that a query finds."""
    equal: tuple[str, ...] = ()
    """Columns that are the same in all rows stored."""
    unequal: tuple[str, ...] = ()
    """Columns that are different in all rows stored."""
    reason: str = ""
    """Why Tyst does otherwise."""


def one(columns: Columns, headers: dict[str, str] | None = None, **keys: Any) -> Row:
    """One beacon, and the columns it is stored with."""
    return Row((Send(keys, headers=headers or {}),), (columns,))


def many(*pairs: tuple[dict[str, Any], Columns]) -> Row:
    """Beacons of as many people, and the columns of each."""
    sends = tuple(Send(keys, person=number) for number, (keys, _) in enumerate(pairs, 1))
    return Row(sends, tuple(columns for _, columns in pairs))


def refused(field_: str, problem: str, *variants: dict[str, Any]) -> Row:
    """Beacons that are answered 400, and nothing stored."""
    sends = [Send(keys, status=400, errors={field_: [problem]}) for keys in variants]
    return Row(tuple(sends), ())


def sources(expected: dict[str, str], **columns: str) -> Row:
    """Referring hosts, and the source of each."""
    return many(*(({"r": f"https://{host}/"}, {"source": name, **columns}) for host, name in expected.items()))


def tagged(query: str, **columns: str) -> tuple[dict[str, Any], Columns]:
    """A page with these tags, and what is stored of its origin."""
    return {"u": f"http://example.com/?{query}"}, columns


def channel(query: str, name: str, **columns: str) -> tuple[dict[str, Any], Columns]:
    """A page with these tags, and its channel."""
    return tagged(query, channel=name, **columns)


def referred(referrer: str, query: str, name: str, **columns: str) -> tuple[dict[str, Any], Columns]:
    """A page with a referrer and these tags, and its channel."""
    return {"u": f"http://example.com/?{query}", "r": referrer}, {"channel": name, **columns}


def agent(text: str, columns: Columns) -> Row:
    """A user agent, and what is stored of it."""
    return one(columns, {"user-agent": text})


def bot(text: str) -> Row:
    """A user agent that is dropped."""
    return Row((Send(headers={"user-agent": text}, dropped="bot"),), ())


def located(country: str, headers: dict[str, str]) -> Row:
    """Forwarding headers of a trusted proxy, and the country."""
    return one({"country": country}, {"x-forwarded-for": "", **headers})


def because(reason: str, row: Row) -> Row:
    """A case in which Tyst does otherwise."""
    return replace(row, reason=reason)


NEVER = Row((), ())
ENGAGEMENT_ERROR = {"event_name": ["engagement needs a whole number in at least one of 'sd' and 'e'"]}
PICTURES = "http://d.test/pictures/index.html#foo"
SHORT: dict[str, Any] = {
    "n": "Order", "u": "http://example.com/#a", "r": "https://t.co/x", "h": 1, "p": {"a": "b"},
    "$": {"amount": 5, "currency": "EUR"}, "i": False, "v": 5,
}  # fmt: skip
LONG = {
    "n": None, "u": None, "d": None, "name": "Order", "url": "http://example.com/#a", "domain": "a19.test",
    "referrer": "https://t.co/x", "hashMode": 1, "props": {"a": "b"}, "revenue": {"amount": 5, "currency": "EUR"},
    "interactive": False,
}  # fmt: skip
ORDER = {"name": "Order", "page": "/#a", "source": "X (Twitter)", "props": {"a": "b"}, "revenue": 5, "currency": "EUR"}

REQUESTS = {
    "A1": one({"name": "pageview", "page": "/"}, {"content-type": "application/json"}, n=None, u=None, d=None,
              name="pageview", url="http://example.com/", domain="a1.test"),
    "A2": one({"name": "pageview", "page": "/"}, {"content-type": "text/plain"}),
    "A3": Row((Send(raw=b"", headers={"content-type": "text/plain"}, status=400, errors=REQUEST_ERROR),), ()),
    "A4": Row(tuple(Send(raw=raw, status=400, errors=REQUEST_ERROR) for raw in (b'"<script>"', b"defnotjson")), ()),
    "A5": refused("url", "is required", {"u": None}),
    "A6": refused("event_name", "can't be blank", {"n": ""}, {"n": None}),
    "A7": refused("event_name", "is invalid", {"n": ["a", "b"]}),
    "A12": refused("url", "must be a valid url", {"u": 5}, {"u": {}}, {"u": ["http://example.com/"]}),
    "A13": refused("domain", "can't be blank", {"u": "about:config", "d": None}),
    "A14": refused("domain", "can't be blank", {"d": ""}),
    "A15": one({"hostname": "a15.test", "page": "/x"}, u="http://www.a15.test/x", d=None),
    "A18": Row((Send({"d": "nobody.test"}, dropped="unknown_site"),), (), domain="nobody.test"),
    "A19": many((SHORT, ORDER), (LONG, ORDER), ({"m": {"x": 1}}, {"props": {"x": "1"}}),
                ({"meta": {"x": 1}}, {"props": {"x": "1"}})),
    "A20": one({"name": "pageview"}, screen_width=1440, w=1440, whatever={"deep": [1]}),
}  # fmt: skip

PAGES = {
    "B1": one({"hostname": "example.com", "page": "/"}, u="http://www.example.com/"),
    "B2": one({"page": "/"}, u="http://www.example.com"),
    "B3": one({"page": "/path"}, u="http://www.example.com/path "),
    "B5": one({"page": "/pictures/index.html"}, u=PICTURES),
    "B6": many(({"u": PICTURES, "h": 1}, {"page": "/pictures/index.html#foo"}),
               ({"u": PICTURES, "hashMode": 1}, {"page": "/pictures/index.html#foo"})),
    "B7": many(({"u": "http://www.example.com/#page-a", "h": 1}, {"page": "/#page-a"}),
               ({"u": "http://www.example.com/#page-a", "h": 0}, {"page": "/"})),
    "B9": one({"page": "/#/café"}, u="http://example.com/#/caf%C3%A9", h=1),
    "B10": one({"page": "/a", "utm_source": "x"}, u="http://example.com/a?utm_source=x&session=1&q=words"),
    "B11": one({"utm_source": "%balle%"}, u="http://example.com/?utm_source=%25balle%25"),
    "B12": one({"utm_source": 'Something "quoted"'}, u="http://example.com/?utm_source=Something+%22quoted%22"),
    "B14": one({"hostname": "(none)"}, u="about:config"),
    "B15": one({"hostname": "(none)", "page": "/no/hostname"}, u="/no/hostname"),
    "B16": one({"hostname": "(none)"}, u="a" * 1000),
    "B18": one({"hostname": "192.168.0.1"}, u="http://192.168.0.1"),
    "B19": one({"hostname": "foo.netlify.app"}, u="http://foo.netlify.app"),
    "B20": many(({"u": "http://www.www.example.com/"}, {"hostname": "www.example.com"}),
                ({"u": "http://wwwx.example.com/"}, {"hostname": "wwwx.example.com"})),
}  # fmt: skip

ALIASES = {
    "threads": "Threads", "ig": "Instagram", "yt": "Youtube", "yt-ads": "Youtube", "fb": "Facebook",
    "fb-ads": "Facebook", "fbad": "Facebook", "facebook-ads": "Facebook", "Reddit-ads": "Reddit",
    "google_ads": "Google", "Google-ads": "Google", "Adwords": "Google", "twitter-ads": "X (Twitter)",
    "perplexity": "Perplexity", "linktree": "Linktree",
}  # fmt: skip
HOSTS = {
    "sv.wikipedia.org": "Wikipedia", "en.m.wikipedia.org": "Wikipedia", "ntp.msn.com": "Bing",
    "search.brave.com": "Brave", "yandex.com.tr": "Yandex", "yandex.kz": "Yandex", "yandex.uz": "Yandex",
    "yandex.fr": "Yandex", "yandex.eu": "Yandex", "yandex.tm": "Yandex", "ya.ru": "Yandex", "discord.com": "Discord",
    "discordapp.com": "Discord", "canary.discord.com": "Discord", "ptb.discord.com": "Discord", "baidu.com": "Baidu",
    "t.me": "Telegram", "webk.telegram.org": "Telegram", "sogou.com": "Sogou", "m.sogou.com": "Sogou",
    "wap.sogou.com": "Sogou", "linktr.ee": "Linktree", "statics.teams.cdn.office.net": "Microsoft Teams",
    "news.ycombinator.com": "Hacker News", "search.yahoo.com": "Yahoo!", "mail.google.com": "Gmail",
    "app.slack.com": "Slack", "github.com": "GitHub", "vkontakte.ru": "Vkontakte", "threads.net": "Threads",
    "l.threads.com": "Threads", "ecosia.org": "Ecosia", "kagi.com": "Kagi", "x.com": "X (Twitter)",
}  # fmt: skip
ASSISTANTS = {
    "chatgpt.com": "ChatGPT", "chat.openai.com": "ChatGPT", "claude.ai": "Claude", "gemini.google.com": "Google Gemini",
    "copilot.microsoft.com": "Microsoft Copilot", "copilot.com": "Microsoft Copilot", "phind.com": "Phind",
    "perplexity.ai": "Perplexity", "pplx.ai": "Perplexity",
}  # fmt: skip
SOCIAL = {
    "bsky.app": "Bluesky", "go.bsky.app": "Bluesky", "mastodon.social": "Mastodon", "fosstodon.org": "Mastodon",
}  # fmt: skip
LONG_REFERRER = "https://site.example/" + "so-on/" * 400

ORIGINS = {
    "C1": one({"source": "Facebook", "click_id": ""}, r="https://facebook.com"),
    "C2": one({"source": "Facebook"}, r="http://m.facebook.com/"),
    "C3": one({"referrer": "facebook.com/page", "source": "Facebook"}, r="https://facebook.com/page/"),
    "C4": one({"referrer": "indiehackers.com/page"}, r="https://www.indiehackers.com/page?query=param#hash"),
    "C5": one({"source": "unheard-of.example"}, r="https://www.unheard-of.example/a"),
    "C9": one({"referrer": "", "source": ""}, r="ftp://wat"),
    "C10": one({"referrer": ""}, r="https:://twitter.com"),
    "C12": one({"source": "Reddit", "channel": "Organic Social"}, r="android-app://com.reddit.frontpage"),
    "C15": one({"source": "betalist", "utm_source": "betalist", "referrer": "indiehackers.com"},
               u="http://example.com/?utm_source=betalist", r="https://indiehackers.com/"),
    "C16": many(tagged("ref=betalist", source="betalist", utm_source="betalist"),
                tagged("source=betalist", source="betalist", utm_source="betalist"),
                tagged("ref=a&source=b&utm_source=c", source="c", utm_source="c"),
                tagged("ref=a&source=b", source="b", utm_source="b")),
    "C17": many(tagged("utm_source=facebook", source="Facebook", utm_source="facebook")),
    "C18": many(tagged("utm_medium=ads&utm_source=instagram&utm_campaign=video_story", utm_medium="ads",
                       utm_source="instagram", utm_campaign="video_story")),
    "C19": Row((Send({"r": "https://www.1-best-seo.com"}, dropped="spam_referrer"),
                Send({"r": "https://1-best-seo.com/page"}, dropped="spam_referrer")), ()),
    "C20": many(*(tagged(f"utm_source={alias}", source=name, utm_source=alias) for alias, name in ALIASES.items())),
    "C21": sources(HOSTS),
    "C22": sources(SOCIAL, channel="Organic Social"),
    "C23": sources(ASSISTANTS, channel="AI Assistants"),
    "C24": sources({"word.officeapps.live.com": "Microsoft 365", "excel.officeapps.live.com": "Microsoft 365"},
                   channel="Referral"),
    "C25": many(tagged("ref=producthunt", source="producthunt", channel="Organic Social")),
}  # fmt: skip

GOOGLE, BING = "https://google.com", "https://bing.com"
CHANNELS = {
    "D1": many(channel("utm_campaign=spring-cross-network", "Cross-network")),
    "D2": many(channel("utm_campaign=shopping&utm_medium=paid", "Paid Shopping"),
               channel("utm_source=shopify&utm_medium=paid", "Paid Shopping")),
    "D3": many(channel("utm_source=duckduckgo&utm_medium=paid", "Paid Search"),
               channel("utm_source=google&utm_medium=paid", "Paid Search"),
               referred(GOOGLE, "gclid=12345", "Paid Search", click_id="gclid"),
               referred(BING, "msclkid=12345", "Paid Search", click_id="msclkid")),
    "D5": many(referred(GOOGLE, "gclid=1", "Paid Search", utm_medium="(gclid)"),
               referred(GOOGLE, "gclid=1&utm_medium=paidads", "Paid Search", utm_medium="paidads"),
               referred(BING, "msclkid=1", "Paid Search", utm_medium="(msclkid)"),
               referred(BING, "msclkid=1&utm_medium=paidads", "Paid Search", utm_medium="paidads")),
    "D6": many(channel("utm_source=tiktok&utm_medium=paid", "Paid Social"),
               channel("utm_source=youtube&utm_medium=paid", "Paid Video")),
    "D7": many(*(channel(f"utm_medium={medium}", "Display")
                 for medium in ("display", "banner", "expandable", "interstitial", "cpm")),
               referred(GOOGLE, "gclid=1&utm_medium=display", "Display")),
    "D8": many(channel("utm_medium=cpc", "Paid Other")),
    "D9": many(channel("utm_source=walmart", "Organic Shopping"), referred("https://temu.com/", "", "Organic Shopping"),
               channel("utm_campaign=shop", "Organic Shopping")),
    "D11": many(channel("utm_source=vimeo", "Organic Video"), channel("utm_medium=video", "Organic Video")),
    "D13": many(channel("utm_medium=affiliate", "Affiliates"), channel("utm_medium=audio", "Audio"),
                channel("utm_medium=sms", "SMS"), channel("utm_source=sms", "SMS")),
    "D14": many(channel("utm_medium=webpush", "Mobile Push Notifications"),
                channel("utm_medium=mobile", "Mobile Push Notifications"),
                channel("utm_medium=app-notification", "Mobile Push Notifications"),
                channel("utm_source=firebase", "Mobile Push Notifications")),
    "D15": many(channel("utm_medium=referral", "Referral"), channel("utm_medium=app", "Referral"),
                channel("utm_medium=link", "Referral"), referred("https://unheard-of.example/", "", "Referral")),
    "D16": many(channel("", "Direct")),
    "D17": many(*(tagged(f"{name}=S3cr3t", click_id=name)
                  for name in ("gclid", "gbraid", "wbraid", "msclkid", "fbclid", "twclid"))),
}  # fmt: skip

IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
OLD_MAC = f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_13_4) {WEBKIT} Chrome/70.0.3538.110 Safari/537.36"
ANDROID = "Mozilla/5.0 (Android 14; Mobile; rv:132.0) Gecko/132.0 Firefox/132.0"
OPERA_MINI = "Opera/9.80 (Android; Opera Mini/36.2.2254/119.132; U; id) Presto/2.12.423 Version/12.16"
SURFING_TAB = (
    "Mozilla/5.0 (Linux; U; Android 4.2.2; it-it; Surfing TAB B 9.7 3G Build/JDQ39) AppleWebKit/534.30 "
    "(KHTML, like Gecko) Version/4.0 Safari/534.30"
)
WEBVIEW = (
    f"Mozilla/5.0 (Linux; Android 6.0; U007 Pro Build/MRA58K; wv) {WEBKIT} Version/4.0 Chrome/44.0.2403.119 "
    "Mobile Safari/537.36"
)
CONSOLE = "Mozilla/5.0 (PlayStation; PlayStation 5/6.50) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/605.1.15"
FOLDED = {
    f"{IPHONE} Version/17.5 Mobile/15E148 Safari/604.1": "Safari",
    f"Mozilla/5.0 (Linux; Android 10; K) {WEBKIT} Chrome/131.0.0.0 Mobile Safari/537.36": "Chrome",
    f"{IPHONE} CriOS/131.0.6778.73 Mobile/15E148 Safari/604.1": "Chrome",
    ANDROID: "Firefox",
    f"{IPHONE} FxiOS/132.0 Mobile/15E148 Safari/605.1.15": "Firefox",
    f"Mozilla/5.0 (Linux; Android 10; K) {WEBKIT} Chrome/131.0.0.0 Mobile Safari/537.36 OPR/86.0.0.0": "Opera",
    OPERA_MINI: "Opera",
}
VERIFIER = f"{CHROME} Plausible Verification Agent - if abused, contact support@plausible.io"
DEVICES = {
    "E3": agent(SURFING_TAB, {"device": "tablet"}),
    "E4": agent("unknown UA", {"device": "", "browser": ""}),
    "E6": bot("generic crawler"),
    "E7": bot(f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} HeadlessChrome/85.0.4182.0 Safari/537.36"),
    "E8": Row(
        tuple(
            Send(headers={"user-agent": CHROME.replace("143.0.0.0", version)})
            for version in ("110.0.0.0.0", "115.0.5765.05")
        ),
        ({"browser_version": "110"}, {"browser_version": "115"}),
    ),
    "E10": bot(VERIFIER),
    "E12": one({"device": "desktop"}, w=320),
    "E14": Row(
        tuple(Send(headers={"user-agent": text}, person=number) for number, text in enumerate(FOLDED, 1)),
        tuple({"browser": name} for name in FOLDED.values()),
    ),
}

ADDRESSES = {
    "F1": located("US", {"x-forwarded-for": "216.160.83.56:123"}),
    "F2": Row(tuple(Send(headers={"x-forwarded-for": address})
                    for address in ("2001:218:1:1:1:1:1:1", "[2001:218:1:1:1:1:1:1]:123")), ({"country": "JP"},) * 2,
              equal=("visitor",)),
    "F3": located("US", {"x-forwarded-for": "0.0.0.0", "cf-connecting-ip": "216.160.83.56"}),
    "F6": located("US", {"forwarded": "by=0.0.0.0;for=216.160.83.56;host=example.com"}),
    "F9": Row(tuple(Send(headers={"x-forwarded-for": f"198.51.100.{number}"}, person=number) for number in (1, 2, 3)),
              ({"country": ""},) * 3),
}  # fmt: skip

EUROS = {"revenue": 9.5, "currency": "EUR"}
PROPERTIES = {
    "G1": one({"props": {"yes": "true", "n": "12"}}, p={"yes": True, "n": 12}),
    "G2": one({"props": {"tier": "startup"}}, p='{"tier":"startup"}'),
    "G3": Row((Send({"p": '"text"'}, trimmed="p"),), ({"props": {}},)),
    "G5": one({"props": {"kept": "1"}}, p={"empty": "", "null": None, " ": "x", "blank": "  ", "kept": 1}),
    "G6": Row((Send({"p": {f"k{n:02}": "v" for n in range(35)}}, trimmed="p"),),
              ({"props": {f"k{n:02}": "v" for n in range(30)}},)),
    "G8": many(*(({"n": "Order", "$": given}, EUROS) for given in (
        {"amount": 9.5, "currency": "EUR"}, {"amount": "9.5", "currency": "EUR"}, '{"amount":9.5,"currency":"EUR"}')),
        ({"n": "Order", "$": {"amount": 12, "currency": "SEK"}}, {"revenue": 12, "currency": "SEK"})),
    "G12": Row((Send(), Send({"n": "autoplay", "i": False}, after=5)),
               ({"bounces": 1}, {"name": "autoplay", "bounces": 0, "seconds": 5})),
}  # fmt: skip


def engagement(expected: Columns, **keys: Any) -> Row:
    """A pageview and its engagement, and what is stored of that."""
    return Row((Send(), Send({"n": "engagement", **keys})), ({}, {"name": "engagement", **expected}))


ENGAGEMENTS = {
    "H1": Row((Send({"n": "engagement"}, status=400, errors=ENGAGEMENT_ERROR),), ()),
    "H2": engagement({"scroll": 25, "engaged": 789}, sd=25, e=789),
    "H3": Row((Send(), Send({"n": "engagement", "sd": 101}, trimmed="sd")), ({}, {"scroll": 100})),
    "H4": engagement({"scroll": 1, "engaged": 789}, sd="1", e="789"),
    "H6": Row((Send(), Send({"n": "engagement", "sd": 5, "e": -100}, trimmed="e"), Send({"n": "engagement", "sd": 5})),
              ({}, {"engaged": 0}, {"engaged": 0})),
    "H8": one({"scroll": 0, "engaged": 0}, n="Signup", sd=50, e=5000),
    "H10": Row((Send(), Send({"n": "engagement", "e": 5000}, after=1500),
                Send({"u": "http://example.com/b"}, after=1500)),
               ({"visits": 1, "bounces": 1, "seconds": 0}, {"visits": 0, "bounces": 0, "seconds": 0},
                {"visits": 0, "bounces": -1, "seconds": 3000}), equal=("visit",)),
    "H11": engagement({"props": {"plan": "free"}}, e=10, p={"plan": "free"}),
}  # fmt: skip

TWO_PAGES = (Send({"u": "http://example.com/a"}), Send({"u": "http://example.com/b"}, after=10))
VISITS = {
    "I3": Row((Send({"u": "http://example.com/"}), Send({"u": "http://app.example.com/"})), ({}, {}),
              equal=("visitor",)),
    "I7": one({"visits": 1, "bounces": 1, "seconds": 0, "entry_page": "/"}),
    "I8": Row(TWO_PAGES, ({"visits": 1, "bounces": 1, "seconds": 0}, {"visits": 0, "bounces": -1, "seconds": 10}),
              equal=("visit",)),
    "I11": Row((*TWO_PAGES, Send({"n": "Signup", "u": "http://example.com/c"}, after=5)), ({}, {}, {}), exits=("/b",)),
    "I13": Row((Send({"r": "https://google.com"}),
                Send({"u": "http://example.com/?utm_source=news&utm_medium=email", "r": "https://bing.com"}, after=9)),
               ({"source": "Google"}, {"source": "Google", "utm_source": "", "utm_medium": ""})),
    "I15": one({"name": "pageview"}, t=5, ts=5, timestamp="2001-01-01T00:00:00Z", time=5),
}  # fmt: skip

SHIELDED = {"hostnames": ("example.com",), "excluded_paths": ("/blocked/**",), "excluded_countries": ("JP",)}
CONTROLS = {
    "J4": Row(
        (Send(headers={"x-forwarded-for": "127.7.7.7"}, dropped="excluded"),
         Send(headers={"x-forwarded-for": "2001:218::1"}, dropped="excluded"),
         Send({"u": "http://example.com/blocked/a/b"}, dropped="excluded"),
         Send({"u": "http://other.example/"}, dropped="excluded"),
         Send({"u": "http://example.com/kept"})),
        ({"page": "/kept"},), site=SHIELDED,
    ),
}  # fmt: skip

TRACKERS = {
    "K1": one({"referrer": "", "channel": "Direct"}, r=None, v=36),
    "K2": Row(
        (Send({"u": "http://example.com/a"}), Send({"u": "http://example.com/b"}, after=8),
         Send({"n": "engagement", "u": "http://example.com/a", "sd": 54, "e": 4521, "v": 36})),
        ({"page": "/a"}, {"page": "/b"}, {"page": "/a", "engaged": 4521, "scroll": 54}), exits=("/b",),
    ),
    "K3": many(({"u": "http://example.com/a#top", "h": 1}, {"page": "/a#top"}),
               ({"u": "http://example.com/a#top"}, {"page": "/a"})),
    "K4": engagement({"engaged": 3000}, e=3000, v=36),
}  # fmt: skip

SAME: dict[str, Row] = {
    **REQUESTS, **PAGES, **ORIGINS, **CHANNELS, **DEVICES, **ADDRESSES, **PROPERTIES, **ENGAGEMENTS, **VISITS,
    **CONTROLS, **TRACKERS,
}  # fmt: skip
