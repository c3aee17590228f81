"""The visitor's browser, system and class of device."""

from __future__ import annotations

import pytest

from collector.enrichment.user_agent import Device, Hints, UserAgentParser, size_class
from tests.oracle.devices import measure, second_opinion
from tests.oracle.programs import sampled_people

WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
SILK = "AppleWebKit/537.36 (KHTML, like Gecko) Silk/130.4.1 like Chrome/130.0.6723.102"
CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0"
WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36"
MAC = f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {CHROME} Safari/537.36"
IPHONE = f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) {WEBKIT}"
PHONE = f"Mozilla/5.0 (Linux; Android 10; K) {CHROME} Mobile Safari/537.36"


@pytest.fixture(scope="module")
def devices() -> UserAgentParser:
    """One reader of user agents; building it compiles a thousand expressions."""
    return UserAgentParser()


READ = {
    "E1 desktop": (
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_13_4) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/70.0.3538.110 Safari/537.36"
        ),
        Device("Chrome", "70", "macOS", "10", "desktop"),
    ),
    "E2 phone with a WebView": (
        (
            "Mozilla/5.0 (Linux; Android 6.0; U007 Pro Build/MRA58K; wv) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Version/4.0 Chrome/44.0.2403.119 Mobile Safari/537.36"
        ),
        Device("Android WebView", "44", "Android", "6", "mobile"),
    ),
    "E3 tablet": (
        (
            "Mozilla/5.0 (Linux; U; Android 4.2.2; it-it; Surfing TAB B 9.7 3G Build/JDQ39) AppleWebKit/534.30 "
            "(KHTML, like Gecko) Version/4.0 Safari/534.30"
        ),
        Device("Android Browser", "4", "Android", "4", "tablet"),
    ),
    "E4 unknown": ("unknown UA", Device()),
    "E4 missing": ("", Device()),
    "E8 too many parts": (
        WINDOWS.replace("131.0.0.0", "110.0.0.0.0"),
        Device("Chrome", "110", "Windows", "10", "desktop"),
    ),
    "E8 leading zero": (
        WINDOWS.replace("131.0.0.0", "115.0.5765.05"),
        Device("Chrome", "115", "Windows", "10", "desktop"),
    ),
    "E14 Mobile Safari": (
        f"{IPHONE} Version/17.5 Mobile/15E148 Safari/604.1",
        Device("Safari", "17", "iOS", "17", "mobile"),
    ),
    "E14 Safari": (
        f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Version/18.1 Safari/605.1.15",
        Device("Safari", "18", "macOS", "10", "desktop"),
    ),
    "E14 Chrome Mobile": (PHONE, Device("Chrome", "131", "Android", "10", "mobile")),
    "E14 Chrome iOS": (
        f"{IPHONE} CriOS/131.0.6778.73 Mobile/15E148 Safari/604.1",
        Device("Chrome", "131", "iOS", "17", "mobile"),
    ),
    "E14 Firefox Mobile": (
        "Mozilla/5.0 (Android 14; Mobile; rv:132.0) Gecko/132.0 Firefox/132.0",
        Device("Firefox", "132", "Android", "14", "mobile"),
    ),
    "E14 Firefox iOS": (
        f"{IPHONE} FxiOS/132.0 Mobile/15E148 Safari/605.1.15",
        Device("Firefox", "132", "iOS", "17", "mobile"),
    ),
    "E14 Opera Mobile": (
        f"Mozilla/5.0 (Linux; Android 10; K) {CHROME} Mobile Safari/537.36 OPR/86.0.0.0",
        Device("Opera", "86", "Android", "10", "mobile"),
    ),
    "E14 Opera Mini": (
        "Opera/9.80 (Android; Opera Mini/36.2.2254/119.132; U; id) Presto/2.12.423 Version/12.16",
        Device("Opera", "36", "Android", "", "mobile"),
    ),
    "Edge": (f"{WINDOWS} Edg/131.0.0.0", Device("Edge", "131", "Windows", "10", "desktop")),
    "Internet Explorer": (
        "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko",
        Device("Internet Explorer", "11", "Windows", "7", "desktop"),
    ),
    "Linux distribution": (
        "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
        Device("Firefox", "132", "Linux", "", "desktop"),
    ),
    "ChromeOS": (
        f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {CHROME} Safari/537.36",
        Device("Chrome", "131", "ChromeOS", "14541", "desktop"),
    ),
    "Samsung": (
        (PHONE.replace("Chrome/", "SamsungBrowser/27.0 Chrome/")),
        Device("Samsung Internet", "27", "Android", "10", "mobile"),
    ),
    "iPad": (
        (f"Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) {WEBKIT} Version/16.6 Mobile/15E148 Safari/604.1"),
        Device("Safari", "16", "iOS", "16", "tablet"),
    ),
    "Android tablet": (
        f"Mozilla/5.0 (Linux; Android 10; K) {CHROME} Safari/537.36",
        Device("Chrome", "131", "Android", "10", "tablet"),
    ),
    "Kindle Fire": (
        (f"Mozilla/5.0 (Linux; Android 11; KFTRWI) {SILK} Safari/537.36"),
        Device("Amazon Silk", "130", "Fire OS", "", "tablet"),
    ),
    "webOS television": (
        f"Mozilla/5.0 (Web0S; Linux/SmartTV) {CHROME} Safari/537.36 WebAppManager",
        Device("Chrome", "131", "webOS", "", "tv"),
    ),
    "Tizen television": (
        "Mozilla/5.0 (SMART-TV; LINUX; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) Version/6.0 TV Safari/537.36",
        Device("Safari", "6", "Tizen", "6", "tv"),
    ),
    "Fire TV": (
        (f"Mozilla/5.0 (Linux; Android 9; AFTSSS Build/PS7624) {SILK} Safari/537.36"),
        Device("Amazon Silk", "130", "Fire OS", "", "tv"),
    ),
    "E13 console": (
        f"Mozilla/5.0 (PlayStation; PlayStation 5/6.50) {WEBKIT} Version/15.4 Safari/605.1.15",
        Device("Safari", "15", "PlayStation", "5", "tv"),
    ),
    "Facebook": (
        f"{IPHONE} Mobile/15E148 [FBAN/FBIOS;FBAV/440.0.0.20.112;FBBV/548276345;FBDV/iPhone14,5]",
        Device("Facebook", "440", "iOS", "17", "mobile"),
    ),
    "Facebook alone on Android": (
        "[FBAN/FB4A;FBAV/520.0.0.43.109;FBPN/com.facebook.katana;FBCR/Telia;FBSV/16;FBOP/1;FBCA/arm64-v8a:;]",
        Device("Facebook", "520", "Android", "16", "mobile"),
    ),
    "Messenger alone on Android": (
        "[FBAN/Orca-Android;FBAV/480.0.0.30.109;FBPN/com.facebook.orca;FBLC/sv_SE;FBSV/15;FB_FW/1;]",
        Device("Facebook", "480", "Android", "15", "mobile"),
    ),
    "Facebook alone on iOS": (
        "[FBAN/FBIOS;FBAV/440.0.0.20.112;FBDV/iPhone14,5;FBMD/iPhone;FBSN/iOS;FBSV/17.5;FBSS/3;FBCR/;FBID/phone]",
        Device("Facebook", "440", "iOS", "17", "mobile"),
    ),
    "Facebook alone on an iPad": (
        "[FBAN/FBIOS;FBAV/440.0.0.20.112;FBDV/iPad13,4;FBMD/iPad;FBSN/iPadOS;FBSV/18.1;FBSS/2;FBID/tablet]",
        Device("Facebook", "440", "iOS", "18", "tablet"),
    ),
    "iOS 26, frozen": (
        f"{IPHONE.replace('17_5_1', '18_7')} Version/26.2 Mobile/15E148 Safari/604.1",
        Device("Safari", "26", "iOS", "26", "mobile"),
    ),
    "iPadOS 26, frozen": (
        f"Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) {WEBKIT} Version/26.0 Mobile/15E148 Safari/604.1",
        Device("Safari", "26", "iOS", "26", "tablet"),
    ),
    "iOS before it was frozen": (
        f"{IPHONE} Version/16.6 Mobile/15E148 Safari/604.1",
        Device("Safari", "16", "iOS", "17", "mobile"),
    ),
    "another browser on iOS": (
        f"{IPHONE.replace('17_5_1', '18_7')} CriOS/143.0.6778.73 Mobile/15E148 Safari/604.1",
        Device("Chrome", "143", "iOS", "18", "mobile"),
    ),
    "Instagram": (
        f"{IPHONE} Mobile/15E148 Instagram 330.0.3.28.92 (iPhone14,5; iOS 17_5_1; sv_SE)",
        Device("Instagram", "330", "iOS", "17", "mobile"),
    ),
    "TikTok": (
        f"{IPHONE} Mobile/15E148 musical_ly_34.1.0 JsSdk/2.0 BytedanceWebview/d8a21c6",
        Device("TikTok", "34", "iOS", "17", "mobile"),
    ),
    "LinkedIn": (f"{IPHONE} Mobile/15E148 [LinkedInApp]/9.29", Device("LinkedIn", "", "iOS", "17", "mobile")),
    "some other app": (f"{IPHONE} Mobile/15E148", Device("iOS WebView", "", "iOS", "17", "mobile")),
}


