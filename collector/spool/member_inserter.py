"""Inserter of a collector for whose events others may wait no longer.

One that stopped may be removed, and erasures be completed without what it holds. Should it go on nevertheless, as when
its network is there again, nothing of that may be inserted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.core.errors import CannotJoin, InsertRetryable
from collector.ingest.event import Event
from collector.spool.writer import Inserter
from collector.storage.client import plain_reason
from collector.storage.membership import Membership


class MemberInserter:
    """An inserter before another, for as long as this collector is one of the `members`."""

    def __init__(self, inserter: Inserter, members: Callable[[], Membership]) -> None:
        self._inserter = inserter
        self._members = members

    def insert(self, events: Sequence[Event], token: str) -> None:
        """Store `events` durably, once per `token`. Raises `InsertRetryable` or `InsertRefused`."""
        try:
            self._members().must_not_be_removed()
        except CannotJoin:
            # Why, and what to do, is said of the collector as a whole.
            raise InsertRetryable("this collector was removed") from None
        except (ClickHouseError, OSError) as error:
            raise InsertRetryable(plain_reason(error)) from None
        self._inserter.insert(events, token)
