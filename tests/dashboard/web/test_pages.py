"""The pages: what they show of real events, to whom, and that they need nothing from elsewhere."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from clickhouse_connect.driver.client import Client
from starlette.applications import Starlette
from starlette.requests import Request

from collector.core.metrics import REASONS
from collector.rollups.job import RollupJob
from collector.storage.client import ClickHouse
from dashboard.access.users import Role
from dashboard.analytics.errors import QueryTooLarge, QueueFull
from dashboard.analytics.fair_queue import MAX_WAITING_OF_LANE
from dashboard.analytics.sql.parameters import Statement
from dashboard.i18n.translations import speaking
from dashboard.reports.panels import PANELS
from dashboard.server.demo.site import DEMO_PAGES, demo_routes
from dashboard.web import login
from dashboard.web.routes import routes
from dashboard.web.static_files import STATIC, Assets
from dashboard.web.templating import Pages, breakable
from tests.board import NOON, SITE, Board, opened_board, pageview
from tests.length import long
from tests.markup import Markup, read

HOUR, DAY = 3_600, 86_400


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """A dashboard that its admin is signed in to, with one site in UTC."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        opened.add_site(timezone="UTC", min_visitors=1)
        opened.sign_in()
        yield opened


GOOGLE: dict[str, Any] = {"source": "Google", "channel": "Organic Search", "referrer": "google.com", "country": "SE"}
BING: dict[str, Any] = {"source": "Bing", "channel": "Organic Search", "referrer": "bing.com", "country": "NO"}

# Today: one reader of two pages from Google who signs up, one from Bing who leaves at once. Yesterday one more.
STORY = (
    pageview(1, "/", **GOOGLE, browser="Firefox", os="GNU/Linux", device="desktop", size="lg"),
    pageview(1, "/pricing", NOON + 90, **GOOGLE, browser="Firefox", os="GNU/Linux", device="desktop", size="lg",
             visit=NOON, entry_page="/", visits=0, bounces=-1, seconds=90),
    pageview(1, "/pricing", NOON + 95, **GOOGLE, browser="Firefox", os="GNU/Linux", device="desktop", size="lg",
             visit=NOON, entry_page="/", visits=0, bounces=0, seconds=5, name="Signup"),
    pageview(2, "/pricing", NOON - 2 * HOUR, **BING, browser="Safari", os="iOS", device="mobile", size="xs"),
    pageview(3, "/", NOON - DAY, browser="Safari", os="iOS", device="mobile", size="xs"),
)  # fmt: skip


def visitors(page: Markup) -> int:
    """The first of the top figures."""
    (text,) = [link.text for link in page.links if link.text.startswith("Visitors ")]
    return int(text.split()[1].replace(",", ""))


def filtered(board: Board, *chips: str) -> Markup:
    """The site's page of today under these filters."""
    return read(board.get(f"/{SITE}", params={"period": "day", "f": chips}).text)


def panel(page: Markup, caption: str) -> list[list[str]]:
    """Rows of one panel."""
    return page.tables[caption]


def test_the_site_page_shows_what_was_counted(board: Board) -> None:
    """Figures, panels and countries of today, as a reader sees them, equal the events that stand in ClickHouse."""
    board.seed(STORY)
    board.clock.now = NOON + 1.5 * HOUR
    page = board.page(f"/{SITE}?period=day")
    assert "Visitors 2 100% up 100 percent" in page.text
    assert "Visits 2" in page.text
    assert "Pageviews 3 200% up 200 percent" in page.text
    assert "Bounce rate 50% 50 pts down 50 percentage points" in page.text
    assert "Visit duration 48s" in page.text
    assert panel(page, "Sources: Sources") == [["Bing", "1", "50%"], ["Google", "1", "50%"]]
    assert panel(page, "Pages: Top pages") == [["/pricing", "2", "2", "100%"], ["/", "1", "1", "50%"]]
    assert panel(page, "Countries: Countries") == [["Norway", "1", "50%"], ["Sweden", "1", "50%"]]
    assert panel(page, "Devices: Browsers") == [["Firefox", "1", "50%"], ["Safari", "1", "50%"]]
    assert panel(page, "Goals and events: Goals") == [["Signup", "1", "1", "50%"]]
    assert panel(page, "Consent: Consent") == [["Website’s own code", "3", "2", "100%"]]


TABS = {
    ("sources=channels", "Sources: Channels"): [["Organic Search", "2", "100%"]],
    ("sources=referrers", "Sources: Referrers"): [["bing.com", "1", "50%"], ["google.com", "1", "50%"]],
    ("pages=entry", "Pages: Entry pages"): [["/", "1", "1", "50%"], ["/pricing", "1", "1", "50%"]],
    ("pages=exit", "Pages: Exit pages"): [["/pricing", "2", "2", "100%"]],
    ("technology=systems", "Devices: Operating systems"): [["GNU/Linux", "1", "50%"], ["iOS", "1", "50%"]],
    ("technology=devices", "Devices: Device types"): [["Desktop", "1", "50%"], ["Mobile", "1", "50%"]],
    ("technology=sizes", "Devices: Screen sizes"): [["992–1439 px", "1", "50%"], ["Under 576 px", "1", "50%"]],
}


