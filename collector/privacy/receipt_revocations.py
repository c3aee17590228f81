"""Revoked consent receipts, shared by all processes: hashes of random numbers, with a date each.

Nothing in it is of a visitor, and none of it is stored with an event. A row goes when its receipt would have ended.
Beyond `MOST_REVOKED` of them a new series of receipts begins, and marks of the earlier ones go at once: all processes
have all marks in memory, and whoever takes back receipts again and again could fill it.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable
from typing import Final

from clickhouse_connect.driver.client import Client

from collector.privacy.consent_receipts import LIFETIME, Receipt, Receipts, mark_of_series, newest_series, series_of
from collector.storage.mutations import mutate

# A receipt may be dated a day ahead, where clocks differ.
KEPT = LIFETIME + datetime.timedelta(days=1)
MOST_REVOKED: Final = 50_000
"""Of two days. Pages whose receipts are void with those get others, at the price of one request."""

_MARKS = "SELECT DISTINCT id_hash FROM revoked_receipts WHERE day >= {since:Date}"
_EARLIER = """
ALTER TABLE revoked_receipts DELETE
WHERE if(position(id_hash, '.') = 0, 0, toUInt32OrZero(substringIndex(id_hash, '.', 1))) < {series:UInt32}"""


class Revocations:
    """Keeps what `receipts` must not take. Blocking; `clock` gives Unix seconds."""

    def __init__(
        self, client: Client, receipts: Receipts, clock: Callable[[], float], *, most: int = MOST_REVOKED
    ) -> None:
        self._client = client
        self._most = most
        self._receipts = receipts
        self._clock = clock
        # What this process revoked: a look at the table that began before must not bring it back.
        self._own: dict[str, datetime.date] = {}
        self._unkept: dict[str, datetime.date] = {}
        self._keeping = threading.Lock()

    def today(self) -> datetime.date:
        """The date in UTC, by which receipts go."""
        return datetime.datetime.fromtimestamp(self._clock(), datetime.UTC).date()

    def note(self, receipt: Receipt) -> None:
        """Revoke a receipt: effective here at once; durable once `store` returns, and in other processes at their next
        `refresh`.

        What ClickHouse does not take is tried again by `refresh`, and by whoever asks again. Where it takes none for
        long, a new series says the same in one row.
        """
        if self._receipts.is_revoked(receipt):
            return
        if len(self._unkept) >= self._most:
            begun = mark_of_series(self._receipts.series + 1)
            self._unkept, self._own = {begun: self.today()}, {begun: self.today()}
            self._receipts.prune_revocations([begun])
        else:
            self._unkept[receipt.id_hash] = self._own[receipt.id_hash] = receipt.day
            self._receipts.revoke([receipt.id_hash])

    def store(self) -> None:
        """Store what was revoked since."""
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
        stored = [mark for (mark,) in self._client.query(_MARKS, parameters={"since": since}).result_rows]
        marks = {*stored, *(mark for mark, day in self._own.copy().items() if day >= since)}
        series = newest_series(marks)
        earlier = {mark for mark in marks if series_of(mark) < series}
        for mark in [mark for mark, day in self._own.copy().items() if day < since or mark in earlier]:
            self._own.pop(mark, None)
        marks -= earlier
        self._receipts.prune_revocations([*marks, *self._own.copy()])
        if len(marks) > self._most:
            self._begin_series(max(map(series_of, marks)) + 1)
        elif earlier:
            self._delete_before(series)

    def _begin_series(self, series: int) -> None:
        """Receipts of earlier series are no consent from now on, and their marks are needless."""
        begun, today = mark_of_series(series), self.today()
        self._client.insert("revoked_receipts", [[begun, today]], column_names=["id_hash", "day"])
        self._own = {begun: today}
        self._receipts.prune_revocations([begun])
        self._delete_before(series)

    def _delete_before(self, series: int) -> None:
        mutate(self._client, "revoked_receipts", _EARLIER, {"series": series})
