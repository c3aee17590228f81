"""Stacked bars drawn on the server: one bar an interval, one segment a series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NICE = (1, 2, 5)
"""First digits of the numbers that stand on an axis."""


@dataclass(frozen=True, slots=True)
class BarSegment:
    """One segment of a bar in user units; `series` is its index."""

    series: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class StackedChart:
    """Bars in a box of `width` by `height` user units, from the bottom up, on an axis from 0 to `top`."""

    width: float
    height: float
    top: float
    bars: tuple[tuple[BarSegment, ...], ...]
    ticks: tuple[float, ...]
    """Values of the gridlines, from the highest down to 0."""

    @property
    def drawn(self) -> bool:
        """Whether any bar is above the axis."""
        return any(self.bars)

    def y(self, value: float) -> float:
        """The height of a value, from the top of the box."""
        return round(self.height - value / self.top * self.height, 2)


def stacked_chart(stacks: Sequence[Sequence[float]], width: float = 1000, height: float = 200) -> StackedChart:
    """Draw one bar for each of `stacks`, whose values stand on each other in their order. Nothing is ever above the
    axis, and every value above 0 can be seen."""
    top, step = _axis(max((sum(stack) for stack in stacks), default=0))
    pitch = width / max(len(stacks), 1)
    gap = min(pitch * 0.25, 6)
    bars = []
    for index, stack in enumerate(stacks):
        segments, floor = [], height
        for series, value in enumerate(stack):
            tall = max(value / top * height, 1.0) if value > 0 else 0.0
            if tall:
                floor -= tall
                x = round(index * pitch + gap / 2, 2)
                segments.append(BarSegment(series, x, round(max(floor, 0.0), 2), round(pitch - gap, 2), round(tall, 2)))
        bars.append(tuple(segments))
    ticks = tuple(number * step for number in range(round(top / step), -1, -1))
    return StackedChart(width, height, top, tuple(bars), ticks)


def _axis(highest: float) -> tuple[float, float]:
    """The upper end of an axis over all values, and the step of its two to five gridlines."""
    step = next(digit * 10**power for power in range(15) for digit in NICE if digit * 10**power * 4 >= max(highest, 1))
    lines = max(1, -(-highest // step))
    return float(lines * step), float(step)


def line_path(values: Sequence[float | None], width: float = 1000, height: float = 60) -> str:
    """Path data of a line from 0 at the bottom to 1 at the top, broken where a value is unknown; a value with unknown
    ones on both sides is a dot."""
    pitch = width / max(len(values), 1)
    parts, pen_up = [], True
    for index, value in enumerate(values):
        if value is None:
            pen_up = True
            continue
        x, y = round((index + 0.5) * pitch, 2), round(height - value * height, 2)
        parts.append(f"{'M' if pen_up else 'L'}{x:g} {y:g}")
        if pen_up and (index + 1 == len(values) or values[index + 1] is None):
            parts.append("h0.01")
        pen_up = False
    return "".join(parts)
