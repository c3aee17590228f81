"""The chart's room: which dates and steps there are, what is compared, notes on dates, and the numbers as a file."""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from clickhouse_connect.driver.client import Client

from collector.core.errors import RecordError
from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from dashboard.reports.annotations import Annotation, Annotations
from dashboard.reports.date_range import DateRangeParams, offered, read_dates
from dashboard.reports.time_buckets import time_buckets
from tests.board import NOON, SITE, Board, opened_board, pageview

D = datetime.date
NOW = datetime.datetime(2026, 5, 20, 12, tzinfo=datetime.UTC)
DAY = 86_400


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """A dashboard with one site, and its admin signed in."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        opened.add_site(SITE, min_visitors=1)
        opened.sign_in()
        yield opened


def dates(began: D | None = None, **span: str) -> tuple[D, D]:
    period = read_dates(DateRangeParams(**span), "UTC", NOW, began).period  # type: ignore[arg-type]
    return period.first, period.last


@pytest.mark.parametrize(
    ("period", "date", "first", "last"),
    [
        ("day", "2026-05-01", D(2026, 5, 1), D(2026, 5, 1)),
        ("day", "2030-01-01", D(2026, 5, 20), D(2026, 5, 20)),
        ("7d", "2026-05-10", D(2026, 5, 4), D(2026, 5, 10)),
        ("month", "2026-02-28", D(2026, 2, 1), D(2026, 2, 28)),
        ("last_month", "", D(2026, 4, 1), D(2026, 4, 30)),
        ("year", "2025-12-31", D(2025, 1, 1), D(2025, 12, 31)),
        ("12mo", "", D(2025, 6, 1), D(2026, 5, 20)),
    ],
)
def test_periods_count_back_from_any_date(period: str, date: str, first: D, last: D) -> None:
    """A date in the address stands for today, unless it is still to come."""
    assert dates(period=period, date=date) == (first, last)


def test_a_date_that_cannot_be_read_is_reported() -> None:
    """The page shows its usual dates, and says what was expected."""
    found = read_dates(DateRangeParams(period="month", date="nonsense"), "UTC", NOW, None)
    assert (found.period.first, found.period.last) == dates()
    assert "2026-01-31" in found.problem


def test_all_time_begins_with_the_first_event() -> None:
    """Without any event it is today."""
    assert dates(period="all", began=D(2024, 3, 7)) == (D(2024, 3, 7), D(2026, 5, 20))
    assert dates(period="all") == (D(2026, 5, 20), D(2026, 5, 20))


@pytest.mark.parametrize(
    ("period", "back"),
    [
        ("day", (D(2026, 5, 19), D(2026, 5, 19))),
        ("yesterday", (D(2026, 5, 18), D(2026, 5, 18))),
        ("30d", (D(2026, 3, 22), D(2026, 4, 20))),
        ("month", (D(2026, 4, 1), D(2026, 4, 30))),
        ("last_month", (D(2026, 3, 1), D(2026, 3, 31))),
        ("year", (D(2025, 1, 1), D(2025, 12, 31))),
        ("12mo", (D(2024, 6, 1), D(2025, 5, 31))),
    ],
)
def test_steps_lead_back_and_forward_again(period: str, back: tuple[D, D]) -> None:
    """One step back is the stretch before; the step forward from there ends where it began, and not after today."""
    here = read_dates(DateRangeParams(period=period), "UTC", NOW, None)
    assert here.earlier is not None
    before = read_dates(here.earlier, "UTC", NOW, None)
    assert (before.period.first, before.period.last) == back
    assert before.later is not None
    again = read_dates(before.later, "UTC", NOW, None)
    assert (again.period.first, again.period.last) == (here.period.first, here.period.last)
    assert (here.later is None) == (here.period.last >= NOW.date())


def test_custom_dates_step_by_their_own_length() -> None:
    """Ten days back, ten days forward."""
    here = read_dates(DateRangeParams(period="custom", first="2026-04-11", last="2026-04-20"), "UTC", NOW, None)
    assert here.earlier == DateRangeParams(period="custom", first="2026-04-01", last="2026-04-10")
    assert here.later == DateRangeParams(period="custom", first="2026-04-21", last="2026-04-30")


@pytest.mark.parametrize(
    ("span", "steps"),
    [
        (DateRangeParams(period="day"), ("hour",)),
        (DateRangeParams(period="7d"), ("hour", "day")),
        (DateRangeParams(period="30d"), ("day", "week")),
        (DateRangeParams(period="91d"), ("day", "week", "month")),
        (DateRangeParams(period="12mo"), ("day", "week", "month")),
        (DateRangeParams(period="custom", first="2019-01-01", last="2026-01-01"), ("week", "month")),
    ],
)
def test_only_steps_that_make_sense_are_offered(span: DateRangeParams, steps: tuple[str, ...]) -> None:
    """No chart of thousands of points, and none of a single one where there could be more."""
    period = read_dates(span, "UTC", NOW, None).period
    assert offered(period) == steps
    assert period.bucket in steps


def test_a_step_that_is_not_offered_is_not_taken() -> None:
    """The address may ask for hours of a year: it gets what fits."""
    assert read_dates(DateRangeParams(period="12mo", bucket="hour"), "UTC", NOW, None).period.bucket == "month"
    assert read_dates(DateRangeParams(period="12mo", bucket="week"), "UTC", NOW, None).period.bucket == "week"


@pytest.mark.parametrize(
    ("span", "first", "last"),
    [
        (DateRangeParams(period="7d"), D(2026, 5, 7), D(2026, 5, 13)),
        (DateRangeParams(period="7d", compare="year"), D(2025, 5, 14), D(2025, 5, 20)),
        # 14 May 2026 is a Thursday; so is 15 May 2025.
        (DateRangeParams(period="7d", compare="year", weekday=True), D(2025, 5, 15), D(2025, 5, 21)),
        # The nearest move would reach two dates into the period.
        (DateRangeParams(period="30d", weekday=True), D(2026, 3, 17), D(2026, 4, 15)),
        (
            DateRangeParams(period="7d", compare="custom", compare_first="2026-01-09", compare_last="2026-01-01"),
            D(2026, 1, 1),
            D(2026, 1, 9),
        ),
    ],
)
def test_what_is_compared(span: DateRangeParams, first: D, last: D) -> None:
    """The period before, the same dates a year earlier, or others; on the same days of the week where asked for."""
    before = read_dates(span, "UTC", NOW, None).before
    assert before is not None
    assert (before.first, before.last) == (first, last)


def test_dates_that_overlap_are_not_compared() -> None:
    """In a filtered view their difference would tell of a day that is hidden."""
    week = DateRangeParams(period="custom", first="2026-01-01", last="2026-01-07", compare="custom")
    for first, last in (("2026-01-01", "2026-01-08"), ("2026-01-07", "2026-01-07"), ("2025-12-01", "2026-02-01")):
        assert read_dates(replace(week, compare_first=first, compare_last=last), "UTC", NOW, None).problem
    beside = read_dates(replace(week, compare_first="2026-01-08", compare_last="2026-01-09"), "UTC", NOW, None)
    assert beside.before is not None
    long = DateRangeParams(period="custom", first="2025-01-01", last="2026-01-01", compare="year")
    assert read_dates(long, "UTC", NOW, None).before is None


def test_nothing_is_compared_where_that_is_asked_for() -> None:
    """Nor is all time, which has nothing before it."""
    assert read_dates(DateRangeParams(compare="none"), "UTC", NOW, None).before is None
    assert read_dates(DateRangeParams(period="all"), "UTC", NOW, D(2026, 1, 1)).before is None


def test_weeks_and_months_that_the_dates_cut_are_known() -> None:
    """A range that begins and ends within weeks has two that are not whole; today's bucket is not over."""
    span = DateRangeParams(period="custom", first="2026-05-06", last="2026-05-24", bucket="week")
    weeks = time_buckets(read_dates(span, "UTC", NOW, None).period, NOW.timestamp())
    assert [(each.key, each.cut, each.running) for each in weeks] == [
        ("2026-05-06", True, False), ("2026-05-11", False, False), ("2026-05-18", False, True),
    ]  # fmt: skip
    year = read_dates(DateRangeParams(period="12mo"), "UTC", NOW, None).period
    assert [each.cut for each in time_buckets(year, NOW.timestamp())] == [False] * 11 + [True]


