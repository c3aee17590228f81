"""Filtered pages under default settings, by examples counted by hand: exact, or called hidden."""

from __future__ import annotations

import csv
import datetime
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from clickhouse_connect.driver.client import Client
from starlette.datastructures import QueryParams

from collector.ingest.event import Event
from collector.sites.goals import Goal
from collector.storage.client import ClickHouse
from dashboard.analytics.period import parse_period
from dashboard.reports.panel_queries import query
from dashboard.reports.panels import TABS
from dashboard.reports.view_state import read_choice
from tests.board import NOON, SITE, Board, opened_board, pageview
from tests.dashboard.test_surfaces import is_hidden, strip, table_rows

TODAY = f"/{SITE}?period=day&compare=none"


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """A dashboard with one site of default settings but for a goal, and its admin signed in."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        opened.add_site(SITE, goals=(Goal(name="Saw x", kind="page", match="/x"), Goal(kind="event", match="Buy")))
        opened.sign_in()
        yield opened


def buyer(visitor: int, **columns: Any) -> list[Event]:
    """One who views `/`, views `/x`, and buys on `/x`."""
    later = {"visit": NOON, "entry_page": "/", "visits": 0, **columns}
    return [
        pageview(visitor, "/", seq=1, **columns),
        pageview(visitor, "/x", NOON + 10, bounces=-1, seconds=10, seq=2, **later),
        pageview(visitor, "/x", NOON + 30, name="Buy", bounces=0, seconds=20, seq=3, **later),
    ]


def seed(board: Board, count: int, first: int = 1, **columns: Any) -> None:
    """So many buyers."""
    board.seed([event for number in range(first, first + count) for event in buyer(number, **columns)])
    board.clock.now = NOON + 600


def test_a_page_filter_shows_whole_visits(board: Board) -> None:
    """Six visits of two pages each contain the page: six pageviews of it, and two views per visit."""
    seed(board, 6)
    found = strip(board.get(f"{TODAY}&f=is,event:page,/x").text)
    assert {name: found[name] for name in ("visitors", "visits", "pageviews", "events")} == {
        "visitors": "6", "visits": "6", "pageviews": "6", "events": "12",
    }  # fmt: skip
    assert visit_means(board, "is,event:page,/x") == (2.0, 30)
    assert list(found) == [
        "visitors", "visits", "pageviews", "time_on_page", "bounce_rate", "scroll_depth", "events",
    ]  # fmt: skip


def visit_means(board: Board, *filters: str) -> tuple[Any, ...]:
    """Views per visit and visit duration of today under these filters, which a page filter takes from the strip."""
    state = read_choice(SITE, QueryParams([("period", "day"), *(("f", text) for text in filters)]), TABS)
    period = parse_period("day", "UTC", datetime.datetime.fromtimestamp(board.clock.now, datetime.UTC))
    (result,) = anyio.run(board.dashboard.stats.run, [query(state, period, ("views_per_visit", "visit_duration"))])
    return tuple(result.rows[0].metrics)


def test_a_page_goal_counts_pageviews(board: Board) -> None:
    """Six people saw the page six times; what they bought there is another goal."""
    seed(board, 6)
    rows = {label: cells for panel, _, label, cells in table_rows(board.get(TODAY).text) if panel == "events"}
    assert (rows["Saw x"][:2], rows["Buy"][:2]) == (["6", "6"], ["6", "6"])
    found = strip(board.get(f"{TODAY}&f=is,event:goal,Saw x").text)
    assert (found["visitors"], found["events"], found["conversion_rate"]) == ("6", "6", "100%")
    assert "pageviews" not in found


def test_goal_and_event_filters_keep_every_metric(board: Board) -> None:
    """Visits in which the goal was reached, as a whole; events named pageview are the pageviews."""
    seed(board, 6)
    goal = strip(board.get(f"{TODAY}&f=is,event:goal,Buy").text)
    assert float(goal["views_per_visit"]) == 2
    assert (goal["bounce_rate"].strip("% "), goal["visit_duration"]) == ("0", "30s")
    named = strip(board.get(f"{TODAY}&f=is,event:name,pageview").text)
    assert (named["events"], named["pageviews"]) == ("12", "12")


def test_filters_that_split_the_visitors_keep_views_per_visit(board: Board) -> None:
    """Either browser, and both together, by one page."""
    seed(board, 4, browser="Chrome")
    seed(board, 4, first=50, browser="Firefox")
    for browser in ("is,visit:browser,Chrome", "is_not,visit:browser,Chrome", "contains,visit:browser,r"):
        assert visit_means(board, "is,event:page,/x", browser)[0] == 2, browser


def test_a_site_with_one_visitor_calls_a_filtered_view_hidden(board: Board) -> None:
    """Not zero, and not without anything in this period; the site itself is told exactly."""
    seed(board, 1, country="SE")
    whole = board.get(TODAY).text
    assert (strip(whole)["visitors"], is_hidden(whole)) == ("1", False)
    page = board.get(f"{TODAY}&f=is,visit:country,SE").text
    assert is_hidden(page)
    assert "No data in this period" not in page
    assert "0" not in strip(page).values()
    assert f'href="/{SITE}/settings#min_visitors"' in page


@pytest.mark.parametrize("count", [3, 4, 15, 17, 18])
def test_a_row_that_is_selected_says_what_it_said(board: Board, count: int) -> None:
    """However many visitors it has, beside however many others."""
    seed(board, count, source="Facebook")
    seed(board, 2, first=100, source="Google")
    page = board.get(TODAY).text
    (href, cells) = next((href, cells) for _, href, label, cells in table_rows(page) if label == "Facebook")
    assert cells[0] == str(count)
    assert strip(board.get(href).text)["visitors"] == str(count)
    (hidden,) = [href for _, href, label, _ in table_rows(page) if label == "Google"]
    assert is_hidden(board.get(hidden).text)


@pytest.mark.parametrize("bucket", ["hour", "day"])
def test_no_surface_tells_when_somebody_hidden_came(board: Board, bucket: str) -> None:
    """Of a view of one visitor the intervals in which nobody came are hidden like the one of the visit: in the file of
    the chart, and on the page of returning visitors."""
    board.seed([pageview(number, "/", NOON - 3_600 * number, country="SE") for number in range(1, 9)])
    board.seed([pageview(20, "/treatment", NOON - 7_200, country="JP")])
    dates = "period=day" if bucket == "hour" else "period=7d"
    alone = f"{dates}&compare=none&bucket={bucket}&f=is,visit:country,JP"
    _, *rows = csv.reader(io.StringIO(board.get(f"/{SITE}/chart.csv?{alone}&separator=comma").text))
    assert len(rows) > 5
    assert {cell for _, *cells in rows for cell in cells} == {""}
    retention = board.get(f"/{SITE}/retention?{alone}").text
    assert "<td>0</td>" not in retention
    series = board.get(f"/{SITE}/chart.csv?{dates}&compare=none&bucket={bucket}&separator=comma").text
    assert "0" in {cell for _, *cells in csv.reader(io.StringIO(series)) for cell in cells}


def test_small_groups_together_are_no_more_than_there_are(board: Board) -> None:
    """Twelve people who each viewed a page of their own are twelve, not twice as many."""
    for number in range(1, 13):
        board.seed([pageview(number, f"/{number}", country="SE", browser="Brave")])
    page = board.get(f"{TODAY}&f=is,visit:browser,Brave&f=is,visit:country,SE").text
    assert strip(page)["visitors"] == "12"
    text = re.sub(r"<[^>]*>", " ", page.partition('aria-labelledby="pages-title"')[2].partition("</section>")[0])
    assert re.search(r"Other \(grouped for privacy\)\s+12\s", text)


def test_an_hour_that_is_compared_in_part_is_not_told_as_a_whole(board: Board) -> None:
    """Yesterday one had come within that hour by this time, and four came after. The change is of five visitors, and
    the hours before had four: the one would be what is left."""
    hour, yesterday = 3_600, NOON - 86_400
    times = [*[yesterday - 2 * hour] * 4, yesterday + 600, *[yesterday + 3_000] * 4]
    board.seed([pageview(number, "/", at, country="SE") for number, at in enumerate(times, 1)])
    board.seed([pageview(number, "/", country="SE") for number in range(11, 16)])
    board.clock.now = NOON + 1_800
    text = board.get(f"/{SITE}?period=day&f=is,visit:country,SE").text
    assert "0%" in strip(text)["visitors"] or "unchanged" in text
    # Both are hidden, and with them the hours in which nobody came.
    assert set(re.findall('data-before="([^"]*)"', text)) == {""}
    board.clock.now = NOON + 4_000
    later = board.get(f"/{SITE}?period=day&f=is,visit:country,SE").text
    assert set(re.findall('data-before="([^"]*)"', later)) == {"0", "4", "5", ""}
