"""Where visits come from: referrer, source, channel and medium."""

from __future__ import annotations

import pytest

from collector.page import read_page
from collector.source import Origin, is_spam, name_of_host, read_origin
from collector.sources import ALIASES, KINDS

SITE = "https://shop.example/"


def origin(referrer: str, query: str = "") -> Origin:
    """Origin of a visit that begins on our page with this query."""
    return read_origin(referrer, read_page(SITE + query, hash_mode=False))


DIRECT = Origin("", "", "Direct", "")

REFERRERS = [
    ("C1", "https://facebook.com", "facebook.com", "Facebook"),
    ("C2", "http://m.facebook.com/", "m.facebook.com", "Facebook"),
    ("C3", "https://facebook.com/page/", "facebook.com/page", "Facebook"),
    ("C4", "https://www.indiehackers.com/page?query=param#hash", "indiehackers.com/page", "indiehackers.com"),
    ("C5", "https://www.unknown.example/", "unknown.example", "unknown.example"),
    ("C8", "http://localhost:4000/", "", ""),
    ("C9", "ftp://wat", "", ""),
    ("C10", "https:://twitter.com", "", ""),
    ("C12", "android-app://com.reddit.frontpage", "com.reddit.frontpage", "Reddit"),
    ("unknown app", "android-app://com.example.reader/", "com.example.reader", "com.example.reader"),
    ("empty", "", "", ""),
    ("address", "http://192.0.2.7:8080/x", "192.0.2.7/x", "192.0.2.7"),
    ("port and user", "https://anna:secret@news.example:8443/a", "news.example/a", "news.example"),
    ("own host", "https://shop.example/other", "", ""),
    ("own host with www", "https://www.shop.example/other", "", ""),
    ("below own host", "https://blog.shop.example/", "", ""),
    ("like own host", "https://workshop.example/", "workshop.example", "workshop.example"),
]


@pytest.mark.parametrize(
    ("referrer", "kept", "source"), [row[1:] for row in REFERRERS], ids=[row[0] for row in REFERRERS]
)
def test_referrer(referrer: str, kept: str, source: str) -> None:
    """Of a referrer its host and path are kept, and its source is named; the site's own pages are none."""
    read = origin(referrer)
    assert (read.referrer, read.source) == (kept, source)


def test_above_own_host() -> None:
    """The domain above a page's host is the same site: its links are no source."""
    page = read_page("https://blog.example.org/", hash_mode=False)
    assert read_origin("https://www.example.org/", page) == DIRECT
    assert read_origin("https://org/", page).source == "org"


def test_long_referrer() -> None:
    """C13: a referrer of more than 2,000 characters is cut, not refused."""
    read = origin("https://long.example/" + "a b/" * 1_000)
    assert read.source == "long.example"
    assert len(read.referrer) <= 2_000


HOSTS = {
    "Wikipedia": "sv.wikipedia.org en.m.wikipedia.org wikipedia.org",
    "Bing": "ntp.msn.com www.bing.com",
    "Brave": "search.brave.com",
    "Google": "www.google.com google.se google.co.uk google.com.tr news.google.se",
    "Yandex": "yandex.ru yandex.com.tr yandex.kz yandex.uz yandex.fr yandex.eu yandex.tm ya.ru",
    "Discord": "discord.com discordapp.com canary.discord.com ptb.discord.com",
    "Baidu": "baidu.com www.baidu.com",
    "Telegram": "t.me webk.telegram.org",
    "Sogou": "sogou.com m.sogou.com wap.sogou.com",
    "Linktree": "linktr.ee",
    "Microsoft Teams": "statics.teams.cdn.office.net",
    "Hacker News": "news.ycombinator.com",
    "Yahoo!": "search.yahoo.com se.search.yahoo.com yahoo.co.jp",
    "Gmail": "mail.google.com",
    "Slack": "app.slack.com",
    "GitHub": "github.com",
    "Vkontakte": "vkontakte.ru",
    "Threads": "threads.net l.threads.com",
    "Ecosia": "ecosia.org www.ecosia.org",
    "Kagi": "kagi.com",
    "X (Twitter)": "x.com t.co twitter.com",
    "Bluesky": "bsky.app go.bsky.app",
    "Mastodon": "mastodon.social fosstodon.org",
    "ChatGPT": "chatgpt.com chat.openai.com",
    "Claude": "claude.ai",
    "Google Gemini": "gemini.google.com",
    "Microsoft Copilot": "copilot.microsoft.com copilot.com",
    "Phind": "phind.com",
    "Perplexity": "perplexity.ai www.perplexity.ai pplx.ai",
    "Microsoft 365": "word-edit.officeapps.live.com excel.officeapps.live.com",
    "Youtube": "youtube.com m.youtube.com youtu.be",
    "Amazon": "amazon.de amazon.co.jp amazon.com",
    "google.evil.example": "google.evil.example",
    "notgoogle.com": "notgoogle.com",
    "netflix.example": "netflix.example",
}