def test_tabs_show_other_breakdowns(board: Board) -> None:
    """The address says which tab of a panel is open."""
    board.seed(STORY)
    pages = {(tab, caption): board.page(f"/{SITE}?period=day&{tab}") for tab, caption in TABS}
    assert {key: sorted(panel(page, key[1])) for key, page in pages.items()} == TABS
    for (_, caption), page in pages.items():
        assert [link for link in page.links if link.current and link.text == caption.partition(": ")[2]]


PERIODS = {
    "period=day": 2,
    "period=yesterday": 1,
    "period=7d": 3,
    "period=30d": 3,
    "": 3,
    "period=month": 3,
    "period=year": 3,
    "period=custom&from=2026-05-19&to=2026-05-19": 1,
    "period=custom&from=2026-05-20&to=2026-05-19": 3,
    "period=custom&from=2020-01-01&to=2020-12-31": 0,
    "period=nonsense": 3,
}


def test_every_period_counts_its_own_days(board: Board) -> None:
    """Periods are of the site's calendar; dates the wrong way round are turned, unknown names are the default."""
    board.seed(STORY)
    assert {query: visitors(board.page(f"/{SITE}?{query}")) for query in PERIODS} == PERIODS


IMPOSSIBLE = ("from=", "from=2026-02-30&to=2026-03-01", "from=x&to=y", "from=0001-01-01&to=0001-01-02")


def test_impossible_dates_are_explained(board: Board) -> None:
    """A date that does not exist is said to be wrong, and the page is there all the same."""
    board.seed(STORY)
    for query in IMPOSSIBLE:
        page = board.page(f"/{SITE}?period=custom&{query}")
        assert "Those dates cannot be shown" in page.text
        assert visitors(page) == 3


def test_days_follow_the_sites_time_zone(board: Board) -> None:
    """At 23:30 in UTC it is tomorrow already in Stockholm: the day named on the page is the site's."""
    board.add_site("kvall.example", timezone="Europe/Stockholm")
    board.clock.now = NOON + 11.5 * HOUR
    assert "Wednesday, 20 May 2026" in board.page(f"/{SITE}?period=day").text
    assert "Thursday, 21 May 2026" in board.page("/kvall.example?period=day").text


def test_the_chart_has_a_table_with_every_hour(board: Board) -> None:
    """Without JavaScript the table stands for the chart: each hour, its count, and what is still to come."""
    board.seed(STORY)
    board.clock.now = NOON + 600
    page = board.page(f"/{SITE}?period=day&metric=pageviews")
    rows = panel(page, "Pageviews, Wednesday, 20 May 2026, by hour")
    assert [row[0] for row in rows] == [f"{hour:02d}:00" + " so far" * (hour == 12) for hour in range(24)]
    assert [row[1] for row in rows] == [*"0000000000", "1", "0", "2", *["–"] * 11]
    assert [row[2] for row in rows] == [*["0"] * 12, "1", *["0"] * 11]


def test_today_is_compared_with_the_same_hours_of_yesterday(board: Board) -> None:
    """In the morning the figures are compared with yesterday's until the same time, not with the whole of yesterday."""
    morning = NOON - 4 * HOUR
    evening = [pageview(visitor, at=NOON - DAY + 9 * HOUR) for visitor in range(10, 15)]
    board.seed([pageview(1, at=morning), pageview(2, at=morning - DAY), *evening])
    board.clock.now = morning + 60
    assert "Visitors 1 0% unchanged" in board.page(f"/{SITE}?period=day").text
    board.clock.now = NOON + 11 * HOUR
    assert "Visitors 1 83% down 83 percent" in board.page(f"/{SITE}?period=day").text


def test_clicking_a_row_filters_by_it(board: Board) -> None:
    """A row's link narrows everything to it; the chip that then stands there takes it away again."""
    board.seed(STORY)
    start = f"/{SITE}?period=day"
    page = board.page(board.page(start).link("Google"))
    assert "Source is Google" in page.text
    assert "Visitors 1" in page.text
    assert panel(page, "Countries: Countries") == [["Sweden", "1", "100%"]]
    both = board.page(page.link("/pricing"))
    assert "Page is /pricing" in both.text
    removal = next(link.href for link in page.links if "f=" not in link.href and link.href.startswith(start))
    assert "Visitors 2" in board.page(removal).text


FILTERS = {
    ("is,visit:source,Google", "is,visit:source,Bing"): 2,
    ("is,visit:source,Google", "is,visit:country,NO"): 0,
    ("is_not,visit:source,Google",): 1,
    ("contains,event:page,PRIC",): 2,
    ("contains_not,visit:source,oo",): 1,
    ("matches,event:page,/pric*",): 2,
    ("matches,event:page,/pr",): 0,
    ("matches_not,event:page,/**", "is,visit:source,Google"): 0,
    ("is,visit:source,O'Reilly, and) -- ",): 0,
}


