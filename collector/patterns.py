"""Patterns that owners write for paths: `*` stands for anything within a segment, `**` for anything at all."""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(maxsize=1_000)
def expression(pattern: str) -> str:
    """The pattern as a regular expression of a whole text, in what Python and RE2 have in common."""
    parts = re.split(r"(\*\*?)", pattern)
    return "^" + "".join({"*": "[^/]*", "**": ".*"}.get(part, re.escape(part)) for part in parts) + "$"


def fits(pattern: str, path: str) -> bool:
    """Whether the whole path is one that the pattern stands for."""
    return re.fullmatch(expression(pattern), path) is not None


def literal(pattern: str) -> bool:
    """Whether the pattern stands for one path only."""
    return "*" not in pattern
