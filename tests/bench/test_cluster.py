"""Costs over a server, in short, and the table and simulation that follow from costs."""

from __future__ import annotations

import dataclasses
import re

import pytest

from bench import cluster
from bench.capacity import Assumptions, Costs, Simulation, Size, sizes

COSTS = Costs(
    collector=150, insert=10, idle=5, merge=1, close=4, closed_page=60, open_page=100, recall=20,
    event_bytes=16, daily_bytes=0.5, spool_bytes=240,
)  # fmt: skip


def test_costs_are_measured_and_tables_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Each cost is a figure, and none is nothing but that of an open day that has few events."""
    assert cluster.main(["--seconds", "1", "--millions", "0.2"]) == 0
    table = dict(re.findall(r"^\| (.+?) \| (.+) \|$", capsys.readouterr().out, re.MULTILINE))
    for name in ("collector, per event", "ClickHouse, closing its day, per event", "a site's page of 30 closed days"):
        assert float(re.findall(r"[\d.]+", table[name])[0]) > 0
    assert "largest spool of a collector (bound by default: 1.1 GB)" in table


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
