"""Where visits come from: referrer, source, channel and medium."""

from __future__ import annotations

import re
import tomllib

import pytest

from collector.enrichment.referrer import Referral, is_spam, name_of_host, read_origin
from collector.enrichment.referrer_sources import ALIASES, APART, KINDS, SIGN_IN, TABLE
from collector.enrichment.urls import read_page

SITE = "https://shop.example/"


def origin(referrer: str, query: str = "") -> Referral:
    """Origin of a visit that begins on our page with this query."""
    return read_origin(referrer, read_page(SITE + query, hash_mode=False))


DIRECT = Referral("", "", "Direct", "")

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


OWN = frozenset({"x.test", "old.example", "xn--rksmrgs-5wao1o.se"})
# Page, referrer, and whether that is the site's own.
OWN_HOSTS = {
    "sister of the page's host": ("https://shop.x.test/", "https://blog.x.test/", True),
    "the site's name": ("https://shop.x.test/", "https://x.test/", True),
    "with www": ("https://shop.x.test/", "https://www.x.test/a", True),
    "a former name": ("https://x.test/", "https://news.old.example/", True),
    "an international name": ("https://x.test/", "https://räksmörgås.se/", True),
    "below an international name": ("https://x.test/", "https://blog.xn--rksmrgs-5wao1o.se/", True),
    "the page's own host": ("https://elsewhere.example/", "https://elsewhere.example/a", True),
    "below the page's own host": ("https://elsewhere.example/", "https://a.elsewhere.example/a", True),
    "above the page's own host": ("https://shop.elsewhere.example/", "https://elsewhere.example/", False),
    "beside the page's own host": ("https://shop.elsewhere.example/", "https://blog.elsewhere.example/", False),
    "an ending alike": ("https://x.test/", "https://netx.test/", False),
    "a last label alike": ("https://x.test/", "https://test/", False),
}


@pytest.mark.parametrize(("page", "referrer", "own"), OWN_HOSTS.values(), ids=OWN_HOSTS)
def test_own_hosts(page: str, referrer: str, own: bool) -> None:
    """Own is what lies at or under the site's name, aliases and hostnames, and at or under the page's host."""
    read = read_origin(referrer, read_page(page, hash_mode=False), OWN)
    assert (read == DIRECT) == own
    assert read.channel == ("Direct" if own else "Referral")


def test_long_referrer() -> None:
    """C13: a referrer of more than 2,000 characters is cut, not refused."""
    read = origin("https://long.example/" + "a b/" * 1_000)
    assert read.source == "long.example"
    assert len(read.referrer) <= 2_000


