"""Small counts: what an attacker with pairs of queries can learn of a group smaller than `min_visitors`."""

from __future__ import annotations

import asyncio
import datetime
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.clickhouse import ClickHouse
from collector.records import Records
from collector.sites import Site, Sites
from dashboard.filters import All, Compare, Filter, Not, is_
from dashboard.period import parse_moments
from dashboard.protect import OTHER, Protection, protection_of, told
from dashboard.query import Query, Result
from dashboard.store import Store
from tests.test_store import MONDAY, NOON, SITE, dates, event, seed

LEAST = 3
Seen = TypeVar("Seen")
COUNTS = ("visitors", "visits", "pageviews", "events")


@pytest.fixture
def guarded(clickhouse: ClickHouse, database: Client) -> Iterator[Store]:  # noqa: ARG001 - the schema must be there
    """A store that protects groups of fewer than three."""
    opened = Store(lambda limits: clickhouse.client(readonly=True, settings=limits), readers=1)
    yield opened
    opened.close()


def ask(store: Store, *metrics: str, **more: Any) -> Result:
    """One query over the Monday."""
    asked: dict[str, Any] = {"site": SITE, "metrics": metrics, "period": dates(MONDAY, MONDAY)} | more
    return asyncio.run(store.run([Query(**asked)]))[0]


def possible(pairs: Iterable[tuple[Seen, int]]) -> dict[Seen, set[int]]:
    """For each thing that is seen, the sizes of the difference that it leaves possible."""
    found: dict[Seen, set[int]] = defaultdict(set)
    for seen, size in pairs:
        found[seen].add(size)
    return found


def is_safe(sizes: set[int], least: int, most: int) -> bool:
    """Whether one who sees this cannot tell a group smaller than `least` by its size: it may be bigger, or any size."""
    return max(sizes) >= least or sizes >= set(range(min(least, most + 1)))


@pytest.mark.parametrize("least", [2, 3, 4, 7])
def test_whole_minus_part_tells_no_small_size(least: int) -> None:
    """The whole is known exactly, the part as it is told: every whole up to 60, every part of it."""
    for whole in range(60):
        for sizes in possible((told(part, whole, least), whole - part) for part in range(whole + 1)).values():
            assert is_safe(sizes, least, whole)


@pytest.mark.parametrize("least", [2, 3, 4, 7])
def test_two_parts_of_a_known_whole_tell_no_small_size(least: int) -> None:
    """Neighbouring filters, one within the other, for one who knows the whole as well."""
    for whole in [*range(50), None]:
        most = 60 if whole is None else whole
        nested = itertools.combinations_with_replacement(range(most + 1), 2)
        seen = possible(((told(part, whole, least), told(more, whole, least)), more - part) for part, more in nested)
        for (_, outer), sizes in seen.items():
            # Without a whole the sizes were cut at 60: what is seen at the edge has more possibilities than these.
            if whole is not None or outer < 60 - 2 * least:
                assert is_safe(sizes, least, most)


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(2, 100))
def test_more_visitors_are_never_told_as_fewer(size: int, more: int, least: int) -> None:
    """A fall would say how the two differ."""
    assert told(size, None, least) <= told(size + more, None, least)
    assert abs(told(size, None, least) - size) <= least


PEOPLE = st.lists(
    st.tuples(st.sampled_from(["SE", "NO"]), st.sampled_from(["Firefox", "Chrome"]), st.integers(1, 4)), max_size=40
)
FILTERS: tuple[Filter, ...] = (
    is_("visit:country", "NO"),
    Not(is_("visit:country", "NO")),
    is_("visit:browser", "Firefox"),
    Compare("contains", "visit:browser", ("r",)),
    All((is_("visit:country", "SE"), is_("visit:browser", "Firefox"))),
    All((is_("visit:country", "SE"), Not(is_("visit:browser", "Firefox")))),
    is_("event:page", "/2"),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PEOPLE)
def test_an_attacker_with_pairs_of_queries_learns_no_small_group(
    database: Client, guarded: Store, people: list[tuple[str, str, int]]
) -> None:
    """Against the database: moving up to two people out of a small group into the rest changes no filtered answer.

    Whoever compares the unfiltered whole with any filtered view, or two filtered views, sees the same whether a group
    smaller than three has none, one or two.
    """
    small = [("NO", "Firefox")] * 2
    crowd = [(country, browser) for country, browser, _ in people if (country, browser) != ("NO", "Firefox")]
    crowd += [("SE", "Firefox"), ("NO", "Chrome")] * 12
    hidden = All((is_("visit:country", "NO"), is_("visit:browser", "Firefox")))
    seen = []
    for size in range(LEAST):
        database.command("TRUNCATE TABLE events")
        town = [*crowd, *small[:size]]
        seed(database, [event(n, "/", country=c, browser=b) for n, (c, b) in enumerate(town, 1)])
        found = ask(guarded, *COUNTS, filters=hidden).rows
        within = ask(guarded, *COUNTS, filters=is_("visit:country", "NO"), dimensions=("visit:browser",)).rows
        seen.append((found, [row for row in within if row.dimensions == ("Firefox",)]))
    assert seen[0] == seen[1] == seen[2]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PEOPLE)