@pytest.mark.parametrize(("user_agent", "device"), READ.values(), ids=READ)
def test_read(devices: UserAgentParser, user_agent: str, device: Device) -> None:
    """Families go by the name their users know, versions are major, and what is not said is empty."""
    assert devices.read(user_agent) == device


HINTED = {
    "Windows 11": (WINDOWS, Hints(platform='"Windows"', platform_version='"15.0.0"'), {"os_version": "11"}),
    "Windows 10": (WINDOWS, Hints(platform='"Windows"', platform_version='"10.0.0"'), {"os_version": "10"}),
    "macOS 14": (MAC, Hints(platform='"macOS"', platform_version='"14.5.0"'), {"os_version": "14"}),
    "Brave": (
        WINDOWS,
        Hints(brands='"Brave";v="132", "Chromium";v="132", "Not_A Brand";v="24"'),
        {"browser": "Brave", "browser_version": "132"},
    ),
    "plain Chrome": (WINDOWS, Hints(brands='"Google Chrome";v="131", "Chromium";v="131"'), {}),
    "another system": (WINDOWS, Hints(platform='"macOS"', platform_version='"14.5.0"'), {}),
    "desktop site on a phone": (WINDOWS, Hints(mobile="?1"), {"kind": "mobile"}),
    "nonsense": (WINDOWS, Hints('"";v=', "Windows", '"x"', "yes"), {}),
    "endless": (WINDOWS, Hints(platform='"Windows"', platform_version="9" * 10_000), {}),
    "no hints": (WINDOWS, Hints(), {}),
}