@pytest.mark.parametrize(
    ("host", "name"), [(host, name) for name, hosts in HOSTS.items() for host in hosts.split()], ids=lambda text: text
)
def test_host(host: str, name: str) -> None:
    """C21 to C24: a host, any host below it, and its national siblings go by the source's name; look-alikes do not."""
    assert name_of_host(host) == name


CHANNELS = {
    "C22": ("https://bsky.app/", "Organic Social"),
    "C22 Mastodon": ("https://fosstodon.org/", "Organic Social"),
    "C23": ("https://chatgpt.com/", "AI Assistants"),
    "C23 Gemini": ("https://gemini.google.com/", "AI Assistants"),
    "C23 Copilot": ("https://copilot.microsoft.com/", "AI Assistants"),
    "C24": ("https://word-edit.officeapps.live.com/", "Referral"),
    "C12": ("android-app://com.reddit.frontpage", "Organic Social"),
    "search": ("https://www.google.se/", "Organic Search"),
    "Gmail's app": ("android-app://com.google.android.gm/", "Email"),
    "video": ("https://vimeo.com/1", "Organic Video"),
    "shop": ("https://www.amazon.se/dp", "Organic Shopping"),
    "unknown": ("https://unknown.example/", "Referral"),
    "none": ("", "Direct"),
}


@pytest.mark.parametrize(("referrer", "channel"), CHANNELS.values(), ids=CHANNELS)
def test_channel_of_referrer(referrer: str, channel: str) -> None:
    """Without tags the kind of source decides the channel."""
    assert origin(referrer).channel == channel


TAGGED = {
    "C15": ("?utm_source=betalist", "betalist", "Referral", ""),
    "C16 ref": ("?ref=betalist", "betalist", "Referral", ""),
    "C16 source": ("?source=betalist", "betalist", "Referral", ""),
    "C16 order": ("?ref=third&source=second&utm_source=first", "first", "Referral", ""),
    "C17": ("?utm_source=facebook", "Facebook", "Organic Social", ""),
    "C17 capitals": ("?utm_source=FACEBOOK", "Facebook", "Organic Social", ""),
    "D9 temu": ("?utm_source=temu.com", "Temu", "Organic Shopping", ""),
    "C17 host": ("?utm_source=www.facebook.com", "Facebook", "Organic Social", ""),
    "unknown host": ("?utm_source=partner.example", "partner.example", "Referral", ""),
    "C18": ("?utm_medium=ads&utm_source=instagram&utm_campaign=video_story", "Instagram", "Organic Social", "ads"),
    "C25": ("?ref=producthunt", "producthunt", "Organic Social", ""),
    "D3": ("?utm_source=google&utm_medium=paid", "Google", "Paid Search", "paid"),
    "D5 no medium": ("?utm_source=google&gclid=abc", "Google", "Paid Search", "(gclid)"),
    "D5 medium": ("?utm_source=google&utm_medium=paidads&gclid=abc", "Google", "Paid Search", "paidads"),
    "D5 msclkid": ("?utm_source=bing&msclkid=abc", "Bing", "Paid Search", "(msclkid)"),
    "D5 other source": ("?utm_source=facebook&gclid=abc", "Facebook", "Organic Social", ""),
    "D8": ("?utm_medium=cpc", "", "Paid Other", "cpc"),
    "D17 fbclid": ("?fbclid=abc&utm_source=facebook", "Facebook", "Organic Social", ""),
    "unused": ("?id=5", "", "Direct", ""),
}


