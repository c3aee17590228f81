"""Ten dashboards that filter at once, beside the same pages one after the other.

`python -m bench.readers` starts `tyst demo`, with the options that are given to it, and asks for a filtered page for
each of ten readers, each with a filter of their own: one after the other, then all at once. It prints the medians of
the rounds: the server's processor time for a page, and how long readers waited by the clock, the median and the
slowest of them. Nothing is answered from memory.

The status is 1 when a page costs more than twice the processor's time because others are asked for at once.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench.calibration import slowness
from bench.pages import FILTERS, FORGOTTEN, processor_seconds, resident_megabytes, signed_in
from bench.pictured import DEMO
from bench.screenshots import running

ROUNDS = 7
MOST = 2.0
VIEWS = [f"{DEMO}?f={chip}" for chip in (*FILTERS, "is,visit:device,mobile", "is,visit:country,SE")]
"""One for each reader."""


@dataclass(frozen=True, slots=True)
class Round:
    """Milliseconds: of the processor for a page, and by the clock for each reader."""

    processor: float
    clocks: Sequence[float]


def main() -> None:
    """Measure and print."""
    calibrated = slowness()
    with running(*sys.argv[1:]) as server, signed_in(server.url) as client, ThreadPoolExecutor(len(VIEWS)) as readers:

        def fetch(view: str) -> float:
            began = time.perf_counter()
            client.get(view).raise_for_status()
            return 1000 * (time.perf_counter() - began)

        _round(server.pid, lambda: [fetch(view) for view in VIEWS])
        turns = [
            (
                _round(server.pid, lambda: [fetch(view) for view in VIEWS]),
                _round(server.pid, lambda: list(readers.map(fetch, VIEWS))),
            )
            for _ in range(ROUNDS)
        ]
        memory = resident_megabytes(server.pid)
    alone, together = ([turn[kind] for turn in turns] for kind in (0, 1))
    costs = [_line("one after the other", alone), _line(f"{len(VIEWS)} at once", together)]
    slower = (calibrated + slowness()) / 2
    print(f"calibration: {slower:.1f} times slower than at full speed; memory {memory} MB after")
    print(f"at once a page costs {costs[1] / costs[0]:.2f} times the processor's time")
    sys.exit(costs[1] > MOST * costs[0])


def _round(pid: int, ask: Callable[[], Sequence[float]]) -> Round:
    time.sleep(FORGOTTEN)
    used = processor_seconds(pid)
    clocks = ask()
    return Round(1000 * (processor_seconds(pid) - used) / len(clocks), clocks)


def _line(title: str, rounds: Sequence[Round]) -> float:
    """Print the medians of the rounds; returns that of the processor's time."""
    cost = statistics.median(each.processor for each in rounds)
    clock = statistics.median(statistics.median(each.clocks) for each in rounds)
    slowest = statistics.median(max(each.clocks) for each in rounds)
    print(f"{title:20} {cost:6.0f} ms of the processor a page; by the clock {clock:6.0f}, slowest {slowest:6.0f}")
    return cost


if __name__ == "__main__":
    main()
