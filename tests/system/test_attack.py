"""The attack in short. At length: `python -m bench attack --minutes 60`."""

from __future__ import annotations

from pathlib import Path

from bench.attack import attacked, run, table
from bench.attack_cases import FAMILIES

SECONDS = 25


def test_hostile_requests_find_nothing(tmp_path: Path) -> None:
    """Requests of every family are answered in time, without a failure, a header of the client's, or a traceback."""
    with attacked(tmp_path) as target:
        outcome = run(target, SECONDS, seed=11)
    assert not outcome.findings, "\n".join([table(outcome), *outcome.findings])
    assert set(outcome.attempts) == set(FAMILIES)
