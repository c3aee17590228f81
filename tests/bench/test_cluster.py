"""Costs over a server, in short, and the table and simulation that follow from costs."""

from __future__ import annotations

import dataclasses
import re

import pytest

from bench import cluster
from bench.capacity import Assumptions, Costs, Simulation, Size, sizes
from tests.length import long

COSTS = Costs(
    collector=150, insert=10, idle=5, merge=1, close=4, closed_page=60, open_page=100, recall=20,
    shard_insert=10, shard_page=70, event_bytes=16, daily_bytes=0.5, spool_bytes=240,
)  # fmt: skip


@long
def test_costs_are_measured_and_tables_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Each cost is a figure, and none is nothing but that of an open day that has few events."""
    short = ["--seconds", "1", "--millions", "0.1", "--compared", "0.01", "--times", "1"]
    assert cluster.main(short) == 0
    rows = re.findall(r"^\| (.+) \|$", capsys.readouterr().out, re.MULTILINE)
    cells = [row.split(" | ") for row in rows]
    table = {first: others for first, *others in cells if len(others) == 1}
    for name in ("collector, per event", "ClickHouse, closing its day, per event", "a site's page of 30 closed days"):
        assert figure(table[name][0]) > 0
    beside = {first: others for first, *others in cells if others and re.search(r" [mu]s$", others[0])}
    for name in ("insert", "close", "closed_page", "filtered_page", "realtime"):
        one, two, ratio = map(figure, beside[cluster.COMPARED[name][0]][-3:])
        assert min(one, two) > 0
        assert ratio == pytest.approx(two / one, rel=0.05)
    assert "largest spool of a collector (bound by default: 1.1 GB)" in {first for first, *_ in cells}


def figure(cell: str) -> float:
    """The number that a cell begins with."""
    return float(cell.split()[0].replace(",", ""))


def test_further_shards_cost_something() -> None:
    """An insert makes a part on each, and a question is asked of each; of one shard neither."""
    dearer = dataclasses.replace(COSTS, shard_insert=COSTS.shard_insert + 300, shard_page=COSTS.shard_page + 100)
    (small, _, large), (other_small, _, other_large) = sizes(COSTS), sizes(dearer)
    assert (small.writing, small.page) == (other_small.writing, other_small.page)
    assert other_large.writing > large.writing + 1
    assert large.page == COSTS.closed_page + (large.shards - 1) * COSTS.shard_page
    assert other_large.page > large.page
    with pytest.raises(ValueError, match="inserts a second"):
        _ = dataclasses.replace(large, costs=dataclasses.replace(COSTS, shard_insert=10_000)).shards


def test_ten_times_the_events_need_ten_times_the_machines() -> None:
    """As nothing is shared between shards, or between collectors."""
    small, middle, large = sizes(COSTS)
    assert (small.collectors, small.shards) == (1, 1)
    assert 8 <= large.collectors / middle.collectors <= 12
    assert middle.disk == pytest.approx(large.disk / 10)
    assert large.closing < 300


def test_an_outage_is_taken_up_by_the_spools_and_drained() -> None:
    """Ten minutes at the peak; shards have few parts again and again, and nothing is forgotten meanwhile."""
    for size in sizes(COSTS):
        played = Simulation(size).run()
        waited = size.peak / size.collectors * played.outage * COSTS.spool_bytes
        assert played.most_spool == pytest.approx(waited, rel=0.02)
        assert 0 < played.drained < 1_800
        assert played.most_parts < 1_500


def test_merges_that_are_too_slow_leave_parts_behind() -> None:
    """The simulation can fail."""
    slow = Size(1e11, 1.0, dataclasses.replace(COSTS, merge=400), Assumptions(writing=100))
    assert Simulation(slow, outage=0).run().most_parts > 1_500
