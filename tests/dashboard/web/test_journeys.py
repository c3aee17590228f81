"""Journeys, what is around a page, and returning visitors, as pages of the dashboard show them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from collector.ingest.event import Event
from collector.storage.client import ClickHouse
from tests.board import NOON, SITE, Board, opened_board, pageview
from tests.length import long

SOURCES = 12
EACH = 4
"""Visitors of each source."""


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """A dashboard with one site under default settings, and visits of a day."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        opened.add_site(timezone="UTC")
        opened.add_user("olle", "owner", SITE)
        opened.seed(list(visits()))
        opened.sign_in("olle")
        yield opened


def visits() -> Iterator[Event]:
    """From more sources than a list shows, everybody reads / and then /next; those of the first source come back."""
    for number in range(SOURCES * EACH):
        source = number // EACH
        for begins in (NOON - 7_200, NOON - 600) if source == 0 else (NOON - 600,):
            for place, page in enumerate(("/", "/next")):
                yield pageview(
                    number + 1, page, ts=begins + 60 * place, visit=begins, seq=place + 1, visits=int(not place),
                    entry_page="/", source=f"source-{source:02}.example",
                )  # fmt: skip


def test_around_a_page_shares_are_of_all_its_visits(board: Board) -> None:
    """Also where the list has fewer rows than there are values."""
    text = board.page(f"/{SITE}/journeys/page?page=/next&period=day").text
    all_visits = SOURCES * EACH + EACH
    assert f"{all_visits} visits viewed this page." in text
    assert f"/ {all_visits} 100%" in text, "the page before"
    assert f"Left the site {all_visits} 100%" in text
    # Two visits each of the first source, one each of the next eight that the list has room for.
    assert "source-00.example 8 15%" in text
    assert "source-01.example 4 7.7%" in text
    assert "source-11.example" not in text
    entries = text.partition("Of visits that ended on this page.")[2]
    assert f"/ {all_visits} 100%" in entries


@pytest.mark.parametrize(("turn", "hidden"), [(1, "began on"), (-1, "ended on")])
def test_a_list_around_a_page_is_not_what_another_lacks(board: Board, turn: int, hidden: str) -> None:
    """Visits that began there are among the other pages before it, with one: their number would tell of that one. It
    is the same with those that ended there."""
    ways = [way[::turn] for way in [("/a", "/x", "/b"), *[("/x", "/b")] * 4]]
    board.seed(
        [
            pageview(number, page, visit=NOON, seq=place, visits=int(place == 1), entry_page=way[0])
            for number, way in enumerate(ways, 100)
            for place, page in enumerate(way, 1)
        ]
    )
    text = board.page(f"/{SITE}/journeys/page?page=/x&period=day").text
    assert "5 visits viewed this page." in text
    ends = text.partition(f"Of visits that {hidden} this page.")[2]
    assert ends.strip().startswith("Hidden: it could reveal a group of fewer than 3 visitors")


@pytest.mark.parametrize(
    ("way", "number", "told"),
    [(("/a", "/x", "/b"), 2, False), (("/x", "/b", "/x"), 2, False), (("/a", "/x", "/b"), 3, True), ((), 0, True)],
)
def test_lists_around_a_page_leave_no_few_of_each_other(
    board: Board, way: tuple[str, ...], number: int, told: bool
) -> None:
    """Of all visits less those that began there and those that ended there, two are left that did neither; of those
    that ended there less those that left from there at once, two who came back. Then neither list is told."""
    ways = [*[("/x",)] * 4, *[("/x", "/b")] * 4, *[("/a", "/x")] * 4, *[way] * number]
    board.seed(
        [
            pageview(visitor, page, visit=NOON, seq=place, visits=int(place == 1), entry_page=each[0])
            for visitor, each in enumerate(ways, 100)
            for place, page in enumerate(each, 1)
        ]
    )
    text = board.page(f"/{SITE}/journeys/page?page=/x&period=day").text
    assert f"{12 + number} visits viewed this page." in text
    for kind in ("began on", "ended on"):
        ends = text.partition(f"Of visits that {kind} this page.")[2].strip()
        assert ends.startswith("Hidden: it could reveal a group of fewer than 3 visitors") is not told


def test_sources_around_a_page_are_of_the_visits_that_viewed_it(board: Board) -> None:
    """One more has a custom event alone there: their number less that of all who viewed it would tell of that one."""
    here: dict[str, Any] = {"visit": NOON, "source": "news.example"}
    board.seed([pageview(number, "/x", **here) for number in range(100, 105)])
    board.seed([pageview(105, "/x", name="Download", entry_page="", **here)])
    text = board.page(f"/{SITE}/journeys/page?page=/x&period=day").text
    assert "5 visits viewed this page." in text
    assert "news.example 5 100%" in text.partition("Of visits that viewed this page.")[2]


