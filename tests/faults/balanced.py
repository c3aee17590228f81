"""Three collectors behind nginx over one ClickHouse server: kills of each of the three kinds, one after the other.

In each round 24 visitors send, one more has everything erased at another collector than the one that has it, and now
and then an owner resets a site likewise. When all is quiet again every acknowledged beacon must be stored once, what
was erased or reset be gone, and visits be split of no visitor but those whose collector has died.
"""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from collector.storage.client import ClickHouse
from tests.faults.client import USER_AGENT
from tests.faults.collectors import Collectors
from tests.faults.server import Serve, until
from tests.launcher import ROOT
from tests.real_server import RealServer

COLLECTORS = 3
CLIENTS = 3
PAUSE = 0.01
"""Seconds between the beacons of one connection."""
DOWN_SECONDS = 6.0
"""The longest that one is left dead: then the proxy has handed its visitors to others."""
RESET_EVERY = 3
SITE, RESET_SITE = "site.test", "reset.test"

Rows = list[tuple[Any, ...]]


@dataclass
class BalancedTally:
    """What a run has come to so far."""

    kills: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    unacknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    never_sent: int = 0
    erasures: int = 0
    erased_left: int = 0
    resets: int = 0
    reset_left: int = 0
    visitors: int = 0
    """Visitors of rounds."""
    handed_over: int = 0
    """Those of them whose collector had died."""
    split: int = 0
    """Those of them whose visit was split."""
    split_of_others: int = 0
    uneven: int = 0
    """Visits that do not count as one, or whose bounces do not as one or none."""
    slowest_recovery: float = 0.0
    slowest_erasure: float = 0.0

    @property
    def clean(self) -> bool:
        """Nothing lost, doubled, left over or split that must not be, and something done."""
        wrong = (self.lost, self.doubled, self.never_sent, self.erased_left, self.reset_left, self.split_of_others)
        return not any(wrong) and self.acknowledged > 0

    def told(self) -> str:
        """What a round's line says."""
        return (
            f"acknowledged {self.acknowledged:,}, lost {self.lost}, doubled {self.doubled}, left {self.erased_left} +"
            f" {self.reset_left}, split {self.split} of {self.handed_over}, of others {self.split_of_others}"
        )

    def rows(self) -> Iterator[tuple[str, str]]:
        """The run as rows of a table."""
        for what, count in sorted(self.kills.items()):
            yield f"kill -9 of {what}", str(count)
        names = (
            ("beacons acknowledged", self.acknowledged),
            ("sent, never acknowledged", self.unacknowledged),
            ("acknowledged and lost", self.lost),
            ("stored twice", self.doubled),
            ("stored and never sent", self.never_sent),
            ("erasures, at another collector than the events", self.erasures),
            ("events left of them", self.erased_left),
            ("resets, likewise", self.resets),
            ("events left of them", self.reset_left),
            ("visits in rounds", self.visitors),
            ("of them at a collector that died", self.handed_over),
            ("of these split", self.split),
            ("split of all others", self.split_of_others),
            ("visits that do not count as one, or their bounces as 0 or 1", self.uneven),
        )
        yield from ((name, f"{count:,}") for name, count in names)
        yield "slowest to be well again", f"{self.slowest_recovery:.1f} s"
        yield "slowest erasure, after that", f"{self.slowest_erasure:.1f} s"