@pytest.mark.parametrize(
    "filters",
    [
        "f=is,visit:planet,Earth",
        "f=visit:source",
        "f=nonsense",
        "f=is,no:such,thing&f=is,visit:source,Google",
        f"f=is,event:page,{'x' * 2_001}",
        "&".join(["f=is,event:page,/a"] * 251),
        "&".join(f"f=is,event:props:{number},a" for number in range(51)),
    ],
)
def test_filters_that_cannot_be_applied_are_refused(board: Board, filters: str) -> None:
    """Figures without them would be those of another view: on every page of the site, and in its files."""
    for below in ("", "/details/pages", "/details/pages.csv", "/chart.csv", "/values"):
        assert board.get(f"/{SITE}{below}?{filters}").status_code == 400


@pytest.mark.parametrize(
    "dates",
    ["period=custom&from=1971-01-01&to=2148-12-31",
     "period=day&compare=custom&compare_from=1971-01-01&compare_to=2148-12-31",
     "compare=custom&compare_from=2000-01-01&compare_to=2020-12-31", "period=12mo&date=0001-01-01",
     "period=day&date=9999-12-31&compare=year", "period=year&date=1971-01-01", "period=day&date=1971-01-01",
     "period=30d&date=1971-02-01&match=weekday", "period=month&date=1971-01-05&compare=year"],
)  # fmt: skip
def test_charts_without_end_are_not_drawn(board: Board, dates: str) -> None:
    """Dates that would need thousands of bars, or that there are not, are explained; the page has its usual dates."""
    for below in ("", "/details/pages", "/chart.csv"):
        answer = board.get(f"/{SITE}{below}?{dates}")
        assert answer.status_code == 200
        assert len(answer.text) < 100_000


def test_a_query_that_takes_too_long_is_explained(board: Board) -> None:
    """As the reader's to narrow, not as the server's fault."""

    async def run(_: Any) -> Any:
        raise QueryTooLarge("too much")

    object.__setattr__(board.dashboard.stats, "run", run)
    answer = board.get(f"/{SITE}")
    assert (answer.status_code, "shorter period" in answer.text) == (422, True)


def test_a_filter_after_the_twentieth_is_applied(board: Board) -> None:
    """As every other."""
    board.seed([pageview(1, "/a"), pageview(2, "/b")])
    filters = "".join(f"&f=is_not,event:page,/{number}" for number in range(30))
    assert "Visitors 2 " in board.page(f"/{SITE}?period=day{filters}").text
    assert "Visitors 1 " in board.page(f"/{SITE}?period=day{filters}&f=is_not,event:page,/b").text


def test_filters_combine(board: Board) -> None:
    """Chips of one dimension are alternatives, of several all hold."""
    board.seed(STORY)
    assert {chips: visitors(filtered(board, *chips)) for chips in FILTERS} == FILTERS


def test_small_groups_stand_together_and_cannot_be_opened(board: Board) -> None:
    """Under a filter, values with fewer visitors than the site's least are one row that leads nowhere."""
    board.add_site("small.example", timezone="UTC", min_visitors=3)
    many = [pageview(number, "/a", source="Google", country="SE", site="small.example") for number in range(1, 13)]
    few = [pageview(20 + number, "/b", source="Google", country=code, site="small.example")
           for number, code in enumerate(("NO", "DK", "FI", "IS"))]  # fmt: skip
    board.seed([*many, *few])
    page = board.page("/small.example?period=day&f=is,visit:source,Google")
    assert [row[0] for row in panel(page, "Countries: Countries")] == ["Sweden", "Other (grouped for privacy)"]
    assert not [link for link in page.links if link.text == "Other (grouped for privacy)"]


def test_values_are_shown_as_text_never_as_markup(board: Board) -> None:
    """A path or a source that looks like HTML is only its characters, wherever it stands."""
    nasty = "/<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    board.seed([pageview(1, nasty, source=nasty, country="SE", referrer=nasty)])
    for path in (f"/{SITE}", f"/{SITE}/details/pages"):
        page = board.page(path)
        assert nasty in page.text
        assert {given["class"] for name, given in page.elements if name == "img"} <= {"value-icon"}
        assert not [given for name, given in page.elements if name == "script" and "src" not in given]
    filtered = board.get(f"/{SITE}", params={"f": f"is,event:page,{nasty}"})
    assert nasty in read(filtered.text).text
    assert "<img src=x" not in filtered.text


def test_htmx_gets_the_fragment_that_the_page_contains(board: Board) -> None:
    """One template draws the report, whether in its page or alone; going back in history gets the whole page."""
    board.seed(STORY)
    path = f"/{SITE}?period=day"
    whole, part = board.get(path).text, board.fragment(path, "report").text
    assert part.startswith('<div id="report"')
    assert part.strip() in whole
    back = board.fragment(path, "report", **{"hx-history-restore-request": "true"}).text
    assert back.startswith("<!doctype html>")


def test_figures_that_have_not_changed_are_not_sent_again(board: Board) -> None:
    """The page that asks again gets 204 while nothing has happened, and the new figures once it has."""
    board.seed(STORY)
    path = f"/{SITE}?period=day"
    version = board.fragment(path, "report").headers["x-report"]
    again = board.fragment(path, "report", **{"x-report": version})
    assert (again.status_code, again.content) == (204, b"")
    board.seed([pageview(9, at=NOON - HOUR)])
    changed = board.fragment(path, "report", **{"x-report": version})
    assert changed.status_code == 200
    assert "Visitors 3" in read(changed.text).text


