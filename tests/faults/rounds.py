"""Rounds of the fault harness. In each: load from several client processes, faults at random moments, an end to
them; then the server must be well by itself, and every acknowledged beacon in `events` exactly once.

A round's beacons have paths of their own, so that a round is judged by itself and a mistake of an earlier one that
shows late is still found at the end, when all rounds are judged together.
"""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from collector.storage.client import ClickHouse
from tests.disk import filled, small_disk
from tests.fault_proxy import FailingServer, failing_server
from tests.faults.collectors import Collectors
from tests.faults.server import NotInTime, Serve, until
from tests.launcher import ROOT

CLIENTS = 3
PAUSE = 0.01
"""Seconds between the beacons of one connection."""
DRAIN_SECONDS = 20.0
"""SIGTERM is answered within this time: ten seconds for requests under way, five to drain, and some to start with."""
SPOOL_DISK = 28 << 20
CLICKHOUSE_DISK = 384 << 20


@dataclass
class Tally:
    """What a run has come to so far."""

    faults: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    unacknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    untrue: list[str] = field(default_factory=list)
    slowest_recovery: float = 0.0
    slowest_stop: float = 0.0

    @property
    def clean(self) -> bool:
        """Nothing lost, nothing doubled, nothing untrue said, and something done."""
        return not (self.lost or self.doubled or self.untrue) and self.acknowledged > 0


@dataclass
class Stage:
    """Where a run takes place: a server in one mode, its ClickHouse, and small disks where disks are to be full."""

    directory: Path
    serve: Serve
    clickhouse: FailingServer | None
    tally: Tally
    random: random.Random
    clickhouse_directory: Path
    mark: str
    beacon_pause: float
    rounds: int = 0

    def pause(self, least: float = 0.1, most: float = 1.0) -> None:
        """A random moment later."""
        time.sleep(self.random.uniform(least, most))

    def expect(self, what: str, true: Callable[[], bool], patience: float = 30.0) -> None:
        """What the server says must become this; else it is noted as untrue."""
        try:
            until(what, true, patience)
        except NotInTime as error:
            self.tally.untrue.append(f"{error}; readyz: {self.serve.problems()!r}")


Fault = Callable[[Stage], None]


def killed(stage: Stage) -> None:
    """`kill -9`, and a start."""
    stage.serve.kill()
    stage.serve.start()
    until("the server answers after kill -9", stage.serve.answers)


def collector_killed(stage: Stage) -> None:
    """`kill -9` of one of two collectors, and a start."""
    assert isinstance(stage.serve, Collectors)
    stage.serve.kill_one(stage.random)
    until("all collectors answer", stage.serve.answers)


def terminated(stage: Stage) -> None:
    """SIGTERM drains within a stated time."""
    seconds = stage.serve.terminate()
    stage.tally.slowest_stop = max(stage.tally.slowest_stop, seconds)
    if seconds > DRAIN_SECONDS:
        stage.tally.untrue.append(f"SIGTERM took {seconds:.1f} s")
    stage.serve.start()
    until("the server answers after SIGTERM", stage.serve.answers)


def _clickhouse_fails(kind: str, said: str) -> Fault:
    def fault(stage: Stage) -> None:
        assert stage.clickhouse
        stage.clickhouse.fail(kind)
        stage.expect(f"/readyz tells of {kind}", lambda: said in stage.serve.problems())
        stage.expect("/metrics counts what waits", lambda: stage.serve.metrics().get("tyst_spool_rows", 0) > 0)
        stage.pause()
        stage.clickhouse.fail("well")

    fault.__name__ = kind
    return fault


def cut(stage: Stage) -> None:
    """Inserts take effect and their connections are cut before the answer."""
    assert stage.clickhouse
    stage.clickhouse.fail("cut")
    stage.expect("/readyz tells of cut connections", lambda: "does not take events" in stage.serve.problems())
    stage.pause()
    stage.clickhouse.fail("well")


