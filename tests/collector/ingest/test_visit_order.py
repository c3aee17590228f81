"""Additive columns through the whole pipeline: whatever comes in whatever order, they are those of the finished visits.

Visitors come at the same time, stay over midnight, and send engagement late.
"""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.ingest.context import BeaconRequest, PipelineServices
from collector.ingest.event import Event
from collector.ingest.pipeline import run
from collector.ingest.visits import IDLE_SECONDS, VisitTracker
from tests.collector.ingest.test_pipeline import MIDNIGHT, SITE, arrival, kept, rooms_for

ADDRESSES = ("89.160.20.128", "89.160.20.129", "2001:db8::1")
HOURS = 3


class Act(NamedTuple):
    """What one visitor does `at` a second: `name` on `page`."""

    visitor: int
    at: int
    name: str
    page: str
    interactive: bool = True
    engaged: int = 0


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> PipelineServices:
    """The real rooms, built once; each example has visits of its own."""
    return rooms_for(tmp_path_factory.mktemp("rooms"), SITE)


def acts(longest_gap: int) -> st.SearchStrategy[list[Act]]:
    """Acts of three visitors in order of time, from three hours before midnight on."""
    step = st.tuples(
        st.sampled_from(range(len(ADDRESSES))),
        st.one_of(st.just(0), st.integers(0, longest_gap)),
        st.sampled_from(["pageview", "pageview", "Signup", "autoplay", "engagement"]),
        st.sampled_from(["/", "/a", "/b"]),
        st.integers(1, 9_000),
    )
    return st.lists(step, max_size=40).map(_timed)


def _timed(steps: list[tuple[int, int, str, str, int]]) -> list[Act]:
    at = MIDNIGHT - HOURS * 3600
    timed = []
    for visitor, gap, name, page, engaged in steps:
        at += gap
        quiet = name == "autoplay"
        timed.append(Act(visitor, at, name, page, not quiet, engaged if name == "engagement" else 0))
    return timed


def collect(services: PipelineServices, done: list[Act]) -> list[tuple[Act, Event]]:
    """What the pipeline makes of the acts, one after the other."""
    services = dataclasses.replace(services, visits=VisitTracker())
    return [(act, kept(run(_arrival(act), SITE.domain, services))) for act in done]


def _arrival(act: Act) -> BeaconRequest:
    return arrival(
        f"https://site.test{act.page}",
        at=act.at,
        address=ADDRESSES[act.visitor],
        name=act.name,
        interactive=act.interactive,
        engaged=act.engaged,
    )


def finished(done: list[Act]) -> list[list[Act]]:
    """The visits as somebody would tell them afterwards, without engagement: it keeps a visit alive, nothing more."""
    visits: list[list[Act]] = []
    for visitor in range(len(ADDRESSES)):
        last, own = -IDLE_SECONDS, [act for act in done if act.visitor == visitor]
        for act in own:
            # A visit ends with its day.
            goes_on = act.at - last < IDLE_SECONDS and (act.at < MIDNIGHT) == (last < MIDNIGHT)
            if act.name != "engagement":
                if not goes_on:
                    visits.append([])
                visits[-1].append(act)
            if goes_on or act.name != "engagement":
                last = act.at
    return visits


def bounced(visit: list[Act]) -> bool:
    """A visit is a bounce unless, after its first event, it has a second pageview or an interactive event."""
    pages = 0
    for number, act in enumerate(visit):
        pages += act.name == "pageview"
        if number and act.interactive and (act.name != "pageview" or pages > 1):
            return False
    return True


def sums(events: list[Event]) -> tuple[int, int, int]:
    """Visits, bounces and seconds as a query adds them up."""
    return (
        sum(event.visits for event in events),
        sum(event.bounces for event in events),
        sum(event.seconds for event in events),
    )


@settings(deadline=None)
@given(done=acts(1_900))
def test_sums_are_those_of_the_finished_visits(rooms: PipelineServices, done: list[Act]) -> None:
    """Visits, bounces and seconds, each of one day; time and depth stay with the page that they were sent for."""
    events = [event for _, event in collect(rooms, done)]
    visits = finished(done)
    assert sums(events) == (
        len(visits),
        sum(map(bounced, visits)),
        sum(visit[-1].at - visit[0].at for visit in visits),
    )
    measured: Counter[str] = Counter()
    for event in events:
        measured[event.page] += event.engaged
    assert measured == Counter({page: sum(_of_its_day(act) for act in done if act.page == page) for page in measured})


def _of_its_day(act: Act) -> int:
    """The milliseconds of engagement that lie on the day of the act."""
    return min(act.engaged, 1000 * (act.at - MIDNIGHT)) if act.at >= MIDNIGHT else act.engaged


@settings(deadline=None)
@given(done=acts(300), seed=st.integers(0, 1_000))
def test_the_order_among_visitors_does_not_matter(rooms: PipelineServices, done: list[Act], seed: int) -> None:
    """Beacons of different visitors within the same minute may come in any order: each event is the same."""
    shuffled = _shuffled(done, seed)
    before, after = collect(rooms, done), collect(rooms, shuffled)
    for visitor in range(len(ADDRESSES)):
        assert [event for act, event in before if act.visitor == visitor] == [
            event for act, event in after if act.visitor == visitor
        ]


def _shuffled(done: list[Act], seed: int) -> list[Act]:
    """The acts in another order, in which each visitor's own are in the same and nobody's are a minute late."""
    lots = random.Random(seed)  # noqa: S311 # an order, not a secret
    waiting = {visitor: [act for act in done if act.visitor == visitor] for visitor in range(len(ADDRESSES))}
    order = []
    while any(waiting.values()):
        heads = {visitor: own[0].at for visitor, own in waiting.items() if own}
        soon = [visitor for visitor, at in heads.items() if at < min(heads.values()) + 60]
        order.append(waiting[lots.choice(soon)].pop(0))
    return order


@settings(deadline=None)
@given(done=acts(40), seed=st.integers(0, 1_000))
def test_engagement_may_come_late(rooms: PipelineServices, done: list[Act], seed: int) -> None:
    """It may come after the next page's view, at that time: sums stay, and so does what each page was given."""
    lots = random.Random(seed)  # noqa: S311 # an order, not a secret
    late = list(done)
    for place in range(len(late) - 1):
        first, second = late[place], late[place + 1]
        own = first.visitor == second.visitor and first.name == "engagement" and second.name != "engagement"
        own = own and (first.at < MIDNIGHT) == (second.at < MIDNIGHT)
        begun = any(act.visitor == first.visitor and act.name != "engagement" for act in late[:place])
        if own and begun and lots.random() < 0.7:
            late[place], late[place + 1] = second, first._replace(at=second.at)
    before, after = collect(rooms, done), collect(rooms, late)
    assert sums([event for _, event in before]) == sums([event for _, event in after])
    for page in ("/", "/a", "/b"):
        assert sum(event.engaged for _, event in before if event.page == page) == sum(
            event.engaged for _, event in after if event.page == page
        )
