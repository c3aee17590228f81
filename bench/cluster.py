"""`python -m bench cluster`: what events and questions cost over a server, and what 1, 10 and 100 G a month need.

Costs are processor time of the processes, which other work on the machine changes less than the time by the clock. The
table and the simulation follow from them and from the assumptions of `bench/capacity.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.capacity import Costs, simulated, table
from bench.ingest import Generator, machine, missing
from bench.scale import PAGE_OF, dashboard
from bench.town import SITE, Town
from collector.ingest.visit_recall import VisitRecall
from collector.ingest.visits import VisitTracker
from collector.rollups.job import RollupJob
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from dashboard.analytics.period import parse_period
from dashboard.analytics.service import StatsService
from tests.faults.server import Serve, until
from tests.real_server import RealServer, real_server

_TICKS = os.sysconf("SC_CLK_TCK")
_TIMES = 5
_DAYS = 30


def processor(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@dataclass
class Meter:
    """What ClickHouse uses, question by question."""

    server: RealServer

    def seconds(self, work: Callable[[], object], times: int = 1) -> float:
        """Processor time of ClickHouse for one call."""
        pid = self.pid
        began = processor(pid)
        for _ in range(times):
            work()
        return (processor(pid) - began) / times

    @property
    def pid(self) -> int:
        """Its process."""
        if self.server.process is None:
            raise RuntimeError("ClickHouse does not run")
        return self.server.process.pid


def ingest_costs(directory: Path, server: RealServer, seconds: float) -> dict[str, float]:
    """Costs of a collector that idles, of accepting and of inserting an event, and its bytes in the spool, by the names
    of `Costs`."""
    load, meter = Generator(directory), Meter(server)
    serve = Serve(directory / "serve", server.dsn("tyst"), environ={"TYST_FLUSH_SECONDS": "1"})
    serve.start()
    try:
        until("the collector answers", serve.answers)
        until("commands find it", (serve.data_dir / "server.json").exists)
        serve.tyst("site", "add", "site.test")
        time.sleep(3)
        # Each user agent is parsed once.
        load.run(serve.port, ["consented"], seconds)
        until("nothing waits", serve.well)
        pid = serve.process.pid if serve.process else 0
        idle = meter.seconds(lambda: time.sleep(seconds)) / seconds
        clock, began, stored = time.monotonic(), processor(pid), processor(meter.pid)
        sent = load.run(serve.port, ["consented"], seconds)
        until("nothing waits", serve.well)
        own, its = processor(pid) - began, processor(meter.pid) - stored - idle * (time.monotonic() - clock)
        server.kill()
        load.run(serve.port, ["consented"], 1)
        held = serve.metrics()
        server.start()
    finally:
        serve.kill()
    count = sent.requests - sent.refused
    return {
        "idle": idle * 1e3,
        "collector": own / count * 1e6,
        "insert": its / count * 1e6,
        "spool_bytes": held["tyst_spool_bytes"] / held["tyst_spool_rows"],
    }


def stored_costs(server: RealServer, millions: float) -> dict[str, float]:
    """Costs of merging, closing, asking and keeping events, by the names of `Costs`."""
    # A statement that makes or merges millions of events takes its time.
    where, meter = ClickHouse.at(server.dsn("tyst", options={"send_receive_timeout": 600})), Meter(server)
    with contextlib.closing(where.prepare()) as client:
        town = Town(millions, where, client, time.time(), days=_DAYS)
        client.command("TRUNCATE TABLE events")
        town.fill()
        found = {"merge": meter.seconds(lambda: client.command("OPTIMIZE TABLE events FINAL")) / millions}
        sites = Sites(DocumentTable(client, "sites", Site))
        asyncio.run(sites.change(Site(domain=SITE)))
        rollup = RollupJob(client, sites, lambda: town.now)
        found["close"] = meter.seconds(rollup.close_due) / millions
        client.command("OPTIMIZE TABLE daily_rollup FINAL")
        found["event_bytes"] = town.bytes("events") / town.rows("events")
        found["daily_bytes"] = town.bytes("daily_rollup") / town.rows("events")
        today = datetime.datetime.fromtimestamp(town.now, datetime.UTC)
        opened = _rows(town, today.date()) / 1e6
        recall = VisitRecall(client, VisitTracker(), lambda: town.now)
        looking = meter.seconds(recall.recall, _TIMES)
        found["closed_page"], full = _pages(where, meter, today)
        # What a statement costs without events, which is most of it, is no cost of events.
        client.command("TRUNCATE TABLE events")
        found["recall"] = max(0.0, looking - meter.seconds(recall.recall, _TIMES)) * 1e3 / opened
        found["open_page"] = max(0.0, full - _pages(where, meter, today)[1]) / opened
    return found


def _pages(where: ClickHouse, meter: Meter, now: datetime.datetime) -> tuple[float, float]:
    """Milliseconds for a site's page of the closed days, and for that of today."""
    store = StatsService(lambda limits: where.client(readonly=True, settings=dict(limits)))
    yesterday = now.date() - datetime.timedelta(1)
    closed = parse_period("custom", "UTC", now, yesterday - datetime.timedelta(_DAYS - 1), yesterday)

    def ask(period: object) -> float:
        queries = dashboard(period, None, PAGE_OF)  # type: ignore[arg-type]

        def once() -> None:
            store.clear_cache()
            asyncio.run(store.run(queries))

        once()
        return meter.seconds(once, _TIMES) * 1e3

    try:
        return ask(closed), ask(parse_period("day", "UTC", now))
    finally:
        store.close()


