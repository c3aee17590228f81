"""Display names of browsers and operating systems, by user agent family.

The patterns come before those of `ua-parser` and add what it lacks: apps that carry a browser inside, and families
that it takes for another. They are Rust's regular expressions; the first group is the version.
"""

from __future__ import annotations

from collections.abc import Iterator

Pattern = tuple[str, str | None, str | None, str | None, str | None, str | None]
"""Expression, family, and four parts of the version, as `ua-parser` takes them; None is the next group."""


def _named(family: str, *expressions: str) -> Iterator[Pattern]:
    """A family and where it shows; the first group of each expression is the major version."""
    for expression in expressions:
        yield f"(){expression}", family, None, None, None, None


# Apps that show pages in a browser of their own: their links open inside, so this is how people came to see the page.
APPS: tuple[Pattern, ...] = (
    *_named("Facebook", r"\b(?:FBAN|FB_IAB|FBIOS|FBAV)\b(?:[^\]]*FBAV/(\d+))?", r"MetaIAB Facebook"),
    *_named("Instagram", r"\bInstagram (\d+)"),
    *_named("Threads", r"\bBarcelona (\d+)"),
    *_named("TikTok", r"\b(?:musical_ly|trill|TikTok|BytedanceWebview)[_/ ](\d*)"),
    *_named("Snapchat", r"\bSnapchat/(\d+)"),
    *_named("Pinterest", r"\[Pinterest/(?:iOS|Android)\]"),
    *_named("LinkedIn", r"\bLinkedInApp(?:/(\d+))?"),
    *_named("X (Twitter)", r"\bTwitter for (?:iPhone|iPad|Android)(?:/(\d+))?", r"\bTwitterAndroid"),
    *_named("WeChat", r"\bMicroMessenger/(\d+)"),
    *_named("Line", r"\bLine/(\d+)"),
    *_named("KakaoTalk", r"\bKAKAOTALK(?:[/ ](\d+))?"),
    *_named("Google app", r"\bGSA/(\d+)"),
    *_named("Telegram", r"\bTelegram-(?:Android|iOS)/(\d+)"),
    *_named("Reddit", r"\bReddit/(?:Version )?(\d+)"),
    *_named("Slack", r"\bSlack(?:_SSB)?/(\d+)"),
    *_named("Microsoft Teams", r"\bTeams/(\d+)"),
)

BROWSER_PATTERNS: tuple[Pattern, ...] = (
    *APPS,
    *_named("DuckDuckGo", r"\bDuckDuckGo/(\d+)", r"\bDdg/(\d+)"),
    *_named(
        "Yandex Browser",
        r"\bYaBrowser/(\d+)",
        r"\bYandexSearch(?:Browser)?/(\d+)",
        r"\bYaSearchBrowser/(\d+)",
        r"\bYaApp",
    ),
    *_named("Samsung Internet", r"\bSamsungBrowser/(\d+)"),
    *_named("UC Browser", r"\bUCBrowser/(\d+)", r"\bUCWEB/?(\d+)", r"\) UC AppleWebKit", r"UC ?Browser"),
    *_named("Mi Browser", r"\bMiuiBrowser/(\d+)"),
    *_named("QQ Browser", r"\bM?QQBrowser/(?:Mini)?(\d+)"),
    *_named("Huawei Browser", r"\bHuaweiBrowser/(\d+)", r"\bHBPC/(\d+)"),
    *_named("vivo Browser", r"\bVivoBrowser/(\d+)"),
    *_named("HeyTap Browser", r"\bHeyTapBrowser/(\d+)"),
    *_named("Oppo Browser", r"\bOppoBrowser/(\d+)"),
    *_named("Honor Browser", r"\b(?i:honorbrowser)/(\d+)"),
    *_named("Quark", r"\bQuark/(\d+)"),
    *_named("Meizu Browser", r"\bMZBrowser/(\d+)"),
    *_named("Sogou Browser", r"\bSogouMobileBrowser/(\d+)", r"\bSogouMSE", r"\bMetaSr"),
    *_named("360 Browser", r"\b360browser", r"\bQHBrowser/(\d+)", r"\b360 ?(?:SE|EE)\b", r"360 Aphone Browser \((\d+)"),
    *_named(
        "Baidu Browser", r"\bbdbrowser\w*/(\d+)", r"\bFlyFlow/(\d+)", r"\bbaidubrowser[/ ](\d+)", r"\bbaiduboxapp/(\d+)"
    ),
    *_named("CM Browser", r"\bACHEETAHI?/(\d+)"),
    *_named("Sleipnir", r"\bSleipnir/(\d+)"),
    *_named("Hi Browser", r"\bHiBrowser/v?(\d+)"),
    *_named("Hawk Browser", r"\bHawk/QuickBrowser/(\d+)"),
    *_named("AdBlock Browser", r"\bABB/(\d+)"),
    *_named("Maxthon", r"\bMaxthon[ /(]+(\d+)", r"\bMxBrowser/(\d+)"),
    *_named("Whale", r"\bWhale/(\d+)"),
    *_named("PocketBook", r"\bPocketBook/\d+ \(screen"),
    *_named("LG Browser", r"\bLG Browser/0?(\d+)", r"\bLG SimpleSmart"),
    *_named("TV Bro", r"\bTV Bro/(\d+)"),
    *_named("T-Browser", r"\bTbrowser/(\d+)"),
    *_named("Odin", r"\bOdin/(\d+)"),
    *_named("Sraf", r"\bSRAF/(\d+)"),
    *_named("Roku Browser", r"\bRokuBrowser/(\d+)"),
    *_named("ANT Galio", r"\bANTGalio/(\d+)"),
    *_named("Puffin", r"\bPuffin/(\d+)"),
    *_named("Amazon Silk", r"\bSilk/(\d+)"),
    *_named("Opera GX", r"\bOPX/(\d+)"),
    *_named(
        "Opera",
        r"\bOpera Mini/(\d+)",
        r"\bOPR/(\d+)",
        r"\bOPT/(\d+)",
        r"\bOPiOS/(\d+)",
        r"\bOMI/(\d+)",
        r"(?i)^opera/9.*Version/(\d+)",
        r"^opera/9",
    ),
    *_named("Openwave", r"(?i:\bup\.browser)/(\d+)"),
    *_named("MAUI", r"\bMAUI\b"),
    # A mark of broadcasters' pages on televisions, which says nothing of the browser below it.
    *_named("Chrome", r"\bChrome/(\d+)[\d.]* .*HbbTV/", r"HbbTV/.*\bChrome/(\d+)"),
)
"""Families that come before those of `ua-parser`."""

