"""What a format is: how its files are told from others, and what is read of them."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from collector.imports.file import ImportedFile
from collector.imports.target import ImportTarget

UNREADABLE: Final = (KeyError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What reading a row may raise where the row is none: files have anything in them."""

MOST_COUNT: Final = 1 << 53


@dataclass(frozen=True, slots=True)
class Format:
    """A format of files. `recognises` looks at a file's beginning, never at its name; `read` takes all of it, row by
    row, to the target. `finish` is done when all files of an import were read."""

    name: str
    title: str
    recognises: Callable[[ImportedFile], bool]
    read: Callable[[ImportedFile, ImportTarget], None]
    finish: Callable[[ImportTarget], None] = lambda _: None


def whole(text: str) -> int:
    """A count, such as `12` or `12.0`. Raises `ValueError`."""
    text = text.strip()
    number = int(text) if text.isdecimal() else float(text or 0)
    if not 0 <= number < MOST_COUNT:
        raise ValueError("expected a count")
    return round(number)


_GROUPED = re.compile(r"\d{1,3}([.,]\d{3})+")


def count_of(text: str) -> int:
    """A count as people write it, such as `1,234`, `1.234`, `1 234` or `1'234`; 0 for nothing. Raises `ValueError`."""
    text = _GAPS.sub("", text)
    return whole(text.replace(",", "").replace(".", "") if _GROUPED.fullmatch(text) else text)


_GAPS = re.compile(r"[\s'\u2019\u00a0\u202f]+")


def day_of(text: str) -> datetime.date:
    """A date such as `2026-01-12` or `20260112`. Raises `ValueError`."""
    return datetime.date.fromisoformat(text.strip()[:10])


def major(version: str) -> str:
    """The major version of `145.0`, empty when there is none."""
    first = version.strip().partition(".")[0]
    return first if first.isdecimal() and len(first) <= 5 else ""
