"""Browser, operating system and device of a visitor, from the user agent and client hints.

Families and major versions only: anything finer would tell one visitor from another.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from typing import Any, Literal

import msgspec
from ua_parser import load_lazy_builtins
from ua_parser.core import Matcher
from ua_parser_rs import DeviceExtractor, OSExtractor, UserAgentExtractor
from user_agents import parsers

from collector.enrichment.device_type import DeviceTypeClassifier
from collector.enrichment.ua_families import (
    BROWSER_PATTERNS,
    BROWSERS,
    SYSTEM_PATTERNS,
    SYSTEM_REMAINDERS,
    SYSTEMS,
    Pattern,
)

LONGEST = 512
"""Characters of a user agent that are looked at: patterns must not run over whatever a stranger sends."""

Size = Literal["", "xs", "sm", "md", "lg", "xl"]


class Device(msgspec.Struct, frozen=True):
    """The stored parts of a user agent. `kind` is desktop, mobile, tablet, tv or empty; versions are major versions."""

    browser: str = ""
    browser_version: str = ""
    os: str = ""
    os_version: str = ""
    kind: str = ""


class Hints(msgspec.Struct, frozen=True):
    """Client hints as sent (User-Agent Client Hints, section 3), quotes and all; empty when not sent."""

    brands: str = ""
    """`Sec-CH-UA`: `"Brave";v="131", "Chromium";v="131"`."""
    platform: str = ""
    """`Sec-CH-UA-Platform`: `"Windows"`."""
    platform_version: str = ""
    """`Sec-CH-UA-Platform-Version`: `"15.0.0"`; sent only to those who ask for it, and Tyst does not."""
    mobile: str = ""
    """`Sec-CH-UA-Mobile`: `?1` on phones."""


NO_HINTS = Hints()

# Browsers that send Chrome's user agent to the letter and give their name in the hints only.
HINTED_BROWSERS = frozenset({"Brave", "DuckDuckGo", "Vivaldi", "Opera GX", "Opera Air", "Norton Private Browser"})
PLATFORMS = {"macOS": "macOS", "Windows": "Windows", "Chrome OS": "ChromeOS", "Chromium OS": "ChromeOS"}
WINDOWS_11 = 13
"""The platform version that Windows 11 began with; it calls itself Windows NT 10.0 in user agents."""

_BRAND = re.compile(r'"([^"]{1,40})";\s*v="(\d{1,5})')


class UserAgentParser:
    """Parses user agents, with a cache of the last `capacity` ones, in memory only."""

    def __init__(self, capacity: int = 10_000) -> None:
        self._tables = _tables()
        self._known = lru_cache(maxsize=capacity)(self._parse)
        self._hinted = lru_cache(maxsize=capacity)(self._refined)

    def read(self, user_agent: str, hints: Hints = NO_HINTS) -> Device:
        """Return what `user_agent` and `hints` say; unknown parts are empty, whatever is sent."""
        if hints is NO_HINTS:
            return self._known(user_agent[:LONGEST])
        return self._hinted(user_agent[:LONGEST], hints)

    def _refined(self, user_agent: str, hints: Hints) -> Device:
        return refine(self._known(user_agent), hints)

    @property
    def remembered(self) -> int:
        """How many user agents are in memory now, with hints or without."""
        return max(self._known.cache_info().currsize, self._hinted.cache_info().currsize)

    def _parse(self, user_agent: str) -> Device:
        browsers, systems, devices, classifier = self._tables
        browser, system = browsers.extract(user_agent), systems.extract(user_agent)
        device = Device(
            browser=BROWSERS.get(browser.family, browser.family) if browser else "",
            browser_version=_major(browser.major) if browser else "",
            os=SYSTEMS.get(system.family, system.family) if system else "",
            os_version=_major(system.major) if system else "",
            kind=classifier.read(MatchedAgent(user_agent, browser, system, devices.extract(user_agent))),
        )
        return _thawed(device)


class MatchedAgent(parsers.UserAgent):  # type: ignore[misc] # the package has no types
    """A user agent as `user-agents` describes it, made of what the native matchers found: its own parse takes twenty
    times as long. None is what was not found."""

    def __init__(self, user_agent: str, browser: Any, system: Any, device: Any) -> None:
        self.ua_string = user_agent
        self.browser = parsers.parse_browser(*_version_of(browser))
        self.os = parsers.parse_operating_system(*_version_of(system))
        model = (device.family, device.brand, device.model) if device else ("Other", None, None)
        self.device = parsers.parse_device(*model)


def _version_of(found: Any) -> tuple[str | None, ...]:
    """Family and four parts of the version, as `user-agents` takes them."""
    if found is None:
        return ("Other",)
    return found.family, found.major, found.minor, found.patch, found.patch_minor


def _thawed(device: Device) -> Device:
    """Safari's version is iOS's, of which user agents have told no more than 18 since there is iOS 26."""
    versions = (device.os_version, device.browser_version)
    if (device.os, device.browser) != ("iOS", "Safari") or not all(version.isdecimal() for version in versions):
        return device
    return msgspec.structs.replace(device, os_version=max(versions, key=int))


@cache
def _tables() -> tuple[UserAgentExtractor, OSExtractor, DeviceExtractor, DeviceTypeClassifier]:
    """What user agents are read by. Making it takes a quarter of a second, and it never changes: one serves a process.

    Of a device's family, brand and model nothing is kept: the rules of `user-agents` tell its class by them.
    """
    browsers, systems, devices = load_lazy_builtins()
    return (
        UserAgentExtractor((*BROWSER_PATTERNS, *_closed(browsers))),
        OSExtractor((*SYSTEM_PATTERNS, *_closed(systems), *SYSTEM_REMAINDERS)),
        DeviceExtractor(tuple(getattr(each, name) for name in _MODEL_FIELDS) for each in devices),
        DeviceTypeClassifier(),
    )


_MODEL_FIELDS = ("regex", "regex_flag", "family", "brand", "model")


def _closed(matchers: Iterable[Matcher[Any]]) -> Iterator[Pattern]:
    """The package's matchers as its native half takes them, without those that name a family after any text at all."""
    for matcher in matchers:
        if not _OPEN.search(matcher.regex):
            fields = (getattr(matcher, name) for name in ("family", "major", "minor", "patch", "patch_minor"))
            yield (matcher.regex, *fields)


