"""Inserter that maps former names of sites in spooled events to their present names."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from collector.ingest.event import Event
from collector.sites.registry import Sites
from collector.spool.serialization import SerializedEvents
from collector.spool.writer import Inserter


class SiteAliasInserter:
    """An inserter before another. A segment keeps its token: what went in under the old name is not added again."""

    def __init__(self, inserter: Inserter, sites: Sites) -> None:
        self._inserter = inserter
        self._sites = sites

    def insert(self, events: Sequence[Event], token: str) -> None:
        """Store `events` durably, once per `token`. Raises `InsertRetryable` or `InsertRefused`."""
        self._inserter.insert(self.current(events, self._sites), token)

    @staticmethod
    def current(events: Sequence[Event], sites: Sites) -> Sequence[Event]:
        """The events under the names that their sites have now."""
        names = {name: sites.measured(name) for name in {site for site, _ in SerializedEvents.of(events).dates}}
        former = {name: site.domain for name, site in names.items() if site is not None and site.domain != name}
        if not former:
            return events
        return [
            msgspec.structs.replace(event, site=former[event.site]) if event.site in former else event
            for event in events
        ]
