"""The fault harness in short, under as many beacons as leave the processor to others: kills, and a ClickHouse that
refuses or cuts; in the long run every fault at least once. At length: `python -m bench faults`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.balanced import balanced_stage
from tests.faults.rounds import Tally, play, stage
from tests.length import by_length, long

ROUNDS: dict[str, list[list[str]]] = {
    "embedded": [["kill -9", "SIGTERM"]],
    "served": [
        ["kill -9", "ClickHouse refuses", "ClickHouse cuts after insert"],
        *by_length(
            [],
            [
                ["ClickHouse hangs", "ClickHouse answers 503"],
                ["segment refused for good", "ClickHouse is killed", "SIGTERM"],
                ["disk full for the spool", "disk full for ClickHouse"],
            ],
        ),
    ],
    "collectors": [["ClickHouse refuses"], ["kill -9 of a collector", "kill -9"]],
    "clock": [["clock back an hour", "kill -9"]],
}
PAUSE = 0.05
"""Seconds between the beacons of one connection."""


@pytest.mark.parametrize("mode", by_length(("served",), tuple(ROUNDS)))
def test_what_is_acknowledged_is_stored_once(mode: str, tmp_path: Path) -> None:
    """Nothing lost, nothing doubled, well again by itself, and nothing untrue said on the way."""
    tally = Tally()
    with stage(tmp_path, mode, tally, seed=1, beacon_pause=PAUSE) as place:
        for faults in ROUNDS[mode]:
            play(place, faults)
    assert (tally.lost, tally.doubled, tally.untrue) == (0, 0, [])
    assert tally.acknowledged > 200
    assert sum(tally.faults.values()) == sum(map(len, ROUNDS[mode]))


@long
def test_three_collectors_outlive_kills_of_each_other_of_clickhouse_and_of_their_balancer(tmp_path: Path) -> None:
    """Nothing lost or doubled, what is erased and reset at another collector is gone, and visits are split of no
    visitor but those whose collector died."""
    with balanced_stage(tmp_path, seed=1, beacon_pause=PAUSE) as stage:
        stage.play(["a collector", "ClickHouse"])
        stage.play(["the balancer"])
    tally = stage.tally
    assert (tally.lost, tally.doubled, tally.never_sent, tally.split_of_others) == (0, 0, 0, 0)
    assert (tally.erasures, tally.erased_left, tally.resets, tally.reset_left) == (2, 0, 1, 0)
    assert tally.acknowledged > 200
    assert tally.kills.total() == 3
