"""People and programs, told apart by the user agent."""

from __future__ import annotations

import pytest

from collector.enrichment.bot_detection import KINDS, LONGEST, BotDetector
from tests.oracle.programs import people, programs, sampled_people
from tests.timing import processor_seconds


@pytest.fixture(scope="module")
def bots() -> BotDetector:
    """One set of patterns; building it compiles them."""
    return BotDetector()


CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
COMPATIBLE = "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; {})"

NAMED = {
    "ai": (
        COMPATIBLE.format("GPTBot/1.2; +https://openai.com/gptbot"),
        COMPATIBLE.format("ChatGPT-User/1.0; +https://openai.com/bot"),
        COMPATIBLE.format("OAI-SearchBot/1.0; +https://openai.com/searchbot"),
        COMPATIBLE.format("ClaudeBot/1.0; +claudebot@anthropic.com"),
        COMPATIBLE.format("Claude-User/1.0; +Claude-User@anthropic.com"),
        COMPATIBLE.format("PerplexityBot/1.0; +https://perplexity.ai/perplexitybot"),
        COMPATIBLE.format("Bytespider; spider-feedback@bytedance.com"),
        COMPATIBLE.format("Amazonbot/0.1; +https://developer.amazon.com/support/amazonbot"),
        "meta-externalagent/1.1 (+https://developers.facebook.com/docs/sharing/webmasters/crawler)",
        "CCBot/2.0 (https://commoncrawl.org/faq/)",
    ),
    "monitor": (
        "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
        "Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)",
        f"{CHROME} (StatusCake)",
        f"{CHROME} Chrome-Lighthouse",
        f"{CHROME} GTmetrix",
        "Better Uptime Bot Mozilla/5.0 (Macintosh)",
        "Site24x7",
        "DatadogSynthetics",
        "kube-probe/1.29",
        "Blackbox Exporter/0.25.0",
    ),
    "preview": (
        "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
        "Twitterbot/1.0",
        "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
        "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
        "TelegramBot (like TwitterBot)",
        "WhatsApp/2.24.20.89 A",
        "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
        "Mozilla/5.0 (compatible; Embedly/0.2; +http://support.embed.ly/)",
        "Mastodon/4.3.1 (http.rb/5.2.0; +https://mastodon.social/)",
    ),
    "headless": (
        CHROME.replace("Chrome/131", "HeadlessChrome/131"),
        "Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.1.1 Safari/538.1",
        f"{CHROME} Cypress/13.6.0",
        f"{CHROME} Prerender (+https://github.com/prerender/prerender)",
    ),
    "library": (
        "curl/8.11.0",
        "Wget/1.21.4",
        "python-requests/2.32.3",
        "python-httpx/0.28.1",
        "Go-http-client/2.0",
        "okhttp/4.12.0",
        "axios/1.7.9",
        "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)",
        "Java/17.0.9",
        "GuzzleHttp/7",
        "Ruby",
    ),
    "crawler": (
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
        "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
        "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
        "generic crawler",
    ),
}


@pytest.mark.parametrize(
    ("kind", "user_agent"),
    [(kind, text) for kind, texts in NAMED.items() for text in texts],
    ids=lambda text: text[-40:],
)
def test_kind(bots: BotDetector, kind: str, user_agent: str) -> None:
    """A program is known, and called by its kind."""
    assert bots.kind(user_agent) == kind


WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
APP = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
PEOPLE = {
    "Facebook alone": "[FBAN/FB4A;FBAV/520.0.0.43.109;FBPN/com.facebook.katana;FBCR/Telia;FBSV/16;]",
    "Facebook alone on iOS": "[FBAN/FBIOS;FBAV/440.0.0.20.112;FBDV/iPhone14,5;FBMD/iPhone;FBSN/iOS;FBSV/17.5;FBSS/3]",
    "Facebook Lite alone": "[FBAN/EMA;FBLC/sv_SE;FBAV/400.0.0.10.116;FBDM/DisplayMetrics{density=2.0};]",
    "Messenger alone": "[FBAN/Orca-Android;FBAV/480.0.0.30.109;FBPN/com.facebook.orca;FBSV/15;FB_FW/1;]",
    "Instagram alone": "Instagram 330.0.3.28.92 (iPhone14,5; iOS 17_5_1; sv_SE; sv; scale=3.00; 1170x2532; 612345678)",
    "E4 unknown": "unknown UA",
    "missing": "",
    "a blank": " ",
    "8 KB of a letter": "a" * 8192,
    "words": "my own browser",
    "null bytes": "\x00\x00",
    "E8 broken version": f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/110.0.0.0.0 Safari/537.36",
    "CUBOT phone": f"Mozilla/5.0 (Linux; Android 10; CUBOT NOTE 20) {WEBKIT} Chrome/131.0.0.0 Mobile Safari/537.36",
    "Google TV": f"Mozilla/5.0 (Linux; Android 11; 4K Google TV Stick Build/RTT0; wv) {WEBKIT} Chrome/101.0.4951.61",
    "webOS television": f"Mozilla/5.0 (Web0S; Linux/SmartTV) {WEBKIT} Chrome/94.0.4606.128 Safari/537.36 WebAppManager",
    "Facebook's app": f"{APP} Mobile/15E148 [FBAN/FBIOS;FBAV/440.0.0.20.112;FBBV/548276345]",
    "Instagram's app": f"{APP} Mobile/15E148 Instagram 330.0.3.28.92 (iPhone14,5; iOS 17_5_1; sv_SE; IABMV/1) NV/1",
    "Google's app": f"{APP} GSA/340.3.693078405 Mobile/15E148 Safari/604.1",
    "Pinterest's app": f"{APP} Mobile/15E148 [Pinterest/iOS]",
}


@pytest.mark.parametrize("user_agent", PEOPLE.values(), ids=PEOPLE)
def test_person(bots: BotDetector, user_agent: str) -> None:
    """People pass: those who say nothing of their browser, and those whose browser sounds like a program."""
    assert bots.kind(user_agent) == ""


def test_programs_are_dropped(bots: BotDetector) -> None:
    """At least 99 % of the programs that others have seen are known."""
    texts = programs()
    missed = [text for text in texts if not bots.kind(text)]
    assert len(texts) > 2_000
    assert len(missed) <= len(texts) * 0.01, "\n".join(missed)


def test_no_person_is_dropped(bots: BotDetector) -> None:
    """None of the people that others have seen is taken for a program."""
    texts = people()
    assert len(texts) > 800
    assert [text for text in texts if bots.kind(text)] == []


def test_no_sampled_visitor_is_dropped(bots: BotDetector) -> None:
    """Nor is any of a sample of visits to real sites, some of which say strange things of themselves."""
    texts = sampled_people()
    assert len(texts) > 900
    assert [text for text in texts if bots.kind(text)] == []


def test_kinds_are_a_closed_set(bots: BotDetector) -> None:
    """Whatever is sent, the kind is one of the seven or empty."""
    assert {bots.kind(text) for text in programs()} == {"", *KINDS}


def test_length_is_capped(bots: BotDetector) -> None:
    """Nothing behind the 512th character is looked at."""
    assert bots.kind(CHROME.ljust(LONGEST) + "Googlebot/2.1") == ""


def test_memory_is_bounded() -> None:
    """No more answers are remembered than the capacity, whatever is sent."""
    bots = BotDetector(capacity=3)
    for number in range(10):
        bots.kind(f"{CHROME} {number}")
    assert bots.remembered == 3


HOSTILE = (
    "(" * LONGEST,
    "1/" * LONGEST,
    " " * LONGEST,
    "a1 " * LONGEST,
    "; " * LONGEST,
    "Mozilla/5.0 (" + "a." * LONGEST,
)


@pytest.mark.parametrize("user_agent", HOSTILE, ids=lambda text: text[:14])
def test_no_pattern_runs_away(bots: BotDetector, user_agent: str) -> None:
    """The longest texts made to send patterns back and forth cost 50 ms of the processor at most."""
    assert processor_seconds(lambda: bots.kind(user_agent)) < 0.05
