"""A clock that leaps deletes nothing for good: neither events nor salts."""

from __future__ import annotations

import logging
from pathlib import Path

import anyio
import pytest

from collector.core.clock_monitor import EVENTS_SETTLE_SECONDS, SALTS_SETTLE_SECONDS, ClockMonitor
from collector.core.settings import read_settings
from collector.server.collector import Collector
from collector.storage.client import ClickHouse

NOON = 1_772_362_800.0
DAY = 86_400.0
NINE_YEARS = 9 * 365 * DAY


class Clocks:
    """A wall clock that may be set, and the time since the machine was started, which only passes."""

    def __init__(self) -> None:
        self.now, self.boot = NOON, 5_000.0

    def wall(self) -> float:
        return self.now

    def since_boot(self) -> float:
        return self.boot

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.boot += seconds


def run(clocks: Clocks, keeper: ClockMonitor, seconds: float, step: float = 30.0) -> None:
    """Time passes, and the upkeep looks at the clocks as it does."""
    for _ in range(round(seconds / step)):
        clocks.passes(step)
        keeper.check()


@pytest.fixture
def clocks() -> Clocks:
    """At noon."""
    return Clocks()


@pytest.fixture
def keeper(clocks: Clocks, tmp_path: Path) -> ClockMonitor:
    """One that has run for a while."""
    found = ClockMonitor(clocks.wall, clocks.since_boot, tmp_path / "clock")
    run(clocks, found, 300)
    return found


def may_go(keeper: ClockMonitor) -> tuple[bool, bool]:
    """Whether events and salts may be deleted."""
    return keeper.may_delete_events, keeper.may_destroy_salts


def is_well(keeper: ClockMonitor) -> bool:
    """Whether both may go, and nothing is wrong."""
    return may_go(keeper) == (True, True) and keeper.problem is None


@pytest.mark.parametrize("leap", [NINE_YEARS, -NINE_YEARS, 2 * DAY, 2 * 3_600.0])
def test_after_a_leap_nothing_goes_until_the_clock_is_right_again(
    clocks: Clocks, keeper: ClockMonitor, leap: float, caplog: pytest.LogCaptureFixture
) -> None:
    """For half a minute, and then all is as it was; the log and the problem say so meanwhile."""
    assert is_well(keeper)
    clocks.now += leap
    with caplog.at_level(logging.ERROR):
        run(clocks, keeper, 30)
    assert may_go(keeper) == (False, False)
    assert keeper.problem
    assert ("forward" if leap > 0 else "back") in keeper.problem
    assert "the clock jumped" in caplog.text
    clocks.now -= leap
    run(clocks, keeper, 30)
    assert is_well(keeper)


@pytest.mark.parametrize("leap", [NINE_YEARS, -NINE_YEARS, 2 * 3_600.0])
def test_a_leap_that_is_not_noticed_yet_deletes_nothing(clocks: Clocks, keeper: ClockMonitor, leap: float) -> None:
    """Whatever goes by the clock may come before the next look at it."""
    clocks.now += leap
    assert may_go(keeper) == (False, False)
    assert (keeper.jumped, keeper.may_close_days) == (True, False)
    clocks.now -= leap
    assert is_well(keeper)
    assert (keeper.jumped, keeper.may_close_days) == (False, True)


def test_a_clock_that_stands_is_believed_in_the_end(clocks: Clocks, keeper: ClockMonitor) -> None:
    """As when a machine without a battery learns the time: salts after an hour, events after a day."""
    clocks.now += NINE_YEARS
    run(clocks, keeper, SALTS_SETTLE_SECONDS - 30, step=600)
    assert may_go(keeper) == (False, False)
    run(clocks, keeper, 1_200, step=600)
    assert may_go(keeper) == (False, True)
    run(clocks, keeper, EVENTS_SETTLE_SECONDS, step=600)
    assert is_well(keeper)


def test_a_clock_that_leaps_about_is_never_believed(clocks: Clocks, keeper: ClockMonitor) -> None:
    """Each leap begins the wait anew."""
    for _ in range(10):
        clocks.now += 40 * DAY
        run(clocks, keeper, 20 * 3_600, step=600)
        assert not keeper.may_delete_events


def test_a_clock_that_is_set_by_seconds_or_drifts_is_believed(clocks: Clocks, keeper: ClockMonitor) -> None:
    """NTP steps it; over months it drifts by more than an hour."""
    for _ in range(200):
        clocks.now += 40
        run(clocks, keeper, 30)
        assert is_well(keeper)


