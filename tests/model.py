"""The independent model of the statistics: docs/metrics.md in plain Python over lists of raw events.

It knows neither SQL nor the code of the dashboard, and reads no number that the collector derived (`visits`, `bounces`,
`seconds`): a visit is the events that share its id, and everything else follows from these. A row of a breakdown is
computed as what it is by definition, the query with the row's values added to its filters.
"""

from __future__ import annotations

import datetime
import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from collector.ingest.event import Event
from collector.sites.goals import Goal

Number = int | float | None
Group = tuple[str, ...]
Amounts = tuple[tuple[str, Number], ...]
Cells = tuple[Number | Amounts, ...]
VisitKey = tuple[datetime.date, int, int]

OTHER = "\x7f(other)"  # what no beacon can say
DIRECT, NOT_SET, NONE = "Direct / None", "(not set)", "(none)"
_EMPTY = {DIRECT, NOT_SET, NONE}
OF_VISITS = frozenset({"visits", "views_per_visit", "visit_duration", "exit_rate"})
RATES = ("percentage", "conversion_rate", "group_conversion_rate")
REVENUE = frozenset({"total_revenue", "average_revenue"})
_ATTRIBUTED = ("visit:source", "visit:channel", "visit:referrer")
_GOAL_EVENTS = {
    "page": "pageview", "scroll": "engagement", "outbound": "Outbound Link: Click", "download": "File Download",
    "form": "Form: Submission", "404": "404",
}  # fmt: skip


@dataclass(frozen=True)
class Question:
    """A query in the words of the Stats API v2: `filters` are its JSON. `start` and `end` are Unix seconds, from the
    first included to the first that is not, where the range is no whole number of dates."""

    site: str
    metrics: tuple[str, ...]
    first: datetime.date
    last: datetime.date
    dimensions: tuple[str, ...] = ()
    filters: Sequence[Any] = ()
    start: int | None = None
    end: int | None = None
    zone: str = "Etc/UTC"


@dataclass(frozen=True)
class Answer:
    """What is shown. `hidden` are the groups that are called hidden: () is the total, others are buckets of time.
    `other` are the values that each row `(other)` stands for. A metric of revenue is the amounts by currency."""

    rows: Mapping[Group, Cells]
    hidden: frozenset[Group] = frozenset()
    other: Mapping[Group, frozenset[Group]] = field(default_factory=dict)


