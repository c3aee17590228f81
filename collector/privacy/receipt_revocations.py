"""Revoked consent receipts, shared by all processes: hashes of random numbers, with a date each.

Nothing in it is of a visitor, and none of it is stored with an event. A row goes when its receipt would have ended.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable

from clickhouse_connect.driver.client import Client

from collector.privacy.consent_receipts import LIFETIME, Receipt, Receipts

# A receipt may be dated a day ahead, where clocks differ.
KEPT = LIFETIME + datetime.timedelta(days=1)
_MARKS = "SELECT DISTINCT id_hash FROM revoked_receipts WHERE day >= {since:Date}"


class Revocations:
    """Keeps what `receipts` must not take. Blocking; `clock` gives Unix seconds."""

    def __init__(self, client: Client, receipts: Receipts, clock: Callable[[], float]) -> None:
        self._client = client
        self._receipts = receipts
        self._clock = clock
        # What this process revoked: a look at the table that began before must not bring it back.
        self._own: dict[str, datetime.date] = {}
        self._unkept: dict[str, datetime.date] = {}
        self._keeping = threading.Lock()

    def today(self) -> datetime.date:
        """The date in UTC, by which receipts go."""
        return datetime.datetime.fromtimestamp(self._clock(), datetime.UTC).date()

    def add(self, receipt: Receipt) -> None:
        """Revoke receipts: effective here at once, durable when this returns, in other processes at the next `refresh`.

        What ClickHouse does not take is tried again by `refresh`, and by whoever asks again.
        """
        if not self._receipts.is_revoked(receipt):
            self._unkept[receipt.id_hash] = self._own[receipt.id_hash] = receipt.day
            self._receipts.revoke([receipt.id_hash])
        self.store()

    def store(self) -> None:
        # Who asks and the upkeep may come at once: each is kept once, and on disk before either returns.
        with self._keeping:
            unkept = self._unkept.copy()
            if not unkept:
                return
            rows = [[mark, day] for mark, day in unkept.items()]
            self._client.insert("revoked_receipts", rows, column_names=["id_hash", "day"])
            for mark in unkept:
                self._unkept.pop(mark, None)

    def refresh(self) -> None:
        """Learn what other processes, or an earlier one, revoked; forget what has ended anyway."""
        self.store()
        since = self.today() - KEPT
        rows = self._client.query(_MARKS, parameters={"since": since}).result_rows
        self._own = {mark: day for mark, day in self._own.copy().items() if day >= since}
        self._receipts.prune_revocations([*self._own, *(mark for (mark,) in rows)])
