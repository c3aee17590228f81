"""Small counts of journeys: which steps of a column are told, and which links between columns.

docs/small-counts.md says what this guarantees.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import NamedTuple

from dashboard.analytics.journeys import LEFT, OTHER_STEPS, Step


class VisitGroup(NamedTuple):
    """Visits, and their visitors by numbers of their own: all of them, or as many as the minimum of a group."""

    visits: int = 0
    people: frozenset[int] = frozenset()


Link = tuple[Step, Step]
"""A step of one column and one of the next."""
Flows = Sequence[Mapping[Link, VisitGroup]]
"""The groups that go from each column to the next, by their steps in both."""
Row = dict[int, frozenset[int]]
"""Visitors of a source's links that are not known, by the target as a bit."""


def joined(groups: Iterable[VisitGroup]) -> VisitGroup:
    """Several groups as one."""
    visits, people = 0, frozenset[int]()
    for each in groups:
        visits, people = visits + each.visits, people | each.people
    return VisitGroup(visits, people)


def steps_of(flows: Flows, column: int) -> dict[Step, VisitGroup]:
    """The steps of a column, from 0."""
    links, side = (flows[column - 1], 1) if column else (flows[0], 0)
    found: dict[Step, list[VisitGroup]] = {}
    for link, group in links.items():
        found.setdefault(link[side], []).append(group)
    return {step: joined(groups) for step, groups in found.items()}


def folded(flows: Flows, minimum: int, *, rounded: bool = False) -> Flows:
    """The flows with the steps of fewer than `minimum` visitors among the others.

    Where the others would be fewer than that, the least visited step that is told joins them, unless visits are
    `rounded`. Visits whose end is not
    told go on among the others of all further columns, whose sums would else reveal it.
    """
    kept: list[set[Step]] = []
    ended: list[VisitGroup] = [VisitGroup()]
    for column in range(len(flows) + 1):
        steps = steps_of(flows, column)
        shown = {step for step, group in steps.items() if len(group.people) >= minimum} - {OTHER_STEPS}
        others = joined([ended[-1], *(group for step, group in steps.items() if step not in shown)])
        while shown and 0 < len(others.people) < minimum and not rounded:
            smallest = min(shown, key=lambda step: (steps[step].visits, step == LEFT, step))
            shown.remove(smallest)
            others = joined([others, steps[smallest]])
        kept.append(shown)
        ended.append(joined([ended[-1], *([steps[LEFT]] if LEFT in steps and LEFT not in shown else [])]))
    return [_merged(links, kept[number], kept[number + 1], ended[number + 1]) for number, links in enumerate(flows)]


def _merged(
    links: Mapping[Link, VisitGroup], sources: Collection[Step], targets: Collection[Step], ended: VisitGroup
) -> Mapping[Link, VisitGroup]:
    """The links between the steps that are kept and the others, where those who have `ended` are."""
    found: dict[Link, list[VisitGroup]] = {(OTHER_STEPS, OTHER_STEPS): [ended]} if ended.visits else {}
    for (source, target), group in links.items():
        link = (source if source in sources else OTHER_STEPS, target if target in targets else OTHER_STEPS)
        found.setdefault(link, []).append(group)
    return {link: joined(groups) for link, groups in found.items()}


def large_links(links: Mapping[Link, VisitGroup], minimum: int) -> set[Link]:
    """The links between two columns that have at least `minimum` visitors."""
    return {link for link, group in links.items() if len(group.people) >= minimum}


def told_links(links: Mapping[Link, VisitGroup], minimum: int) -> set[Link]:
    """The links between two columns that are told, where all steps are: those of at least `minimum` visitors, without
    the least visited for as long as a smaller group follows from the others."""
    told = large_links(links, minimum)
    while minimum > 1 and told and _reveal(links, told, minimum):
        told.remove(min(told, key=lambda link: (links[link].visits, link)))
    return told


def _reveal(links: Mapping[Link, VisitGroup], told: Collection[Link], minimum: int) -> bool:
    """Whether a group of untold links of too few visitors follows from the sums of the steps and the told links.

    Such a group is a directed cut of the graph of unknown links (Gusfield, A graph theoretic approach to statistical
    data security, 1988): untold links from some sources to all but some targets, where no untold link leads from
    another source to one of these targets. It is the sum of those sources less that of those targets, told links aside.
    """
    sources, targets = ({link[side] for link in links} for side in (0, 1))
    # What is not told may also be nobody.
    unknown: list[Row] = [
        {
            1 << number: links.get((source, target), VisitGroup()).people
            for number, target in enumerate(targets)
            if (source, target) not in told
        }
        for source in sources
    ]
    return _has_small_cut(unknown, minimum)


def _has_small_cut(unknown: Sequence[Row], minimum: int) -> bool:
    """Whether a directed cut is of some, but too few. Of a cut that is nobody, so is every link: it is known then."""
    for cut in _cuts(unknown):
        groups = [row[target] for row, targets in cut for target in row if target & targets]
        people = len(frozenset().union(*groups))
        if 0 < people < minimum:
            return True
        if groups and not people:
            for row, targets in cut:
                for target in [each for each in row if each & targets]:
                    del row[target]
            return _has_small_cut(unknown, minimum)
    return False


def _cuts(unknown: Sequence[Row]) -> Iterator[list[tuple[Row, int]]]:
    """Every directed cut that is not made of others, as rows with the targets in it as bits: each source's links, each
    target's, and of every set of targets the links to others from the sources that lead there."""
    masks = [sum(row) for row in unknown]
    every = reduce(or_, masks)
    yield from ([(row, every)] for row in unknown)
    yield from ([(row, 1 << number) for row in unknown] for number in range(every.bit_length()))
    some = every
    while some := (some - 1) & every:
        yield [(row, ~some) for row, mask in zip(unknown, masks, strict=True) if mask & some]
