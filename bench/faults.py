"""`python -m bench faults`: the fault harness at length, and what came of it as a table.

Faults follow each other in a random order (seeded) in five modes: ClickHouse embedded; served; served with two
collectors behind a proxy; served with a clock that is moved; and `balanced`, kills of three collectors, their balancer
and their ClickHouse server. Needs the right to mount small disks in memory, but for the last.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.faults.balanced import KILLS as BALANCED
from tests.faults.balanced import BalancedTally, balanced_stage
from tests.faults.rounds import FAULTS, MODES, Tally, play, stage

KILLS = frozenset({"kill -9", "kill -9 of a collector"})


def plan(mode: str, kills: int, others: int, chosen: random.Random) -> list[list[str]]:
    """Rounds of one to three faults each, in which every fault of the mode comes often enough."""
    return shuffled([name for name in MODES[mode] for _ in range(kills if name in KILLS else others)], chosen)


def shuffled(faults: list[str], chosen: random.Random) -> list[list[str]]:
    """Rounds of one to three of the faults, in a random order."""
    chosen.shuffle(faults)
    rounds = []
    while faults:
        size = chosen.randint(1, 3)
        rounds.append(faults[:size])
        del faults[:size]
    return rounds


def run(modes: Sequence[str], kills: int, others: int, seed: int) -> dict[str, Tally]:
    """Play every mode; returns what each came to."""
    tallies = {}
    for mode in modes:
        tally = tallies[mode] = Tally()
        rounds = plan(mode, kills, others, random.Random(seed))
        with (
            tempfile.TemporaryDirectory(prefix="tyst-faults-") as directory,
            stage(Path(directory), mode, tally, seed) as at,
        ):
            for number, faults in enumerate(rounds, 1):
                known = len(tally.untrue)
                play(at, faults)
                print(f"{mode} round {number}: {', '.join(faults)}; acknowledged {tally.acknowledged:,}", flush=True)
                for sentence in tally.untrue[known:]:
                    print(f"    {sentence}", flush=True)
    return tallies


def run_balanced(kills: int, seed: int) -> BalancedTally:
    """So many kills of each kind of three collectors, their balancer and their server; returns what it came to."""
    rounds = shuffled([name for name in BALANCED for _ in range(kills)], random.Random(seed))
    with (
        tempfile.TemporaryDirectory(prefix="tyst-faults-") as directory,
        balanced_stage(Path(directory), seed) as stage,
    ):
        for number, faults in enumerate(rounds, 1):
            stage.play(faults)
            print(f"balanced round {number}: {', '.join(faults)}; {stage.tally.told()}", flush=True)
    return stage.tally


def balanced_table(tally: BalancedTally) -> str:
    """The run as a table in Markdown."""
    rows = [f"| {name} | {figure} |" for name, figure in tally.rows()]
    return "\n".join(["| three collectors | |", "| --- | ---: |", *rows])


def table(tallies: dict[str, Tally]) -> str:
    """The run as a table in Markdown."""
    faults: Counter[str] = sum((tally.faults for tally in tallies.values()), Counter())
    rows = [f"| {name} | {faults[name]} |" for name in FAULTS if faults[name]]
    totals = [
        ("acknowledged", sum(tally.acknowledged for tally in tallies.values())),
        ("sent, never acknowledged", sum(tally.unacknowledged for tally in tallies.values())),
        ("acknowledged and lost", sum(tally.lost for tally in tallies.values())),
        ("stored twice", sum(tally.doubled for tally in tallies.values())),
        ("untrue sentences of /readyz and /metrics", sum(len(tally.untrue) for tally in tallies.values())),
    ]
    slowest = [
        ("slowest to be well again", max(tally.slowest_recovery for tally in tallies.values())),
        ("slowest SIGTERM", max(tally.slowest_stop for tally in tallies.values())),
    ]
    return "\n".join(
        [
            "| fault | times |",
            "| --- | ---: |",
            *rows,
            "",
            "| beacons | |",
            "| --- | ---: |",
            *(f"| {name} | {count:,} |" for name, count in totals),
            *(f"| {name} | {seconds:.1f} s |" for name, seconds in slowest),
        ]
    )


def main(arguments: Sequence[str]) -> int:
    """Run as asked; 0 when nothing was lost, doubled or untrue."""
    parser = argparse.ArgumentParser(prog="python -m bench faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=30, help="of each kind and mode")
    parser.add_argument("--others", type=int, default=20, help="of every other fault and mode")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    modes = [*MODES, "balanced"]
    parser.add_argument("--modes", nargs="*", default=modes, choices=modes)
    given = parser.parse_args(arguments)
    print(f"seed {given.seed}")
    tallies = run([mode for mode in given.modes if mode in MODES], given.kills, given.others, given.seed)
    clean = all(tally.clean for tally in tallies.values())
    if tallies:
        print(table(tallies))
    if "balanced" in given.modes:
        tally = run_balanced(given.kills, given.seed)
        clean = clean and tally.clean
        print(balanced_table(tally))
    return 0 if clean else 1