SYSTEM_PATTERNS: tuple[Pattern, ...] = (
    *_named("HarmonyOS", r"\bHarmonyOS\b", r"\bOpenHarmony[- ](\d+)", r"\bHongmeng\b"),
    *_named("Fire OS", r"\bAFT[A-Z0-9]+(?: Build|[;)_])", r"\bKF[A-Z]{2,5}(?: Build|[;)])"),
    *_named("VIDAA", r"\bVIDAA/(\d+)"),
    *_named("Roku", r"\bRoku(?:OS|Browser)?/(?:DVP-)?(\d+)"),
    *_named("Tizen", r"\bTizen[ /](\d+)"),
    *_named("KaiOS", r"\bKAIOS/(\d+)"),
    *_named("webOS", r"\bWeb0S\b", r"(?i)\bwebos[./]?tv", r"\b(?:web|hpw)OS/(\d+)"),
    *_named("iOS", r"dv\(iPh.*ov\((\d+)", r"\bFBSN/(?:iOS|iPhone OS|iPadOS);FBSV/(\d+)"),
    *_named("PlayStation", r"\bPlayStation[ /]?(\d+)"),
    *_named("Windows Phone", r"\bWindows Phone(?: OS)? (\d+)"),
    # An app of Facebook's without a browser's user agent before it.
    *_named("iOS", r"^\[FBAN/(?:FBIOS|MessengerForiOS)\b[^\]]*\bFBSV/(\d+)"),
    *_named("Android", r"^\[FBAN/[^\]]*\bFBSV/(\d+)"),
    *_named("Android", r"(?i)\bandr[o0]id(?:[/ -]?(\d+))?", r"\bAdr (\d+)"),
    *_named("Linux", r"\bHbbTV/"),  # the set's maker stands where others name their system
)
"""Likewise for systems."""

SYSTEM_REMAINDERS: tuple[Pattern, ...] = (
    *_named("iOS", r"\biPh(?:one)?\d+"),
    *_named("Java", r"\bMIDP\b", r"\bJ2ME\b"),
    *_named("Windows", r"\bwin(?:dows )?(\d+) x64"),
)
"""What is tried when nothing else fits."""

BROWSERS: dict[str, str] = {
    "Android": "Android Browser",
    "Chrome Mobile": "Chrome",
    "Chrome Mobile WebView": "Android WebView",
    "Chrome Mobile iOS": "Chrome",
    "Edge Mobile": "Edge",
    "Firefox Mobile": "Firefox",
    "Firefox iOS": "Firefox",
    "IE": "Internet Explorer",
    "IE Mobile": "Internet Explorer",
    "IE Large Screen": "Internet Explorer",
    "Atom Browser": "Atom",
    "BlackBerry WebKit": "BlackBerry",
    "Dolfin": "Dolphin",
    "Ecosia Android": "Ecosia",
    "Ecosia iOS": "Ecosia",
    "Firefox (Minefield)": "Firefox",
    "Firefox (Shiretoko)": "Firefox",
    "GranParadiso": "Firefox",
    "Nokia Services (WAP) Browser": "Nokia Browser",
    "Qt Web Engine": "QtWebEngine",
    "Seznam prohlížeč": "Seznam Browser",
    "Teleca Browser": "Obigo",
    "Vewd Browser": "Opera",
    "DuckDuckGo Mobile": "DuckDuckGo",
    "Mobile Safari": "Safari",
    "Mobile Safari UI/WKWebView": "iOS WebView",
    "Opera Mobile": "Opera",
    "Opera Mini": "Opera",
    "Opera Touch": "Opera",
}
"""Families of `ua-parser` that go by another name here; the others keep theirs."""

SYSTEMS: dict[str, str] = {
    "Mac OS X": "macOS",
    "Mac OS": "macOS",
    "Chrome OS": "ChromeOS",
    "Chromecast Linux": "Linux",
    "Chromecast Fuchsia": "Fuchsia",
    "Chromecast Android": "Android",
    "GoogleTV": "Android",
    "Nokia Series 40": "Symbian",
    "Symbian OS": "Symbian",
    "Symbian^3": "Symbian",
    "Symbian^3 Anna": "Symbian",
    "BREW": "Brew",
    "Brew MP": "Brew",
    # A distribution is named by some browsers and hidden by others: counted apart, the same machine is in two rows.
    **dict.fromkeys(
        ("Ubuntu", "Kubuntu", "Debian", "Fedora", "Red Hat", "CentOS", "SUSE", "Gentoo", "Arch Linux", "Linux Mint",
         "Mandriva", "Mageia", "Slackware", "PCLinuxOS", "Kindle"),
        "Linux",
    ),
}  # fmt: skip
"""Likewise for systems."""
