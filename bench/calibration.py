"""Speed of the machine at this moment, to set figures of different days against each other."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from collector.storage.client import ClickHouse

FULL_SPEED = 0.5
"""Milliseconds that the statement takes on two free cores of the class of machine that the bounds were set on."""

_TIMES = 400


def slowness() -> float:
    """How many times longer than at full speed the machine takes: the median of a statement that reads no data, which
    the processor alone bounds. At least 1."""
    with tempfile.TemporaryDirectory() as folder:
        client = ClickHouse.at(f"chdb://{Path(folder) / 'clickhouse'}").create()
        taken = []
        for _ in range(_TIMES):
            began = time.perf_counter()
            client.query("SELECT 1")
            taken.append(1000 * (time.perf_counter() - began))
        client.close()
    return max(1.0, sorted(taken)[_TIMES // 2] / FULL_SPEED)
