"""The measurements in short: that they run, and that nothing is far off. At length: `python -m bench`."""

from __future__ import annotations

import re

import pytest

from bench import bounds, imports, ingest
from tests.length import long

pytestmark = long


def figures(printed: str) -> dict[str, str]:
    """The rows of a printed table."""
    return dict(re.findall(r"^\| (.+?) \| (.+) \|$", printed, re.MULTILINE))


def test_durable_ingest_keeps_up_with_an_endpoint_that_stores_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """In what it takes of the processor, and in rate as far as that can be told beside other tests, which hold several
    threads up more than one: `python -m bench ingest` has it at length. Nothing is refused or lost."""
    assert ingest.main(["--only", "rates", "--rounds", "1", "--seconds", "1", "--alone"]) == 0
    table = figures(capsys.readouterr().out)
    ours, bare = map(float, re.findall(r"([\d.]+) s", table["CPU for 1,000 beacons, and of the bare endpoint"]))
    assert 0 < ours < 2.5 * bare
    ratio = re.search(r"([\d.]+) of bare", table["durable, consented"])
    assert ratio
    assert float(ratio[1]) > 0.2
    assert re.findall(r"(\d+)\+(\d+)", table["answers other than 2xx, lost connections"]) == [("0", "0")] * 4


def test_a_spool_that_waits_is_drained_after_the_start(capsys: pytest.CaptureFixture[str]) -> None:
    """Many segments, and the server answers at once."""
    assert ingest.main(["--only", "spool", "--spool-rows", "20000"]) == 0
    assert "draining it" in figures(capsys.readouterr().out)


def test_memory_stays_bounded_under_overload(capsys: pytest.CaptureFixture[str]) -> None:
    """Connections that never end, large bodies, and a ClickHouse that hangs."""
    assert bounds.main(["--connections", "300", "--seconds", "1", "--spool-bytes", "2000000"]) == 0
    table = figures(capsys.readouterr().out)
    peaks = [int(number) for text in table.values() for number in re.findall(r"(?:at most |MB, )(\d+) MB", text)]
    assert len(peaks) == 3
    assert max(peaks) < 900
    assert table["segments refused by ClickHouse"] == "0"


def test_a_log_is_imported_in_bounded_memory(capsys: pytest.CaptureFixture[str]) -> None:
    """Every line is read, in a process of its own."""
    assert imports.main(["--lines", "10000", "--days", "20"]) == 0
    table = figures(capsys.readouterr().out)
    assert table["accepted"].endswith("of 10,000")
    assert int(table["greatest memory"].removesuffix(" MB").replace(",", "")) < 900
