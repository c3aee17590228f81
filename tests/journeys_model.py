"""The independent model of journeys: docs/journeys.md in plain Python over lists of raw events.

Like `tests.model`, whose selection of events it shares, it knows neither SQL nor the code of the dashboard.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from collector.ingest.event import Event
from tests.model import Model, Question, VisitKey

END, OTHER = "end", "other"
Columns = Sequence[Mapping[str, int]]
Links = Mapping[tuple[int, str, str], int]
Pair = tuple[str, str]


@dataclass(frozen=True)
class JourneyQuestion:
    """A journey, in the words of the API; `question` has site, dates and filters; choices begin at the first column."""

    question: Question
    direction: str = "forward"
    anchor: str = ""
    choices: tuple[str, ...] = ()
    columns: int = 4
    nodes: int = 6
    by: str = "page"
    pages_only: bool = False


@dataclass(frozen=True)
class JourneyAnswer:
    """Visits by step of each column, and by link: its column from 0, and its two steps. None is hidden."""

    visits: int | None
    columns: Columns = field(default_factory=list)
    links: Links = field(default_factory=dict)


def step_of(event: Event, by: str) -> str:
    """A step as the API spells it."""
    if event.name != "pageview":
        return f"event:{event.name}"
    parts = event.page.split("/")
    if by == "section" and len(parts) > 2 and parts[0] == "" and parts[1]:
        return f"page:/{parts[1]}/*"
    return f"page:{event.page}"


def paths_of(model: Model, asked: JourneyQuestion) -> dict[VisitKey, list[str]]:
    """The steps of each selected visit from the anchor on, in the order of the columns, and its end."""
    selected = {(event.day, event.visitor, event.visit) for event in model.selected(asked.question) if event.visitor}
    found = {}
    for key in selected:
        steps = [
            step_of(event, asked.by)
            for event in model._visits.get(key, ())
            if event.name == "pageview" or not asked.pages_only or step_of(event, asked.by) == asked.anchor
        ]
        merged = [step for step, _ in itertools.groupby(steps)]
        if asked.anchor:
            if asked.anchor not in merged:
                continue
            at = merged.index(asked.anchor)
            merged = merged[at:] if asked.direction == "forward" else merged[: at + 1]
        if not merged:
            continue
        path = [*(merged if asked.direction == "forward" else merged[::-1]), END][: asked.columns]
        chosen = enumerate(asked.choices)
        if all(not step or (number < len(path) and path[number] == step) for number, step in chosen):
            found[key] = path
    return found


def members(model: Model, question: Question, value: str) -> set[VisitKey]:
    """The visits of a value of the filter `visit:journey`, among those that a question selects."""
    given = parse_qsl(value)
    plain = dict(given)
    asked = JourneyQuestion(
        question, plain.get("way", "forward"), plain.get("at", ""), (), 99, 0, plain.get("by", "page"), "steps" in plain
    )
    return {
        key
        for key, path in paths_of(model, asked).items()
        if all(_takes(path, name, step) for name, step in given if name.startswith(("then", "not")))
    }


def _takes(path: Sequence[str], name: str, step: str) -> bool:
    there = path[int(name.removeprefix("then").removeprefix("not")) - 1 :][:1]
    return there == [step] if name.startswith("then") else there != [step]


def answer(model: Model, asked: JourneyQuestion, least: int) -> JourneyAnswer:
    """What is told of a journey."""
    paths = paths_of(model, asked)
    if not paths:
        return JourneyAnswer(0)
    # Where counts are rounded few are as nobody, and no group follows from what is told.
    rounds = model.told(1) == 0
    if _visitors(paths) < least:
        return JourneyAnswer(0 if rounds else None)

    # The visits at each step, column by column; a small end goes on among the others.
    nodes: list[dict[VisitKey, str]] = []
    lost: set[VisitKey] = set()
    for number in range(asked.columns):
        groups: dict[str, list[VisitKey]] = defaultdict(list)
        for key, path in paths.items():
            if number < len(path):
                groups[path[number]].append(key)
        ranked = sorted(groups, key=lambda step: (-len(groups[step]), *_place(step)))
        told = [step for step in ranked if step != END][: asked.nodes] + [END] * (END in groups)
        told = [step for step in told if _visitors(groups[step]) >= least]

        others = [*lost, *(key for step in groups if step not in told for key in groups[step])]
        while told and 0 < _visitors(others) < least and not rounds:
            step = min(told, key=lambda each: (len(groups[each]), each == END, _rank(each)))
            told.remove(step)
            others += groups[step]
        nodes.append({key: step for step in told for key in groups[step]} | dict.fromkeys(others, OTHER))
        lost |= {*groups[END]} if END in groups and END not in told else set()
    last = max((number for number, each in enumerate(nodes) if {*each.values()} - {OTHER}), default=0)
    links: dict[tuple[int, str, str], int] = {}
    for number in range(last):
        here, there = nodes[number], nodes[number + 1]
        visits: dict[tuple[str, str], list[VisitKey]] = defaultdict(list)
        for key in here.keys() & there.keys():
            visits[here[key], there[key]].append(key)
        large = {pair for pair, keys in visits.items() if _visitors(keys) >= least}
        links |= {(number, *pair): len(visits[pair]) for pair in (large if rounds else told_links(visits, least))}
    columns = [
        {
            step: len(keys)
            for step in {*each.values()}
            if _visitors(keys := [key for key, at in each.items() if at == step]) >= least or not rounds
        }
        for each in nodes[: last + 1]
    ]
    return JourneyAnswer(
        model.told(len(paths)),
        [{step: model.told(count) for step, count in each.items()} for each in columns],
        {link: model.told(count) for link, count in links.items()},
    )


def _visitors(keys: Iterable[VisitKey]) -> int:
    return len({key[:2] for key in keys})


def _place(step: str) -> tuple[bool, str]:
    """Among equals pages come first, by name."""
    return step.startswith("event"), step.partition(":")[2]


def told_links(visits: Mapping[Pair, Sequence[VisitKey]], least: int) -> set[Pair]:
    """Those that may be told: the least visited is left out, until no small group follows from the rest."""
    told = {pair for pair, keys in visits.items() if _visitors(keys) >= least}
    while least > 1 and told and _small_group_follows(visits, told, least):
        told.remove(min(told, key=lambda pair: (len(visits[pair]), *map(_rank, pair))))
    return told


def _rank(step: str) -> tuple[str, str]:
    kind, _, name = step.partition(":")
    return kind, name


def _small_group_follows(visits: Mapping[Pair, Sequence[VisitKey]], told: set[Pair], least: int) -> bool:
    """Whether any sum of sources less any sum of targets is a small group of links that are not told."""
    sources, targets = sorted({pair[0] for pair in visits}), sorted({pair[1] for pair in visits})
    unknown = {pair for pair in itertools.product(sources, targets) if pair not in told}
    while True:
        nobody: set[Pair] = set()
        for some, others in itertools.product(_subsets(sources), _subsets(targets)):
            forth = {pair for pair in unknown if pair[0] in some and pair[1] not in others}
            if forth and not any(pair[0] not in some and pair[1] in others for pair in unknown):
                size = _visitors(key for pair in forth for key in visits.get(pair, ()))
                if 0 < size < least:
                    return True
                nobody |= set() if size else forth
        if not nobody:
            return False
        unknown -= nobody


def _subsets(names: Sequence[str]) -> list[set[str]]:
    return [{*some} for count in range(len(names) + 1) for some in itertools.combinations(names, count)]
