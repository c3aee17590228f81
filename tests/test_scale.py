"""The bench of questions, small: what `python -m bench scale` measures is there and in proportion."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from bench.scale import Took, report


def test_the_bench_measures_a_small_town(embedded_engine: str) -> None:
    """Every figure of the table; sums are far cheaper to read than events are to scan."""
    # One path per process: the engine of the tests is the town's.
    directory = Path(urlsplit(embedded_engine).path).parent
    found = report(0.05, directory, days=8).figures
    assert {title for title in found if "filtered by" in title} == {
        f"30 days, all panels, filtered by {title}" for title in ("one", "two", "three", "a page")
    }
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
