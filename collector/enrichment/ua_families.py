"""Display names of browsers and operating systems, by user agent family, read from `files/ua_families.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

Pattern = tuple[str, str | None, str | None, str | None, str | None, str | None]
"""Expression, family, and four parts of the version, as `ua-parser` takes them; None is the next group."""

TABLE = Path(__file__).resolve().parents[1] / "files" / "ua_families.toml"


def _patterns(families: Iterable[Mapping[str, Any]]) -> Iterator[Pattern]:
    """The patterns of families; the first group of each is the major version."""
    for family in families:
        for expression in family["patterns"]:
            yield f"(){expression}", family["name"], None, None, None, None


_table = tomllib.loads(TABLE.read_text("utf-8"))

BROWSER_PATTERNS: tuple[Pattern, ...] = (*_patterns(_table["apps"]), *_patterns(_table["browsers"]))
"""Families that come before those of `ua-parser`."""
SYSTEM_PATTERNS: tuple[Pattern, ...] = (*_patterns(_table["systems"]),)
"""Likewise for systems."""
SYSTEM_REMAINDERS: tuple[Pattern, ...] = (*_patterns(_table["other_systems"]),)
"""What is tried when nothing else matches."""
BROWSERS: Mapping[str, str] = MappingProxyType(_table["browser_names"])
"""Families of `ua-parser` that go by another name here; the others keep theirs."""
SYSTEMS: Mapping[str, str] = MappingProxyType(_table["system_names"])
"""Likewise for systems."""