def test_any_metric_is_drawn(board: Board) -> None:
    """Each metric of the view fills the table; those that need a page or a goal are there with it."""
    board.seed([pageview(1, "/a"), pageview(2, "/b", at=NOON - DAY)])
    plain = board.page(f"/{SITE}?period=7d")
    for title in ("Views per visit", "Events", "Bounce rate"):
        assert f"{title}" in plain.text
    assert "Time on page" not in plain.text
    paged = board.page(f"/{SITE}?period=7d&f=is,event:page,/a&metric=time_on_page")
    assert [name for name in paged.tables if name.startswith("Time on page,")]
    assert [name for name in board.page(f"/{SITE}?metric=time_on_page").tables if name.startswith("Visitors,")]


def test_the_chart_changes_its_steps_and_comparison(board: Board) -> None:
    """By week there are as many rows as weeks; without comparison there is no column for it, and no change."""
    board.seed([pageview(1), pageview(2, at=NOON - 8 * DAY)])
    rows = board.page(f"/{SITE}?period=30d&bucket=week").tables["Visitors, 21 Apr – 20 May 2026, by week"]
    assert [row[0] for row in rows][:2] == ["Week of 21 Apr 2026 in part", "Week of 27 Apr 2026"]
    assert sum(int(row[1]) for row in rows) == 2
    alone = board.page(f"/{SITE}?period=7d&compare=none").tables["Visitors, 14–20 May 2026, by day"]
    assert {len(row) for row in alone} == {2}
    before = board.page(f"/{SITE}?period=7d").tables["Visitors, 14–20 May 2026, by day"]
    assert [row[2] for row in before] == ["0", "0", "0", "0", "0", "1", "0"]


