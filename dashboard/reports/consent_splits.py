"""Pageviews of groups, split into those with consent and those without.

A group is split only where both parts may be told and add up to all of it: else the smaller part would be what is left
of the whole. docs/small-counts.md says which groups may be told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from collector.enrichment.referrer import name_of_host
from dashboard.analytics.dimensions import DIRECT
from dashboard.analytics.query import OTHER, Result, Row
from dashboard.i18n import formatting
from dashboard.reports.labels import label

SHOWN_ROWS: Final = 50


@dataclass(frozen=True, slots=True)
class Split:
    """Pageviews of a group, with consent and without. None where it may not be told."""

    name: str
    consented: int | None
    without: int | None
    total: int | None = None
    """All of them, where they are known together."""

    @property
    def folded(self) -> bool:
        """Whether it is the row of small groups."""
        return self.name == OTHER

    @property
    def told(self) -> bool:
        """Whether both parts are told."""
        return self.consented is not None and self.without is not None

    @property
    def ratio(self) -> float | None:
        """The share with consent; None where nothing was counted or a part is not told."""
        whole = (self.consented or 0) + (self.without or 0)
        return (self.consented or 0) / whole if self.told and whole else None

    @property
    def share(self) -> str:
        """The share with consent, as text."""
        return formatting.NOTHING if self.ratio is None else formatting.percent(round(100 * self.ratio))

    @property
    def size(self) -> int:
        """What rows are ordered by."""
        return self.total if self.total is not None else (self.consented or 0) + (self.without or 0)


def total_split(whole: Result, consented: Result, without: Result) -> Split:
    """The totals of a period, from the intervals of `whole`. Where one part is hidden, so is the other."""
    total = sum(map(_count, whole.rows))
    if consented.hidden or without.hidden:
        return Split("", None, None, total)
    yes, rest = (_count(part.rows[0]) if part.rows else 0 for part in (consented, without))
    return Split("", yes, rest, total)


def by_name(whole: Result, consented: Result, without: Result, *, hidden: bool = False) -> dict[str, Split]:
    """Each group of `whole`, split where both parts are told and add up to it. Where the protection rounds every count
    they add up to about it."""
    with_, other = ({row.dimensions[0]: row for row in each.rows} for each in (consented, without))
    slack = 2 * whole.rounded_to
    hidden = hidden or consented.hidden or without.hidden
    found = {}
    for row in whole.rows:
        name, count = row.dimensions[0], _count(row)
        parts = [part[name] for part in (with_, other) if name in part]
        yes, rest = (_count(part[name]) if name in part else 0 for part in (with_, other))
        withheld = hidden or row.hidden or any(each.hidden for each in parts)
        told = not withheld and abs(count - yes - rest) <= slack
        found[name] = Split(name, yes, rest, count) if told else Split(name, None, None, None if row.hidden else count)
    return found


def _count(row: Row) -> int:
    return int(row.metrics[0] or 0)


def by_source(consented: Result, referrers: Result) -> list[Split]:
    """Visits with consent by source, beside the anonymous counts of pages that the same source led to.

    An anonymous count knows the host that referred it, and nothing of what led to the page where that was the site.
    """
    anonymous: dict[str, int] = {}
    for row in referrers.rows:
        host = row.dimensions[0]
        if host not in (DIRECT, OTHER) and not row.hidden:
            name = name_of_host(host) or host
            anonymous[name] = anonymous.get(name, 0) + _count(row)
    visits = {row.dimensions[0]: _count(row) for row in consented.rows if not row.hidden}
    names = dict.fromkeys([*visits, *anonymous])
    return [
        Split(_named("visit:source", name), visits.get(name), None if name in (DIRECT, OTHER) else anonymous.get(name))
        for name in names
    ]


def by_country(consented: Result, exempt: Result) -> list[Split]:
    """Pageviews with consent, and of exempt measurement, by country. Anonymous counts have none."""
    parts = [{row.dimensions[0]: _count(row) for row in each.rows if not row.hidden} for each in (consented, exempt)]
    names = dict.fromkeys([*parts[0], *parts[1]])
    return [Split(_named("visit:country", name), parts[0].get(name), parts[1].get(name)) for name in names]


def _named(dimension: str, value: str) -> str:
    return value if value == OTHER else label(dimension, value)


def ranked(splits: Iterable[Split]) -> tuple[Split, ...]:
    """The largest groups; what was folded for privacy comes last."""
    ordered = sorted(splits, key=lambda each: (each.name == OTHER, -each.size, each.name))
    return tuple(ordered[:SHOWN_ROWS])
