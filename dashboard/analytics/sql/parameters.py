"""Statements with parameters: values are bound, never written into SQL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from clickhouse_connect.driver.binding import str_query_value


@dataclass(slots=True)
class Parameters:
    """The bound values of one statement. Equal values share a name."""

    values: dict[str, Any] = field(default_factory=dict)
    _names: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, value: Any, kind: str) -> str:
        """Bind a value of a ClickHouse type; returns its placeholder."""
        seen = (kind, repr(value))
        if seen not in self._names:
            self._names[seen] = f"p{len(self._names)}"
            self.values[self._names[seen]] = value
        return f"{{{self._names[seen]}:{kind}}}"

    def text(self, value: str) -> str:
        """Bind one string."""
        return self.add(value, "String")

    def texts(self, values: list[str]) -> str:
        """Bind a list of strings."""
        return self.add(values, "Array(String)")


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with the values that are bound to it."""

    sql: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    immutable: bool = False
    """Whether new events leave its result as it is: it reads closed days alone, in the versions that it names."""

    def inlined(self) -> str:
        """The statement in one line with its values as literals: to be read, or pasted into clickhouse-client; never
        executed."""
        # The driver writes a line's end in a value as it is, after a backslash.
        return re.sub(
            r"\{(\w+):([A-Za-z0-9()]+)\}",
            lambda found: f"CAST({str_query_value(self.parameters[found[1]])}, '{found[2]}')".replace("\\\n", "\\n"),
            " ".join(self.sql.split()),
        )