class Model:
    """Answers questions over a list of events, whose order is that of arrival. `goals` are the site's own; without any,
    every custom event is one. Groups smaller than `min_visitors` are hidden; 1 hides nothing. `strict` tells nothing of
    them in any view, as if there were nobody, and rounds every count. `members` are the visits of a value of
    `visit:funnel` or `visit:journey`, among a model's."""

    def __init__(
        self,
        events: Iterable[Event],
        goals: Iterable[Goal] = (),
        min_visitors: int = 1,
        *,
        strict: bool = False,
        members: Callable[[Model, str], Collection[VisitKey]] = lambda _model, _value: (),
    ) -> None:
        self.events = list(events)
        self._goals = list(goals)
        self._least = min_visitors
        self._strict = strict and min_visitors > 1
        self._members_of = members
        self._members: dict[str, Collection[VisitKey]] = {}
        self._engagement: list[Event] = []
        self._counted: list[Event] = []
        self._visits: dict[VisitKey, list[Event]] = defaultdict(list)
        for event in self.events:
            (self._engagement if event.name == "engagement" else self._counted).append(event)
            if event.name != "engagement" and event.visitor:
                self._visits[_visit_of(event)].append(event)
        for each in self._visits.values():
            each.sort(key=lambda event: (event.ts, event.seq))
        read = {_visit_of(event) for event in self._engagement if event.visitor and (event.engaged or event.scroll)}
        self._engaged = read | {key for key, each in self._visits.items() if len(_pages(each)) > 1}

    def for_guest(self, now: float, zone: str) -> Model:
        """The same as who has no account sees it at the Unix second `now`: the site-local day that is not over, or over
        for less than a minute, ends where the step before the newest does."""
        if self._least <= 1:
            return self
        today = datetime.datetime.fromtimestamp(now - 60, ZoneInfo(zone)).date()
        ends = self._released(today, int(now))
        shown = [event for event in self.events if event.day < today or event.ts < ends]
        return Model(shown, self._goals, self._least, strict=self._strict, members=self._members_of)

    def _released(self, day: datetime.date, now: int) -> int:
        """The end of the step before the newest: each ends with the minute by which the minimum of further visitors had
        come, or of anonymous events before any visitor sent something, one minute ago or longer; 0 where there are not
        two. Engagement alone, of a page from the day before, is no visitor's."""
        sent = [each for each in self.events if each.day == day]
        first: dict[int, int] = {}
        for event in sorted(sent, key=lambda each: each.ts):
            if event.visitor and event.name != "engagement":
                first.setdefault(event.visitor, event.ts)
        arrivals = [ts // 60 * 60 + 60 for ts in first.values()]
        begins = min((event.ts // 60 * 60 + 60 for event in sent if event.visitor), default=now)
        anonymous = sorted(event.ts // 60 * 60 + 60 for event in sent if not event.visitor)
        steps = [0, 0]
        for minutes in ([each for each in anonymous if each < begins], arrivals):
            came = 0
            for minute, group in itertools.groupby(each for each in minutes if each <= now // 60 * 60 - 60):
                came += len(list(group))
                if came >= self._least:
                    steps.append(minute)
                    came = 0
        return steps[-2]

    def told(self, count: int) -> int:
        """A count as it is shown: under `strict` the nearest multiple of twice the minimum, halves up."""
        multiple = 2 * self._least
        return (max(0, count) + self._least) // multiple * multiple if self._strict else count

    def amount(self, amount: int, count: int) -> int:
        """What so many add up to, as it is shown: under `strict` as much of it as is shown of the count."""
        return amount * self.told(count) // count if self._strict and count else amount

    # What is shown of a question.

    def answer(self, question: Question) -> Answer:
        """The rows as they may be shown, with default order left to the reader."""
        groups = self.groups(question)
        if not question.dimensions and not groups:
            groups = {(): []}
        protected = self._least > 1 and _protected(question)
        if self._strict:
            return self._rounded(question, groups, protected=protected)
        if not protected:
            return Answer(self._cells(question, {group: (group,) for group in groups}, groups))
        if not question.dimensions:
            small = 0 < _size(groups[()]) < self._least
            shown: dict[Group, Cells] = {} if small else self._cells(question, {(): ((),)}, groups)
            return Answer(shown, frozenset({()} if small else ()))
        if all(name.startswith("time") for name in question.dimensions):
            return self._hide_buckets(question, groups)
        return self._fold(question, groups)

    def _rounded(self, question: Question, groups: Mapping[Group, list[Event]], *, protected: bool) -> Answer:
        """The rows of large groups; of a protected view the others together, where they are as many."""
        rows: dict[Group, tuple[Group, ...]] = {}
        folded: dict[Group, tuple[Group, ...]] = defaultdict(tuple)
        values = [not name.startswith("time") for name in question.dimensions]
        visits = self._visits_by_group(question, groups)
        for group, events in groups.items():
            size = _size(events)
            # In an hour in which nobody was seen visits may have begun.
            began = size == 0 and not any(values) and self.told(len(visits.get(group, ()))) > 0
            if size >= self._least or began:
                rows[group] = (group,)
            elif any(values) and protected:
                folded[tuple(OTHER if each else name for name, each in zip(group, values, strict=True))] += (group,)
        other = {row: members for row, members in folded.items() if self._size_of(members, groups) >= self._least}
        rows |= other if question.dimensions else {(): rows.get((), ())}
        found = {row: frozenset(members) for row, members in other.items()}
        return Answer(self._cells(question, rows, groups), other=found)

    def rows(self, question: Question) -> Mapping[Group, Cells]:
        """Every group with its metrics, as shown."""
        return self.answer(question).rows

    def _hide_buckets(self, question: Question, groups: Mapping[Group, list[Event]]) -> Answer:
        """Buckets of time: the small ones are hidden, and the next smallest where these together are small."""
        everything = replace(question, dimensions=())
        total = self.groups(everything).get((), [])
        if _size(total) < self._least:
            return Answer({}, frozenset(groups) | {()})
        # Visits count where they began: they are a group of their own.
        began: Mapping[Group, set[VisitKey]] = {}
        if _by_clock(question) and OF_VISITS & set(question.metrics):
            began = self._visits_by_group(question, groups)
        people = {group: {key[:2] for key in began.get(group, ())} for group in groups}
        some = [group for group in groups if _size(groups[group]) or people[group]]
        hidden = {group for group in some if self._is_few(_size(groups[group])) or self._is_few(len(people[group]))}
        within = [event for group in hidden for event in groups[group]]
        beginning = {each for group in hidden for each in people[group]}
        if self._is_few(_size(within)) or self._is_few(len(beginning)):
            # Anonymous events would hide nobody.
            known = bool(_visitors(within) or beginning)
            further = [
                group
                for group in some
                if group not in hidden and (not known or (_visitors(groups[group]) and (people[group] or not began)))
            ]
            smallest = sorted(further, key=lambda group: (_size(groups[group]), group))[:1]
            hidden |= {*smallest} if smallest or not known else {*some}
        shown = {group: (group,) for group in groups if group not in hidden}
        untold = self._untold(question, {group: (group,) for group in groups}, groups)
        return Answer(self._cells(question, shown, groups, untold), frozenset(hidden))

    def _is_few(self, people: int) -> bool:
        return 0 < people < self._least

    def _fold(self, question: Question, groups: Mapping[Group, list[Event]]) -> Answer:
        """Rows by value: the small ones together, with the next smallest where these together are small; where there is
        none, of an interval, with the smallest row of all."""
        times = [name.startswith("time") for name in question.dimensions]
        buckets: dict[Group, list[Group]] = defaultdict(list)
        for group in groups:
            buckets[tuple(value for value, is_time in zip(group, times, strict=True) if is_time)].append(group)
        rows: dict[Group, tuple[Group, ...]] = {}
        every: dict[Group, tuple[Group, ...]] = {}
        alone: list[list[Event]] = []
        for bucket, members in buckets.items():
            # Of groups of one size the first is that by the stored values, which are empty where there is none.
            members.sort(key=lambda group: (_size(groups[group]), *_stored(group)))
            folded = [group for group in members if _size(groups[group]) < self._least]
            kept = members[len(folded) :]
            together = [event for group in folded for event in groups[group]]
            if self._is_few(_size(together)):
                # Anonymous events would hide nobody.
                further = [group for group in kept if _visitors(groups[group]) or not _visitors(together)]
                every |= {group: (group,) for group in kept if group not in further[:1]}
                if not further and _visitors(together):
                    kept = []
                folded += further[:1]
                kept = [group for group in kept if group not in folded]
            rows |= {group: (group,) for group in kept}
            value = iter(bucket)
            other_row = tuple(next(value) if is_time else OTHER for is_time in times)
            every |= {other_row: tuple(folded)} if folded else {}
            if folded and self._size_of(folded, groups) >= self._least:
                rows[other_row] = tuple(folded)
            elif folded:
                alone.append([event for group in folded for event in groups[group]])
        untold = self._untold(question, every | rows, groups)
        if any(times):
            rows = self._with_those(alone, rows, groups, by_clock=_by_clock(question))
        other = {group: frozenset(members) for group, members in rows.items() if OTHER in group}
        return Answer(self._cells(question, rows, groups, untold), other=other)

    def _untold(
        self, question: Question, rows: Mapping[Group, tuple[Group, ...]], groups: Mapping[Group, list[Event]]
    ) -> dict[Group, frozenset[str]]:
        """The currencies whose revenue a row keeps to itself because that of too few buyers would else be what is left:
        within an interval, where there are values, the row with the fewest buyers of all that could be told."""
        times = [name.startswith("time") for name in question.dimensions]
        found: dict[Group, set[str]] = defaultdict(set)
        intervals: dict[Group, list[Group]] = defaultdict(list)
        for row in rows if REVENUE & set(question.metrics) else ():
            apart = () if all(times) else tuple(value for value, is_time in zip(row, times, strict=True) if is_time)
            intervals[apart].append(row)
        for members in intervals.values():
            paid = {row: _buyers(event for group in rows[row] for event in groups.get(group, ())) for row in members}
            for currency in {currency for each in paid.values() for currency in each}:
                buyers = {row: each[currency] for row, each in paid.items() if each.get(currency)}
                told = {row for row, count in buyers.items() if OTHER not in row and count >= self._least}
                most = max((count for row, count in buyers.items() if row not in told), default=self._least)
                fewest = min((buyers[row] for row in told), default=0)
                for row in told if most < self._least else ():
                    found[row] |= {currency} if buyers[row] == fewest else set()
        return {row: frozenset(each) for row, each in found.items()}

    def _with_those(
        self,
        alone: Sequence[list[Event]],
        rows: Mapping[Group, tuple[Group, ...]],
        groups: Mapping[Group, list[Event]],
        *,
        by_clock: bool,
    ) -> dict[Group, tuple[Group, ...]]:
        """The rows without the smallest, where what is hidden in intervals that have no row is few together."""
        counts = [_visitors(events) for events in alone]
        visitors = max(counts, default=0) if by_clock else sum(counts)
        if not self._is_few(visitors or sum(map(len, alone))):
            return dict(rows)
        told = {row: [event for group in members for event in groups[group]] for row, members in rows.items()}
        further = [row for row, events in told.items() if _visitors(events) or not visitors]
        smallest = sorted(further, key=lambda row: (_size(told[row]), *_stored(row)))[:1]
        return {row: members for row, members in rows.items() if row not in smallest and (further or not visitors)}

    @staticmethod
    def _size_of(folded: Iterable[Group], groups: Mapping[Group, list[Event]]) -> int:
        return _size([event for group in folded for event in groups[group]])

    # What a row is: the groups that it stands for, mostly one.

    def _cells(
        self,
        question: Question,
        rows: Mapping[Group, tuple[Group, ...]],
        groups: Mapping[Group, list[Event]],
        untold: Mapping[Group, frozenset[str]] = MappingProxyType({}),
    ) -> dict[Group, Cells]:
        visits = self._visits_by_group(question, groups)
        wholes = {name: self._whole_of(question, name) for name in question.metrics if name in RATES}
        found = {}
        for row, members in rows.items():
            selected = _different(event for group in members for event in groups.get(group, ()))
            within = {key for group in members for key in visits.get(group, ())}
            untold_all = self._of_nearly_all(question, members, selected, wholes)
            found[row] = tuple(
                (() if name in REVENUE else None)
                if untold_all
                else self._revenue(question, name, members, groups, untold.get(row, frozenset()))
                if name in REVENUE
                else self._metric(question, name, members, selected, within, wholes.get(name, {}))
                for name in question.metrics
            )
        return found

    def _metric(
        self,
        question: Question,
        name: str,
        members: tuple[Group, ...],
        selected: list[Event],
        visits: set[VisitKey],
        base: Mapping[Group, list[Event]],
    ) -> Number:
        """One metric of a row that stands for these groups: from its selected events and visits, and from the groups
        that a rate divides by."""
        whole = [self._visits[key] for key in visits if key in self._visits]
        match name:
            case "visitors":
                return self.told(_visitors(selected))
            case "visits":
                return self.told(len(visits))
            case "pageviews":
                return self.told(sum(event.name == "pageview" for event in selected))
            case "events":
                scrolls = {(_visit_of(event), event.page) for event in selected if event.name == "engagement"}
                return self.told(sum(event.name != "engagement" for event in selected) + len(scrolls))
            case "views_per_visit":
                views = sum(event.name == "pageview" for each in whole for event in each)
                return self._average(question, views, len(visits), 2, unknown=0)
            case "visit_duration":
                seconds = sum(each[-1].ts - each[0].ts for each in whole)
                return self._average(question, seconds, len(visits), unknown=0, of_amounts=True)
            case "bounce_rate":
                landed = [events for events in whole if self._entered(question, members, events, selected)]
                return self._average(question, sum(map(_bounced, landed)), len(landed), scale=100, unknown=0)
            case "exit_rate":
                # Of the rows by exit page: how many of the page's views were the last of their visit.
                pages = {group[0] for group in members}
                everything = self.selected(replace(question, dimensions=()))
                viewed = sum(
                    event.name == "pageview" and event.visitor != 0 and event.page in pages for event in everything
                )
                return self._average(question, len(visits), viewed, 1, scale=100)
            case "returning_visitors" | "returning_rate":
                returning = self._returning_among(question, members[0] if members else ())
                if name == "returning_visitors" or returning is None:
                    return returning
                return self._average(question, returning, _visitors(selected), 1, scale=100)
            case "percentage" | "conversion_rate" | "group_conversion_rate":
                return self._rate(question, name, members, selected, base)
            case "time_on_page" | "scroll_depth":
                return self._read(question, name, members)
        raise AssertionError(name)

    def _returning_among(self, question: Question, group: Group) -> int | None:
        """The visitors of a group with several visits a day; None where they, or the others, are hidden."""
        told = {}
        for value in ("true", "false"):
            filters = [*question.filters, ["is", "visit:returning", [value]]]
            told[value] = self.answer(replace(question, metrics=("visitors",), filters=filters))
        if any(group in each.hidden for each in told.values()):
            return None
        (found,) = told["true"].rows.get(group, (0,))
        assert isinstance(found, int)
        return found

    def _average(
        self,
        question: Question,
        top: int,
        bottom: int,
        digits: int | None = None,
        scale: float = 1,
        unknown: Number = None,
        *,
        of_amounts: bool = False,
    ) -> Number:
        """One number divided by another, as both are told; hidden where it divides by too few."""
        if _protected(question) and not self._strict and 0 < bottom < self._least:
            return None
        divisor = self.told(bottom)
        told = self.amount(top, bottom) if of_amounts else self.told(top)
        return round(scale * told / divisor, digits) if divisor else unknown

    def _whole_of(self, question: Question, name: str) -> dict[Group, list[Event]]:
        """The groups that a rate divides by."""
        others = tuple(each for each in question.dimensions if each != "event:goal")
        filters = question.filters if name == "percentage" else _without_goals(question.filters)
        kept = others if name == "group_conversion_rate" else ()
        return self.groups(replace(question, dimensions=kept, filters=filters))

    def _rate(
        self,
        question: Question,
        name: str,
        members: tuple[Group, ...],
        selected: list[Event],
        base: Mapping[Group, list[Event]],
    ) -> Number:
        visitors = self._base_of(question, name, members, base)
        if visitors is None or self._leaves_few(question, name, _visitors(selected), visitors):
            return None
        return self._average(question, _visitors(selected), visitors, 1, scale=100)

    def _base_of(
        self, question: Question, name: str, members: tuple[Group, ...], base: Mapping[Group, list[Event]]
    ) -> int | None:
        """The visitors that a rate divides by; None where they are not known."""
        dims = [each != "event:goal" and name == "group_conversion_rate" for each in question.dimensions]
        if len(members) > 1 and any(dims):  # of the row `(other)` it is unknown
            return None
        kept = {tuple(value for value, is_kept in zip(group, dims, strict=True) if is_kept) for group in members}
        return _visitors([event for group in kept for event in base.get(group, ())])

    def _leaves_few(self, question: Question, name: str, converted: int, visitors: int) -> bool:
        """Whether a rate tells that a few did not reach a goal."""
        of_goal = name != "percentage" or "event:goal" in question.dimensions
        return of_goal and _protected(question) and not self._strict and 0 < visitors - converted < self._least

    def _of_nearly_all(
        self,
        question: Question,
        members: tuple[Group, ...],
        selected: list[Event],
        wholes: Mapping[str, Mapping[Group, list[Event]]],
    ) -> bool:
        """Whether nothing is told of a row by goal, as a rate beside it would tell of a few who did not reach it."""
        bases = {name: self._base_of(question, name, members, base) for name, base in wholes.items()}
        return "event:goal" in question.dimensions and any(
            self._leaves_few(question, name, _visitors(selected), base or 0) for name, base in bases.items()
        )

    def _read(self, question: Question, name: str, members: tuple[Group, ...]) -> Number:
        """Engagement on the selected pages, by the visits that measured it."""
        readings: dict[VisitKey, list[Event]] = defaultdict(list)
        for event in self._engagement:
            selected = _within(question, event) and self._holds(question, question.filters, event)
            if event.visitor and selected and set(members) & set(self._groups_of(question, event)):
                readings[_visit_of(event)].append(event)
        if name == "time_on_page":
            engaged = sum(each.engaged for events in readings.values() for each in events)
            return self._average(question, engaged, len(readings), scale=0.001, of_amounts=True)
        scrolled = sum(max(each.scroll for each in events) for events in readings.values())
        return self._average(question, scrolled, len(readings), of_amounts=True)

    def _revenue(
        self,
        question: Question,
        name: str,
        members: tuple[Group, ...],
        groups: Mapping[Group, list[Event]],
        untold: frozenset[str],
    ) -> Amounts:
        """The amounts in the currencies that may be told. The row `(other)` has none."""
        selected = _different(event for group in members for event in groups.get(group, ()))
        named = {value for group in members for n, value in zip(question.dimensions, group, strict=True)
                 if n == "event:goal"}  # fmt: skip
        asked = [goal for goal in self._goals if (goal.name in named if named else self._asked(question, goal))]
        currencies = {goal.currency for goal in asked}
        own = currencies.pop() if len(currencies) == 1 else ""
        if len(members) > 1:
            return ()
        sales: dict[str, list[Event]] = defaultdict(list)
        for event in selected:
            if event.currency and own in ("", event.currency):
                sales[event.currency].append(event)
        if own and not sales:
            return ((own, 0 if name == "total_revenue" else None),)
        least = self._least if _protected(question) and self._least > 1 else 0
        found: list[tuple[str, Number]] = []
        for currency, events in sorted(sales.items()):
            count = self.told(len(events))
            if count and _size(events) >= least and currency not in untold:
                total = 0.001 * self.amount(sum(int(event.revenue * 1000) for event in events), len(events))
                found.append((currency, round(total / count if name == "average_revenue" else total, 3)))
        return tuple(found)

    def _asked(self, question: Question, goal: Goal) -> bool:
        return any(not negated and _compared(leaf, goal.name) for leaf, negated in _top(question.filters, "event:goal"))

    # Which events and visits are a row's.

    def groups(self, question: Question) -> dict[Group, list[Event]]:
        """The selected events of each group; where visits are asked for by hour or minute, also the group in which one
        began."""
        found: dict[Group, list[Event]] = {}
        for event in self.selected(question):
            for group in self._groups_of(question, event):
                found.setdefault(group, []).append(event)
        if _by_clock(question) and OF_VISITS & set(question.metrics):
            for group in self._visits_by_group(question, dict(found)):
                found.setdefault(group, [])
        return found

    def _visits_by_group(
        self, question: Question, groups: Mapping[Group, list[Event]]
    ) -> Mapping[Group, set[VisitKey]]:
        """The selected visits of each group; by hour or minute those that began in it."""
        found: dict[Group, set[VisitKey]] = defaultdict(set)
        for group, events in groups.items():
            for key in {_visit_of(event) for event in events if event.visitor}:
                found[self._began(question, key, group)].add(key)
        return found

    def _began(self, question: Question, key: VisitKey, group: Group) -> Group:
        """The group in which a visit counts: its own values, at the hour or minute in which it began."""
        if not _by_clock(question):
            return group
        begins = self._visits[key][0].ts if key in self._visits else key[2]
        begins = begins if question.start is None else max(begins, question.start)
        return tuple(
            _clock(name, begins, question.zone) if name in ("time:hour", "time:minute") else value
            for name, value in zip(question.dimensions, group, strict=True)
        )

    def selected(self, question: Question) -> Iterator[Event]:
        goals = self._scrolls(question)
        scrolled = (event for event in self._engagement if any(reaches(goal, event) for goal in goals))
        for event in itertools.chain(self._counted, scrolled):
            mine = event.site == question.site and _within(question, event)
            if mine and self._holds(question, question.filters, event):
                yield event

    def _scrolls(self, question: Question, filters: Sequence[Any] | None = None) -> list[Goal]:
        """The scroll goals that a question counts: those that it asks for by name, and those that it lists."""
        tree = question.filters if filters is None else filters
        asked = [
            goal
            for goal in self._goals
            if any(_compared(leaf, goal.name) for leaf in _positive(["and", list(tree)]) if leaf[1] == "event:goal")
        ]
        if filters is None and "event:goal" in question.dimensions:
            asked += [goal for goal in self._goals if self._listed(question, goal.name)]
        return [goal for goal in asked if goal.kind == "scroll"]

    def _groups_of(self, question: Question, event: Event) -> list[Group]:
        values = []
        for name in question.dimensions:
            if name == "event:goal":
                values.append(self._goals_of(question, event))
            elif name.startswith("time:"):
                values.append([_bucket(question, name, event)])
            else:
                values.append([self._value(name, event) or _empty(name)])
        return list(itertools.product(*values))

    def _goals_of(self, question: Question, event: Event) -> list[str]:
        if self._goals:
            reached = [goal.name for goal in self._goals if reaches(goal, event)]
            return [name for name in reached if self._listed(question, name)]
        asked = any(leaf[1] == "event:goal" for leaf in _positive(["and", list(question.filters)]))
        return [self._value("event:goal", event)] if asked or event.name != "pageview" else []

    def _listed(self, question: Question, name: str) -> bool:
        return all(_compared(leaf, name) != negated for leaf, negated in _top(question.filters, "event:goal"))

    def _value(self, name: str, event: Event) -> str:
        match name:
            case "event:goal":
                return f"Visit {event.page}" if event.name == "pageview" else event.name
            case "visit:entry_page":
                return self._entry(event)
            case "visit:engaged":
                return str(_visit_of(event) in self._engaged).lower()
            case "visit:returning":
                visits = {key for key in self._visits if key[:2] == (event.day, event.visitor)}
                return str(len(visits) > 1).lower()
            case "visit:datacenter":
                return str(event.datacenter).lower()
            case "visit:exit_page":
                views = [each for each in self._visits.get(_visit_of(event), ()) if each.name == "pageview"]
                return views[-1].page if views and event.visitor else ""
        column = name.partition(":")[2]
        if column.startswith("props:"):
            return event.props.get(column.removeprefix("props:"), "")
        return str(getattr(event, column))

    def _entered(
        self, question: Question, members: tuple[Group, ...], events: Sequence[Event], selected: Sequence[Event]
    ) -> bool:
        """Whether a visit entered on a page that the filters by page, and the row, ask for."""
        entry = self._entry(events[0])
        for leaf, negated in _top(question.filters, "event:page"):
            if _compared(leaf, entry) == negated:
                return False
        if "event:page" not in question.dimensions:
            return True
        if len(members) > 1 and sum(not name.startswith("time") for name in question.dimensions) > 1:
            # Small groups of pages and something else together: all of their visits count.
            return True
        visit = _visit_of(events[0])
        return entry in {event.page for event in selected if _visit_of(event) == visit}

    def _entry(self, event: Event) -> str:
        """The page of the first pageview of an event's visit."""
        visit = self._visits.get(_visit_of(event), ()) if event.visitor else ()
        return next((each.page for each in visit if each.name == "pageview"), "")

    def _holds(self, question: Question, filters: Sequence[Any], event: Event) -> bool:
        return all(self._holds_one(question, each, event) for each in filters)

    def _holds_one(self, question: Question, tree: Sequence[Any], event: Event) -> bool:
        match tree:
            case ["and", parts]:
                return all(self._holds_one(question, part, event) for part in parts)
            case ["or", parts]:
                return any(self._holds_one(question, part, event) for part in parts)
            case ["not", part]:
                return not self._holds_one(question, part, event)
            case ["has_done", part]:
                return bool(event.visitor) and self._has_done(question, part, event)
            case ["has_not_done", part]:
                return not self._holds_one(question, ["has_done", part], event)
        operator = str(tree[0])
        if operator.endswith("_not"):
            return not self._holds_one(question, [operator.removesuffix("_not"), *tree[1:]], event)
        if tree[1] == "event:goal" and self._goals:
            return any(_compared(tree, goal.name) and reaches(goal, event) for goal in self._goals)
        if tree[1] in ("visit:funnel", "visit:journey"):
            return any(_visit_of(event) in self._among(value) for value in tree[2])
        return _compared(tree, self._value(tree[1], event))

    def _among(self, value: str) -> Collection[VisitKey]:
        if value not in self._members:
            self._members[value] = self._members_of(self, value)
        return self._members[value]

    def _has_done(self, question: Question, part: Sequence[Any], event: Event) -> bool:
        key = _visit_of(event)
        scrolls = self._scrolls(question, [part])
        others = [each for each in self._visits.get(key, ()) if _within(question, each)]
        others += [
            each
            for each in self._engagement
            if _visit_of(each) == key and _within(question, each) and any(reaches(goal, each) for goal in scrolls)
        ]
        return any(self._holds_one(question, part, each) for each in others)


def _protected(question: Question) -> bool:
    """Whether small groups are hidden: filters, two dimensions, or one cut by the clock."""
    values = [name for name in question.dimensions if not name.startswith("time")]
    fine = _by_clock(question) or question.start is not None
    return bool(question.filters) or len(values) > 1 or (bool(values) and fine)


def _by_clock(question: Question) -> bool:
    return bool({"time:hour", "time:minute"} & set(question.dimensions))


def _within(question: Question, event: Event) -> bool:
    if question.start is None or question.end is None:
        return question.first <= event.day <= question.last
    return question.start <= event.ts < question.end


def _stored(group: Group) -> Group:
    """Values as they are stored: empty where there is none."""
    return tuple("" if each in _EMPTY else each for each in group)


def _size(events: Iterable[Event]) -> int:
    """How many people a group may be: its visitors; of anonymous events alone each may be another's."""
    found = list(events)
    return _visitors(found) or len(found)


def _visitors(events: Iterable[Event]) -> int:
    return len({(event.day, event.visitor) for event in events if event.visitor})


def _buyers(events: Iterable[Event]) -> dict[str, int]:
    """How many visitors paid in each currency."""
    paid: dict[str, set[tuple[datetime.date, int]]] = defaultdict(set)
    for event in events:
        if event.currency and event.visitor:
            paid[event.currency].add((event.day, event.visitor))
    return {currency: len(each) for currency, each in paid.items()}


def _visit_of(event: Event) -> VisitKey:
    return event.day, event.visitor, event.visit


def _bounced(events: Sequence[Event]) -> bool:
    """One event, or a first event that was no pageview and one pageview: that is the entry, not a second step."""
    return len(events) == 1 or (len(events) == 2 and [each.name == "pageview" for each in events] == [False, True])


def _pages(events: Iterable[Event]) -> set[str]:
    return {event.page for event in events if event.name == "pageview"}


def _different(events: Iterable[Event]) -> list[Event]:
    return list({id(event): event for event in events}.values())


def _bucket(question: Question, name: str, event: Event) -> str:
    match name:
        case "time:day":
            return str(event.day)
        case "time:week":
            return str(max(event.day - datetime.timedelta(days=event.day.weekday()), question.first))
        case "time:month":
            return str(event.day.replace(day=1))
    return _clock(name, event.ts, question.zone)


def _clock(name: str, ts: int, zone: str) -> str:
    local = datetime.datetime.fromtimestamp(ts, ZoneInfo(zone))
    return local.strftime("%Y-%m-%d %H:00:00" if name == "time:hour" else "%Y-%m-%d %H:%M:00")


def _empty(name: str) -> str:
    if name.startswith("event:props:"):
        return NONE
    return DIRECT if name in _ATTRIBUTED else NOT_SET


def _compared(leaf: Sequence[Any], value: str) -> bool:
    """Whether a value is, contains or matches any of a comparison's, its negation aside. An empty value also is its
    label."""
    operator, name, values = str(leaf[0]).removesuffix("_not"), leaf[1], leaf[2]
    exact = leaf[3]["case_sensitive"] if len(leaf) > 3 else True
    fold: Callable[[str], str] = str if exact else str.lower
    match operator:
        case "is":
            stored = [*values, ""] if _empty(name) in values else values
            return any(fold(each) == fold(value) for each in stored)
        case "contains":
            return any(fold(each) in fold(value) for each in values)
    return any(re.search(each, value, 0 if exact else re.IGNORECASE) for each in values)


def _top(filters: Sequence[Any], name: str) -> Iterator[tuple[Sequence[Any], bool]]:
    """The comparisons of a dimension that must hold, or must not: at the top, under `and`, or there under `not`."""
    for tree in filters:
        match tree:
            case ["and", parts]:
                yield from _top(parts, name)
            case ["not", [_, dimension, *_] as leaf] if dimension == name:
                yield leaf, not str(leaf[0]).endswith("_not")
            case [operator, dimension, *_] if dimension == name:
                yield tree, str(operator).endswith("_not")


def _positive(tree: Sequence[Any], *, negated: bool = False) -> Iterator[Sequence[Any]]:
    """The comparisons of the event itself that speak for it: not those under a `not`, but those under two."""
    match tree:
        case ["and" | "or", parts]:
            for part in parts:
                yield from _positive(part, negated=negated)
        case ["not", part]:
            yield from _positive(part, negated=not negated)
        case ["has_done" | "has_not_done", _]:
            return
        case [operator, *_]:
            if str(operator).endswith("_not") == negated:
                yield tree


def _without_goals(filters: Sequence[Any]) -> list[Any]:
    """The filters without those of goals that must hold, or must not."""
    found: list[Any] = []
    for tree in filters:
        match tree:
            case ["and", parts]:
                inner = _without_goals(parts)
                found += [["and", inner]] if inner else []
            case ["not", [_, "event:goal", *_]] | [_, "event:goal", *_]:
                continue
            case _:
                found.append(tree)
    return found


def reaches(goal: Goal, event: Event) -> bool:
    """Whether an event reaches a goal."""
    if event.name != _GOAL_EVENTS.get(goal.kind, goal.match):
        return False
    if goal.kind == "scroll" and event.scroll < goal.depth:
        return False
    place = event.page
    if goal.kind in ("outbound", "download"):
        link = event.props.get("url", "")
        place = link if "://" in goal.match else link.partition("://")[2] or link
    return goal.kind == "event" or not goal.match or _fits(goal.match, place)


def _fits(pattern: str, text: str) -> bool:
    """One character after the other: `*` takes any of a segment, `**` any at all."""
    if not pattern:
        return not text
    if pattern.startswith("**"):
        return any(_fits(pattern[2:], text[start:]) for start in range(len(text) + 1))
    if pattern.startswith("*"):
        segment = len(text.partition("/")[0])
        return any(_fits(pattern[1:], text[start:]) for start in range(segment + 1))
    return bool(text) and text[0] == pattern[0] and _fits(pattern[1:], text[1:])