HOSTS = {
    "Wikipedia": "sv.wikipedia.org en.m.wikipedia.org wikipedia.org",
    "Bing": "ntp.msn.com www.bing.com",
    "Brave": "search.brave.com",
    "Google": "www.google.com google.se google.co.uk google.com.tr",
    "Yandex": "yandex.ru yandex.com.tr yandex.kz yandex.uz yandex.fr yandex.eu yandex.tm ya.ru",
    "Discord": "discord.com discordapp.com canary.discord.com ptb.discord.com",
    "Baidu": "baidu.com www.baidu.com",
    "Telegram": "t.me webk.telegram.org",
    "Sogou": "sogou.com m.sogou.com wap.sogou.com",
    "Linktree": "linktr.ee",
    "Microsoft Teams": "statics.teams.cdn.office.net",
    "Hacker News": "news.ycombinator.com",
    "Yahoo!": "search.yahoo.com se.search.yahoo.com search.yahoo.co.jp",
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
    assert origin("", query) == Referral("", source, channel, medium)


def test_tag_before_referrer() -> None:
    """C15: a tag wins over the referrer, which is kept beside it."""
    assert origin("https://www.facebook.com/groups", "?utm_source=betalist") == Referral(
        "facebook.com/groups", "betalist", "Referral", ""
    )


def test_click_id_of_referrer() -> None:
    """D5: a click identifier of the referring search engine makes a paid visit, and its name the medium."""
    assert origin("https://www.google.se/", "?gclid=abc") == Referral("google.se", "Google", "Paid Search", "(gclid)")
    assert origin("https://www.bing.com/", "?msclkid=abc") == Referral("bing.com", "Bing", "Paid Search", "(msclkid)")
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
    """The table knows at least 500 sources; no name, host or alias stands for two of them."""
    names = [name for table in KINDS.values() for name in table]
    hosts = [host for table in KINDS.values() for hosts in table.values() for host in hosts] + [*APART, *SIGN_IN]
    aliases = [alias for aliases in ALIASES.values() for alias in aliases]
    assert len(names) >= 500
    assert all(hosts for table in KINDS.values() for hosts in table.values())
    assert len({name.casefold() for name in names}) == len(names)
    assert len(set(hosts)) == len(hosts)
    assert len(set(aliases)) == len(aliases)
    assert set(ALIASES) <= set(names)
    assert all(host == host.lower().removeprefix("www.") for host in hosts)
    assert all(alias == alias.lower() for alias in aliases)
    assert all(re.fullmatch(r"(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*(?:\.\*)?", host) for host in hosts)
    assert not [host for kind in KINDS if kind != "search" for hosts in KINDS[kind].values() for host in hosts
                if host.startswith("*.")]  # fmt: skip


def test_the_table_is_sorted() -> None:
    """By kind, name and host, so that two people who add a line meet in one place."""
    document = tomllib.loads(TABLE.read_text("utf-8"))
    assert list(document) == sorted(document, key=lambda kind: (not isinstance(document[kind], list), kind))
    for table in (*KINDS.values(), ALIASES):
        assert list(table) == sorted(table, key=lambda name: (name.casefold(), name))
    for hosts in (APART, SIGN_IN, *(hosts for table in KINDS.values() for hosts in table.values())):
        assert list(hosts) == sorted(hosts)


def test_every_host_is_found() -> None:
    """Each host of the table goes by its own source's name, also where two overlap."""
    for table in KINDS.values():
        for name, hosts in table.items():
            for host in hosts:
                assert name_of_host(host.replace("*.", "se.").replace(".*", ".se")) == name


def test_what_stands_apart_is_found() -> None:
    """Tools and consoles are referrals by their own host, below a social network or a shop as well."""
    for host in (host.replace(".*", ".se") for host in APART):
        read = origin(f"https://{host}/a")
        assert (read.source, read.channel) == (host, "Referral")


def test_where_people_sign_in_is_no_source() -> None:
    """They come back from there; a tag that is called so is a tag."""
    for host in (host.replace(".*", ".se") for host in SIGN_IN):
        assert origin(f"https://{host}/authorize/a") == DIRECT
        assert origin(f"https://{host}/", "?ref=news").source == "news"
        assert origin("", f"?ref={host}").source == host
    assert origin("https://example.eu.auth0.com/u/login") == DIRECT


# Hosts of one owner: source and channel.
OWNERS = {
    "google.se": ("Google", "Organic Search"),
    "www.google.co.uk": ("Google", "Organic Search"),
    "images.google.de": ("Google", "Organic Search"),
    "accounts.google.com": ("", "Direct"),
    "accounts.google.se": ("", "Direct"),
    "search.google.com": ("search.google.com", "Referral"),
    "analytics.google.com": ("analytics.google.com", "Referral"),
    "ads.google.com": ("ads.google.com", "Referral"),
    "tagmanager.google.com": ("tagmanager.google.com", "Referral"),
    "support.google.com": ("support.google.com", "Referral"),
    "ajax.googleapis.com": ("ajax.googleapis.com", "Referral"),
    "groups.google.com": ("Google Groups", "Organic Social"),
    "news.google.se": ("Google News", "Referral"),
    "mail.google.com": ("Gmail", "Email"),
    "tpc.googlesyndication.com": ("Google Display Network", "Paid Other"),
    "googleads.g.doubleclick.net": ("Google Display Network", "Paid Other"),
    "www.bing.com": ("Bing", "Organic Search"),
    "cn.bing.com": ("Bing", "Organic Search"),
    "rewards.bing.com": ("Microsoft Rewards", "Referral"),
    "webmaster.bing.com": ("webmaster.bing.com", "Referral"),
    "msn.com": ("MSN", "Referral"),
    "login.live.com": ("", "Direct"),
    "login.microsoftonline.com": ("", "Direct"),
    "answers.microsoft.com": ("Microsoft Community", "Organic Social"),
    "duckduckgo.com": ("DuckDuckGo", "Organic Search"),
    "html.duckduckgo.com": ("DuckDuckGo", "Organic Search"),
    "help.duckduckgo.com": ("help.duckduckgo.com", "Referral"),
    "se.search.yahoo.com": ("Yahoo!", "Organic Search"),
    "search.yahoo.co.jp": ("Yahoo!", "Organic Search"),
    "www.yahoo.co.jp": ("Yahoo! Portal", "Referral"),
    "finance.yahoo.com": ("Yahoo! Finance", "Referral"),
    "login.yahoo.com": ("", "Direct"),
    "chiebukuro.yahoo.co.jp": ("Yahoo! Chiebukuro", "Organic Social"),
    "yandex.ru": ("Yandex", "Organic Search"),
    "passport.yandex.ru": ("", "Direct"),
    "metrika.yandex.ru": ("metrika.yandex.ru", "Referral"),
    "market.yandex.ru": ("Yandex Market", "Organic Shopping"),
    "an.yandex.ru": ("Yandex Direct", "Paid Other"),
    "search.naver.com": ("Naver", "Organic Search"),
    "www.naver.com": ("Naver Portal", "Referral"),
    "m.blog.naver.com": ("Naver Blog", "Organic Social"),
    "nid.naver.com": ("", "Direct"),
    "baidu.com": ("Baidu", "Organic Search"),
    "tieba.baidu.com": ("Baidu Tieba", "Organic Social"),
    "passport.baidu.com": ("", "Direct"),
    "search.seznam.cz": ("Seznam", "Organic Search"),
    "www.seznam.cz": ("Seznam.cz", "Referral"),
    "search.brave.com": ("Brave", "Organic Search"),
    "community.brave.com": ("community.brave.com", "Referral"),
    "kagi.com": ("Kagi", "Organic Search"),
    "blog.kagi.com": ("blog.kagi.com", "Referral"),
    "blog.ecosia.org": ("blog.ecosia.org", "Referral"),
    "chatgpt.com": ("ChatGPT", "AI Assistants"),
    "auth.openai.com": ("", "Direct"),
    "community.openai.com": ("OpenAI Community", "Organic Social"),
    "platform.openai.com": ("platform.openai.com", "Referral"),
    "business.facebook.com": ("business.facebook.com", "Referral"),
    "l.facebook.com": ("Facebook", "Organic Social"),
    "someone.wordpress.com": ("WordPress.com", "Organic Social"),
    "someone.blogspot.se": ("Blogger", "Organic Social"),
    "aws.amazon.com": ("AWS", "Referral"),
    "signin.aws.amazon.com": ("", "Direct"),
    "sellercentral.amazon.de": ("sellercentral.amazon.de", "Referral"),
    "trc.taboola.com": ("Taboola", "Paid Other"),
    "widget.criteo.com": ("Criteo", "Paid Other"),
}


@pytest.mark.parametrize(("host", "expected"), OWNERS.items(), ids=OWNERS)
def test_the_owner_of_a_host_is_not_its_search_engine(host: str, expected: tuple[str, str]) -> None:
    """Search is what the search hosts say; portals and tools are referrals, forums and blogs social, ads paid."""
    read = origin(f"https://{host}/a")
    assert (read.source, read.channel) == expected


def test_no_host_below_a_search_engine_is_search() -> None:
    """For each of them, unless the table says so."""
    for hosts in KINDS["search"].values():
        for host in hosts:
            if not host.startswith(("*.", "com.", "ru.")):
                below = "console." + host.replace(".*", ".se")
                if name_of_host(below) not in KINDS["search"]:
                    continue
                assert any(other[:2] == "*." and below.endswith(other[1:]) for other in hosts)


MAILINGS = {
    "Newsletter-UK": "?utm_source=Newsletter-UK",
    "Swedish": "?utm_source=nyhetsbrev&utm_medium=E-mail",
    "weekly": "?utm_source=acme&utm_medium=email_weekly",
    "e_mail": "?utm_medium=crm-e_mail",
    "in the middle": "?utm_source=my.newsletter.42",
    "blank": "?utm_medium=e+mail",
}


@pytest.mark.parametrize("query", MAILINGS.values(), ids=MAILINGS)
def test_what_is_called_a_newsletter_or_email_is_email(query: str) -> None:
    """Wherever in the name of source or medium it says so."""
    assert origin("", query).channel == "Email"


@pytest.mark.parametrize("query", ["?utm_source=mailer", "?utm_source=news", "?utm_campaign=newsletter"])
def test_what_is_not_called_so_is_no_email(query: str) -> None:
    """Neither part of the word, nor a campaign's name."""
    assert origin("", query).channel != "Email"


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
