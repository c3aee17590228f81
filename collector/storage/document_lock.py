"""A lock on the documents of one table, shared by all processes.

ClickHouse has no conditional write: two processes that read the same version would both store a next one, and a merge
may remove the lower of the two before anybody sees it. So whoever changes records claims the table first, in a table of
claims in the server's memory. Whoever claims inserts a claim and then reads the others: of two, at least the later one
sees the other, and withdraws. The claim of a process that died ends after `LEASE_SECONDS`.
"""

from __future__ import annotations

import contextlib
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Self

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

CLAIMS: Final = "record_claims"
"""The table of claims."""

LEASE_SECONDS: Final = 15
"""Lifetime of a claim, by the clock of ClickHouse."""
FENCE_SECONDS: Final = 10.0
"""Age of its claim beyond which a holder stores nothing more."""
WAIT_SECONDS: Final = 30.0
"""Maximum wait for the lock."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.005, 0.25
"""Seconds between two tries: random, and twice as long at most after each."""

ALL_RECORDS: Final = "*"
"""Instead of a table's name: no record of any table is changed meanwhile."""
RESTORATION: Final = "restoration"
"""Instead of a table's name: no backup is made or restored meanwhile."""

_OTHERS = f"""
SELECT count() FROM (
    SELECT claim FROM record_claims
    WHERE (record_table IN ({{table:String}}, '{ALL_RECORDS}')
            OR ({{table:String}} = '{ALL_RECORDS}' AND record_table != '{RESTORATION}'))
        AND claim != {{own:UInt64}} AND at > now64(3) - INTERVAL {{lease:UInt32}} SECOND
    GROUP BY claim HAVING max(released) = 0
)"""  # noqa: S608 -- our own names


class DocumentLock:
    """Context manager, re-entrant within a thread. Blocking. `monotonic` gives seconds.

    Entering raises `TimeoutError` after `patience` seconds, and what the driver raises when ClickHouse is away.
    """

    def __init__(
        self,
        client: Client,
        table: str,
        monotonic: Callable[[], float] = time.monotonic,
        patience: float = WAIT_SECONDS,
    ) -> None:
        self.threads = threading.RLock()
        """Lock among the threads of this process alone."""
        self._client = client
        self._table = table
        self._monotonic = monotonic
        self._patience = patience
        self._depth = 0
        self._claim = 0
        self._claimed = 0.0

    def __enter__(self) -> Self:
        self.threads.acquire()
        try:
            if self._depth == 0:
                self._acquire()
            self._depth += 1
        except BaseException:
            self.threads.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._depth -= 1
        try:
            if self._depth == 0:
                # Where ClickHouse is away the claim ends by itself.
                with contextlib.suppress(ClickHouseError, OSError):
                    self._insert(released=True)
        finally:
            self.threads.release()

    @contextlib.contextmanager
    def renewed(self) -> Iterator[None]:
        """Hold the lock for the block, however long that takes: the claim is renewed meanwhile."""
        with self:
            over = threading.Event()
            renewal = threading.Thread(target=self._renew_until, args=(over,), daemon=True)
            renewal.start()
            try:
                yield
            finally:
                over.set()
                renewal.join()

    def _renew_until(self, over: threading.Event) -> None:
        while not over.wait(LEASE_SECONDS / 5):
            with contextlib.suppress(ClickHouseError, OSError):
                self._insert()

    def must_be_held(self) -> None:
        """Raises `TimeoutError` when the claim may have ended, so that another process may change the same records."""
        if self._monotonic() > self._claimed + FENCE_SECONDS:
            raise TimeoutError(f"changing {self._table} took longer than {FENCE_SECONDS:.0f} s")

    def _acquire(self) -> None:
        ends, pause = self._monotonic() + self._patience, SHORTEST_PAUSE
        while True:
            self._claim, self._claimed = secrets.randbits(64), self._monotonic()
            self._insert()
            if not self._others():
                return
            self._insert(released=True)
            if self._monotonic() >= ends:
                raise TimeoutError(f"{self._table} is being changed by another process")
            time.sleep(random.uniform(0, pause))  # noqa: S311 # nobody gains by foreseeing it
            pause = min(2 * pause, LONGEST_PAUSE)

    def _insert(self, *, released: bool = False) -> None:
        row = [self._table, self._claim, int(released)]
        self._client.insert(CLAIMS, [row], column_names=["record_table", "claim", "released"])

    def _others(self) -> int:
        parameters = {"table": self._table, "own": self._claim, "lease": LEASE_SECONDS}
        return int(self._client.query(_OTHERS, parameters=parameters).result_rows[0][0])