def test_a_machine_that_slept_for_days_waits(clocks: Clocks, keeper: ClockMonitor) -> None:
    """Both clocks went on; so they do where both were set by somebody."""
    clocks.passes(NINE_YEARS)
    keeper.check()
    assert may_go(keeper) == (False, False)


@pytest.mark.parametrize(
    ("away", "expected"),
    [
        (60.0, (True, True)),
        (20 * 3_600.0, (True, True)),
        (3 * DAY, (False, True)),
        (40 * DAY, (False, False)),
        (NINE_YEARS, (False, False)),
        (-3 * DAY, (False, False)),
        (-NINE_YEARS, (False, False)),
    ],
)
def test_a_start_far_from_the_last_run_waits(
    clocks: Clocks, keeper: ClockMonitor, tmp_path: Path, away: float, expected: tuple[bool, bool]
) -> None:
    """By the moment that was noted; over night it does not. A day later the clock is believed."""
    assert keeper.may_delete_events
    clocks.now += away
    clocks.boot = 10.0
    later = ClockMonitor(clocks.wall, clocks.since_boot, tmp_path / "clock")
    assert may_go(later) == expected
    run(clocks, later, EVENTS_SETTLE_SECONDS + 600, step=600)
    assert may_go(later) == (True, True)


def test_what_is_not_believed_is_not_noted(clocks: Clocks, keeper: ClockMonitor, tmp_path: Path) -> None:
    """A restart in the middle of a leap, or after it, knows the time before."""
    clocks.now += NINE_YEARS
    run(clocks, keeper, 300)
    assert not ClockMonitor(clocks.wall, clocks.since_boot, tmp_path / "clock").may_delete_events
    clocks.now -= NINE_YEARS
    assert may_go(ClockMonitor(clocks.wall, clocks.since_boot, tmp_path / "clock")) == (True, True)


def test_without_a_note_the_first_clock_is_believed(clocks: Clocks, tmp_path: Path) -> None:
    """A new installation, or one of an earlier release; also where the note cannot be read or written."""
    assert may_go(ClockMonitor(clocks.wall, clocks.since_boot, tmp_path / "clock")) == (True, True)
    (tmp_path / "clock").write_text("noon")
    assert may_go(ClockMonitor(clocks.wall, clocks.since_boot, tmp_path / "clock")) == (True, True)
    keeper = ClockMonitor(clocks.wall, clocks.since_boot, tmp_path / "nowhere" / "clock")
    run(clocks, keeper, 60)
    assert may_go(keeper) == (True, True)


def test_a_running_server_keeps_events_and_salts_through_a_leap_and_says_why(
    clocks: Clocks, tmp_path: Path, clickhouse: ClickHouse
) -> None:
    """The whole collector: what it would delete stays, and its readiness has the sentence."""
    settings = read_settings({"TYST_DATA_DIR": str(tmp_path)})

    async def scene() -> None:
        collector = Collector(settings, clock=clocks.wall, since_boot=clocks.since_boot, clickhouse=clickhouse)
        await collector.start()
        try:
            client, salts = collector.client, tmp_path / "salts"
            client.command(
                "INSERT INTO events (site, day, ts, visitor, name, expires) "
                "SELECT 'site.test', '2026-03-01', toDateTime(1772362800), number + 1, 'pageview', '2028-03-30' "
                "FROM numbers(200)"
            )
            today = next(path for path in salts.iterdir() if path.name == "2026-03-01").read_bytes()
            clocks.now += NINE_YEARS
            clocks.passes(30)
            # Other work of the upkeep comes before the look at the clocks.
            collector.salt_rotation.refresh()
            collector.close_days()
            assert (salts / "2026-03-01").read_bytes() == today
            collector.clock_monitor.check()
            collector.salt_rotation.rotate()
            collector.retention.keep()
            collector.close_days()
            assert client.query("SELECT count() FROM daily_status").result_rows == [(0,)]
            client.command("OPTIMIZE TABLE events FINAL")
            state = collector.readiness()
            assert not state.ready
            assert any("clock went forward by 3,285 days" in problem for problem in state.problems)
            clocks.now -= NINE_YEARS
            clocks.passes(30)
            collector.clock_monitor.check()
            collector.salt_rotation.rotate()
            collector.retention.keep()
            assert collector.readiness().ready
            assert client.query("SELECT count() FROM events").result_rows == [(200,)]
            assert (salts / "2026-03-01").read_bytes() == today
        finally:
            await collector.stop()

    anyio.run(scene)