# Whatever a program or an app calls itself would become a browser's name, and a made-up one would mark its visitor.
_OPEN = re.compile(r"\^\(\.\{|\[A-z\]|\[Bb\]ot|\[a-zA-Z\]\+\)|\[Cc\]\[Rr\]|\\w\{0,30\}")

LONGEST_VERSION = 5
"""Characters of a major version: no real one is longer."""


def _major(version: str | None) -> str:
    return version if version and len(version) <= LONGEST_VERSION else ""


def refine(device: Device, hints: Hints) -> Device:
    """Return `device` corrected by `hints`, which say what the frozen parts of a user agent hide."""
    changes: dict[str, str] = {}
    if device.browser == "Chrome":
        for brand, version in _BRAND.findall(hints.brands[:LONGEST]):
            if brand in HINTED_BROWSERS:
                changes |= {"browser": brand, "browser_version": version}
    platform = PLATFORMS.get(hints.platform.strip('"'), "")
    version = _major(hints.platform_version.strip('"').partition(".")[0])
    if platform and platform == device.os and version.isdecimal():
        changes["os_version"] = _system_version(platform, int(version)) or device.os_version
    if hints.mobile == "?1" and device.kind in ("", "desktop"):
        changes["kind"] = "mobile"
    return msgspec.structs.replace(device, **changes) if changes else device


def _system_version(platform: str, version: int) -> str:
    """The version that people know; empty for a Windows before 10, which the user agent tells."""
    if platform != "Windows":
        return _major(str(version))
    if version >= WINDOWS_11:
        return "11"
    return "10" if version else ""


def size_class(width: int) -> Size:
    """Return the class of a viewport's width in CSS pixels: the edges are Bootstrap's, empty is unknown."""
    return SIZES[bisect_right(EDGES, width)] if width > 0 else ""


EDGES = (576, 768, 992, 1440)
SIZES: tuple[Size, ...] = ("xs", "sm", "md", "lg", "xl")