def test_only_a_period_with_today_in_it_is_asked_for_again(board: Board) -> None:
    """Yesterday will not change while one looks at it."""
    assert "data-live" in board.get(f"/{SITE}?period=7d").text
    assert "data-live" not in board.get(f"/{SITE}?period=yesterday").text


def test_details_page_through_every_row(board: Board) -> None:
    """Fifty rows a page, in order, without a gap or a repetition, and the address keeps period and filters."""
    board.seed([pageview(1, f"/page/{number:03d}", visits=0, bounces=0, country="SE") for number in range(120)])
    path: str | None = f"/{SITE}/details/pages?period=7d&f=is,visit:country,SE"
    seen: list[str] = []
    while path:
        page = board.page(path)
        assert "Country is Sweden" in page.text
        seen += [row[0] for row in panel(page, "Pages: Top pages")]
        path = next((link.href for link in page.links if link.text == "Next"), None)
    assert seen == [f"/page/{number:03d}" for number in range(120)]


def test_details_survive_any_page_number(board: Board) -> None:
    """A page that is none is the first, or an empty last."""
    board.seed(STORY)
    for page in ("0", "-1", "x", "99999999999999999999", "٣"):
        assert board.get(f"/{SITE}/details/pages", params={"page": page}).status_code == 200


def test_the_list_shows_today_and_the_week(board: Board) -> None:
    """Each site with visitors of today, and the last seven days compared with as much of the seven before."""
    board.add_site("quiet.example")
    week = [pageview(number, at=NOON - (number % 7) * DAY) for number in range(1, 15)]
    before = [pageview(number, at=NOON - (number % 7 + 7) * DAY) for number in range(20, 27)]
    later = pageview(99, at=NOON - 7 * DAY + HOUR)
    board.seed([*week, *before, later])
    text = board.page("/").text
    assert f"{SITE} 2 now 2 visitors today 100% up 100 percent vs. 7 days before" in text
    assert "quiet.example 0 visitors today no visitors in 15 days" in text


def test_a_card_and_its_page_say_the_same(board: Board) -> None:
    """Of the day that is not over, too; and a day is never more than its week."""
    board.add_site("new.example", timezone="Asia/Tokyo")
    hours = range(0, 400, 3)
    board.seed([pageview(hour + 1, at=NOON - hour * HOUR) for hour in hours if hour < 160 or hour % 2])
    tokyo = datetime.timezone(datetime.timedelta(hours=9))
    board.seed([
        pageview(number, at=NOON - number * HOUR, site="new.example",
                 day=datetime.datetime.fromtimestamp(NOON - number * HOUR, tokyo).date())
        for number in range(1, 300)
    ])  # fmt: skip
    for closed in (False, True):
        if closed:
            RollupJob(board.database, board.dashboard.sites, board.clock).close_due()
        cards = board.page("/").text
        for site in (SITE, "new.example"):
            page = board.page(f"/{site}?period=7d")
            (figure,) = [link.text for link in page.links if link.text.startswith("Visitors ")]
            change = figure.split(" ", 2)[2].removesuffix(" sum of days")
            card = cards.partition(f"{site} ")[2].partition(" vs. 7 days before")[0]
            assert card.endswith(change), (closed, site, figure)


@long
def test_many_sites_are_one_statement_a_page_of_them(board: Board) -> None:
    """Searched by name, fifty at a time, each page once; a page that is none is not there."""
    for number in range(120):
        board.add_site(f"shop-{number:03d}.example", timezone="UTC")
    statements = []
    asked = board.dashboard.stats.rows

    async def counted(statement: Statement) -> Sequence[Sequence[Any]]:
        statements.append(statement)
        return await asked(statement)

    board.dashboard.stats.rows = counted  # type: ignore[method-assign, assignment]
    path: str | None = "/?q=SHOP-"
    seen: list[str] = []
    while path:
        page = board.page(path)
        seen += [link.text for link in page.links if link.text.startswith("shop-")]
        path = next((link.href for link in page.links if link.text == "Next"), None)
    assert seen == [f"shop-{number:03d}.example" for number in range(120)]
    assert len(statements) == 3
    assert [link.text for link in board.page("/?q=shop-07").links if link.text.startswith("shop-")] == [
        f"shop-07{number}.example" for number in range(10)
    ]
    assert "No sites match your search" in board.page("/?q=nothing").text
    for wrong in ("0", "4", "x", "-1", "9" * 9):
        assert board.get(f"/?q=shop-&page={wrong}").status_code == 404


