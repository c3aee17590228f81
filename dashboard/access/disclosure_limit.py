"""Limit on disclosing stored events to visitors, which prevents guessing the user agents of others on a network.

A visitor is identified by network address and user agent, and many browsers share one. Only the first few user agents
of a network and day may read stored events; others get their number, and may erase them. Networks and user agents are
kept as keyed hashes, in memory, until the day's salt is destroyed.

Nothing is forgotten before: whoever has thousands of networks (IPv6) could have it forgotten what was guessed in
another. So the table has a fixed size, and networks of the same place in it share their user agents: where very many
networks ask, some are told the number only.
"""

from __future__ import annotations

import datetime
import mmap
from collections.abc import Collection
from typing import Final

MAX_AGENTS: Final = 2
"""User agents of one network and day to which events are disclosed."""

PLACES: Final = 1 << 20
"""Of networks."""
_BYTES: Final = 8


class DisclosureLimit:
    """User agents that requested stored events, by network: a table of `places` for each date of events that still has
    a salt. With sites in several time zones these are more dates than one."""

    def __init__(self, places: int = PLACES) -> None:
        self._places = places
        self._agents: dict[datetime.date, memoryview] = {}

    def may_disclose(self, network: str, user_agent: str, dates: Collection[datetime.date]) -> bool:
        """Whether to disclose stored events of these dates to this user agent, rather than only their number. Tables of
        dates before the first of them are dropped: it is the oldest date that has a salt."""
        first = min(dates)
        self._agents = {date: table for date, table in self._agents.items() if date >= first}
        # `hash` has a random key in each process. 0 is a free place.
        agent = hash(user_agent) or 1
        start = hash(network) % self._places * MAX_AGENTS
        tables = [self._agents.get(date) or self._agents.setdefault(date, self._empty()) for date in dates]
        found = [
            next((at for at in range(start, start + MAX_AGENTS) if table[at] in (0, agent)), -1) for table in tables
        ]
        if -1 in found:
            return False
        for table, at in zip(tables, found, strict=True):
            table[at] = agent
        return True

    def _empty(self) -> memoryview:
        """A table without agents; of the 16 MB those pages take memory that are written to."""
        return memoryview(mmap.mmap(-1, self._places * MAX_AGENTS * _BYTES)).cast("q")
