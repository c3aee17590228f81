"""Bot detection by user agent, with the kind of bot.

The patterns are those of the package `is-bot`, with the names it lacks, and exceptions for people it would drop, of
`files/bots.toml`. A user agent that is missing, or that only says nothing (`unknown UA`), is a person: privacy tools
produce those.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import is_bot
import regex  # type: ignore[import-untyped]  # it ships no types

LONGEST = 512
"""Characters of a user agent that are looked at: patterns must not run over whatever a stranger sends."""

TABLE = Path(__file__).resolve().parents[1] / "files" / "bots.toml"


def _joined(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_table = tomllib.loads(TABLE.read_text("utf-8"))

KINDS = (*_table["kinds"], "other")
"""What a program can be, in the order in which the names are tried; `other` is what is left."""


class BotDetector:
    """Names the kind of program behind a user agent; remembers the last `capacity` answers."""

    def __init__(self, capacity: int = 10_000) -> None:
        patterns = is_bot.Bots().patterns
        # Patterns that call any text without a browser's shape a program, whatever it says.
        shapes = {p for p in patterns if any(regex.search(p, text, regex.IGNORECASE) for text in UNKNOWN)}
        self._names = regex.compile("|".join(sorted(patterns - shapes)), regex.IGNORECASE)
        self._shapes = regex.compile("|".join(sorted(shapes)), regex.IGNORECASE)
        self._additions = _joined(_table["additions"])
        self._harmless = _joined(_table["harmless"])
        self._kinds = [(kind, _joined(patterns)) for kind, patterns in _table["kinds"].items()]
        self._known = lru_cache(maxsize=capacity)(self._judge)

    def kind(self, user_agent: str) -> str:
        """Return one of `KINDS`, or an empty text for a person."""
        return self._known(user_agent[:LONGEST])

    @property
    def remembered(self) -> int:
        """How many user agents are in memory now."""
        return self._known.cache_info().currsize

    def _judge(self, user_agent: str) -> str:
        if not self._is_program(user_agent):
            return ""
        return next((kind for kind, table in self._kinds if table.search(user_agent)), "other")

    def _is_program(self, user_agent: str) -> bool:
        if self._additions.search(user_agent):
            return True
        text = self._harmless.sub("", user_agent)
        if self._names.search(text):
            return True
        if _VERSIONED.search(text):
            return self._shapes.search(text) is not None
        # Words alone have no shape to judge: they are a program's when they name one.
        return any(table.search(text) for _, table in self._kinds)


UNKNOWN = ("unknown UA", "a" * LONGEST)
"""User agents that say nothing, and belong to people as far as anyone can tell."""

_VERSIONED = re.compile(r"[/\d]")
