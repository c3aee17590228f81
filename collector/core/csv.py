"""CSV writer (RFC 4180) with protection against formula injection.

Event values are untrusted. A formula begins with `=`, `+`, `-`, `@` or a full-width form of these, possibly after
characters that spreadsheets skip (OWASP, CSV injection). A spreadsheet that splits at another separator than the
file's starts a new cell within a text, so text after any separator is escaped, too.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import islice
from typing import Final, Literal

Cell = str | int | float | Decimal | datetime.date | None
Separator = Literal[",", ";"]

BYTE_ORDER_MARK: Final = "\ufeff"
"""First character of a file, by which spreadsheets recognise UTF-8."""

CHUNK_ROWS: Final = 500

# The beginning or a separator of any locale, then invisible characters, then a formula character. Separators and
# invisible characters are disjoint, so matching takes linear time.
_UNSEEN: Final = r"\x00-\x08\x0b\x0c\x0e-\x20\x85\xa0\u1680\u2000-\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
_FORMULA: Final = re.compile(rf'(^|[;,|\t\r\n])([{_UNSEEN}"]*+)(?=[=+\-@＝＋－＠])')
_AFTER_MARK: Final = rf"""('*[{_UNSEEN}"]*[=+\-@＝＋－＠])"""
_MARKED: Final = re.compile(rf"(^|[;,|\t\r\n])'{_AFTER_MARK}")
MARKING: Final = {
    "formula": re.sub(r"\\u([0-9a-f]{4})", r"\\x{\1}", rf"(^|[;,|\t\r\n]){_AFTER_MARK}"),
    "marked": r"\1'\2",
}
"""Pattern (RE2) and replacement by which ClickHouse marks text as `escape_formulas` does, and once more what looks
marked already, so that `unmarked` gives it back as it was."""
_LEADING: Final = ("\t", "\r", "\n")


class CsvWriter:
    """Writes rows as lines of text. With semicolons, the separator of Swedish and many other locales, numbers have a
    decimal comma."""

    def __init__(self, separator: Separator = ",") -> None:
        self._separator = separator

    def lines(self, rows: Iterable[Sequence[Cell]]) -> str:
        """Rows as lines, each with its end; None is an empty cell."""
        return "".join(self._separator.join(map(self._cell, row)) + "\r\n" for row in rows)

    def chunks(self, rows: Iterable[Sequence[Cell]]) -> Iterator[str]:
        """The lines in chunks of `CHUNK_ROWS` rows, so that a large table is never one string."""
        remaining = iter(rows)
        while some := list(islice(remaining, CHUNK_ROWS)):
            yield self.lines(some)

    def _cell(self, cell: Cell) -> str:
        if cell is None:
            return ""
        if isinstance(cell, float | Decimal):
            text = str(cell)
            return text.replace(".", ",") if self._separator == ";" else text
        if isinstance(cell, int):
            return str(cell)
        return '"' + escape_formulas(str(cell)).replace('"', '""') + '"'


def escape_formulas(text: str) -> str:
    """The text with an apostrophe, which marks text, before anything that a spreadsheet would calculate."""
    marked = _FORMULA.sub(r"\1'\2", text)
    return f"'{marked}" if marked.startswith(_LEADING) else marked


def unmarked(text: str) -> str:
    """Text that was marked by `MARKING` as it was before."""
    return _MARKED.sub(r"\1\2", text)
