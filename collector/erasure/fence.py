"""Fence of a deletion: what had been accepted before it, and may reach ClickHouse after the rows there are deleted.

A segment that a writer has read cannot be called back, and other collectors have events in spools of their own. So a
deletion is over when it was repeated after both have come to an end.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from collector.spool.spool import Spool
from collector.storage.membership import Membership


class Fence:
    """What each deletion, by a key, has to wait for. `spools` are those that this process empties, `members` the
    collectors that share the database. In memory: a process that is started again waits for what is there then."""

    def __init__(self, spools: Callable[[], Sequence[Spool]], members: Membership) -> None:
        self._spools = spools
        self._members = members
        self._segments: dict[Hashable, list[tuple[Spool, frozenset[int]]]] = {}
        self._moments: dict[Hashable, float] = {}

    def note_segments(self, *keys: Hashable) -> None:
        """Wait for the segments that are on their way to ClickHouse now: the spools hold nothing else of what is to be
        deleted. Later calls change nothing."""
        on_their_way = [(spool, spool.in_flight()) for spool in self._spools()]
        for key in keys:
            self._segments.setdefault(key, on_their_way)

    def note_moment(self, *keys: Hashable) -> None:
        """Wait for what other collectors have accepted until now. Later calls change nothing."""
        new = [key for key in keys if key not in self._moments]
        if new:
            self._moments |= dict.fromkeys(new, self._members.mark())

    def has_segments(self, key: Hashable) -> bool:
        """Whether the segments of that deletion are noted."""
        return key in self._segments

    def has_moment(self, key: Hashable) -> bool:
        """Whether its moment is noted."""
        return key in self._moments

    def is_passed(self, key: Hashable) -> bool:
        """Whether all that it waits for is in ClickHouse or set aside."""
        if not self._members.stored_by_all(self._moments[key]):
            return False
        return not any(noted & spool.in_flight() for spool, noted in self._segments[key])

    def forget(self, key: Hashable) -> None:
        """The deletion is over, or was given up."""
        self._segments.pop(key, None)
        self._moments.pop(key, None)