@pytest.mark.parametrize(("user_agent", "hints", "changes"), HINTED.values(), ids=HINTED)
def test_hints(devices: UserAgentParser, user_agent: str, hints: Hints, changes: dict[str, str]) -> None:
    """Client hints correct what user agents have frozen, and nothing else."""
    plain = devices.read(user_agent)
    expected = {name: getattr(plain, name) for name in plain.__struct_fields__} | changes
    assert devices.read(user_agent, hints) == Device(**expected)


def test_agreement(devices: UserAgentParser) -> None:
    """Labels made by hand agree: system in at least 98 %, browser in 97 %, class of device in 95 % of the entries."""
    agreement = measure(devices)
    assert agreement.entries > 30_000
    assert agreement.system >= 0.98, agreement.disagreements
    assert agreement.browser >= 0.97, agreement.disagreements
    assert agreement.form >= 0.95, agreement.disagreements


def test_a_second_opinion_agrees(devices: UserAgentParser) -> None:
    """Of a sample of visits to real sites, the package `user-agents` says desktop, mobile or tablet where Tyst does."""
    texts = sampled_people()
    differing = {text: (devices.read(text).kind, second_opinion(text)) for text in texts}
    differing = {text: kinds for text, kinds in differing.items() if kinds[0] != kinds[1]}
    assert len(texts) > 900
    assert len(differing) <= len(texts) * 0.01, differing
    assert [text for text, kind in texts.items() if devices.read(text).kind != kind] == []


MARK = "Xyzzy4711"
MADE_UP = (
    f"{MARK}/1.0",
    f"{MARK}/1 CFNetwork/978 Darwin/18",
    f"{MARK}-iPad/1 CFNetwork",
    f"{MARK}bot/1.0",
    f"{MARK} Crawler/2",
    f"Mozilla/5.0 (compatible; {MARK}Spider/1.0)",
    f"Mozilla/5.0 ({MARK}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{MARK} Safari/537.36",
    f"Mozilla/5.0 (Linux; Android {MARK}; {MARK} Build/{MARK}) {MARK}/1 Chrome/131 Mobile Safari/537.36",
    f"Mozilla/5.0 (SmartTV) HbbTV/1.1.1 (; {MARK} ; a;2012;)",
    f"Mozilla/5.0 (Windows NT {MARK}) Gecko/1 Firefox/1{MARK}",
    f"Yandex{MARK}/1 {MARK}favicon",
    "Mozilla/5.0 Chrome/4711471147114711 Safari/537.36",
)


@pytest.mark.parametrize("user_agent", MADE_UP)
def test_nothing_made_up_is_kept(devices: UserAgentParser, user_agent: str) -> None:
    """A word or number put into a user agent to mark its visitor reaches no field."""
    device = devices.read(user_agent)
    assert not [
        value for value in (device.browser, device.browser_version, device.os, device.os_version) if "4711" in value
    ]


def test_length_is_capped(devices: UserAgentParser) -> None:
    """Nothing behind the 512th character is looked at, so a user agent of any length costs the same."""
    assert devices.read(" " * 512 + WINDOWS) == Device()


def test_memory_is_bounded() -> None:
    """No more answers are remembered than the capacity, whatever is sent."""
    devices = UserAgentParser(capacity=3)
    for number in range(10):
        devices.read(f"{WINDOWS} {number}")
    assert devices.remembered == 3


@pytest.mark.parametrize(
    ("width", "size"),
    [(-1, ""), (0, ""), (1, "xs"), (575, "xs"), (576, "sm"), (767, "sm"), (768, "md"), (991, "md"), (992, "lg"),
     (1439, "lg"), (1440, "xl"), (99_999, "xl")],
)  # fmt: skip
def test_size_class(width: int, size: str) -> None:
    """A viewport's width becomes one of five classes; no width is none."""
    assert size_class(width) == size
