"""The bench of questions, small: what `python -m bench scale` measures is there and in proportion."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bench.measuring import Took
from bench.scale import report, town_of
from dashboard.analytics.funnels import ORDERS
from tests.length import long


@long
def test_the_bench_measures_a_small_town(embedded_engine: str) -> None:
    """Every figure of the table; sums are far cheaper to read than events are to scan."""
    # One path per process: the engine of the tests is the town's.
    directory = Path(urlsplit(embedded_engine).path).parent
    measured = report(0.05, directory, days=8)
    assert measured.right
    found = measured.figures
    assert {title for title in found if "filtered by" in title} == {
        f"30 days, all panels, filtered by {title}" for title in ("one", "two", "three", "a page")
    }
    assert len([title for title in found if title.endswith(", in proportion")]) == 2 * len(ORDERS) + 5
    events, daily = found["bytes per event in events"], found["bytes per event in daily"]
    assert isinstance(events, float)
    assert isinstance(daily, float)
    assert 5 < events < 60
    assert 0 < daily < events
    scanned = found["12 months, all panels, by scanning events"]
    summed = found["12 months, all panels, from daily"]
    assert isinstance(scanned, Took)
    assert isinstance(summed, Took)
    assert scanned.processor > 0
    assert summed.processor > 0


def test_a_town_that_is_kept_is_taken_again_without_its_sums(
    embedded_engine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same events, up to the same moment."""
    directory = Path(urlsplit(embedded_engine).path).parent
    made = town_of(0.01, directory, 3, keep=True)
    made.client.command("INSERT INTO daily_status (site, day, version) VALUES ('scale.example', '2026-03-02', 1)")
    kept = town_of(0.01, directory, 3, keep=True)
    assert "kept" in capsys.readouterr().out
    assert (kept.now, kept.rows("events"), kept.rows("daily_status")) == (made.now, made.rows("events"), 0)
    assert kept.rows("events") > 9_000
    kept.client.command("DROP DATABASE {d:Identifier} SYNC", parameters={"d": kept.database.database})