@pytest.mark.parametrize(("query", "source", "channel", "medium"), TAGGED.values(), ids=TAGGED)
def test_tags(query: str, source: str, channel: str, medium: str) -> None:
    """Tags of the page name source, medium and channel."""
    assert origin("", query) == Origin("", source, channel, medium)


def test_tag_before_referrer() -> None:
    """C15: a tag wins over the referrer, which is kept beside it."""
    assert origin("https://www.facebook.com/groups", "?utm_source=betalist") == Origin(
        "facebook.com/groups", "betalist", "Referral", ""
    )


def test_click_id_of_referrer() -> None:
    """D5: a click identifier of the referring search engine makes a paid visit, and its name the medium."""
    assert origin("https://www.google.se/", "?gclid=abc") == Origin("google.se", "Google", "Paid Search", "(gclid)")
    assert origin("https://www.bing.com/", "?msclkid=abc") == Origin("bing.com", "Bing", "Paid Search", "(msclkid)")
    assert origin("https://www.facebook.com/", "?fbclid=abc").channel == "Organic Social"


C20 = {
    "threads": "Threads",
    "ig": "Instagram",
    "yt": "Youtube",
    "yt-ads": "Youtube",
    "fb": "Facebook",
    "fb-ads": "Facebook",
    "fbad": "Facebook",
    "facebook-ads": "Facebook",
    "Reddit-ads": "Reddit",
    "google_ads": "Google",
    "Google-ads": "Google",
    "Adwords": "Google",
    "twitter-ads": "X (Twitter)",
    "perplexity": "Perplexity",
    "linktree": "Linktree",
}


@pytest.mark.parametrize(("alias", "name"), C20.items())
def test_alias(alias: str, name: str) -> None:
    """C20: what people write for a source is understood, in any case."""
    assert origin("", f"?utm_source={alias}").source == name


def test_table() -> None:
    """The table knows at least 300 sources; no name, host or alias stands for two of them."""
    names = [name for table in KINDS.values() for name in table]
    hosts = [host for table in KINDS.values() for text in table.values() for host in text.split()]
    aliases = [alias for text in ALIASES.values() for alias in text.split()]
    assert len(names) >= 300
    assert all(text.split() for table in KINDS.values() for text in table.values())
    assert len(set(names)) == len(names)
    assert len(set(hosts)) == len(hosts)
    assert len(set(aliases)) == len(aliases)
    assert set(ALIASES) <= set(names)
    assert all(host == host.lower().removeprefix("www.") for host in hosts)
    assert all(alias == alias.lower() for alias in aliases)


def test_every_host_is_found() -> None:
    """Each host of the table goes by its own source's name, also where two overlap."""
    for table in KINDS.values():
        for name, hosts in table.items():
            for host in hosts.split():
                assert name_of_host(host.replace(".*", ".se")) == name


SPAM = frozenset({"1-best-seo.com", "spam.example"})


@pytest.mark.parametrize(
    ("host", "spam"),
    [
        ("1-best-seo.com", True),
        ("www.1-best-seo.com", True),
        ("deep.below.spam.example", True),
        ("notspam.example", False),
        ("example", False),
        ("", False),
    ],
)
def test_spam(host: str, spam: bool) -> None:
    """C19: a host on the operator's list is spam, and so is every host below it."""
    assert is_spam(host, SPAM) is spam
    assert not is_spam(host, frozenset())
