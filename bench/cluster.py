"""`python -m bench cluster`: costs on one server and on two shards, and what 1, 10 and 100 G events a month need.

Costs are processor time of the processes, which other work on the machine changes less than the time by the clock. The
table and the simulation follow from them and from the assumptions of `bench/capacity.py`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.capacity import Costs, simulated, table
from bench.ingest import Generator, machine, missing
from bench.stored import DAYS, SEGMENT, Meter, StoredEvents, processor, stored_events
from tests.faults.server import Serve, until
from tests.real_server import CLUSTER, RealServer, real_server, two_shards


def ingest_costs(directory: Path, server: RealServer, seconds: float) -> dict[str, float]:
    """Costs of a collector that idles, of accepting and of inserting an event, and its bytes in the spool, by the names
    of `Costs`."""
    load, meter = Generator(directory), Meter([server])
    serve = Serve(directory / "serve", server.dsn("tyst"), environ={"TYST_FLUSH_SECONDS": "1"})
    serve.start()
    try:
        until("the collector answers", serve.answers)
        until("commands find it", (serve.data_dir / "server.json").exists)
        serve.tyst("site", "add", "site.test")
        # Each user agent is parsed once.
        load.run(serve.port, ["consented"], seconds)
        until("nothing waits", serve.well)
        pid = serve.process.pid if serve.process else 0
        idle = meter.seconds(lambda: time.sleep(seconds)) / seconds
        clock, began, stored = time.monotonic(), processor(pid), meter.used
        sent = load.run(serve.port, ["consented"], seconds)
        until("nothing waits", serve.well)
        own, its = processor(pid) - began, meter.used - stored - idle * (time.monotonic() - clock)
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


def stored_costs(server: RealServer, millions: float, times: int) -> dict[str, float]:
    """Costs of merging, closing, asking and keeping events, by the names of `Costs`."""
    with stored_events([server], millions, time.time(), times=times) as events:
        found = {"merge": events.merge(), "close": events.close()}
        found["event_bytes"], found["daily_bytes"] = events.bytes("events"), events.bytes("daily_rollup")
        opened, looking = events.opened() / 1e6, events.recall()
        found["closed_page"], full = events.closed_page(), events.open_page()
        # What a statement costs without events, which is most of it, is no cost of events.
        events.clear()
        found["recall"] = max(0.0, looking - events.recall()) / opened
        found["open_page"] = max(0.0, full - events.open_page()) / opened
    return found


COMPARED = {
    "idle": ("without anything to do, a second", "ms"),
    "insert": (f"per event inserted, {SEGMENT:,} at a time", "us"),
    "merge": ("per event and merge", "us"),
    "close": ("closing its day, per event", "us"),
    "daily_bytes": ("an event in `daily_rollup`", "bytes"),
    "closed_page": (f"a site's page of {DAYS} closed days", "ms"),
    "filtered_page": ("the same filtered by country, from events", "ms"),
    "realtime": ("the realtime page", "ms"),
}
"""What is measured on one server and on two shards: titles and units."""


class Compared(NamedTuple):
    """Costs of the same events on one server and on two shards, by the names of `COMPARED`."""

    one: dict[str, float]
    two: dict[str, float]

    def of_shards(self) -> dict[str, float]:
        """What a further shard costs, by the names of `Costs`."""
        more = {name: max(0.0, self.two[name] - self.one[name]) for name in COMPARED}
        return {"shard_insert": more["insert"] * SEGMENT / 1e3, "shard_page": more["closed_page"]}

    def table(self) -> Iterator[tuple[str, ...]]:
        """Rows of the table, the heading first."""
        yield "processor time of ClickHouse, or bytes", "one server", "two shards", "ratio"
        for name, (title, unit) in COMPARED.items():
            one, two = self.one[name], self.two[name]
            yield title, f"{one:,.3g} {unit}", f"{two:,.3g} {unit}", f"{two / one:.2f}" if one else "-"


def compared(directory: Path, millions: float, times: int) -> Compared:
    """The same events on one server, then on two shards."""
    now = time.time()
    with (
        real_server(directory / "one") as server,
        stored_events([server], millions, now, times=times) as events,
    ):
        one = compared_costs(events)
    with (
        two_shards(directory / "two") as servers,
        stored_events(servers, millions, now, cluster=CLUSTER, times=times) as events,
    ):
        return Compared(one, compared_costs(events))


def compared_costs(events: StoredEvents) -> dict[str, float]:
    """Costs by the names of `COMPARED`."""
    return {
        "idle": events.meter.idle * 1e3,
        "merge": events.merge(),
        "close": events.close(),
        "daily_bytes": events.bytes("daily_rollup"),
        "closed_page": events.closed_page(),
        "filtered_page": events.filtered_page(),
        "realtime": events.realtime(),
        "insert": events.insert(),
    }


def measured(directory: Path, seconds: float, millions: float, times: int) -> dict[str, float]:
    """The costs on one server, by the names of `Costs`."""
    with real_server(directory / "clickhouse") as server:
        return ingest_costs(directory, server, seconds) | stored_costs(server, millions, times)


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
    parser.add_argument("--compared", type=float, default=0.5, help="millions on one server and on two shards")
    parser.add_argument("--times", type=int, default=5, help="how often each question is asked")
    given = parser.parse_args(arguments)
    if missing():
        print(missing())
        return 2
    print(machine())
    with tempfile.TemporaryDirectory(prefix="tyst-cluster-") as directory:
        one = measured(Path(directory), given.seconds, given.millions, given.times)
        beside = compared(Path(directory), given.compared, given.times)
    costs = Costs(**one, **beside.of_shards())
    for title, rows in (
        ("Measured", costs_table(costs)),
        (f"One server and two shards, {given.compared:g} million events", beside.table()),
        ("What follows", table(costs)),
        ("Simulated: an hour at the peak, ten minutes without ClickHouse", simulated(costs)),
    ):
        print(f"{title}\n\n{markdown(rows)}\n")
    return 0