def test_returning_visitors_that_are_hidden_are_in_no_list(board: Board) -> None:
    """Of five visitors four returned, which would tell that one did not: the rows of the lists add up to four."""
    board.seed(
        [
            pageview(number, "/", begins, visit=begins, source="back.example")
            for number in range(100, 105)
            for begins in (NOON - 7_200, NOON - 600)[number == 104 :]
        ]
    )
    text = board.page(f"/{SITE}/retention?period=day&f=is,visit:source,back.example").text
    assert "Visitors 5 Returning visitors Hidden: fewer than 3 visitors" in text
    for title in ("Sources", "Entry pages"):
        rows = text.partition(f"{title} of returning visitors")[2].strip()
        assert rows.startswith("Hidden: it could reveal a group of fewer than 3 visitors")


def test_returning_visitors_are_those_with_two_visits_a_day(board: Board) -> None:
    """Their number, share and sources; and the filter leads to the same."""
    text = board.page(f"/{SITE}/retention?period=day").text
    assert f"Visitors {SOURCES * EACH} Returning visitors {EACH} Returning rate 8.3%" in text
    assert f"source-00.example {EACH}" in text
    assert "source-01.example" not in text
    filtered = board.page(f"/{SITE}?period=day&f=is,visit:returning,true").text
    assert f"Visitors {EACH}" in filtered


@long
@pytest.mark.parametrize(
    "asked", ["", "&way=backward&columns=3", "&by=section", "&by=section&at=page:/blog/*", "&at=page:/blog&steps=pages"]
)
def test_every_step_filters_the_dashboard_by_as_many_visits(board: Board, asked: str) -> None:
    """The steps that are not named and the end as well: what each leads to says as many visits, or hides them."""
    ways = [("/blog", "/blog/a", "/blog/2026/b")] * 4 + [
        ("/", "/blog/a"),
        ("/blog/a",),
        ("/shop/*", "/shop/b", "/blog"),
    ]
    ways += [(f"/{number}", "/blog", "/next", f"/{number}") for number in range(4)]
    board.seed(
        [
            pageview(number, page, visit=NOON, seq=place, visits=int(place == 1), entry_page=way[0])
            for number, way in enumerate(ways, 100)
            for place, page in enumerate(way, 1)
        ]
    )
    links = board.page(f"/{SITE}/journeys?period=day{asked}").links
    steps = [re.fullmatch(r"(.+) (\d+) visits · .+", link.text) for link in links]
    counted = [(found[1], found[2]) for found in steps if found]
    filters = [link.href for link in links if link.text == "Filter" and "visit:journey" in link.href]
    assert len(counted) == len(filters) > 1
    for (name, visits), href in zip(counted, filters, strict=True):
        dashboard = board.page(href)
        assert f"Visits {visits} " in dashboard.text, (name, href)
        assert "Journey is" in dashboard.text
    kinds = {name for name, _ in counted} & {"Other steps", "Left the site", "Entered the site"}
    assert len(kinds) > ("at" not in asked)


def test_steps_of_several_journeys_narrow_a_view_together(board: Board) -> None:
    """A second one is no alternative: the view has the visits of both."""
    ways = [("/", "/next")] * 3 + [("/", "/b")] * 3 + [("/c", "/next")] * 3
    board.seed(
        [
            pageview(number, page, visit=NOON, seq=place, visits=int(place == 1), entry_page=way[0])
            for number, way in enumerate(ways, 100)
            for place, page in enumerate(way, 1)
        ]
    )
    all_visits = SOURCES * EACH + EACH
    first, second = "&f=is,visit:journey,then1=page:/", "&f=is,visit:journey,then2=page:/next"
    for chips, visits in ((first, all_visits + 6), (second, all_visits + 6), (first + second, all_visits + 3)):
        assert f"Visits {visits} " in board.page(f"/{SITE}?period=day{chips}").text.replace(",", "")


@pytest.mark.parametrize(
    "value", ["", "then1=/a", "then11=end", "at=end", "way=up", "x=page:/a", "then=end", "not0=end"]
)
def test_a_misspelt_journey_is_no_filter(board: Board, value: str) -> None:
    """Its address is refused, as figures without it would be those of another view."""
    assert board.get(f"/{SITE}?period=day&f=is,visit:journey,{value}").status_code == 400


def test_a_journey_names_steps_with_their_visits(board: Board) -> None:
    """And the table and the file say the same."""
    all_visits = SOURCES * EACH + EACH
    text = board.page(f"/{SITE}/journeys?period=day").text
    assert f"{all_visits} visits" in text
    assert f"/next {all_visits} visits · 100%" in text
    file = board.get(f"/{SITE}/journeys.csv?period=day").text
    assert f'"step","2","page:/next","",{all_visits}' in file
    assert f'"link","1","page:/","page:/next",{all_visits}' in file
