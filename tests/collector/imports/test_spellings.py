"""Tables in every spelling: marks, ends of lines, delimiters, quotes, order of columns and case of their names."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.collector.imports.imported import SAMPLES, Importing
from tests.length import by_length

Rows = list[list[str]]
TABLES = (
    SAMPLES / "umami" / "website_event.csv",
    SAMPLES / "goatcounter" / "export.csv",
    SAMPLES / "plausible" / "imported_visitors_20260112_20260114.csv",
)


def written(
    rows: Sequence[Sequence[str]], delimiter: str = ",", ends: str = "\n", quoting: int = csv.QUOTE_MINIMAL
) -> str:
    """Rows as a CSV file."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=ends, quoting=quoting).writerows(rows)  # type: ignore[arg-type] # one of its constants
    return text.getvalue()


def with_column(rows: Rows, name: str, cell: str) -> Rows:
    """The rows with one column more."""
    return [[*row, cell if number else name] for number, row in enumerate(rows)]


def with_names(rows: Rows, spelled: Callable[[str], str]) -> Rows:
    """The rows with the names of their columns spelled otherwise."""
    return [[spelled(name) for name in rows[0]], *rows[1:]]


def with_ends(rows: Rows) -> str:
    """The rows with delimiters at the ends of their lines, but not of the header's."""
    first, *others = written(rows).splitlines()
    return "\n".join([first, *(f"{line},," for line in others), ""])


SPELLINGS: dict[str, Callable[[Rows], bytes]] = {
    "a mark and ends of lines of Windows": lambda rows: b"\xef\xbb\xbf" + written(rows, ends="\r\n").encode(),
    "semicolons": lambda rows: written(rows, ";").encode(),
    "tabs": lambda rows: written(rows, "\t").encode(),
    "a delimiter that is told": lambda rows: ("sep=;\r\n" + written(rows, ";", "\r\n")).encode(),
    "quotes around everything": lambda rows: written(rows, quoting=csv.QUOTE_ALL).encode(),
    "columns the other way round": lambda rows: written([row[::-1] for row in rows]).encode(),
    "a column besides": lambda rows: written(with_column(rows, "more", "x")).encode(),
    "delimiters at the ends": lambda rows: with_ends(rows).encode(),
    "capitals": lambda rows: written(with_names(rows, str.upper)).encode(),
    "spaces": lambda rows: written(with_names(rows, lambda name: f" {name.replace('_', ' ')} ")).encode(),
    "UTF-16": lambda rows: written(rows).encode("utf-16"),
    "UTF-16 without a mark, large end first": lambda rows: written(rows).encode("utf-16-be"),
    "empty lines": lambda rows: written(rows).replace("\n", "\n\n").encode(),
    "code page 1252": lambda rows: written(with_column(rows, "note", "söndag")).encode("cp1252"),
}


@pytest.mark.parametrize("table", TABLES, ids=lambda path: path.parent.name)
def test_every_spelling_gives_the_same(importing: Importing, table: Path) -> None:
    """Rows read, rows left out, and totals."""
    rows = list(csv.reader(table.read_text().splitlines()))
    expected = importing.read(table).report
    # In short, each spelling is that of one table.
    first = TABLES.index(table)
    for spelling in by_length([*SPELLINGS][first :: len(TABLES)], [*SPELLINGS]):
        made = SPELLINGS[spelling]
        record = importing.read(("upload", made(rows)))
        # Few may wait to be confirmed.
        importing.imports.remove(importing.site, record.id)
        found = record.report
        assert (found.read, found.accepted, found.total) == (expected.read, expected.accepted, expected.total), spelling


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b"date,visitors,visits,bounces\n"])
def test_files_without_rows_give_no_day(importing: Importing, content: bytes) -> None:
    """A log that was just rotated is empty."""
    report = importing.read(("empty", content)).report
    assert (report.read, report.months) == (0, {})
