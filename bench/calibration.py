"""Speed of the machine at this moment, to set figures of different days against each other.

It is measured in a process of its own (`python -m bench.calibration`): whoever asks may have an engine open already.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from collector.storage.client import ClickHouse

FULL_SPEED = 0.5
"""Milliseconds that the statement takes on two free cores of the class of machine that the bounds were set on."""

_TIMES = 400


def slowness() -> float:
    """How many times longer than at full speed the machine takes; at least 1."""
    measured = subprocess.run([sys.executable, "-m", __name__], check=True, capture_output=True, text=True)
    return float(measured.stdout)


def _measure() -> float:
    """The median of a statement that reads no data, which the processor alone bounds."""
    with tempfile.TemporaryDirectory() as folder:
        client = ClickHouse.at(f"chdb://{Path(folder) / 'clickhouse'}").create()
        taken = []
        for _ in range(_TIMES):
            began = time.perf_counter()
            client.query("SELECT 1")
            taken.append(1000 * (time.perf_counter() - began))
        client.close()
    return max(1.0, sorted(taken)[_TIMES // 2] / FULL_SPEED)


if __name__ == "__main__":
    print(_measure())
