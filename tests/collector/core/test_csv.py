"""Whatever somebody's event said, no spreadsheet calculates it, whichever separator it reads the file with."""

from __future__ import annotations

import csv
import datetime
import io
import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.core.csv import CHUNK_ROWS, Cell, CsvWriter, Separator, escape_formulas

CALCULATED = "=+@＝＋－＠-"
SKIPPED = ("", " ", "  ", "\u00a0", "\u200b", "\ufeff", '"')
ENDED = ("\t", "\r", "\n", "x;", "x;  ", "x\n", "x\t", "x,", "x|", 'x";"', "x\r\n")


@pytest.mark.parametrize("sign", CALCULATED)
@pytest.mark.parametrize(
    "before", [*SKIPPED, "\t", "\r", "\n", "x;", "x;  ", "x\n", "x\t", "x,", "x|", 'x";"', "x\r\n"]
)
def test_what_a_spreadsheet_would_calculate_is_text(sign: str, before: str) -> None:
    """At the beginning of a cell, and after whatever some locale takes for the end of one."""
    shown = escape_formulas(f"{before}{sign}HYPERLINK(A1)")
    cells = re.split(r"[;,|\t\r\n]", shown)
    assert not any(re.match(rf'[\s\u200b\ufeff"]*[{CALCULATED}]', cell) for cell in cells)


@pytest.mark.parametrize("text", ["/a-b=c", "a=1", "me@example.com", "1-2", "Åsa, Örjan", "/x;y", "a - b", "x, y"])
def test_ordinary_text_is_as_it_was(text: str) -> None:
    """Only what would be calculated is touched."""
    assert escape_formulas(text) == text


@pytest.mark.parametrize("text", ["\t", "\tx", "\rx", "\nx", "\n=1"])
def test_text_that_begins_with_a_tab_or_a_line_break_is_marked(text: str) -> None:
    """Spreadsheets drop it and read what follows."""
    assert escape_formulas(text).startswith("'")


def test_texts_are_quoted_and_numbers_are_not() -> None:
    """A number of a visitor's event is their text, one of ours is a number; nothing is an empty cell."""
    row: list[Cell] = ["12", 12, 1.5, Decimal("2.50"), -3, None, datetime.date(2026, 5, 20), 'say "x"', ""]
    assert CsvWriter().lines([row]) == '"12",12,1.5,2.50,-3,,"2026-05-20","say ""x""",""\r\n'
    assert CsvWriter(";").lines([row]) == '"12";12;1,5;2,50;-3;;"2026-05-20";"say ""x""";""\r\n'


@given(st.lists(st.text(), min_size=1, max_size=4), st.sampled_from([",", ";"]), st.sampled_from([",", ";", "\t"]))
def test_no_cell_is_calculated_whatever_the_file_is_read_with(row: list[str], written: Separator, read: str) -> None:
    """Also where the reader's separator is not the writer's, and quotes end before it thinks they do."""
    text = CsvWriter(written).lines([row])
    for cells in csv.reader(io.StringIO(text, newline=""), delimiter=read, strict=False):
        for cell in cells:
            assert not re.match(rf"\s*[{CALCULATED}]", cell)
    if read == written:
        (again,) = csv.reader(io.StringIO(text, newline=""), delimiter=read)
        assert again == [escape_formulas(cell) for cell in row]


def test_a_large_table_is_written_in_parts() -> None:
    """No text of the whole is ever made, and no row is made before it is its turn."""
    made = []

    def rows() -> object:
        for number in range(CHUNK_ROWS * 3):
            made.append(number)
            yield [str(number)]

    chunks = CsvWriter().chunks(rows())  # type: ignore[arg-type] # a generator of rows
    first = next(chunks)
    assert len(made) == CHUNK_ROWS
    assert first.count("\r\n") == CHUNK_ROWS
    assert len(list(chunks)) == 2