def _rows(town: Town, day: datetime.date) -> int:
    statement = "SELECT count() FROM events WHERE day = {day:Date}"
    return int(town.client.query(statement, parameters={"day": day}).result_rows[0][0])


def measured(directory: Path, seconds: float, millions: float) -> Costs:
    """All costs, on a server of their own."""
    with real_server(directory / "clickhouse") as server:
        return Costs(**ingest_costs(directory, server, seconds), **stored_costs(server, millions))


def costs_table(costs: Costs) -> Iterator[tuple[str, ...]]:
    """Rows of the table of costs, the heading first."""
    yield "cost", "processor time, or bytes"
    yield "collector, per event", f"{costs.collector:.0f} us"
    yield "ClickHouse, per event inserted", f"{costs.insert:.1f} us"
    yield "ClickHouse, for a collector that idles", f"{costs.idle:.0f} ms a second"
    yield "ClickHouse, per event and merge", f"{costs.merge:.2f} us"
    yield "ClickHouse, closing its day, per event", f"{costs.close:.1f} us"
    yield "a site's page of 30 closed days", f"{costs.closed_page:.0f} ms"
    yield "more for the open day, per million events of it", f"{costs.open_page:.0f} ms"
    yield "looking for visits that go on, per million events of the day", f"{costs.recall:.0f} ms"
    yield (
        "an event on disk, in `daily_rollup`, in a spool",
        (f"{costs.event_bytes:.1f}, {costs.daily_bytes:.2f}, {costs.spool_bytes:.0f} bytes"),
    )


def markdown(rows: Iterable[Sequence[str]]) -> str:
    """A table, the heading first."""
    heading, *others = rows
    rule = ["---", *("---:" for _ in heading[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heading, rule, *others))


def main(arguments: Sequence[str]) -> int:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench cluster", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of load")
    parser.add_argument("--millions", type=float, default=10, help="of events that are merged, closed and asked for")
    given = parser.parse_args(arguments)
    if missing():
        print(missing())
        return 2
    print(machine())
    with tempfile.TemporaryDirectory(prefix="tyst-cluster-") as directory:
        costs = measured(Path(directory), given.seconds, given.millions)
    for title, rows in (
        ("Measured", costs_table(costs)),
        ("What follows", table(costs)),
        ("Simulated: an hour at the peak, ten minutes without ClickHouse", simulated(costs)),
    ):
        print(f"{title}\n\n{markdown(rows)}\n")
    return 0