@pytest.mark.parametrize(
    ("people", "told"), [(2, "0 visitors today"), (4, "6 visitors today"), (10, "12 visitors today")]
)
def test_the_list_of_sites_rounds_a_strict_site(board: Board, people: int, told: str) -> None:
    """As its own page does: today, the last seven days, the line, and who is there now."""
    site = board.add_site("strict.example", timezone="UTC", strict=True)
    board.seed([pageview(n, site=site.domain, at=NOON - 60) for n in range(1, people + 1)])
    html = board.get("/?q=strict").text
    assert told in " ".join(read(html).text.split())
    assert f"<strong>{people}</strong>" not in html
    assert f"{people} now" not in html


def test_an_empty_list_leads_to_adding_a_site(board: Board) -> None:
    """With no site there is one thing to do, for those who may do it."""
    anyio.run(board.dashboard.sites.remove, SITE)
    assert board.page("/").link("Add a site") == "/sites/new"
    board.add_user("vera", "viewer")
    board.sign_in("vera")
    assert "No sites yet" in board.page("/").text
    assert "/sites/new" not in board.get("/").text


def test_adding_a_site_leads_to_its_tag(board: Board) -> None:
    """The form registers the site as asked, and shows the line to paste."""
    form = {"domain": "https://New.Example/", "timezone": "Europe/Stockholm", "consent": "limited"}
    answer = board.post("/sites/new", form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/new.example/install")
    site = board.dashboard.sites.get("new.example")
    assert site is not None
    assert (site.timezone, site.consent, site.created) == ("Europe/Stockholm", "limited", NOON)
    tag = '<script defer data-domain="new.example" data-consent="limited" src="https://tyst.test/js/tyst.js"></script>'
    assert tag in board.page("/new.example/install").text


WRONG = {
    ("domain", ""): "Enter a name such as example.com",
    ("domain", SITE): "is already registered",
    ("domain", "login"): "is an address of Tyst itself",
    ("timezone", "Europe/Atlantis"): "is not an IANA time zone",
    ("consent", "whatever"): "Enter one of required, limited, exempt",
}


def test_a_site_that_cannot_be_added_is_explained(board: Board) -> None:
    """The form comes back as it was filled in, with the reason at the field."""
    for (field, value), problem in WRONG.items():
        form = {"domain": "new.example", "timezone": "Europe/Oslo", "consent": "exempt", field: value}
        answer = board.post("/sites/new", form)
        assert answer.status_code == 422
        page = read(answer.text)
        assert problem in page.text
        assert page.attributes(id="timezone")["value"] == form["timezone"]
        assert page.attributes(id="domain")["value"] == form["domain"]
    assert len(board.dashboard.sites.all()) == 1


def test_an_owner_sees_the_site_they_added(board: Board) -> None:
    """Whoever adds a site as an owner owns it, and others of its kind stay hidden."""
    board.add_user("olle", "owner")
    board.sign_in("olle")
    form = {"domain": "olle.example", "timezone": "UTC", "consent": "required"}
    assert board.post("/sites/new", form).status_code == 303
    assert board.get("/olle.example/settings").status_code == 200
    assert board.get(f"/{SITE}").status_code == 404


def test_the_install_page_notices_the_first_event(board: Board) -> None:
    """It says what was dropped, and then that something was kept; in the place of what it said before."""
    path = f"/{SITE}/install"
    assert "Waiting for data from example.com" in board.page(path).text
    board.dashboard.counters.drop(board.site().id, "consent")
    waiting = board.fragment(path, "receiving").text
    assert "no consent (1)" in read(waiting).text
    board.dashboard.counters.accept(board.site().id)
    done = board.fragment(path, "receiving").text
    assert done.startswith('<div id="receiving"')
    assert "Receiving data" in done


def test_a_site_with_history_is_receiving_after_a_restart(board: Board) -> None:
    """Counters begin anew with the process; what stands in ClickHouse does not."""
    board.seed(STORY)
    assert "Receiving data" in board.page(f"/{SITE}/install").text


def test_the_status_page_counts_every_reason(board: Board) -> None:
    """Each in a row of its own with what it means, visits from data centers among them."""
    for number, reason in enumerate(REASONS, 1):
        for _ in range(number):
            board.dashboard.counters.drop(board.site().id, reason)
    rows = panel(board.page(f"/{SITE}/status"), "Dropped events by reason")
    assert sorted(int(today) for _, today, _ in rows) == [*range(1, len(REASONS) + 1)]
    counted = {what: (today, month) for what, today, month in rows}
    (found,) = (each for each in counted if each.startswith("From a data center"))
    assert "settings drop such visits" in found
    assert counted[found] == (str(REASONS.index("datacenter") + 1),) * 2


def test_the_status_page_says_what_was_dropped_and_why(board: Board) -> None:
    """Today's and those of 30 days by reason, most frequent first, the kinds of bots, and when the last event came."""
    board.seed(STORY)
    board.clock.now -= 3 * 86_400
    for kind in ("ai", "ai", "library"):
        board.dashboard.counters.drop(board.site().id, "bot", kind)
    board.dashboard.tally.write()
    board.clock.now += 3 * 86_400
    board.dashboard.counters.drop(board.site().id, "bot", "ai")
    for _ in range(5):
        board.dashboard.counters.drop(board.site().id, "consent")
    board.dashboard.counters.accept(board.site().id)
    page = board.page(f"/{SITE}/status")
    rows = panel(page, "Dropped events by reason")
    names = ("No consent", "A bot")
    assert [(row[0].startswith(name), *row[1:]) for row, name in zip(rows, names, strict=True)] == [
        (True, "5", "5"),
        (True, "1", "4"),
    ]
    assert "3 AI crawlers and assistants, 1 scripts and libraries" in rows[1][0]
    assert "Events today 4" in page.text
    assert "Last event today at 12:01" in page.text
    assert f'href="https://{SITE}/#tyst-exclude"' in board.get(f"/{SITE}/status").text


def test_the_status_page_says_which_parts_were_cut(board: Board) -> None:
    """Today's and those of 30 days by key, most frequent first; without any there is no such table."""
    assert "Stored in part" not in board.page(f"/{SITE}/status").text
    board.clock.now -= 3 * 86_400
    board.dashboard.counters.trim(board.site().id, "u")
    board.dashboard.counters.trim(board.site().id, "u")
    board.dashboard.tally.write()
    board.clock.now += 3 * 86_400
    board.dashboard.counters.trim(board.site().id, "u")
    board.dashboard.counters.trim(board.site().id, "$")
    rows = panel(board.page(f"/{SITE}/status"), "Events stored with a part shortened or left out")
    assert [(row[0][:1], *row[1:]) for row in rows] == [("u", "1", "3"), ("$", "1", "1")]


def test_settings_change_a_site(board: Board) -> None:
    """What is saved holds at once and is shown again."""
    form = {"section": "keeping", "min_visitors": "5", "retention_days": "90"}
    location = board.post(f"/{SITE}/settings", form).headers["location"]
    assert location == f"/{SITE}/settings?saved=keeping#keeping"
    assert board.post(f"/{SITE}/settings", {"section": "general", "timezone": "Asia/Tokyo"}).status_code == 303
    assert board.post(f"/{SITE}/settings", {"section": "consent", "consent": "exempt"}).status_code == 303
    site = board.dashboard.sites.get(SITE)
    assert site is not None
    assert (site.timezone, site.consent, site.min_visitors, site.retention_days) == ("Asia/Tokyo", "exempt", 5, 90)
    assert "Saved." in board.page(location).text


def test_settings_that_cannot_be_are_explained(board: Board) -> None:
    """Nothing is saved, and the field says why."""
    for number in ("", "0", "x", "-1", "1e3", "99999999999"):
        form = {"section": "keeping", "min_visitors": number, "retention_days": "90"}
        answer = board.post(f"/{SITE}/settings", form)
        assert answer.status_code == 422
        assert "Not saved" in answer.text
        assert "aria-invalid" in read(answer.text).attributes(id="min_visitors")
    site = board.dashboard.sites.get(SITE)
    assert site is not None
    assert site.retention_days == 760


def test_a_site_is_deleted_only_when_its_name_is_typed(board: Board) -> None:
    """A slip of the hand deletes nothing."""
    refused = board.post(f"/{SITE}/delete", {"confirm": "example.org"})
    assert refused.status_code == 422
    assert f"Type {SITE} to confirm." in read(refused.text).text
    assert board.dashboard.sites.get(SITE)
    assert board.post(f"/{SITE}/delete", {"confirm": f" {SITE} "}).headers["location"] == "/"
    assert board.get(f"/{SITE}").status_code == 404


ROLES = {
    ("admin", f"/{SITE}"): 200,
    ("admin", f"/{SITE}/settings"): 200,
    ("admin", "/sites/new"): 200,
    ("owner", f"/{SITE}"): 200,
    ("owner", f"/{SITE}/settings"): 200,
    ("owner", "/other.example"): 404,
    ("owner", "/other.example/settings"): 404,
    ("owner", "/sites/new"): 200,
    ("viewer", f"/{SITE}"): 200,
    ("viewer", f"/{SITE}/details/pages"): 200,
    ("viewer", f"/{SITE}/status"): 200,
    ("viewer", f"/{SITE}/settings"): 403,
    ("viewer", f"/{SITE}/sharing"): 403,
    ("viewer", "/other.example"): 404,
    ("viewer", "/other.example/details/pages"): 404,
    ("viewer", "/other.example/install"): 404,
    ("viewer", "/other.example/status"): 404,
    ("viewer", "/sites/new"): 403,
}


def test_roles_open_what_is_theirs(board: Board) -> None:
    """Viewers look, owners also change their own sites, and what is not theirs might as well not exist."""
    board.add_site("other.example")
    opened: dict[tuple[str, str], int] = {}
    roles: tuple[Role, ...] = ("admin", "owner", "viewer")
    for role in roles:
        board.add_user(f"the-{role}", role, SITE)
        board.sign_in(f"the-{role}")
        opened |= {(role, path): board.get(path).status_code for asked, path in ROLES if asked == role}
    assert opened == ROLES


def test_a_viewer_changes_nothing(board: Board) -> None:
    """Posting past the missing button is refused."""
    board.add_user("vera", "viewer", SITE)
    board.sign_in("vera")
    form = {"timezone": "Asia/Tokyo", "consent": "exempt", "min_visitors": "1", "retention_days": "1", "confirm": SITE}
    for path in (f"/{SITE}/settings", f"/{SITE}/delete"):
        assert board.post(path, form).status_code == 403
    site = board.dashboard.sites.get(SITE)
    assert site is not None
    assert site.consent == "required"


PAGES = ("/", "/sites/new", f"/{SITE}", f"/{SITE}/details/pages", f"/{SITE}/status", f"/{SITE}/install",
         f"/{SITE}/settings", "/nothing.example", "/a/b/c", "/login")  # fmt: skip


POLICY = {
    "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self' data:",
    "connect-src": "'self'", "font-src": "'self'", "form-action": "'self'", "frame-ancestors": "'none'",
    "base-uri": "'none'",
}  # fmt: skip


def test_pages_need_nothing_inline_and_nothing_from_elsewhere(board: Board) -> None:
    """Strict policy on every page, and markup that keeps to it: no inline script, style or handler, no other host."""
    board.seed(STORY)
    for path in PAGES:
        if path == "/login":
            board.cookies.clear()
        answer = board.get(path)
        policy = answer.headers["content-security-policy"]
        assert dict(part.strip().split(" ", 1) for part in policy.split(";")) == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert "geolocation=()" in answer.headers["permissions-policy"]
        assert "no-store" in answer.headers["cache-control"]
        keeps_to_policy(read(answer.text))


def test_the_demonstration_site_keeps_to_the_same_policy(board: Board) -> None:
    """Its banner, its script and the snippet are files of this server; every page carries the tag."""
    board.app.routes[:0] = demo_routes(board.dashboard.pages)
    board.cookies.clear()
    for page in DEMO_PAGES:
        markup = board.page(f"/demo/{page}".rstrip("/"))
        keeps_to_policy(markup)
        tag = markup.attributes(src="/js/tyst.js")
        assert (tag["data-domain"], tag["data-cmp"]) == ("demo.localhost", "cookieconsent")


def keeps_to_policy(page: Markup) -> None:
    """Nothing that the policy would stop stands in the page."""
    for name, given in page.elements:
        assert name != "style"
        assert "style" not in given
        assert name != "script" or "src" in given
        assert not [attribute for attribute in given if attribute.startswith("on")]
        for attribute in ("src", "href", "action", "hx-get"):
            # A link loads nothing by itself, so it may lead elsewhere: the visitors' page leads to the site.
            elsewhere = "javascript:|data:" if name == "a" else "https?:|//|javascript:|data:"
            assert not re.match(rf"(?i)\s*({elsewhere})", given.get(attribute, "")), given


def test_pages_are_sound_for_assistive_technology(board: Board) -> None:
    """One main landmark to skip to, one first heading, unique ids, named controls, captions on every table."""
    board.seed(STORY)
    for path in (f"/{SITE}", "/", "/sites/new", f"/{SITE}/settings", f"/{SITE}/install"):
        page = board.page(path)
        names = [name for name, _ in page.elements]
        assert names.count("main") == 1
        assert names.count("h1") == 1
        assert page.links[0].href == "#main"
        ids = [given["id"] for _, given in page.elements if "id" in given]
        assert len(ids) == len(set(ids))
        assert all(page.tables)
        labels = {given["for"] for name, given in page.elements if name == "label" and "for" in given}
        fields = [given for name, given in page.elements if name in ("input", "select")]
        named = [given for given in fields if given.get("type") not in ("hidden", "radio")]
        assert {given["id"] for given in named} <= labels


def test_static_files_are_kept_for_good_under_their_content(board: Board) -> None:
    """The address changes with the content, so a browser need never ask again; compressed where it understands."""
    url = board.dashboard.pages.assets.url("css/base.css")
    answer = board.get(url)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.content == (STATIC / "css/base.css").read_bytes()
    assert "content-encoding" not in board.get(url, headers={"accept-encoding": "identity"}).headers
    stale = board.get("/static/0000/css/base.css")
    assert (stale.status_code, stale.headers["cache-control"]) == (200, "public, no-cache")
    assert board.get(url, headers={"if-none-match": answer.headers["etag"]}).status_code == 304


def test_static_files_are_only_those_of_the_folder(board: Board) -> None:
    """There is no way out of the folder: files are looked up among those read at the start."""
    for path in ("/static/x/%2e%2e%2fauth.py", "/static/x/nothing.js", "/static/x//etc/passwd"):
        assert board.get(path).status_code == 404


def test_a_first_view_costs_less_than_100_kilobytes(board: Board) -> None:
    """Page, styles and scripts of a site page together, as they go over the wire."""
    board.seed(STORY)
    answer = board.get(f"/{SITE}")
    sizes = {"page": int(answer.headers["content-length"])}
    for name, given in read(answer.text).elements:
        url = given.get("src", "") if name == "script" else given.get("href", "") if name == "link" else ""
        if url:
            sizes[url] = int(board.get(url).headers["content-length"])
    assert len(sizes) >= 6
    assert sum(sizes.values()) < 100_000, sizes


def test_errors_are_explained_in_a_page(board: Board) -> None:
    """A page that is not there says so, and where to go from it."""
    for path in ("/nothing.example", "/a/b/c"):
        answer = board.get(path)
        assert answer.status_code == 404
        assert "Page not found" in answer.text
        assert read(answer.text).link("Go to your sites") == "/"


def test_what_breaks_is_a_page_without_details(board: Board, database: Client) -> None:
    """A failing database is answered with a page that tells nothing of the inside."""
    database.command("RENAME TABLE events TO elsewhere")
    answer = board.get(f"/{SITE}")
    assert answer.status_code in (500, 503)
    assert "<h1>" in answer.text
    assert "events" not in read(answer.text).text.lower()
    assert "Traceback" not in answer.text


def test_every_panel_is_there_in_order(board: Board) -> None:
    """The page has every panel of the table, even when some have nothing to show."""
    board.seed(STORY[:1])
    page = board.page(f"/{SITE}")
    titles = [given.get("id", "") for name, given in page.elements if name == "h2"]
    assert titles == ["overview-title", *(f"{panel.name}-title" for panel in PANELS), "shortcuts-title"]


def test_an_empty_site_says_what_to_do(board: Board) -> None:
    """No figures, no chart of nothing: a way to the tag and to what was dropped."""
    page = board.page(f"/{SITE}")
    assert "No data yet" in page.text
    assert page.link("Install the tag") == f"/{SITE}/install"
    assert not page.tables


@pytest.mark.parametrize("path", ["journeys", "retention", "consent", "details/pages"])
def test_an_empty_period_says_what_to_do(board: Board, path: str) -> None:
    """Other dates, or a look at what arrives; under a filter, one filter less."""
    page = board.page(f"/{SITE}/{path}")
    assert "Choose a longer period, or check under Status that data is coming in." in page.text
    assert f"/{SITE}/status" in [link.href for link in page.links if link.text == "Status"]
    if path != "consent":
        filtered = board.page(f"/{SITE}/{path}?f=is,visit:country,SE")
        assert "Choose a longer period, or remove a filter." in filtered.text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("/blog/a.html", "/<wbr>blog/<wbr>a<wbr>.html"),
        ("news.example", "news<wbr>.example"),
        ("Acme Inc. / Visby", "Acme Inc. / Visby"),
        ("/<b>", "/<wbr>&lt;b&gt;"),
    ],
)
def test_paths_and_hosts_may_be_broken_at_their_parts(name: str, text: str) -> None:
    """What has spaces is broken there."""
    assert breakable(name) == text