def rejected(stage: Stage) -> None:
    """Segments are refused for good, set aside, and tried again when the operator says so."""
    assert stage.clickhouse
    stage.clickhouse.fail("reject")
    stage.expect("/readyz tells of refused segments", lambda: "set aside" in stage.serve.problems())
    stage.pause()
    stage.clickhouse.fail("well")
    stage.expect("/readyz still tells of them", lambda: stage.serve.readiness().get("refused_segments", 0) > 0)
    if not stage.serve.retry():
        stage.tally.untrue.append("no segment was there to be tried again")


def spool_disk_full(stage: Stage) -> None:
    """No room for the spool while ClickHouse is away: beacons are refused, and taken again when either is back."""
    assert stage.clickhouse
    stage.clickhouse.fail("refuse")
    with filled(stage.serve.directory / "data" / "spool"):
        # The spool first uses up what is free within its own file.
        stage.expect("/readyz tells of the full disk", lambda: "cannot be written" in stage.serve.problems(), 120)
        stage.pause()
        if stage.random.random() < 0.5:
            # What ClickHouse then has is deleted, and that makes room on the full disk.
            stage.clickhouse.fail("well")
            stage.expect("there is room again", lambda: "cannot be written" not in stage.serve.problems())
    stage.clickhouse.fail("well")
    stage.expect("/readyz tells of room", lambda: "cannot be written" not in stage.serve.problems())


def clickhouse_disk_full(stage: Stage) -> None:
    """No room for ClickHouse."""
    with filled(stage.clickhouse_directory):
        stage.expect("/readyz tells of ClickHouse's disk", lambda: "does not take events" in stage.serve.problems())
        stage.pause()


def clickhouse_killed(stage: Stage) -> None:
    """`kill -9` of ClickHouse, and a start at the same port."""
    assert stage.clickhouse
    stage.clickhouse.server.kill()
    stage.expect("/readyz tells of ClickHouse", lambda: "does not take events" in stage.serve.problems())
    stage.clickhouse.server.start()


def clock_back(stage: Stage) -> None:
    """The clock steps back an hour, and forward again."""
    assert stage.serve.clock
    stage.serve.clock.write_text("-3600")
    stage.pause(0.5, 1.5)
    stage.expect("what comes after the step gets in", stage.serve.well_soon)
    stage.serve.clock.write_text("0")


FAULTS: dict[str, Fault] = {
    "kill -9": killed,
    "kill -9 of a collector": collector_killed,
    "SIGTERM": terminated,
    "ClickHouse refuses": _clickhouse_fails("refuse", "does not take events"),
    "ClickHouse hangs": _clickhouse_fails("hang", "does not take events"),
    "ClickHouse answers 503": _clickhouse_fails("busy", "does not take events"),
    "ClickHouse cuts after insert": cut,
    "ClickHouse is killed": clickhouse_killed,
    "segment refused for good": rejected,
    "disk full for the spool": spool_disk_full,
    "disk full for ClickHouse": clickhouse_disk_full,
    "clock back an hour": clock_back,
}

MODES: dict[str, tuple[str, ...]] = {
    "embedded": ("kill -9", "SIGTERM"),
    "served": tuple(name for name in FAULTS if name not in ("kill -9 of a collector", "clock back an hour")),
    "collectors": ("kill -9 of a collector", "kill -9", "SIGTERM", "ClickHouse refuses", "segment refused for good"),
    "clock": ("clock back an hour", "kill -9"),
}


@contextlib.contextmanager
def stage(directory: Path, mode: str, tally: Tally, seed: int, beacon_pause: float = PAUSE) -> Iterator[Stage]:
    """A server in a mode, well and with its site."""
    served = mode != "embedded"
    clock = directory / "clock" if mode == "clock" else None
    if clock is not None:
        directory.mkdir(parents=True, exist_ok=True)
        clock.write_text("0")
    spool, disk = directory / "data" / "spool", directory / "clickhouse"
    with small_disk(spool, SPOOL_DISK), small_disk(disk, CLICKHOUSE_DISK), contextlib.ExitStack() as running:
        clickhouse = running.enter_context(failing_server(disk)) if served else None
        # A hanging insert is given up after five seconds, so that a run sees many.
        dsn = clickhouse.database("tyst", send_receive_timeout=5, connect_timeout=5) if clickhouse else None
        serve = Collectors(directory, dsn) if dsn and mode == "collectors" else Serve(directory, dsn, clock=clock)
        chosen = random.Random(seed)  # noqa: S311
        staged = Stage(directory, serve, clickhouse, tally, chosen, disk, mark=mode[0], beacon_pause=beacon_pause)
        try:
            serve.start()
            until("the server answers", serve.answers)
            until("commands find the server", (serve.data_dir / "server.json").exists)
            serve.tyst("site", "add", "site.test", "--consent", "exempt")
            time.sleep(2.5 if served else 0)
            yield staged
        finally:
            serve.close()


