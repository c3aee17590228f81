"""Visits: what belongs together, and sums that need no join."""

from __future__ import annotations

import datetime

from hypothesis import given
from hypothesis import strategies as st

from collector.ingest.event import Event
from collector.ingest.visits import IDLE_SECONDS, Attribution, EventInVisit, VisitTracker

SOURCE = Attribution(source="Google", country="SE")
ANN, BOB = 11, 22


def see(visits: VisitTracker, visitor: int, ts: int, page: str = "", *, interactive: bool = True) -> EventInVisit:
    """What the pipeline does with one counted event: a pageview of `page`, or a custom event."""
    visit = visits.current(visitor, ts)
    if visit is None:
        return visits.begin(visitor, ts, page, SOURCE)
    ends = interactive and (not page or bool(visit.entry_page))
    return visits.extend(visitor, visit, ts, page, ends_bounce=ends)


def sums(parts: list[EventInVisit]) -> tuple[int, int, int]:
    """Visits, bounces and seconds as a query adds them up."""
    return sum(p.visits for p in parts), sum(p.bounces for p in parts), sum(p.seconds for p in parts)


def test_one_page_is_a_bounce() -> None:
    """Visits 1, bounces 1, no duration."""
    assert sums([see(VisitTracker(), ANN, 100, "/")]) == (1, 1, 0)


def test_a_second_page_ends_the_bounce_once() -> None:
    """And adds the time between; a third changes neither visits nor bounces."""
    visits = VisitTracker()
    parts = [see(visits, ANN, ts, page) for ts, page in ((100, "/"), (110, "/a"), (130, "/b"))]
    assert sums(parts) == (1, 0, 30)
    assert {part.visit for part in parts} == {100}
    assert {part.entry_page for part in parts} == {"/"}


def test_an_interactive_event_ends_the_bounce_and_another_does_not() -> None:
    """A video that starts by itself says nothing about the visitor."""
    visits = VisitTracker()
    assert sums([see(visits, ANN, 1, "/"), see(visits, ANN, 5, interactive=False)]) == (1, 1, 4)
    assert sums([see(visits, BOB, 1, "/"), see(visits, BOB, 5)]) == (1, 0, 4)


def test_the_entry_page_is_the_first_pageview() -> None:
    """A custom event before it has none, and the first pageview after it does not end the bounce."""
    visits = VisitTracker()
    parts = [see(visits, ANN, 1), see(visits, ANN, 2, "/landing")]
    assert [part.entry_page for part in parts] == ["", "/landing"]
    assert sums(parts) == (1, 1, 1)


def test_half_an_hour_without_an_event_ends_a_visit() -> None:
    """One second less does not."""
    visits = VisitTracker()
    parts = [see(visits, ANN, ts, "/") for ts in (0, IDLE_SECONDS - 1, 2 * IDLE_SECONDS - 1)]
    assert [part.visits for part in parts] == [1, 0, 1]


def test_engagement_keeps_a_visit_alive_and_counts_for_nothing() -> None:
    """Bounce and duration stay as they are."""
    visits = VisitTracker()
    first = see(visits, ANN, 0, "/")
    visit = visits.current(ANN, 1000)
    assert visit is not None
    engaged = visits.record_engagement(ANN, visit, 1000)
    assert sums([first, engaged]) == (1, 1, 0)
    assert see(visits, ANN, 2000, "/b").visits == 0


def test_the_first_event_says_where_the_visit_came_from() -> None:
    """Later sources are ignored."""
    visits = VisitTracker()
    see(visits, ANN, 0, "/")
    visit = visits.current(ANN, 5)
    assert visit is not None
    assert visits.extend(ANN, visit, 5, "/b", ends_bounce=True).attribution is SOURCE


def test_memory_holds_the_visits_of_half_an_hour() -> None:
    """Older ones are let go."""
    visits = VisitTracker()
    for number in range(1000):
        see(visits, number + 1, number * 10, "/")
    assert len(visits) == IDLE_SECONDS // 10


def test_a_clock_that_steps_back_adds_no_negative_time() -> None:
    """Nor does it split the visit."""
    visits = VisitTracker()
    parts = [see(visits, ANN, 5000, "/"), see(visits, ANN, 1400, "/b"), see(visits, ANN, 1410, "/c")]
    assert sums(parts) == (1, 0, 0)


events = st.lists(
    st.tuples(
        st.sampled_from([ANN, BOB]),
        st.integers(min_value=0, max_value=1300),
        st.sampled_from(["", "", "/", "/a", "/b"]),
        st.booleans(),
    ),
    max_size=40,
)


@given(events, st.integers(min_value=0, max_value=40))
def test_sums_equal_a_recomputation_over_whole_visits_also_across_a_restart(
    seen: list[tuple[int, int, str, bool]], restart: int
) -> None:
    """Whatever comes, in one process or two, the additive numbers are those of the finished visits."""
    # Not the second 0: it is no visit's.
    visits, parts, clock = VisitTracker(), [], 1_000_000
    stored: list[Event] = []
    truth: dict[int, list[list[tuple[int, str, bool]]]] = {}
    for number, (visitor, gap, page, interactive) in enumerate(seen):
        clock += gap
        if number == restart:
            visits = VisitTracker()
            visits.restore(reversed(stored))
        part = see(visits, visitor, clock, page, interactive=interactive)
        parts.append(part)
        stored.append(_event(visitor, clock, page, part))
        own = truth.setdefault(visitor, [])
        if own and clock - own[-1][-1][0] < IDLE_SECONDS:
            own[-1].append((clock, page, interactive))
        else:
            own.append([(clock, page, interactive)])
    finished = [visit for own in truth.values() for visit in own]
    assert sums(parts) == (
        len(finished),
        sum(_bounced(visit) for visit in finished),
        sum(visit[-1][0] - visit[0][0] for visit in finished),
    )


def _bounced(visit: list[tuple[int, str, bool]]) -> bool:
    """A visit is a bounce unless, after its first event, it has a second pageview or an interactive event."""
    pages = 0
    for number, (_, page, interactive) in enumerate(visit):
        if page:
            pages += 1
        if number > 0 and interactive and (not page or pages > 1):
            return False
    return True


def _event(visitor: int, ts: int, page: str, part: EventInVisit) -> Event:
    day = datetime.date(2026, 3, 1)
    return Event(
        site="a.test",
        day=day,
        ts=ts,
        visitor=visitor,
        visit=part.visit,
        name="pageview" if page else "click",
        consent="granted",
        page=page,
        entry_page=part.entry_page,
        visits=part.visits,
        bounces=part.bounces,
        seconds=part.seconds,
        expires=day,
    )
