"""SVG shapes drawn on the server: sparklines and bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sparkline:
    """A small line without axes, in a box of `width` by `height` user units."""

    width: int
    height: int
    line: str
    """Path data of the line, without its last step."""
    running: str
    """Path data of the last step, which leads to what is not over yet."""
    area: str
    """Path data of the surface under it."""


def sparkline(values: Sequence[float], width: int = 120, height: int = 32, pad: float = 2.5) -> Sparkline:
    """Draw `values`, oldest first, from zero at the bottom; all zero, or none, is a flat line.

    The last of them is of a day that is not over.
    """
    points = _points(values or (0.0,), width, height, pad)
    if len(points) == 1:
        points = [(pad, points[0][1]), *points]
    floor = f"{height:g}"
    area = f"{_path(points)}L{points[-1][0]:g} {floor}L{points[0][0]:g} {floor}Z"
    return Sparkline(width, height, _path(points[:-1]), _path(points[-2:]), area)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)


def _points(values: Sequence[float], width: int, height: int, pad: float) -> list[tuple[float, float]]:
    top = max(*values, 0.0) if len(values) > 1 else max(values[0], 0.0)
    step = (width - 2 * pad) / max(len(values) - 1, 1)
    reach = height - 2 * pad
    start = pad if len(values) > 1 else width - pad
    return [
        (round(start + index * step, 2), round(height - pad - (value / top * reach if top else 0.0), 2))
        for index, value in enumerate(values)
    ]


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a row of them, in user units, growing upwards from the bottom."""

    x: float
    y: float
    width: float
    height: float


def axis(values: Sequence[int]) -> tuple[int, int, int]:
    """Marks of a vertical axis from the top: an even round number that no value exceeds, its half, and zero."""
    most = max((*values, 1))
    power = 10 ** max(0, len(str(most)) - 2)
    steps = (step * unit for unit in (power, 10 * power) for step in (2, 4, 6, 8, 10, 16, 20, 30, 40, 60, 80, 100))
    top = next(step for step in steps if step >= most)
    return top, top // 2, 0


def bars(
    values: Sequence[float], width: int = 600, height: int = 120, gap: float = 4, top: float = 0
) -> tuple[Bar, ...]:
    """Bars of `values` under an axis that ends at `top`, else at the highest; every non-zero one is visible."""
    top = top or max((*values, 0.0)) or 1.0
    step = width / max(len(values), 1)
    heights = [max(2.0, round(value / top * height, 2)) if value > 0 else 0.0 for value in values]
    return tuple(
        Bar(round(index * step + gap / 2, 2), round(height - tall, 2), round(step - gap, 2), tall)
        for index, tall in enumerate(heights)
    )


@dataclass(frozen=True, slots=True)
class LineDrawing:
    """A line over its surface, and a second one to compare with, in a box of 1000 by 200 user units."""

    line: str
    running: str
    """The line's last step, where that leads to what is not over yet."""
    area: str
    before: str
    top: int
    """The value at the upper edge; the lower edge is zero."""


def lines(values: Sequence[float | None], before: Sequence[float | None], *, running: bool = False) -> LineDrawing:
    """Draw both, oldest first, with gaps where a value is None. `running` says that the last value is not final."""
    top = axis([math.ceil(value) for value in (*values, *before) if value is not None])[0]
    runs = _runs(values, top)
    areas = [f"{_path(run)}L{run[-1][0]:g} 200L{run[0][0]:g} 200Z" for run in runs]
    last = [runs[-1][-2:]] if running and runs and len(runs[-1]) > 1 else []
    whole = [*runs[:-1], runs[-1][:-1]] if last else runs
    return LineDrawing(
        "".join(map(_path, whole)),
        "".join(map(_path, last)),
        "".join(areas),
        "".join(map(_path, _runs(before, top))),
        top,
    )


def _runs(values: Sequence[float | None], top: int) -> list[list[tuple[float, float]]]:
    """The points of each stretch without a gap."""
    step = 1000 / max(len(values) - 1, 1)
    runs: list[list[tuple[float, float]]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((round(index * step, 2), round(200 - value / top * 200, 2)))
    return [run for run in runs if run]


def share(part: float | None, whole: float | None) -> float:
    """`part` of `whole` in percent, 0 to 100, for a bar's width; 0 if `whole` is 0."""
    return round(percentage(part, whole), 2)


def percentage(part: float | None, whole: float | None) -> float:
    """`part` of `whole` in percent, 0 to 100, to be read: exact, as its text rounds it."""
    if not part or not whole:
        return 0.0
    return min(100.0, max(0.0, 100.0 * part / whole))
