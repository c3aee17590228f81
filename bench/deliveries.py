"""`python -m bench deliveries`: kills around the moment at which a report is handed to the mail server."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.faults.deliveries import SPREAD, DeliveryTally, delivery_stage, play_week, repeats, settle


def run(rounds: int, seed: int, spread: float) -> DeliveryTally:
    """So many Mondays, each with a kill."""
    with (
        tempfile.TemporaryDirectory(prefix="tyst-deliveries-") as directory,
        delivery_stage(Path(directory), seed, spread) as stage,
    ):
        for week in range(rounds):
            play_week(stage, week)
            print(f"round {week + 1}: {len(stage.mail.messages)} mails, {repeats(stage)} again", flush=True)
        settle(stage)
    return stage.tally


def table(tally: DeliveryTally) -> str:
    """The run as a table in Markdown."""
    rows = [
        ("kills", tally.rounds),
        ("of them before the mail server had the mail", tally.killed_before),
        ("mails", tally.mails),
        ("lost", tally.lost),
        ("doubled, under another Message-ID", tally.doubled),
        ("came again under the same Message-ID", tally.repeats),
    ]
    return "\n".join(["| reports by mail | |", "| --- | ---: |", *(f"| {name} | {count} |" for name, count in rows)])


def main(arguments: Sequence[str]) -> int:
    """Run as asked; 0 when nothing was lost or doubled."""
    parser = argparse.ArgumentParser(prog="python -m bench deliveries", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--spread", type=float, default=SPREAD, help="seconds within which a kill falls")
    given = parser.parse_args(arguments)
    print(f"seed {given.seed}")
    tally = run(given.rounds, given.seed, given.spread)
    print(table(tally))
    return 0 if tally.lost == tally.doubled == tally.repeats == 0 else 1
