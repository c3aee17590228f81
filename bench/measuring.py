"""What questions cost, measured and printed as a table."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dashboard.analytics.errors import QueryTooLarge
from dashboard.analytics.query import Query, Result
from dashboard.analytics.service import StatsService


@dataclass(frozen=True)
class Took:
    """Median of wall clock and of the processor's time, in milliseconds."""

    wall: float
    processor: float

    def __str__(self) -> str:
        return f"{self.wall:9,.0f} {self.processor:9,.0f}"


def measure(work: Callable[[], object], times: int) -> Took:
    """Do the work so many times, and once before to warm up; 0 is once and cold."""
    return alternately({"": work}, times)[""]


def alternately(works: Mapping[str, Callable[[], object]], times: int) -> dict[str, Took]:
    """The same of several works, in turns: what else the machine does slows all of them alike."""
    found: dict[str, list[Took]] = {title: [] for title in works}
    for number in range(times + 1):
        for title, work in works.items():
            began, used = time.perf_counter(), time.process_time()
            work()
            if number or not times:
                found[title].append(Took(1000 * (time.perf_counter() - began), 1000 * (time.process_time() - used)))
    return {
        title: Took(statistics.median(each.wall for each in took), statistics.median(each.processor for each in took))
        for title, took in found.items()
    }


@dataclass
class Measurements:
    """One size's figures, printed as they come; `ends` is when, by the monotonic clock, no more is begun."""

    millions: float
    ends: float
    figures: dict[str, Took | float] = field(default_factory=dict)
    right: bool = True

    def line(self, title: str, figure: Took | float, unit: str = "") -> None:
        """Print and keep a figure."""
        self.figures[title] = figure
        print(f"{title:52} {figure if isinstance(figure, Took) else f'{figure:9,.2f}'} {unit}".rstrip(), flush=True)

    def times(self, title: str, took: Took, of: Took, most: float) -> None:
        """Print and keep a figure as a multiple of another's processor time, of which it may be `most`."""
        self.line(title, took)
        multiple = took.processor / max(of.processor, 0.001)
        self.line(f"{title}, in proportion", multiple, f"times, at most {most:g}")
        self.right = self.right and multiple <= most

    def asked(
        self, title: str, store: StatsService, queries: Sequence[Query], times: int, *, anew: bool = False
    ) -> list[Result]:
        """Measure questions that are asked together; returns their answers, none when they were left out. `anew`: as if
        new events had been stored before each time."""
        if time.monotonic() > self.ends:
            print(f"{title:52} left out: no time is left")
            return []
        found: list[Result] = []

        def ask() -> None:
            if anew:
                store.clear_cache()
            found[:] = asyncio.run(store.run(queries))

        try:
            self.line(title, measure(ask, times))
        except QueryTooLarge:
            print(f"{title:52} past the limits of time and memory")
        return found

    def same(self, title: str, scanned: list[Result], summed: list[Result]) -> None:
        """Say whether sums answer what events answered; nothing where one was left out."""
        if scanned and summed:
            self.right = self.right and scanned == summed
            print(f"{title:52} {'the same from both' if scanned == summed else 'NOT THE SAME'}")
