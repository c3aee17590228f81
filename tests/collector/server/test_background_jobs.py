"""Background jobs: one that fails ends no other, and an outage does not fill the log."""

from __future__ import annotations

import logging

import pytest

from collector.server.background_jobs import BackgroundJobs
from tests.collector.spool.test_spool import Clock

pytestmark = pytest.mark.anyio


async def test_an_outage_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """However many jobs fail, and how often; an error of the program beside it as well, with its traceback."""
    clock, done = Clock(), 0

    def away() -> None:
        raise ConnectionRefusedError("no connection to 10.0.0.7")

    def wrong() -> None:
        raise ValueError

    def right() -> None:
        nonlocal done
        done += 1

    jobs = BackgroundJobs("jobs failed", clock)
    with caplog.at_level(logging.DEBUG):
        for _ in range(60):
            await jobs.run([away, wrong, away, right])
            clock.now += 2
    assert done == 60
    found = [(record.levelname, record.__dict__["failures"], bool(record.exc_info)) for record in caplog.records]
    assert found == [("WARNING", 1, False), ("ERROR", 1, True), ("WARNING", 60, False), ("ERROR", 30, True)]
