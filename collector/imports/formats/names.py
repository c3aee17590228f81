"""Names of browsers, systems, devices and countries in other products' files, as they are called here."""

from __future__ import annotations

from typing import Final

from collector.enrichment.geoip import read_codes

BROWSERS: Final = {
    "microsoft edge": "Edge",
    "edge": "Edge",
    "edge-chromium": "Edge",
    "edge-ios": "Edge",
    "chrome": "Chrome",
    "chrome mobile": "Chrome",
    "crios": "Chrome",
    "chromium-webview": "Android WebView",
    "firefox": "Firefox",
    "firefox mobile": "Firefox",
    "fxios": "Firefox",
    "safari": "Safari",
    "mobile safari": "Safari",
    "ios": "Safari",
    "ios-webview": "Safari",
    "samsung": "Samsung Internet",
    "samsung browser": "Samsung Internet",
    "samsung internet": "Samsung Internet",
    "opera": "Opera",
    "opera mobile": "Opera",
    "opera-mini": "Opera Mini",
    "duckduckgo": "DuckDuckGo",
    "duckduckgo privacy browser": "DuckDuckGo",
    "brave": "Brave",
    "ie": "Internet Explorer",
    "facebook": "Facebook",
    "instagram": "Instagram",
}
SYSTEMS: Final = {
    "mac": "macOS",
    "macos": "macOS",
    "mac os": "macOS",
    "mac os x": "macOS",
    "os x": "macOS",
    "macintosh": "macOS",
    "gnu/linux": "Linux",
    "linux": "Linux",
    "ubuntu": "Ubuntu",
    "windows": "Windows",
    "android": "Android",
    "android os": "Android",
    "ios": "iOS",
    "ipados": "iPadOS",
    "chrome os": "ChromeOS",
    "chromeos": "ChromeOS",
    "chromium os": "ChromeOS",
}
DEVICES: Final = {
    "desktop": "desktop",
    "laptop": "desktop",
    "mobile": "mobile",
    "smartphone": "mobile",
    "phablet": "mobile",
    "feature phone": "mobile",
    "tablet": "tablet",
    "tv": "tv",
    "smart tv": "tv",
}
UNKNOWN: Final = frozenset(
    {"", "(none)", "(not set)", "(not provided)", "(other)", "unknown", "und", "unk", "\\n", "null"}
)
"""What stands for nothing, in lower case."""


def known(text: str) -> str:
    """The text, empty where it says that there is none."""
    text = text.strip()
    return "" if text.lower() in UNKNOWN else text


def browser(name: str) -> str:
    """Name of a browser."""
    return BROWSERS.get(known(name).lower(), known(name))[:64]


def system(name: str) -> str:
    """Name of an operating system."""
    return SYSTEMS.get(known(name).lower(), known(name))[:64]


def device(name: str) -> str:
    """Type of a device: desktop, mobile, tablet, tv, or empty."""
    return DEVICES.get(known(name).lower(), "")


def split_version(name: str) -> tuple[str, str]:
    """Name and major version of `Firefox 145` or `Windows 10`."""
    first, _, last = name.strip().rpartition(" ")
    number = last.partition(".")[0]
    return (first, number) if first and number.isdecimal() else (name.strip(), "")


_CODES = read_codes()


def country(code: str) -> str:
    """ISO 3166-1 alpha-2 code of `US`, `us` or `US-NY`; empty when there is none."""
    code = code.strip().upper().partition("-")[0]
    return code if code in _CODES else ""
