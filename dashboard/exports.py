"""Tables as CSV (RFC 4180), safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import quote

from dashboard.pages import HEADERS

Cell = str | int | float | None

FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes a cell for a formula by (OWASP, CSV injection). Values of events are anybody's words."""


def csv_lines(rows: Iterable[Sequence[Cell]]) -> str:
    """Rows as lines of CSV; None is an empty cell."""
    text = io.StringIO()
    csv.writer(text).writerows([_safe(cell) for cell in row] for row in rows)
    return text.getvalue()


def _safe(cell: Cell) -> Cell:
    """A text that begins like a formula is told to be text by an apostrophe."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULAS) else cell


def csv_headers(name: str) -> dict[str, str]:
    """Headers of a file to keep under that name, which may have any letters (RFC 6266)."""
    plain = "".join(each if each.isascii() and (each.isalnum() or each in "-_.") else "-" for each in name)
    return {
        **HEADERS,
        "content-type": "text/csv; charset=utf-8",
        "content-disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}",
    }