class BalancedStage:
    """Where a run takes place."""

    def __init__(self, directory: Path, clickhouse: RealServer, seed: int, beacon_pause: float) -> None:
        self.directory = directory
        self.clickhouse = clickhouse
        self.dsn = clickhouse.dsn("tyst")
        self.serve = Collectors(directory / "serve", self.dsn, count=COLLECTORS, claimed=False)
        self.random = random.Random(seed)  # noqa: S311 # kills need no secrecy
        self.tally = BalancedTally()
        self.rounds = 0
        self._pause = beacon_pause
        self._erased: list[str] = []
        self._died: set[str] = set()
        self._died_before: set[str] = set()

    def play(self, faults: list[str]) -> None:
        """One round, judged when all is quiet again."""
        self.rounds += 1
        prefix = f"r{self.rounds}"
        self._died_before, self._died = self._died, set()
        logs = [self.directory / f"{prefix}c{number}.log" for number in range(CLIENTS)]
        clients = [self._client(f"{prefix}c{number}", log, number) for number, log in enumerate(logs)]
        try:
            until("beacons are acknowledged", lambda: all(log.exists() and log.stat().st_size for log in logs))
            self._erase_elsewhere(prefix)
            if self.rounds % RESET_EVERY == 1:
                self._reset_elsewhere()
            for fault in faults:
                time.sleep(self.random.uniform(0.1, 1.0))
                KILLS[fault](self)
                self.tally.kills[fault] += 1
            time.sleep(self.random.uniform(0.1, 1.0))
        finally:
            for client in clients:
                client.send_signal(signal.SIGTERM)
            for client in clients:
                client.wait(300)
        recovery = until("all are well again and nothing waits", self.serve.well)
        self.tally.slowest_recovery = max(self.tally.slowest_recovery, recovery)
        self._judge(prefix, logs)

    def judge_erasures(self) -> None:
        """Whether what was erased and reset is gone, at the end of a round and of a run."""
        took = 0.0
        with contextlib.suppress(AssertionError):
            took = until("what was erased is gone", lambda: self._left() == (0, 0), 60)
        self.tally.slowest_erasure = max(self.tally.slowest_erasure, took)
        self.tally.erased_left, self.tally.reset_left = self._left()

    def judge_visits(self) -> None:
        """Whether each visit counts as one, at the end of a run."""
        self.tally.uneven = int(self._rows(_UNEVEN, {"site": SITE})[0][0])

    def _client(self, prefix: str, log: Path, number: int) -> subprocess.Popen[bytes]:
        arguments = [str(self.serve.port), prefix, str(log), str(self._pause), f"127.0.{10 + number}"]
        return subprocess.Popen([sys.executable, "tests/faults/client.py", *arguments], cwd=ROOT)

    def _judge(self, prefix: str, logs: list[Path]) -> None:
        tally = self.tally
        lines = [line.split() for log in logs for line in log.read_text().splitlines()]
        sent = {path: mark for mark, path, *_ in lines}
        stored: Counter[str] = Counter()
        visits: defaultdict[str, set[int]] = defaultdict(set)
        for page, visit, count in self._rows(_STORED, {"prefix": f"/{prefix}c"}):
            stored[page] += count
            visits[_visitor(page)].add(visit)
        acknowledged = {path for path, mark in sent.items() if mark == "+"}
        tally.acknowledged += len(acknowledged)
        tally.unacknowledged += len(sent) - len(acknowledged)
        tally.lost += len(acknowledged - stored.keys())
        tally.doubled += sum(count > 1 for count in stored.values())
        tally.never_sent += len(stored.keys() - sent.keys())
        died = self._died | self._died_before
        reached: defaultdict[str, set[str]] = defaultdict(set)
        for _, path, *collectors in lines:
            reached[_visitor(path)] |= {each for more in collectors for each in more.split(",")}
        for visitor, found in visits.items():
            theirs = bool(reached[visitor] & died)
            tally.visitors += 1
            tally.handed_over += theirs
            tally.split += theirs and len(found) > 1
            tally.split_of_others += not theirs and len(found) > 1
        self.judge_erasures()

    def _erase_elsewhere(self, prefix: str) -> None:
        """A visitor's beacons at one collector, the erasure at another."""
        holds, asked = self.random.sample(self.serve.each, 2)
        address, page = f"198.51.100.{self.rounds % 250}", f"/{prefix}-erased"
        for number in range(3):
            self._beacon(holds, SITE, f"{page}/{number}", address)
        headers = {"user-agent": USER_AGENT, "x-forwarded-for": address}
        url = f"http://127.0.0.1:{asked.port}/api/me?d={SITE}"
        until(
            "the erasure is promised", lambda: httpx.delete(url, headers=headers, timeout=60).status_code in (200, 202)
        )
        self._erased.append(page)
        self.tally.erasures += 1

    def _reset_elsewhere(self) -> None:
        """A site's beacons at one collector, its reset at another."""
        holds, asked = self.random.sample(self.serve.each, 2)
        for number in range(3):
            self._beacon(holds, RESET_SITE, f"/{number}", f"203.0.113.{self.rounds % 250}")
        url = f"http://127.0.0.1:{asked.port}/api/v1/sites/{RESET_SITE}/reset"
        key = json.loads((asked.data_dir / "server.json").read_text())["key"]
        body, headers = {"confirm": RESET_SITE}, {"authorization": f"Bearer {key}"}
        until("the reset is promised", lambda: httpx.post(url, headers=headers, json=body, timeout=60).is_success)
        self.tally.resets += 1

    def _beacon(self, serve: Serve, site: str, path: str, address: str) -> None:
        body = {"n": "pageview", "u": f"https://{site}{path}", "d": site, "q": f"{self.rounds}{path}"}
        headers = {"user-agent": USER_AGENT, "x-forwarded-for": address}
        url = f"http://127.0.0.1:{serve.port}/api/event"

        def stored() -> bool:
            answer = httpx.post(url, json=body, headers=headers, timeout=30)
            return answer.status_code == 202 and "x-tyst-dropped" not in answer.headers

        until("a beacon is stored", stored)

    def _left(self) -> tuple[int, int]:
        """Events of what was erased and, but for resets that go on, of what was reset."""
        erased = self._rows(_ERASED, {"pages": self._erased})[0][0]
        open_, left = self._rows(_RESET, {"site": RESET_SITE})[0]
        return int(erased), int(left + open_)

    def _rows(self, statement: str, parameters: Mapping[str, object]) -> Rows:
        with contextlib.closing(ClickHouse.at(self.dsn).client()) as client:
            return [tuple(row) for row in client.query(statement, parameters=dict(parameters)).result_rows]

    def collector_killed(self) -> None:
        """`kill -9` of a collector, and a start some seconds later."""
        serve = self.random.choice(self.serve.each)
        self._died.add(f"127.0.0.1:{serve.port}")
        serve.kill()
        time.sleep(self.random.uniform(0, DOWN_SECONDS))
        serve.start()
        until("the collector answers", serve.answers)

    def clickhouse_killed(self) -> None:
        """`kill -9` of ClickHouse, and a start."""
        self.clickhouse.kill()
        time.sleep(self.random.uniform(0, 2))
        self.clickhouse.start()

    def balancer_killed(self) -> None:
        """`kill -9` of nginx with its worker, and a start."""
        self.serve.kill_balancer()
        time.sleep(self.random.uniform(0, 0.5))
        self.serve.start()


