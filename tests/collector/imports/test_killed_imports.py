"""Imports that are killed at random moments lose and double nothing."""

from __future__ import annotations

from pathlib import Path

from tests.collector.imports.killed import play
from tests.collector.imports.log_lines import write_log
from tests.length import long

LINES, KILLS, SEED = 2_000, 3, 20_260_115


@long
def test_killed_imports_lose_and_double_nothing(tmp_path: Path) -> None:
    """Each leaves the figures of before or of after it, and no row besides; the next one gives what an import gives
    that nothing happened to. `python -m bench imports --kills N` does it at length."""
    logs = [tmp_path / "first.log", tmp_path / "second.log"]
    (tmp_path / "data").mkdir()
    for number, log in enumerate(logs, 1):
        write_log(log, LINES * number, SEED + number, days=20)
    tally = play(tmp_path / "data", logs, KILLS, SEED)
    assert tally.untrue == []
    assert tally.killed
