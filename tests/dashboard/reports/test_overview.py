"""The top of the report: the same number of metrics in every view, comparisons where there is something to compare,
and links from the chart's table into its dates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from collector.storage.client import ClickHouse
from dashboard.reports.chart_metrics import MEASURES, chart_metrics_of
from dashboard.reports.metric_help import HELP
from dashboard.reports.svg import axis, lines
from tests.board import NOON, SITE, Board, opened_board, pageview
from tests.dashboard.test_surfaces import strip
from tests.markup import read

DAY = 86_400


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """A dashboard with one site, its admin signed in."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        opened.add_site(SITE, min_visitors=1)
        opened.sign_in()
        yield opened


@pytest.mark.parametrize(
    "dimensions",
    [(), ("event:page",), ("event:goal",), ("event:page", "event:goal"), ("visit:country", "event:name")],
    ids=str,
)
def test_every_view_has_as_many_metrics(dimensions: tuple[str, ...]) -> None:
    """A filter by a page or a goal puts its metrics in the place of others: with the present they are eight."""
    names = chart_metrics_of(dimensions)
    assert len(set(names)) == len(names) == 7
    assert ("conversion_rate" in names) == ("event:goal" in dimensions)
    assert {"time_on_page", "scroll_depth"} <= set(names) or "event:page" not in dimensions


def test_every_metric_of_the_strip_is_explained(board: Board) -> None:
    """In words that its link names as its description, on the page of every kind of filter."""
    assert set(MEASURES) <= set(HELP)
    assert "added up" in HELP["visitors"]
    board.seed([pageview(1)])
    for query in ("", "?f=is,event:page,/"):
        page = board.page(f"/{SITE}{query}")
        told = {given["id"] for _, given in page.elements if given.get("role") == "tooltip"}
        links = [given for name, given in page.elements if name == "a" and given.get("class") == "figure"]
        assert len(links) == 7
        assert {given["aria-describedby"] for given in links} <= told


def test_without_earlier_data_nothing_is_compared(board: Board) -> None:
    """No dash under a metric, no line in the legend, no column in the table; the dates say why."""
    board.seed([pageview(visitor) for visitor in range(3)])
    text = board.get(f"/{SITE}?period=7d").text
    figures = text.split('<ul class="figures">')[1].split("</ul>")[0]
    assert "–" not in re.sub(r"<[^>]+>", "", figures)
    assert '<li class="before">' not in text
    assert "data-before" not in text
    assert "no data for 7–13 May 2026 to compare with" in read(text).text


def test_with_earlier_data_both_are_shown(board: Board) -> None:
    """The change under the metric, the dates in the legend, and the line of the earlier period."""
    board.seed([*(pageview(visitor) for visitor in range(3)), pageview(9, at=NOON - 7 * DAY)])
    text = board.get(f"/{SITE}?period=7d").text
    assert '<li class="before">7–13 May 2026</li>' in text
    assert "vs. 7–13 May 2026" in read(text).text
    assert 'data-before="1"' in text


def test_the_table_of_the_chart_leads_into_its_dates(board: Board) -> None:
    """A day to its hours, a week to its days; a single day, and what is still to come, to nothing further."""
    board.seed([pageview(1)])
    days = board.page(f"/{SITE}?period=7d")
    assert days.link("Wed 20 May 2026") == f"/{SITE}?period=day&date=2026-05-20"
    weeks = board.page(f"/{SITE}?period=28d&bucket=week")
    assert weeks.link("Week of 4 May 2026") == f"/{SITE}?period=custom&from=2026-05-04&to=2026-05-10"
    hours = board.get(f"/{SITE}?period=day").text
    assert "<a" not in hours.split('<table class="times">')[1].split("</table>")[0]
    assert "data-zoom" not in hours
    assert 'data-zoom="/example.com?period=custom&amp;from=FIRST&amp;to=LAST"' in board.get(f"/{SITE}?period=7d").text


@pytest.mark.parametrize(
    ("most", "top"), [(0, 2), (1, 2), (2, 2), (3, 4), (5, 6), (9, 10), (44, 60), (712, 800), (2_923, 3_000)]
)
def test_an_axis_ends_above_the_highest_value(most: int, top: int) -> None:
    """At an even round number, so that its half is a mark as well."""
    assert axis([most]) == (top, top // 2, 0)


def test_a_line_has_a_gap_where_nothing_is_known() -> None:
    """And nothing of it is above the axis."""
    drawn = lines([1, None, 4, 2], [None, None, None, None])
    assert drawn.line == "M0 150M666.67 0L1000 100"
    assert (drawn.before, drawn.top) == ("", 4)


def test_what_is_not_over_is_drawn_apart() -> None:
    """The step that leads to it, which is broken on paper; a single value has none."""
    drawn = lines([1, 2, 4, None], [None] * 4, running=True)
    assert (drawn.line.count("L"), drawn.running.count("L")) == (1, 1)
    assert lines([1], [None], running=True).running == ""


def test_a_filter_replaces_metrics_on_the_page(board: Board) -> None:
    """The strip of a page has time on page and scroll depth in the place of the metrics of whole visits."""
    board.seed([pageview(visitor) for visitor in range(3)])
    assert {"views_per_visit", "visit_duration"} <= set(strip(board.get(f"/{SITE}").text))
    page = strip(board.get(f"/{SITE}?f=is,event:page,/").text)
    assert {"time_on_page", "scroll_depth"} <= set(page)
    assert not {"views_per_visit", "visit_duration"} & set(page)
