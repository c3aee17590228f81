"""CSV exports: separator, header fields and file name."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from babel.numbers import get_decimal_symbol
from starlette.requests import Request

from collector.core.csv import CsvWriter, Separator
from dashboard.i18n.translations import language

SEPARATORS: Final[dict[str, Separator]] = {"comma": ",", "semicolon": ";"}


def csv_writer(request: Request) -> CsvWriter:
    """The writer that the parameter `separator` names (`comma`, `semicolon`); without it, the one that spreadsheets in
    the reader's language expect: semicolons where the decimal separator is a comma."""
    usual = SEPARATORS[usual_separator(language())]
    return CsvWriter(SEPARATORS.get(request.query_params.get("separator", ""), usual))


def usual_separator(code: str) -> str:
    """Name of the separator that spreadsheets in a language expect, by its code."""
    return "semicolon" if get_decimal_symbol(code) == "," else "comma"


def csv_headers(name: str) -> dict[str, str]:
    """Response fields of a download under that file name (RFC 6266)."""
    plain = "".join(each if each.isascii() and (each.isalnum() or each in "-_.") else "-" for each in name)
    return {
        "content-type": "text/csv; charset=utf-8",
        "content-disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}",
    }