def test_every_count_of_a_filtered_view_is_rounded(
    database: Client, guarded: Store, people: list[tuple[str, str, int]]
) -> None:
    """Multiples of the least, totals and rows alike, and never far from the truth but where that would tell."""
    database.command("TRUNCATE TABLE events")
    seed(database, [
        event(n, f"/{page}", country=country, browser=browser) for n, (country, browser, page) in enumerate(people, 1)
    ] or [event(1, "/")])  # fmt: skip
    for filters in FILTERS:
        total = ask(guarded, *COUNTS, filters=filters).rows[0].metrics
        rows = ask(guarded, *COUNTS, filters=filters, dimensions=("event:page",)).rows
        assert all(count is not None and count % (2 * LEAST) == 0 for count in total)
        assert all(count is not None and count % (2 * LEAST) == 0 for row in rows for count in row.metrics)
        assert all(row.metrics[0] for row in rows)


def test_all_but_a_few_are_told_as_all(database: Client, guarded: Store) -> None:
    """Everyone but one is shown as everyone: the difference to the unfiltered whole is that of rounding alone."""
    seed(database, [event(n, "/", country="NO" if n == 1 else "SE") for n in range(1, 26)])
    everyone = ask(guarded, "visitors").rows[0].metrics
    assert everyone == (25,)
    for filters in (Not(is_("visit:country", "NO")), is_("visit:country", "SE"), is_("event:page", "/")):
        assert ask(guarded, "visitors", filters=filters).rows[0].metrics == (24,)


def test_small_rows_are_folded_into_one(database: Client, guarded: Store) -> None:
    """With their sum, when that is not small itself."""
    visitors = itertools.count(1)
    pages = [("/big", 20), ("/c", 2), ("/d", 2), ("/e", 1), ("/f", 1)]
    events = [event(next(visitors), page, country="SE") for page, many in pages for _ in range(many)]
    seed(database, [*events, *[event(next(visitors), "/big", country="NO") for _ in range(20)]])
    found = ask(guarded, "visitors", filters=is_("visit:country", "SE"), dimensions=("event:page",), total_rows=True)
    assert [(row.dimensions, row.metrics) for row in found.rows] == [(("/big",), (18,)), ((OTHER,), (6,))]
    assert found.total_rows == 2
    unfiltered = ask(guarded, "visitors", dimensions=("event:page",))
    assert [row.metrics[0] for row in unfiltered.rows] == [40, 2, 2, 1, 1]


def test_what_cuts_like_a_filter_is_protected_like_one(database: Client, guarded: Store) -> None:
    """Two dimensions, hours by a dimension, a stretch of time."""
    seed(database, [event(n, "/", n, country="SE", browser="Firefox" if n % 9 else "Rare") for n in range(1, 12)])
    two = ask(guarded, "visitors", dimensions=("visit:country", "visit:browser"))
    assert [row.dimensions for row in two.rows] == [("SE", "Firefox")]
    hours = ask(guarded, "visitors", dimensions=("time:hour", "visit:browser"))
    assert [row.dimensions[1] for row in hours.rows] == ["Firefox"]
    assert ask(guarded, "visitors", dimensions=("time:hour",)).rows[0].metrics == (11,)
    first = datetime.datetime.fromtimestamp(NOON, datetime.UTC)
    for seconds, visitors in ((2, 0), (11, 12)):
        stretch = parse_moments(first, first + datetime.timedelta(seconds=seconds), "UTC")
        assert ask(guarded, "visitors", period=stretch).rows[0].metrics == (visitors,)


@pytest.mark.parametrize(("protection", "visitors"), [(Protection(1), 7), (Protection(3), 6), (Protection(3, True), 6)])
def test_a_site_chooses(clickhouse: ClickHouse, database: Client, protection: Protection, visitors: int) -> None:
    """A least of one turns protection off; the strict form covers unfiltered views as well."""
    seed(database, [event(n, "/", country="SE" if n < 8 else "NO") for n in range(1, 26)])
    opened = Store(lambda limits: clickhouse.client(readonly=True, settings=limits), protection=lambda _: protection)
    assert ask(opened, "visitors", filters=is_("visit:country", "SE")).rows[0].metrics == (visitors,)
    everyone = ask(opened, "visitors").rows[0].metrics
    assert everyone == ((24,) if protection.strict else (25,))
    opened.close()


def test_the_strict_form_hides_small_groups_in_unfiltered_views(clickhouse: ClickHouse, database: Client) -> None:
    """A setting of the site: by one dimension, by date and in total, none, one or two people look the same."""
    sites = Sites(Records(database, "sites", Site))
    asyncio.run(sites.add(Site(domain=SITE, strict=True)))
    opened = Store(lambda limits: clickhouse.client(readonly=True, settings=limits), protection=protection_of(sites))
    seen = []
    for size in range(LEAST):
        database.command("TRUNCATE TABLE events")
        seed(database, [event(n, "/", country="NO" if n <= size else "SE") for n in range(1, 26)])
        dimensions = ((), ("visit:country",), ("event:page",), ("time:day",), ("time:day", "visit:country"))
        seen.append([ask(opened, *COUNTS, dimensions=each).rows for each in dimensions])
    opened.close()
    assert seen[0] == seen[1] == seen[2]
    assert seen[0][0][0].metrics == (24, 24, 24, 24)
    assert [row.dimensions for row in seen[0][1]] == [("SE",)]


def test_rates_are_made_of_what_is_told(database: Client, guarded: Store) -> None:
    """A rate of exact counts would tell them."""
    seed(
        database,
        [event(n, "/", country="SE", bounces=n % 3 == 0) for n in range(1, 11)]
        + [event(n, "/") for n in range(11, 40)],
    )
    found = ask(
        guarded,
        "bounce_rate",
        "views_per_visit",
        "percentage",
        filters=is_("visit:country", "SE"),
        dimensions=("visit:browser",),
    )
    assert [row.metrics for row in found.rows] == [(50, 1.0, 100.0)]
