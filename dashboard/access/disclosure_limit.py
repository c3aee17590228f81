"""Limit on disclosing stored events to visitors, which prevents guessing the user agents of others on a network.

A visitor is identified by network address and user agent, and many browsers share one. Only the first few user agents
of a network and day may read stored events; others get their number, and may erase them. Networks and user agents are
kept as keyed hashes, in memory, until the day ends.

Nothing is forgotten before: whoever has thousands of networks (IPv6) could have it forgotten what was guessed in
another. So the table has a fixed size, and networks of the same place in it share their user agents: where very many
networks ask, some are told the number only.
"""

from __future__ import annotations

import datetime
import mmap
from typing import Final

MAX_AGENTS: Final = 2
"""User agents of one network and day to which events are disclosed."""

PLACES: Final = 1 << 20
"""Of networks."""
_BYTES: Final = 8


class DisclosureLimit:
    """Today's user agents that requested stored events, by network; a table of `places`."""

    def __init__(self, places: int = PLACES) -> None:
        self._places = places
        self._today = datetime.date.min
        self._agents = self._empty()

    def may_disclose(self, network: str, user_agent: str, today: datetime.date) -> bool:
        """Whether to disclose stored events to this user agent, rather than only their number."""
        if today != self._today:
            self._today, self._agents = today, self._empty()
        # `hash` has a random key in each process. 0 is a free place.
        agent = hash(user_agent) or 1
        first = hash(network) % self._places * MAX_AGENTS
        for at in range(first, first + MAX_AGENTS):
            if self._agents[at] in (0, agent):
                self._agents[at] = agent
                return True
        return False

    def _empty(self) -> memoryview:
        """A table without agents; of the 16 MB those pages take memory that are written to."""
        return memoryview(mmap.mmap(-1, self._places * MAX_AGENTS * _BYTES)).cast("q")
