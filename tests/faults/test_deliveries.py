"""Kills around the moment of sending, in short. At length: `python -m bench deliveries`."""

from __future__ import annotations

from pathlib import Path

from tests.faults.deliveries import PEOPLE, delivery_stage, play_week, settle
from tests.length import long

WEEKS = 2


@long
def test_a_kill_around_the_sending_neither_loses_nor_doubles_a_report(tmp_path: Path) -> None:
    """Each recipient gets each week's report, under one Message-ID."""
    with delivery_stage(tmp_path, seed=1) as stage:
        for week in range(WEEKS):
            play_week(stage, week)
        settle(stage)
    tally = stage.tally
    assert (tally.rounds, tally.lost, tally.doubled) == (WEEKS, 0, 0)
    assert tally.mails - tally.repeats == WEEKS * len(PEOPLE)
