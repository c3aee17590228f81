"""A model of what the statistics mean, in plain Python over lists of events; and a maker of random events.

It knows nothing of SQL: groups are sets, sums are sums. docs/metrics.md says the same in words.
"""

from __future__ import annotations

import datetime
import itertools
import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from collector.event import Event
from collector.goals import Goal
from dashboard.dimensions import DIMENSIONS, find_dimension
from dashboard.filters import All, Compare, Done, Either, Filter, Not, direct_leaves, positive_leaves, without
from dashboard.query import Query

SITE = "example.com"
ZONE = "Europe/Stockholm"
FIRST = datetime.date(2026, 10, 20)
"""The autumn change of clocks, on 25 October, is among the dates."""

Group = tuple[str, ...]
VisitKey = tuple[datetime.date, int, int]
Readings = dict[VisitKey, list[Event]]

_CHOICES: dict[str, tuple[str, ...]] = {
    "source": ("", "Google", "Bing", "news.example"),
    "channel": ("", "Organic Search", "Referral"),
    "referrer": ("", "google.com", "news.example/a"),
    "utm_source": ("", "mail"),
    "utm_medium": ("", "", "cpc"),
    "utm_campaign": ("", "spring", "Spring"),
    "utm_content": ("", "a"),
    "utm_term": ("", "b"),
    "click_id": ("", "(gclid)"),
    "country": ("", "SE", "NO", "DE"),
    "browser": ("Firefox", "Chrome"),
    "browser_version": ("120", "121"),
    "os": ("Windows", "Linux", "iOS"),
    "os_version": ("", "11"),
    "device": ("desktop", "mobile", ""),
    "size": ("xs", "xl", ""),
    "consent": ("granted", "tcf"),
}
PAGES = ("/", "/a", "/b", "/b/c", "/Ö")
EVENTS = ("Signup", "Download")


