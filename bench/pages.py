"""Server time of every panel, tab, filter and details view of the dashboard, on generated visits.

`python -m bench.pages` starts `tyst demo`, with the options that are given to it (`--events 1000000 --days 62`), asks
for each view a few times without any answer from memory, and prints the medians by the clock and of the processor's
time of the server, what the first answer took by the clock, and the size, the dearest first. By the clock other work on
the machine counts as well; the processor's time tells two versions apart.

The status is 1 when a view takes over 100 ms in the median or over 150 ms the first time, three times that from a
million events on. Both bounds are of a machine at full speed: a calibration before and after says how much slower it is
now, and they grow with it.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.calibration import slowness
from bench.pictured import DEMO, PASSWORD
from bench.screenshots import running
from dashboard.analytics.executor import CACHE_SECONDS
from dashboard.reports.panels import PANELS

TIMES = 3
WARM, FIRST = 100.0, 150.0  # ms
MILLION = 1_000_000
# Results are shared for so long at most.
FORGOTTEN = CACHE_SECONDS + 0.1
# Nobody signs in at once.
TYPING = 2.0

FILTERS = (
    "is,visit:source,Google", "is_not,visit:country,SE", "is,visit:browser,Chrome", "is,event:page,/demo/shop",
    "contains,event:page,shop", "is,visit:exit_page,/demo", "is,event:goal,Purchase", "is,event:props:product,teapot",
)  # fmt: skip


def views() -> list[str]:
    """Every view, as its address says it."""
    tabs = [f"?{panel.name}={tab.name}" for panel in PANELS for tab in panel.tabs[1:]]
    filters = [f"?f={chip}" for chip in FILTERS]
    details = [f"/details/{panel.name}?{panel.name}={tab.name}" for panel in PANELS for tab in panel.tabs]
    narrowed = [f"/details/{panel.name}?f={FILTERS[0]}" for panel in PANELS]
    more = ["", "?period=day", "?period=12mo", "/details/pages?q=shop&by=scroll_depth", "/details/pages.csv",
            "/values?fd=event:page&fv=shop", "/goals", "/segments"]  # fmt: skip
    return [*more, *tabs, *filters, *details, *narrowed]


def main() -> None:
    """Measure and print; the status is 1 when any view is over its bound, the first time or in the median."""
    calibrated = slowness()
    with running(*sys.argv[1:]) as server, signed_in(server.url) as client:
        idle, before = resident_megabytes(server.pid), _ticks()
        measured = [_measure(client, server.pid, view) for view in views()]
        used, stolen = (after - earlier for after, earlier in zip(_ticks(), before, strict=True))
        busy = resident_megabytes(server.pid)
    for each in sorted(measured, key=lambda each: -each.processor):
        times = f"{each.clock:6.0f} ms, first {each.first:4.0f}, {each.processor:4.0f} of the processor"
        print(f"{times} {each.size:8,d} bytes  {each.view or '/'}")
    slower = (calibrated + slowness()) / 2
    scale = slower * (3 if _events() >= MILLION else 1)
    slow = sum(each.clock > WARM * scale for each in measured)
    begun = sum(each.first > FIRST * scale for each in measured)
    print(f"{len(measured)} views, {slow} over {WARM * scale:.0f} ms, {begun} the first time over {FIRST * scale:.0f}")
    print(f"calibration: {slower:.1f} times slower than at full speed; memory {idle} MB idle, {busy} MB after")
    print(f"load {os.getloadavg()[0]:.1f}; of the processors' busy time other machines took {stolen / used:.0%}")
    sys.exit(bool(slow or begun))


def _events() -> int:
    options = sys.argv[1:]
    return int(options[options.index("--events") + 1]) if "--events" in options else 0


@contextlib.contextmanager
def signed_in(url: str) -> Iterator[httpx.Client]:
    """A client of the demonstration's admin."""
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        client.get("/login")
        time.sleep(TYPING)
        form = {"name": "admin", "password": PASSWORD}
        client.post("/login", data=form, headers={"sec-fetch-site": "same-origin"})
        yield client


def resident_megabytes(pid: int) -> int:
    """Megabytes of the process in memory."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) // 1024


@dataclass(frozen=True, slots=True)
class Measured:
    """One view: milliseconds of the first answer, and by the clock and of the processor in the median; bytes."""

    view: str
    first: float
    clock: float
    processor: float
    size: int


def _measure(client: httpx.Client, pid: int, view: str) -> Measured:
    clock, processor, size = [], [], 0
    for _ in range(TIMES):
        time.sleep(FORGOTTEN)
        began, used = time.perf_counter(), processor_seconds(pid)
        answer = client.get(DEMO + view)
        clock.append(1000 * (time.perf_counter() - began))
        processor.append(1000 * (processor_seconds(pid) - used))
        assert answer.status_code == 200, f"{view}: {answer.status_code}"
        size = len(answer.content)
    return Measured(view, clock[0], statistics.median(clock), statistics.median(processor), size)


def _ticks() -> tuple[int, int]:
    """What the processors have spent with work, and of that with other machines' on the same host (proc(5): steal)."""
    user, nice, system, _idle, _waiting, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return user + nice + system + irq + softirq + steal, steal


def processor_seconds(pid: int) -> float:
    """Seconds of the processor that all threads of the process have used, to the nanosecond: Linux numbers the clocks
    of processes so (`CPUCLOCK_SCHED` of include/linux/posix-timers.h), where /proc counts hundredths."""
    return time.clock_gettime((~pid << 3) | 2)


if __name__ == "__main__":
    main()