def _visitor(path: str) -> str:
    return path.rpartition("-")[0]


_STORED = "SELECT page, visit, count() FROM events WHERE startsWith(page, {prefix:String}) GROUP BY page, visit"
_UNEVEN = """
SELECT count() FROM (
    SELECT sum(visits) AS counted, sum(bounces) AS bounced FROM events WHERE site = {site:String} AND visitor != 0
    GROUP BY visitor, visit HAVING counted != 1 OR bounced NOT IN (0, 1))"""
_ERASED = "SELECT count() FROM events WHERE arrayExists(page_ -> startsWith(page, page_), {pages:Array(String)})"
_RESET = """
SELECT (SELECT countIf(JSONExtractUInt(record, 'finished') = 0) FROM site_jobs FINAL WHERE NOT deleted),
    (SELECT count() FROM events WHERE site = {site:String})"""

KILLS: dict[str, Callable[[BalancedStage], None]] = {
    "a collector": BalancedStage.collector_killed,
    "ClickHouse": BalancedStage.clickhouse_killed,
    "the balancer": BalancedStage.balancer_killed,
}


@contextlib.contextmanager
def balanced_stage(directory: Path, seed: int, beacon_pause: float = PAUSE) -> Iterator[BalancedStage]:
    """Everything running, well and with its sites."""
    clickhouse = RealServer(directory / "clickhouse")
    clickhouse.start()
    stage = BalancedStage(directory, clickhouse, seed, beacon_pause)
    try:
        stage.serve.start()
        until("all collectors answer", stage.serve.answers)
        until("commands find them", lambda: all((each.data_dir / "server.json").exists() for each in stage.serve.each))
        for site in (SITE, RESET_SITE):
            stage.serve.tyst("site", "add", site, "--consent", "exempt")
        # Each collector knows of them, and of the others.
        time.sleep(3)
        yield stage
        stage.judge_erasures()
        stage.judge_visits()
    finally:
        stage.serve.close()
        clickhouse.kill()
