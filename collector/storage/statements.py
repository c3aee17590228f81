"""Statements of an SQL script, one at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator


def split_statements(sql: str) -> Iterator[str]:
    """The statements of a script, without comments: a statement ends with a semicolon at the end of a line.

    Served ClickHouse takes one statement a call, so both modes are given one at a time.
    """
    bare = re.sub(r"^\s*--.*$", "", sql, flags=re.MULTILINE)
    for statement in re.split(r";[ \t]*(?:\n|\Z)", bare):
        if statement.strip():
            yield statement.strip()
