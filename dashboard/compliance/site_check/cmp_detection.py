"""Detection of consent banners by `data/banners.toml`, and how the tag follows each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from dashboard.compliance.site_check.html_scan import Script

DATA: Final = Path(__file__).resolve().parents[2] / "data" / "banners.toml"

MAX_ADDRESS = 2_000
"""Characters of a script's address that patterns are applied to."""


@dataclass(frozen=True, slots=True)
class Banner:
    """A consent banner; the head of the data file describes every field."""

    key: str
    """Its key in the data file, which addresses of the installation page carry."""
    name: str
    cmp: str
    tested: Literal["package", "stand-in"]
    script: str = ""
    adapt: str = ""
    also: tuple[str, ...] = ()
    source: re.Pattern[str] | None = None
    inner: re.Pattern[str] | None = None
    resembles: re.Pattern[str] | None = None
    generic: bool = False
    marks: bool = False

    def followed_by(self, cmp: str) -> bool:
        """Whether a tag with that `data-cmp` follows the banner."""
        return cmp == self.cmp or cmp in self.also


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A banner as the data file has it."""

    name: str
    cmp: str
    tested: Literal["package", "stand-in"]
    script: str = ""
    adapt: str = ""
    also: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    inner: tuple[str, ...] = ()
    resembles: str = ""
    generic: bool = False
    marks: bool = False


def load_banners(path: Path = DATA) -> dict[str, Banner]:
    """Every banner by its key, in the order of the file. Raises `msgspec.ValidationError`, `re.error`."""
    entries = msgspec.toml.decode(path.read_bytes(), type=dict[str, _Entry])
    return {key: _banner(key, entry) for key, entry in entries.items()}


def _banner(key: str, entry: _Entry) -> Banner:
    return Banner(
        key=key,
        name=entry.name,
        cmp=entry.cmp,
        tested=entry.tested,
        script=entry.script.strip(),
        adapt=entry.adapt,
        also=entry.also,
        source=_pattern(*entry.source),
        inner=_pattern(*entry.inner),
        resembles=_pattern(entry.resembles) if entry.resembles else None,
        generic=entry.generic,
        marks=entry.marks,
    )


def _pattern(*given: str) -> re.Pattern[str] | None:
    return re.compile("|".join(given), re.IGNORECASE) if given else None


BANNERS: Final[Mapping[str, Banner]] = load_banners()
"""Every banner by its key, sorted by name."""

STANDARDS: Final = frozenset({"gcm", "tcf", "wp"})
"""Values of `data-cmp` that are no product but a language that many speak."""

ADAPTERS: Final[Mapping[str, Banner]] = {
    banner.cmp: banner
    for banner in sorted(BANNERS.values(), key=lambda each: not each.generic)
    if not banner.script and (banner.generic or banner.cmp not in STANDARDS)
}
"""What the snippet follows by itself, by the value of `data-cmp`."""

FUNCTIONS: Final[Mapping[str, Banner]] = {banner.cmp: banner for banner in BANNERS.values() if banner.script}
"""Banners that a function of the page speaks for, by the function's name."""


@dataclass(frozen=True, slots=True)
class BannerTraces:
    """Banners of which a page has traces."""

    found: tuple[Banner, ...] = ()
    """Recognised for certain, the most telling first."""
    possible: tuple[Banner, ...] = ()
    """Products that a script may be, where its name is all there is to go by."""


def find_banners(scripts: Iterable[Script]) -> BannerTraces:
    """Recognise the banners among a page's scripts."""
    scripts = list(scripts)
    found = [banner for banner in BANNERS.values() if any(_left(banner, script) for script in scripts)]
    # A product of its own tells more than the language that it speaks.
    found.sort(key=lambda banner: banner.generic)
    known = {banner.resembles.pattern for banner in found if banner.resembles}
    possible = [
        banner
        for banner in BANNERS.values()
        if banner.resembles and banner.resembles.pattern not in known and _resembling(banner.resembles.search, scripts)
    ]
    return BannerTraces(tuple(found), tuple(possible))


def _left(banner: Banner, script: Script) -> bool:
    by_source = banner.source is not None and banner.source.search(script.source[:MAX_ADDRESS])
    return bool(by_source) or (banner.inner is not None and banner.inner.search(script.inner) is not None)


def _resembling(search: Callable[[str], object], scripts: Iterable[Script]) -> bool:
    return any(search(script.source[:MAX_ADDRESS]) for script in scripts)
