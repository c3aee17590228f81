"""Headings of Google Analytics 4 in the languages of its reports: what a column is.

Where a heading is in no list, what is in the column says it: paths, devices, sources with mediums, dates.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from collector.imports.formats.names import DEVICES, known

TABLE: Final = Path(__file__).resolve().parents[2] / "files" / "ga4_headers.toml"
METRICS: Final = frozenset({
    "pageviews", "users", "active_users", "sessions", "engaged_sessions", "bounce_rate", "engagement_seconds",
    "session_seconds", "events",
})  # fmt: skip
DATES: Final = frozenset({"date", "nth_day"})
OTHER: Final = "other"
"""A column with texts of something that is not kept."""

_NOT_WORDS = re.compile(r"[\W_]+")
_NUMBER = re.compile(r"[\d\s.,'%\u00a0\u202f-]*")
_DAY = re.compile(r"(19|20)\d\d-?[01]\d-?[0-3]\d(\d\d(\d\d)?)?")
_NTH = re.compile(r"\d{4}")


def folded(heading: str) -> str:
    """A heading without case, accents and punctuation."""
    letters = unicodedata.normalize("NFKD", heading).casefold()
    return _NOT_WORDS.sub("", "".join(each for each in letters if not unicodedata.combining(each)))


@cache
def _headings() -> Mapping[str, str]:
    table = tomllib.loads(TABLE.read_text("utf-8"))
    return {folded(heading): name for name, headings in table.items() for heading in headings}


def named(heading: str) -> str:
    """What a heading stands for; empty where it is not known."""
    return _headings().get(folded(heading), "")


def columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """What each column of a table is, by its heading or by what is in its first rows; empty for numbers of something
    else."""
    found = [named(heading) for heading in header]
    for number, name in enumerate(found):
        if not name:
            cells = [row[number].strip() for row in rows if number < len(row) and row[number].strip()]
            found[number] = _told_by(cells, first=number == 0)
    if "date" in found and "nth_day" in found:
        found = ["" if name == "nth_day" else name for name in found]
    return [name if found.index(name) == number else "" for number, name in enumerate(found)]


def _told_by(cells: Sequence[str], *, first: bool) -> str:
    """What a column is by its cells."""
    words = [cell for cell in cells if known(cell)]
    if not words:
        return ""
    if all(map(_DAY.fullmatch, words)):
        return "date"
    if first and words[0] == "0000" and all(map(_NTH.fullmatch, words)):
        return "nth_day"
    if all(map(_NUMBER.fullmatch, words)):
        return ""
    if all(cell.startswith("/") for cell in words):
        return "page"
    if all(cell.lower() in DEVICES for cell in words):
        return "device"
    if all(" / " in cell for cell in words):
        return "source_medium"
    return OTHER