def play(stage: Stage, faults: list[str]) -> None:
    """One round with these faults; judged when all is quiet again."""
    stage.rounds += 1
    prefix = f"{stage.mark}{stage.rounds}"
    logs = [stage.directory / f"{prefix}c{number}.log" for number in range(CLIENTS)]
    program, pause = [sys.executable, "tests/faults/client.py", str(stage.serve.port)], str(stage.beacon_pause)
    clients = [
        subprocess.Popen([*program, f"{prefix}c{number}", str(log), pause], cwd=ROOT) for number, log in enumerate(logs)
    ]
    try:
        until("beacons are acknowledged", lambda: all(log.exists() and log.stat().st_size for log in logs))
        for name in faults:
            stage.pause()
            FAULTS[name](stage)
            stage.tally.faults[name] += 1
        stage.pause()
    except AssertionError as error:
        error.add_note(stage.serve.log()[-3_000:])
        raise
    finally:
        for client in clients:
            client.send_signal(signal.SIGTERM)
        for client in clients:
            client.wait(300)
    try:
        recovery = until("the server is well again and nothing waits", stage.serve.well)
    except AssertionError as error:
        error.add_note(f"{stage.serve.readiness()}\n{stage.serve.log()[-3_000:]}")
        raise
    stage.tally.slowest_recovery = max(stage.tally.slowest_recovery, recovery)
    judge(stage, logs, prefix)


def judge(stage: Stage, logs: list[Path], prefix: str) -> None:
    """Compare what was acknowledged with what is stored."""
    lines = [line.split() for log in logs for line in log.read_text().splitlines()]
    acknowledged = {path for mark, path, *_ in lines if mark == "+"}
    unacknowledged = {path for mark, path, *_ in lines if mark == "?"}
    stored = stored_paths(stage, f"/{prefix}c")
    stage.tally.acknowledged += len(acknowledged)
    stage.tally.unacknowledged += len(unacknowledged)
    lost = [path for path in acknowledged if path not in stored]
    doubled = [path for path, count in stored.items() if count > 1]
    stage.tally.lost += len(lost)
    stage.tally.doubled += len(doubled)
    if lost or doubled:
        stage.tally.untrue.append(f"round {prefix}: lost {sorted(lost)[:5]}, doubled {sorted(doubled)[:5]}")
    for path in set(stored) - acknowledged - unacknowledged:
        stage.tally.untrue.append(f"{path} is stored and was never sent")


def stored_paths(stage: Stage, prefix: str) -> Counter[str]:
    """How often each path of a round is in `events`. An embedded server is stopped for it, and started again."""
    if stage.clickhouse is None:
        stage.serve.terminate()
        command = [sys.executable, "-m", "tests.faults.rounds", str(stage.directory / "data" / "clickhouse"), prefix]
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        stage.serve.start()
        until("the server answers", stage.serve.answers)
        return Counter(json.loads(found))
    return _count(stage.clickhouse.database("tyst"), prefix)


def _count(dsn: str, prefix: str) -> Counter[str]:
    with contextlib.closing(ClickHouse.at(dsn).client()) as client:
        rows = client.query(
            "SELECT page, count() FROM events WHERE startsWith(page, {prefix:String}) GROUP BY page",
            parameters={"prefix": prefix},
        ).result_rows
    return Counter({str(page): int(count) for page, count in rows})


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_count(f"chdb://{sys.argv[1]}", sys.argv[2])))
