"""Parameters of a statement: values are bound, never written into SQL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Bound:
    """The parameters of one statement. Equal values share a name."""

    values: dict[str, Any] = field(default_factory=dict)
    _names: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, value: Any, kind: str) -> str:
        """Bind a value; returns how the statement refers to it."""
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


_PARAMETER = re.compile(r"\{(p[0-9]+):")


def valued(sql: str, parameters: Mapping[str, object]) -> str:
    """The text with the values of its parameters in place of their names: to tell it from others, not to be asked."""
    return _PARAMETER.sub(lambda found: repr(parameters[found[1]]), sql)
