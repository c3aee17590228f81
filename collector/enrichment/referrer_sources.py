"""Table of referrer sources: kinds, display names and hosts, read from `files/referrer_sources.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

Hosts = tuple[str, ...]

TABLE = Path(__file__).resolve().parents[1] / "files" / "referrer_sources.toml"


def _named(table: Mapping[str, Any]) -> Mapping[str, Hosts]:
    return MappingProxyType({name: tuple(hosts) for name, hosts in table.items()})


_table = tomllib.loads(TABLE.read_text("utf-8"))

APART: Hosts = tuple(_table.pop("apart"))
"""Hosts below a source's that are tools, consoles and help: each stands for itself."""
SIGN_IN: Hosts = tuple(_table.pop("sign_in"))
"""Hosts that people pass on their way back to a site; they are no source."""
ALIASES: Mapping[str, Hosts] = _named(_table.pop("aliases"))
"""By name, what people write into `utm_source` for a source, in lower case."""
KINDS: Mapping[str, Mapping[str, Hosts]] = MappingProxyType({kind: _named(table) for kind, table in _table.items()})
"""By kind, the names of sources and their hosts."""
