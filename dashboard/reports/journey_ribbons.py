"""Ribbons between two columns of steps, drawn on the server: as thick as their visits, beside the `most` of a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dashboard.analytics.journeys import JourneyLink, JourneyNode

ROW: Final = 64
"""Height of a step, in user units; the drawing is 100 wide."""
THICKEST: Final = 52
THINNEST: Final = 1.5


@dataclass(frozen=True, slots=True)
class Ribbon:
    """A link: path data of its surface, and the two steps that it is between."""

    path: str
    link: JourneyLink


def ribbons(
    sources: Sequence[JourneyNode], targets: Sequence[JourneyNode], links: Sequence[JourneyLink], most: int
) -> tuple[Ribbon, ...]:
    """Draw the links between the nodes of two columns, each node's in the order of the nodes at their other end."""
    rows = [{node.step: row for row, node in enumerate(nodes)} for nodes in (sources, targets)]
    ordered = sorted(links, key=lambda link: (rows[0][link.source], rows[1][link.target]))
    begins = _edges([(rows[0][link.source], link) for link in ordered], most)
    ends = _edges(sorted(((rows[1][link.target], link) for link in ordered), key=lambda pair: pair[0]), most)
    return tuple(Ribbon(_surface(begins[link], ends[link], _thickness(link.visits, most)), link) for link in ordered)


def _edges(links: Sequence[tuple[int, JourneyLink]], most: int) -> dict[JourneyLink, float]:
    """The upper edge of each link on one side, where those of a row lie on each other around its middle."""
    heights: dict[int, float] = {}
    for row, link in links:
        heights[row] = heights.get(row, 0) + _thickness(link.visits, most)
    found, floor = dict[JourneyLink, float](), {row: (row + 0.5) * ROW - height / 2 for row, height in heights.items()}
    for row, link in links:
        found[link] = floor[row]
        floor[row] += _thickness(link.visits, most)
    return found


def _thickness(visits: int, most: int) -> float:
    return max(THINNEST, THICKEST * visits / max(most, 1))


def _surface(begin: float, end: float, thickness: float) -> str:
    upper = f"M0 {begin:.1f}C50 {begin:.1f} 50 {end:.1f} 100 {end:.1f}"
    low_begin, low_end = begin + thickness, end + thickness
    return f"{upper}V{low_end:.1f}C50 {low_end:.1f} 50 {low_begin:.1f} 0 {low_begin:.1f}Z"
