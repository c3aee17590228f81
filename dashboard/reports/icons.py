"""Icons of values: which file of the build stands beside a source, browser, system, device or country."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

COUNTRY: Final = "visit:country"
_TABLE: Final = Path(__file__).resolve().parents[1] / "data/icons.json"
"""File by value, by dimension; the file of "" is that of every other value. The build makes them."""


@cache
def _table() -> Mapping[str, Mapping[str, str]]:
    """Name of the file by value, by dimension."""
    given: dict[str, dict[str, str]] = json.loads(_TABLE.read_text())
    return {dimension: {value: _name(source) for value, source in each.items()} for dimension, each in given.items()}


def _name(source: str) -> str:
    """`bing` of `bootstrap-icons/bing#008373`."""
    return source.partition("#")[0].rpartition("/")[2]


def icon(dimension: str, value: str) -> str:
    """The file's path below `static`, such as `vendor/icons/google.svg`; "" for values of a dimension without icons."""
    if dimension == COUNTRY and len(value) == 2 and value.isascii() and value.isalpha() and value.isupper():
        return f"vendor/flags/{value}.svg"
    found = _table().get(dimension)
    return f"vendor/icons/{found.get(value, found[''])}.svg" if found else ""
