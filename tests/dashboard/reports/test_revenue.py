"""Revenue on the dashboard: every currency on a line of its own, in the reader's language, wherever owners look."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from collector.ingest.event import Event
from collector.storage.client import ClickHouse
from dashboard.analytics.query import OTHER
from dashboard.web.locale_middleware import COOKIE
from tests.board import NOON, SITE, Board, opened_board, pageview
from tests.markup import read

DAY = datetime.timedelta(days=1)
GOOGLE: dict[str, Any] = {"source": "Google", "utm_campaign": "spring", "country": "SE"}


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """The dashboard over a site with default settings, its admin signed in."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        opened.add_site(SITE, timezone="UTC")
        opened.sign_in()
        yield opened


def sale(visitor: int, amount: str, currency: str, product: str = "mug", **columns: Any) -> tuple[Event, Event]:
    """A visit of a page, and a purchase on it."""
    bought = pageview(
        visitor, "/thanks", NOON + 10, visit=NOON, visits=0, bounces=-1, entry_page="/thanks", name="Purchase",
        props={"product": product}, revenue=Decimal(amount), currency=currency, **columns,
    )  # fmt: skip
    return pageview(visitor, "/thanks", **columns), bought


def cells(page: str, table: str, label: str) -> list[str]:
    """The cells of a row."""
    return next(row[1:] for row in read(page).tables[table] if row[0] == label)


@pytest.mark.parametrize(
    ("opens", "table", "label"),
    [
        ("", "Sources: Sources", "Google"),
        ("&sources=channels", "Sources: Channels", "Organic Search"),
        ("&sources=campaigns", "Sources: Campaigns: Campaign", "spring"),
        ("", "Pages: Top pages", "/thanks"),
        ("&pages=entry", "Pages: Entry pages", "/thanks"),
        ("", "Countries: Countries", "Sweden"),
        ("", "Goals and events: Goals", "Purchase"),
        ("&events=properties", "Goals and events: Properties", "mug"),
    ],
)
def test_each_currency_has_a_line_of_its_own(board: Board, opens: str, table: str, label: str) -> None:
    """In sources, campaigns, pages, countries, goals and products, in the panel and in its details."""
    board.seed([
        *sale(1, "2349.50", "SEK", channel="Organic Search", **GOOGLE),
        *sale(2, "30", "EUR", channel="Organic Search", **GOOGLE),
    ])  # fmt: skip
    page = board.get(f"/{SITE}?period=day{opens}").text
    assert '<td class="money">€30.00\nSEK\xa02,349.50</td>' in page
    assert "€30.00 SEK 2,349.50" in cells(page, table, label)
    panel = {"Goals and events": "events"}.get(table.partition(":")[0], table.partition(":")[0].lower())
    details = board.get(f"/{SITE}/details/{panel}?period=day{opens}").text
    assert cells(details, table, label)[-3:-1] == ["€30.00 SEK 2,349.50"] * 2


def test_amounts_are_written_as_in_the_reader_s_language(board: Board) -> None:
    """English has the code before an amount in crowns, Swedish the crowns behind; cells are not run together."""
    board.seed([*sale(1, "2349.50", "SEK"), *(pageview(number, "/") for number in range(2, 31))])
    goals = "Goals and events: Goals"
    assert cells(board.get(f"/{SITE}?period=day").text, goals, "Purchase") == ["1", "1", "SEK 2,349.50", "3.3%"]
    board.cookies.set(f"__Host-{COOKIE}", "sv")
    tables = read(board.get(f"/{SITE}?period=day").text).tables.values()
    (swedish,) = (rows for rows in tables if rows[0][0] == "Purchase")
    assert swedish[0][3] == "2 349,50 kr"


def test_the_strip_has_revenue_and_average_order_in_each_currency(board: Board) -> None:
    """With the change since the period before, each leading to a chart of its own."""
    earlier = [
        msgspec.structs.replace(each, ts=each.ts - 93_600, visit=each.visit - 93_600, day=each.day - DAY)
        for number in (11, 12)
        for each in sale(number, "5", "EUR")
    ]
    board.seed([*sale(1, "10", "EUR"), *sale(2, "20", "EUR"), *sale(3, "99", "SEK"), *earlier])
    page = board.get(f"/{SITE}?period=day&compare=previous").text
    figures = dict(re.findall(r'id="figure-(\w+-\w{3})".*?<strong title="([^"]*)"', page, re.DOTALL))
    assert figures == {
        "total_revenue-EUR": "€30.00",
        "average_revenue-EUR": "€15.00",
        "total_revenue-SEK": "SEK\xa099.00",
        "average_revenue-SEK": "SEK\xa099.00",
    }
    assert "200%" in page.partition('id="figure-total_revenue-EUR"')[2].partition("</li>")[0]
    for currency, total in (("EUR", "€30.00"), ("SEK", "SEK\xa099.00")):
        chart = board.get(f"/{SITE}?period=day&metric=total_revenue&currency={currency}").text
        assert f'data-title="Revenue ({currency})"' in chart
        assert total in re.findall(r"<td>([^<]*)</td>", chart.partition('class="times"')[2].partition("</table>")[0])


def test_a_site_without_revenue_is_asked_for_none(board: Board, caplog: pytest.LogCaptureFixture) -> None:
    """No statement of its page names revenue, and no column stands there for it."""
    board.seed([pageview(1, "/")])
    board.get(f"/{SITE}?period=day")
    board.dashboard.stats.clear_cache()
    with caplog.at_level("DEBUG", "dashboard.analytics.executor"):
        page = board.get(f"/{SITE}?period=day").text
    assert not [record for record in caplog.records if "n_revenue" in record.getMessage()]
    assert "Revenue" not in page


def test_revenue_adds_no_statement_to_a_page(board: Board, caplog: pytest.LogCaptureFixture) -> None:
    """What it needs is counted by the statements that are executed anyhow, filtered or not."""
    board.seed([*sale(1, "10", "EUR", **GOOGLE), pageview(2, "/")])
    board.add_site("free.example", timezone="UTC")
    board.seed([pageview(1, "/", site="free.example", **GOOGLE), pageview(2, "/", site="free.example")])
    for filters in ("", "&f=is,visit:source,Google"):
        executed = {}
        for site in (SITE, "free.example"):
            board.get(f"/{site}?period=day{filters}")
            board.dashboard.stats.clear_cache()
            caplog.clear()
            with caplog.at_level("DEBUG", "dashboard.analytics.executor"):
                board.get(f"/{site}?period=day{filters}")
            executed[site] = len([record for record in caplog.records if "statement" in record.getMessage()])
        assert executed[SITE] == executed["free.example"] > 0


def test_no_internal_value_is_shown_as_a_currency(board: Board) -> None:
    """Under a filter small groups are folded: their row has no revenue, and is called what it is."""
    anyio.run(board.dashboard.sites.change, msgspec.structs.replace(board.site(), min_visitors=3))
    many = [event for number in range(1, 9) for event in sale(number, "10", "EUR", **GOOGLE)]
    few = [each for number in range(20, 24) for each in sale(number, "389", "EUR", f"vase {number}", **GOOGLE)]
    board.seed([*many, *few])
    page = board.get(f"/{SITE}?period=day&events=properties&f=is,visit:source,Google").text
    assert cells(page, "Goals and events: Properties", "mug")[2] == "€80.00"
    assert cells(page, "Goals and events: Properties", "Other (grouped for privacy)")[2] == "Hidden"
    assert OTHER not in page
    assert "389" not in page