def random_events(seed: int, days: int, visitors: int) -> list[Event]:
    """So many visitors each day, with visits at any hour: some cross midnight, some begin with a custom event."""
    chance = random.Random(seed)  # noqa: S311 - a made-up town
    found: list[Event] = []
    for number in range(days):
        day = FIRST + datetime.timedelta(days=number)
        for _ in range(visitors):
            for _ in range(chance.choice((1, 1, 2))):
                found += _visit(chance, day)
        found += [_anonymous(chance, day) for _ in range(visitors // 3)]
    return found


def _visit(chance: random.Random, day: datetime.date) -> Iterator[Event]:
    ts = _moment(chance, day)
    visit, visitor, entry, bouncing, counted = ts, chance.randrange(1, 2**64), "", True, ts
    ids: dict[datetime.date, int] = {}
    attributes = {name: chance.choice(values) for name, values in _CHOICES.items()}
    for number in range(chance.choice((1, 1, 2, 3, 5))):
        if number:
            ts += chance.randrange(0, 1800)
        name = chance.choice(("pageview", "pageview", "pageview", *EVENTS, *(("engagement",) if number else ())))
        page = chance.choice(PAGES)
        local = datetime.datetime.fromtimestamp(ts, ZoneInfo(ZONE)).date()
        made = _event(ts, ids.setdefault(local, visitor if not ids else chance.randrange(1, 2**64)), visit, name, page)
        if name == "pageview" and not entry:
            entry = page
        changes: dict[str, Any] = {"entry_page": entry}
        if number == 0:
            changes |= {"visits": 1, "bounces": 1}
        elif name != "engagement":
            changes |= {"seconds": ts - counted, "bounces": -1 if bouncing else 0}
            bouncing = False
        if name == "engagement":
            changes |= {"engaged": chance.randrange(0, 60_000), "scroll": chance.randrange(0, 101)}
        else:
            counted = ts
        if name in EVENTS:
            changes["props"] = chance.choice(({}, {"plan": "pro"}, {"plan": "free", "x": "1"}))
            changes["currency"] = "SEK" if name == "Signup" else chance.choice(("", "EUR", "USD"))
            changes["revenue"] = Decimal(chance.randrange(50_000) if changes["currency"] else 0) / 1000
        yield msgspec.structs.replace(made, **attributes, **changes)


def _anonymous(chance: random.Random, day: datetime.date) -> Event:
    event = _event(_moment(chance, day), 0, 0, "pageview", chance.choice(PAGES))
    return msgspec.structs.replace(event, consent="none", device="mobile")


def _moment(chance: random.Random, day: datetime.date) -> int:
    midnight = datetime.datetime.combine(day, datetime.time(), ZoneInfo(ZONE))
    return int(midnight.timestamp()) + chance.randrange(0, 86_400)


def _event(ts: int, visitor: int, visit: int, name: str, page: str) -> Event:
    return Event(
        site=SITE, day=datetime.datetime.fromtimestamp(ts, ZoneInfo(ZONE)).date(), ts=ts, visitor=visitor, visit=visit,
        name=name, consent="granted", hostname="example.com" if ts % 3 else "shop.example.com", page=page,
        expires=datetime.date(2100, 1, 1),
    )  # fmt: skip


class Model:
    """Answers queries over a list of events."""

    def __init__(self, events: Iterable[Event], goals: Iterable[Goal] = ()) -> None:
        """`goals` are the site's own; without any, every custom event is one."""
        self._events = list(events)
        self._goals = list(goals)
        self._exits: dict[VisitKey, str] = {}
        self._done: dict[Filter, set[VisitKey]] = {}
        last: dict[VisitKey, tuple[int, bytes]] = {}
        for event in self._events:
            if event.name == "pageview" and event.visitor:
                place = (event.ts, event.page.encode())
                if place >= last.get(_visit_of(event), (-1, b"")):
                    last[_visit_of(event)] = place
                    self._exits[_visit_of(event)] = event.page

    def rows(self, query: Query) -> dict[Group, tuple[int | float | None, ...]]:
        """Every group of the query, with its metrics."""
        self._done.clear()
        everyone = [event for event in self._of(query) if event.name != "engagement"]
        mine = self._groups_of(query)
        visits = self._visit_rows(query, mine, everyone)
        readings = self._readings(query) if "time_on_page" in query.metrics else {}
        wholes = self._wholes(query)
        return {
            group: tuple(
                self._rate(query, wholes[name], group, events)
                if name in wholes
                else self._metric(query, name, events, visits.get(group, []), readings.get(group, {}))
                for name in query.metrics
            )
            for group, events in mine.items()
        }

    def _groups_of(self, query: Query) -> dict[Group, list[Event]]:
        """The selected events of each group; an event may be in several."""
        found: dict[Group, list[Event]] = {} if query.dimensions else {(): []}
        shown = "event:goal" in query.dimensions
        for event in self._of(query):
            if self._counts(query.filters, event, shown=shown) and self._holds(query, query.filters, event):
                for group in self._groups(query, event):
                    found.setdefault(group, []).append(event)
        return found

    def _counts(self, tree: Filter | None, event: Event, *, shown: bool = False) -> bool:
        """Whether a row is an event, or a scroll that is asked for: by a goal that is shown, or one in the filter."""
        if event.name != "engagement":
            return True
        asked = [goal for leaf in positive_leaves(tree) for goal in self._goals if _compared_name(leaf, goal.name)]
        listed = [goal for goal in self._goals if shown and _listed(tree, goal.name)]
        return any(goal.kind == "scroll" and _reaches(goal, event) for goal in (*asked, *listed))

    def _wholes(self, query: Query) -> dict[str, tuple[Query, dict[Group, list[Event]]]]:
        """For each rate the query that it divides by, and that one's groups."""
        without_goals = replace(query, filters=without(query.filters, "event:goal"))
        others = tuple(name for name in query.dimensions if name != "event:goal")
        wholes = {
            "percentage": replace(query, dimensions=()),
            "conversion_rate": replace(without_goals, dimensions=()),
            "group_conversion_rate": replace(without_goals, dimensions=others),
        }
        return {name: (whole, self._groups_of(whole)) for name, whole in wholes.items() if name in query.metrics}

    def _rate(
        self, query: Query, whole: tuple[Query, dict[Group, list[Event]]], group: Group, mine: list[Event]
    ) -> float | None:
        """Visitors of a group in percent of those of the whole that it belongs to."""
        asked, groups = whole
        kept = tuple(v for name, v in zip(query.dimensions, group, strict=True) if name in asked.dimensions)
        bottom = _visitors(groups.get(kept, []))
        return round(100 * _visitors(mine) / bottom, 1) if bottom else None

    def _of(self, query: Query) -> Iterator[Event]:
        period = query.period
        for event in self._events:
            within = period.start is None or period.start <= event.ts < (period.end or 0)
            if event.site == query.site and period.first <= event.day <= period.last and within:
                yield event

    def _metric(
        self, query: Query, name: str, mine: list[Event], rows: list[Event], readings: Readings
    ) -> int | float | None:
        """One metric from a group's events, the events of its visits, and what was read by them."""
        visits = sum(event.visits for event in rows)
        match name:
            case "visitors":
                return _visitors(mine)
            case "visits":
                return len({_visit_of(event) for event in mine if event.visitor}) if _eventful(query) else visits
            case "pageviews":
                return sum(event.name == "pageview" for event in mine)
            case "events":
                scrolls = {(*_visit_of(event), event.page) for event in mine if event.name == "engagement"}
                return sum(event.name != "engagement" for event in mine) + len(scrolls)
            case "views_per_visit":
                views = sum(event.name == "pageview" and event.visitor != 0 for event in rows)
                return round(views / visits, 2) if visits else 0
            case "visit_duration":
                return round(sum(event.seconds for event in rows) / visits) if visits else 0
            case "bounce_rate":
                landed = [event for event in rows if self._landed(query.filters, event)]
                landings = sum(event.visits for event in landed)
                return round(max(0, 100 * sum(event.bounces for event in landed) / landings)) if landings else 0
            case "total_revenue" | "average_revenue":
                sales = [event for event in mine if event.currency]
                if len({event.currency for event in sales}) != 1:
                    return None
                total = sum(int(event.revenue * 1000) for event in sales)
                return round(0.001 * total / (len(sales) if name == "average_revenue" else 1), 3)
            case "time_on_page":
                engaged = sum(event.engaged for each in readings.values() for event in each)
                return round(0.001 * engaged / len(readings)) if readings else None
            case "scroll_depth":
                deepest = sum(max(event.scroll for event in each) for each in readings.values())
                return round(deepest / len(readings)) if readings else None
        raise AssertionError(name)

    def _visit_rows(
        self, query: Query, mine: dict[Group, list[Event]], everyone: list[Event]
    ) -> dict[Group, list[Event]]:
        """The events whose additive numbers are each group's: of whole visits, by what these visits are."""
        steps = {query.period.bucket if name == "time" else name.removeprefix("time:") for name in query.dimensions}
        if not _eventful(query) and not steps & {"hour", "minute"}:
            return mine
        # Which own values a visit has: those of its selected events.
        values: dict[VisitKey, set[Group]] = {}
        for group, events in mine.items():
            for event in events:
                if event.visitor:
                    values.setdefault(_visit_of(event), set()).add(group)
        found: dict[Group, list[Event]] = {}
        for event in everyone:
            for group in {self._visit_group(query, event, own) for own in values.get(_visit_of(event), ())}:
                found.setdefault(group, []).append(event)
        return found

    def _readings(self, query: Query) -> dict[Group, Readings]:
        """Engagement by group and visit."""
        found: dict[Group, Readings] = {}
        for event in self._of(query):
            if event.name == "engagement" and event.visitor and self._holds(query, query.filters, event):
                for group in self._groups(query, event):
                    found.setdefault(group, {}).setdefault(_visit_of(event), []).append(event)
        return found

    def _visit_group(self, query: Query, event: Event, own: Group) -> Group:
        """The group that an event's visit is in, given the values of one of its selected events."""
        found = []
        for name, value in zip(query.dimensions, own, strict=True):
            dimension = find_dimension(f"time:{query.period.bucket}" if name == "time" else name)
            if name == "event:page":
                found.append(dimension.label(event.entry_page))
            elif dimension.column in ("hour", "minute"):
                begins = max(event.visit, query.period.bounds()[0])
                found.append(self._time(query, dimension.column, msgspec.structs.replace(event, ts=begins)))
            elif dimension.level == "event":
                found.append(value)
            else:
                found.append(self._value(query, name, event))
        return tuple(found)

    def _landed(self, tree: Filter | None, event: Event) -> bool:
        """Whether the visit entered on a page that the filter, where it must hold, asks for."""
        match tree:
            case Compare(dimension="event:page") as leaf:
                return _compared(leaf, event.entry_page)
            case Not(Compare(dimension="event:page") as leaf):
                return not _compared(leaf, event.entry_page)
            case All(parts):
                return all(self._landed(part, event) for part in parts)
        return True

    def _holds(self, query: Query, tree: Filter | None, event: Event) -> bool:
        match tree:
            case None:
                return True
            case Compare(dimension="event:goal") if self._goals:
                return any(_compared_name(tree, goal.name) and _reaches(goal, event) for goal in self._goals)
            case Compare():
                return _compared(tree, self._raw(tree.dimension, event))
            case All(parts):
                return all(self._holds(query, part, event) for part in parts)
            case Either(parts):
                return any(self._holds(query, part, event) for part in parts)
            case Not(part):
                return not self._holds(query, part, event)
            case Done(part):
                return _visit_of(event) in self._visits_with(query, part)

    def _visits_with(self, query: Query, tree: Filter) -> set[VisitKey]:
        if tree not in self._done:
            self._done[tree] = {
                _visit_of(event)
                for event in self._of(query)
                if event.visitor and self._counts(tree, event) and self._holds(query, tree, event)
            }
        return self._done[tree]

    def _groups(self, query: Query, event: Event) -> Iterator[Group]:
        """Every group of the query that the event is in."""
        values = [
            self._goals_of(query, event) if name == "event:goal" else [self._value(query, name, event)]
            for name in query.dimensions
        ]
        return itertools.product(*values)

    def _goals_of(self, query: Query, event: Event) -> list[str]:
        """The goals that an event counts in. A site without its own has custom events, and pages that are asked for."""
        if self._goals:
            reached = [goal.name for goal in self._goals if _reaches(goal, event)]
            return [name for name in reached if _listed(query.filters, name)]
        asked = any(leaf.dimension == "event:goal" for leaf in positive_leaves(query.filters))
        return [self._value(query, "event:goal", event)] if asked or event.name != "pageview" else []

    def _value(self, query: Query, name: str, event: Event) -> str:
        dimension = find_dimension(f"time:{query.period.bucket}" if name == "time" else name)
        if dimension.level == "time":
            return self._time(query, dimension.column, event)
        return dimension.label(self._raw(name, event))

    def _raw(self, name: str, event: Event) -> str:
        if name == "event:goal":
            return f"Visit {event.page}" if event.name == "pageview" else event.name
        if name == "visit:exit_page":
            return self._exits.get(_visit_of(event), "") if event.visitor else ""
        if name.startswith("event:props:"):
            return event.props.get(name.removeprefix("event:props:"), "")
        return str(getattr(event, DIMENSIONS[name].column))

    def _time(self, query: Query, step: str, event: Event) -> str:
        local = datetime.datetime.fromtimestamp(event.ts, ZoneInfo(query.period.zone))
        match step:
            case "minute":
                return local.strftime("%Y-%m-%d %H:%M:00")
            case "hour":
                return local.strftime("%Y-%m-%d %H:00:00")
            case "week":
                return str(max(event.day - datetime.timedelta(days=event.day.weekday()), query.period.first))
            case "month":
                return str(event.day.replace(day=1))
        return str(event.day)


def _reaches(goal: Goal, event: Event) -> bool:
    """Whether an event reaches a goal."""
    names = {
        "page": "pageview", "scroll": "engagement", "event": goal.match, "outbound": "Outbound Link: Click",
        "download": "File Download", "form": "Form: Submission", "404": "404",
    }  # fmt: skip
    if event.name != names[goal.kind] or (goal.kind == "scroll" and event.scroll < goal.depth):
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
        most = len(text.partition("/")[0])
        return any(_fits(pattern[1:], text[start:]) for start in range(most + 1))
    return bool(text) and text[0] == pattern[0] and _fits(pattern[1:], text[1:])


def _compared_name(leaf: Compare, name: str) -> bool:
    return leaf.dimension == "event:goal" and _compared(leaf, name)


def _listed(tree: Filter | None, name: str) -> bool:
    """Whether what the filter says of goals, where it must hold, leaves this one."""
    match tree:
        case Compare(dimension="event:goal"):
            return _compared(tree, name)
        case Not(Compare(dimension="event:goal") as leaf):
            return not _compared(leaf, name)
        case All(parts):
            return all(_listed(part, name) for part in parts)
    return True


def _compared(leaf: Compare, value: str) -> bool:
    values: tuple[str, ...] = tuple(find_dimension(leaf.dimension).stored(leaf.values))
    fold: Callable[[str], str] = str if leaf.case_sensitive else str.lower
    match leaf.operator:
        case "is":
            return any(fold(each) == fold(value) for each in values)
        case "contains":
            return any(fold(each) in fold(value) for each in leaf.values)
        case "matches":
            return any(re.search(each, value) for each in leaf.values)


def _visitors(events: Iterable[Event]) -> int:
    return len({(event.day, event.visitor) for event in events if event.visitor})


def _visit_of(event: Event) -> VisitKey:
    return event.day, event.visitor, event.visit


def _filtered(query: Query) -> set[str]:
    return {leaf.dimension for leaf in direct_leaves(query.filters)}


def _eventful(query: Query) -> bool:
    return any(name.startswith("event:") for name in (*query.dimensions, *_filtered(query)))