def test_the_numbers_are_a_file(board: Board) -> None:
    """Every bucket up to now with every metric, and those of the comparison beside them."""
    board.seed([pageview(1), pageview(2, at=NOON - DAY), pageview(2, at=NOON - DAY + 60, visits=0, bounces=-1)])
    answer = board.get(f"/{SITE}/chart.csv?period=7d")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["content-disposition"]
    head, *rows = csv.reader(io.StringIO(answer.content.decode("utf-8-sig")))
    assert head[:4] == ["day", "visitors", "visits", "pageviews"]
    assert head[len(head) // 2] == "compared_with"
    assert [row[:4] for row in rows[-2:]] == [["2026-05-19", "1", "1", "2"], ["2026-05-20", "1", "1", "1"]]
    hours = board.get(f"/{SITE}/chart.csv?period=day&compare=none").text.splitlines()
    assert len(hours) == 1 + 13


def test_owners_write_change_and_delete_notes(board: Board) -> None:
    """A note stands below the chart and beside its date, wherever the view is; its address leads back there."""
    board.seed([pageview(1)])
    view = f"/{SITE}?period=7d&metric=pageviews"
    added = board.post(f"/{SITE}/notes?period=7d&metric=pageviews", {"date": "2026-05-18", "text": " We  moved <b> "})
    assert (added.status_code, added.headers["location"]) == (303, view)
    page = board.page(view)
    rows = page.tables["Pageviews, 14–20 May 2026, by day"]
    assert {row[0]: row[2] for row in rows if row[2]} == {"Mon 18 May 2026": "We moved <b>"}
    id_ = page.attributes(name="id", type="hidden")["value"]
    board.post(f"/{SITE}/notes", {"id": id_, "date": "2026-05-19", "text": "Moved house"})
    assert "19 May 2026 Moved house" in board.page(view).text
    assert "Moved house" not in board.page(f"/{SITE}?period=day").text
    other = Annotations(DocumentTable(board.database, "annotations", Annotation))
    other.refresh()
    assert [note.text for note in other.of(board.site())] == ["Moved house"]
    board.post(f"/{SITE}/notes", {"id": id_, "act": "delete"})
    assert "Moved house" not in board.page(view).text


def test_viewers_read_notes_and_change_none(board: Board) -> None:
    """Neither a viewer nor a page of another origin writes; ids of other sites' notes are unknown."""
    board.seed([pageview(1)])
    note = anyio.run(board.dashboard.annotations.add, board.site(), "admin", "2026-05-19", "Sale")
    board.add_site("other.example")
    form = {"id": note.id, "date": "2026-05-19", "text": "x"}
    assert board.post("/other.example/notes", form).status_code == 404
    assert board.post(f"/{SITE}/notes", form, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    board.add_user("vera", "viewer", SITE)
    board.sign_in("vera")
    page = board.page(f"/{SITE}?period=7d")
    assert "Sale" in page.text
    assert "Add annotation" not in page.text
    assert board.post(f"/{SITE}/notes", form).status_code == 403


def test_guests_read_the_notes_that_are_meant_for_them(board: Board) -> None:
    """A note is its site's own until its owner ticks the box, and again when the box is cleared."""
    board.seed([pageview(1)])
    site = board.dashboard.sites.get(SITE)
    assert site is not None
    _share, token = anyio.run(lambda: board.dashboard.shares.create(site, name="For the board"))
    view = f"/share/{token}?period=7d"
    for text, shared in (("Boss on leave", {}), ("Sale began", {"shared": "on"})):
        board.post(f"/{SITE}/notes", {"date": "2026-05-18", "text": text, **shared})
    assert "Boss on leave" in board.page(f"/{SITE}?period=7d").text
    shown = board.get(view).text
    assert "Sale began" in shown
    assert "Boss on leave" not in shown
    assert "read it too" not in shown
    sale = next(note for note in board.dashboard.annotations.of(board.site()) if note.shared)
    board.post(f"/{SITE}/notes", {"id": sale.id, "date": "2026-05-18", "text": "Sale began"})
    assert "Sale began" not in board.get(view).text


@pytest.mark.parametrize(
    ("day", "text", "field"),
    [
        ("soon", "x", "date"),
        ("0001-01-01", "x", "date"),
        ("2026-05-01", " ", "text"),
        ("2026-05-01", "x" * 201, "text"),
    ],
)
def test_notes_that_cannot_be_are_refused(board: Board, day: str, text: str, field: str) -> None:
    """A note has a date that a chart can have, and a few words."""
    with pytest.raises(RecordError) as refused:
        anyio.run(board.dashboard.annotations.add, board.site(), "admin", day, text)
    assert refused.value.field == field
    assert board.post(f"/{SITE}/notes", {"date": day, "text": text}).status_code == 422


def test_notes_follow_their_site(board: Board) -> None:
    """They keep to a site that gets another name, and go with one that is deleted."""
    notes = board.dashboard.annotations
    anyio.run(notes.add, board.site(), "admin", "2026-05-19", "Sale")
    renamed = board.dashboard.sites.rename_now(board.site(), "new.example")
    assert (notes.of(board.add_site("third.example")), [note.text for note in notes.of(renamed)]) == ([], ["Sale"])
    notes.forget_site(renamed.id)
    assert notes.of(renamed) == []


def test_notes_of_one_writer_are_bounded(board: Board) -> None:
    """Five hundred for one site; others may still write theirs."""
    assert Annotations.max_of_user == 500
    board.dashboard.annotations.max_of_user = 2
    for text in ("One", "Two"):
        anyio.run(board.dashboard.annotations.add, board.site(), "admin", "2026-05-19", text)
    answer = board.post(f"/{SITE}/notes", {"date": "2026-05-19", "text": "Three"})
    assert answer.status_code == 422
    anyio.run(board.dashboard.annotations.add, board.site(), "olga", "2026-05-19", "Mine")
    assert [note.text for note in board.dashboard.annotations.of(board.site())] == ["Mine", "One", "Two"]
