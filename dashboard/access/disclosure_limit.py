"""Limit on disclosing stored events to visitors, which prevents guessing the user agents of others on a network.

A visitor is identified by network address and user agent, and many browsers share one. Only the first few user agents
of a network and day may read stored events; others get their number, and may erase them. Networks and user agents are
kept as keyed hashes, in memory, until the day ends.
"""

from __future__ import annotations

import datetime
from collections import OrderedDict
from typing import Final

MAX_AGENTS: Final = 2
"""User agents of one network and day to which events are disclosed."""

MAX_NETWORKS: Final = 50_000
"""Networks in memory; the least recently seen is evicted first."""


class DisclosureLimit:
    """Today's user agents that requested stored events, by network."""

    def __init__(self) -> None:
        self._today = datetime.date.min
        self._agents: OrderedDict[int, set[int]] = OrderedDict()

    def may_disclose(self, network: str, user_agent: str, today: datetime.date) -> bool:
        """Whether to disclose stored events to this user agent, rather than only their number."""
        if today != self._today:
            self._today = today
            self._agents.clear()
        # `hash` has a random key in each process.
        asked = self._agents.setdefault(hash(network), set())
        self._agents.move_to_end(hash(network))
        if len(self._agents) > MAX_NETWORKS:
            self._agents.popitem(last=False)
        if len(asked) < MAX_AGENTS:
            asked.add(hash(user_agent))
        return hash(user_agent) in asked