def test_a_day_that_clocks_change_has_its_own_number_of_hours(board: Board) -> None:
    """The last Sunday of March in Stockholm has 23 hours, and the table as many rows."""
    board.add_site("var.example", timezone="Europe/Stockholm")
    sunday = datetime.datetime(2026, 3, 29, 10, tzinfo=datetime.UTC)
    board.seed([pageview(1, at=int(sunday.timestamp()), site="var.example", hostname="var.example")])
    board.clock.now = sunday.timestamp() + DAY
    page = board.page("/var.example?period=yesterday")
    rows = panel(page, "Visitors, Sunday, 29 March 2026, by hour".replace("March", "Mar"))
    assert len(rows) == 23
    assert [row[0] for row in rows if row[1] == "1"] == ["12:00"]


@long
def test_templates_are_read_while_somebody_signs_in(board: Board) -> None:
    """The page that asks for the password is followed by that, so that the first figures need not wait for it."""
    pages = Pages(Assets())
    board.app = Starlette(routes=routes(dataclasses.replace(board.dashboard, pages=pages)))
    board.cookies.clear()
    board.get("/login")
    names = {name for _, name in pages._environment.cache or {}}
    assert {"site.html", "_report.html", "details.html"} <= names


def test_a_page_does_not_wait_behind_what_others_ask(board: Board) -> None:
    """Its statements are in the lane of whom it is for: those that others ask about the site wait in theirs."""
    go_on = threading.Event()

    async def asked() -> None:
        stats = board.dashboard.stats
        busy = [asyncio.create_task(stats.computed(SITE, go_on.wait)) for _ in range(MAX_WAITING_OF_LANE + 2)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFull):
            await stats.computed(SITE, go_on.wait)
        assert (await asyncio.to_thread(board.get, f"/{SITE}")).status_code == 200
        go_on.set()
        await asyncio.gather(*busy)

    asyncio.run(asked())


def test_templates_are_prepared_once_for_each_language(board: Board) -> None:
    """Not for each who opens the page to sign in: nobody else would be answered meanwhile."""
    dashboard = dataclasses.replace(board.dashboard, pages=Pages(Assets()))
    (show,) = (route.endpoint for route in login.routes(dashboard, []) if route.path == "/login")
    scope = {"type": "http", "method": "GET", "scheme": "http", "path": "/login", "query_string": b"", "headers": []}

    async def answered(code: str) -> bool:
        with speaking(code):
            response = await show(Request(scope))
            if response.background is not None:
                await response.background()
        return response.background is not None

    assert [anyio.run(answered, code) for code in ("en", "en", "sv", "sv", "en")] == [True, False, True, False, False]
