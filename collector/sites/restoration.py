"""Settings of sites in a restored backup: the stricter of then and now where visitors are promised something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from clickhouse_connect.driver.client import Client

from collector.sites.model import MOST_EXCLUDED, MOST_PATTERNS, POLICIES, Site
from collector.storage.backup import SettingDifference
from collector.storage.documents import DocumentTable


def _both(most: int) -> Callable[[tuple[str, ...], tuple[str, ...]], tuple[str, ...]]:
    return lambda now, then: tuple(dict.fromkeys((*now, *then)))[:most]


_STRICTER: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "consent": lambda now, then: min(now, then, key=POLICIES.index),
    "receipts": lambda now, then: now or then,
    "retention_days": min,
    "min_visitors": max,
    "strict": lambda now, then: now or then,
    "public": lambda now, then: now and then,
    "hidden_paths": _both(MOST_PATTERNS),
    "excluded_paths": _both(MOST_EXCLUDED),
    "excluded_countries": _both(MOST_EXCLUDED),
    "query_keys": lambda now, then: tuple(key for key in then if key in now),
}
"""What becomes of a setting, from its value now and in the backup. All others are restored as they were."""

_NOT_TOLD: Final = frozenset({"id", "created"})


def keep_protection(present: Client, restored: Client) -> list[SettingDifference]:
    """Make restored sites at least as strict as they are at `present`; returns the settings that differ. Of a site that
    was removed since, only that nobody may read it unasked is kept."""
    sites = {site.id: site for site in DocumentTable(present, "sites", Site).all().values()}
    # Those that were removed are among them.
    known = {name for (name,) in present.query("SELECT DISTINCT id FROM sites").result_rows}
    records = DocumentTable(restored, "sites", Site)
    found: list[SettingDifference] = []
    for name, then in records.all().items():
        now = sites.get(then.id)
        if now is None:
            kept = msgspec.structs.replace(then, public=then.public and name not in known)
        else:
            stricter = {each: choose(getattr(now, each), getattr(then, each)) for each, choose in _STRICTER.items()}
            kept = msgspec.structs.replace(then, **stricter)
            found += _differences(now, then, kept)
        if kept != then:
            records.save(name, kept)
    return found


def _differences(now: Site, then: Site, kept: Site) -> list[SettingDifference]:
    return [
        SettingDifference(kept.domain, each, *(_text(getattr(site, each)) for site in (now, then, kept)))
        for each in Site.__struct_fields__
        if each not in _NOT_TOLD and getattr(now, each) != getattr(then, each)
    ]


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
