"""Data files of the enrichment: they parse, every pattern compiles, and what has no order of its own is sorted."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
from ua_parser_rs import UserAgentExtractor

from collector.enrichment import bot_detection, device_type, ua_families


def table(path: Any) -> dict[str, Any]:
    return tomllib.loads(path.read_text("utf-8"))


def test_the_names_of_families_are_sorted() -> None:
    """A name is found where the alphabet has it, and no family is renamed to itself."""
    families = table(ua_families.TABLE)
    for name in ("browser_names", "system_names"):
        assert list(families[name]) == sorted(families[name])
        assert all(family != shown for family, shown in families[name].items())


@pytest.mark.parametrize("name", ["additions", "harmless", *bot_detection.KINDS[:-1]])
def test_the_names_of_bots_are_sorted_and_compile(name: str) -> None:
    """Each pattern stands alone, and once."""
    bots = table(bot_detection.TABLE)
    patterns = bots.get(name) or bots["kinds"][name]
    assert patterns == sorted(set(patterns))
    for pattern in patterns:
        re.compile(pattern, re.IGNORECASE)


def test_every_pattern_of_devices_compiles() -> None:
    """In the engine that matches them; the types are those that the classifier returns."""
    for kind, pattern in (*device_type.CORRECTIONS, *device_type.REMAINDER):
        assert kind in ("desktop", "mobile", "tablet", "tv")
        assert "{model}" not in pattern
        UserAgentExtractor([(pattern, kind, None, None, None, None)])
    for pattern, *_ in (*ua_families.BROWSER_PATTERNS, *ua_families.SYSTEM_PATTERNS, *ua_families.SYSTEM_REMAINDERS):
        UserAgentExtractor([(pattern, "", None, None, None, None)])
