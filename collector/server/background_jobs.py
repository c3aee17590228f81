"""Jobs that are run again and again, whatever fails of them."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterable

import anyio.to_thread
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.core.log_limit import LogLimit
from collector.storage.client import plain_reason

log = logging.getLogger(__name__)


class BackgroundJobs:
    """Runs blocking jobs in threads. Failures are logged as `message`, at most once a minute: while ClickHouse does not
    answer most jobs fail every second or two. `clock` returns seconds."""

    def __init__(self, message: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._message = message
        self._outages, self._errors = LogLimit(clock), LogLimit(clock)

    async def run(self, jobs: Iterable[Callable[[], object]]) -> None:
        """Run one job after the other."""
        for job in jobs:
            try:
                await anyio.to_thread.run_sync(job)
            except (ClickHouseError, OSError, sqlite3.Error) as error:
                if failures := self._outages.count():
                    log.warning(self._message, extra={"reason": plain_reason(error), "failures": failures})
            except Exception:  # one failed job must not end the others
                if failures := self._errors.count():
                    log.exception(self._message, extra={"failures": failures})
