"""Tables of a PostgreSQL dump as text: the rows of its `COPY` blocks, as `pg_dump` writes them by default."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from collector.core.errors import ImportRefused
from collector.imports.file import ImportedFile

NULL: Final = "\\N"
END: Final = "\\."

_COPY = re.compile(r'COPY (?:"?[\w$]+"?\.)?"?([\w$]+)"? \(([^()]+)\) FROM stdin;')
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|(.))", re.DOTALL)
_LETTERS: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_BEGINNINGS: Final = ("-- PostgreSQL database dump", "COPY ")
_OTHERS: Final = ("-- MySQL dump", "-- MariaDB dump", "/*M!", "INSERT INTO ")


def is_dump(file: ImportedFile) -> bool:
    """Whether a file is a dump as text. Raises `ImportRefused` for dumps in other forms."""
    if file.head.startswith(b"PGDMP"):
        raise ImportRefused(
            "file",
            "{name} is a PostgreSQL dump in binary form. Turn it into text with pg_restore -f umami.sql {name}",
            name=file.name,
        )
    lines = file.text.splitlines()[:200]
    if any(line.startswith(_BEGINNINGS) for line in lines):
        return True
    if any(line.startswith(_OTHERS) for line in lines):
        raise _statements(file)
    return False


def rows_of_dump(file: ImportedFile) -> Iterator[tuple[int, str, dict[str, str]]]:
    """The rows of all tables: number of the line, name of the table, and cells by their columns, of which there are
    none in a row that is broken. Raises `ImportRefused` where rows are statements."""
    table, columns = "", list[str]()
    for number, line in file.lines():
        if not table:
            if found := _COPY.fullmatch(line):
                table, columns = found[1], [name.strip(' "') for name in found[2].split(",")]
            elif line.startswith("INSERT INTO "):
                raise _statements(file)
        elif line == END:
            table = ""
        else:
            cells = line.split("\t")
            fits = len(cells) == len(columns)
            yield number, table, dict(zip(columns, map(_cell, cells), strict=True)) if fits else {}


def _cell(text: str) -> str:
    """The value of a cell; empty for NULL."""
    if text == NULL:
        return ""
    return _ESCAPE.sub(_unescaped, text) if "\\" in text else text


def _unescaped(found: re.Match[str]) -> str:
    if found[3] is not None:
        return _LETTERS.get(found[3], found[3])
    return chr(int(found[1], 8) if found[1] is not None else int(found[2], 16))


def _statements(file: ImportedFile) -> ImportRefused:
    return ImportRefused(
        "file",
        "{name} is a dump of SQL statements. Export the tables as CSV, or with pg_dump without --inserts, as described "
        "in docs/migrating.md",
        name=file.name,
    )
