"""Device type by user agent: phone, tablet, desktop, TV and so on.

The rules are those of the package `user-agents`. Before and after them stand the patterns of `files/device_types.toml`,
matched by the native half of `ua-parser` in time linear to the text. `python -m bench.collection` measures them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ua_parser_rs import UserAgentExtractor
from user_agents.parsers import UserAgent

TABLE = Path(__file__).resolve().parents[1] / "files" / "device_types.toml"


def _patterns(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Type and pattern of each row, in order."""
    for row in rows:
        pattern = row["pattern"] if isinstance(row["pattern"], str) else "".join(row["pattern"])
        yield row["type"], pattern.replace("{model}", _table["model"]).replace("{inches}", _table["inches"])


_table = tomllib.loads(TABLE.read_text("utf-8"))

CORRECTIONS: tuple[tuple[str, str], ...] = (*_patterns(_table["corrections"]),)
"""Type and pattern, in order: where labelled user agents show the rules of `user-agents` wrong or silent."""
REMAINDER: tuple[tuple[str, str], ...] = (*_patterns(_table["remainder"]),)
"""What is tried where those rules say nothing."""


class DeviceTypeClassifier:
    """Classifies devices by the rules of `user-agents` and the patterns of the data file."""

    def __init__(self) -> None:
        self._corrections = _extractor(CORRECTIONS)
        self._remainder = _extractor(REMAINDER)

    def read(self, agent: UserAgent) -> str:
        """Return desktop, mobile, tablet, tv, or an empty text when `agent` does not say."""
        found = self._corrections.extract(agent.ua_string)
        if found is not None:
            return found.family
        if agent.is_tablet:
            return "tablet"
        if agent.is_mobile:
            return "mobile"
        if agent.is_pc:
            return "desktop"
        found = self._remainder.extract(agent.ua_string)
        return found.family if found is not None else ""


def _extractor(table: tuple[tuple[str, str], ...]) -> UserAgentExtractor:
    return UserAgentExtractor((pattern, kind, None, None, None, None) for kind, pattern in table)
