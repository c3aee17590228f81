"""Panels, their details and their files: what they show of real events under filters, sorted, searched and exported."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from collector.ingest.event import Event
from collector.sites.goals import Goal
from collector.storage.client import ClickHouse
from dashboard.analytics.query import MAX_LIMIT, Query, Result
from dashboard.analytics.service import StatsService
from dashboard.reports.details import MOST_ROWS, ROWS
from dashboard.web.locale_middleware import COOKIE
from tests.board import NOON, SITE, Board, opened_board, pageview
from tests.length import long
from tests.markup import Markup, read


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """A dashboard that its admin is signed in to, with one site in UTC that protects no small counts."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        opened.add_site(timezone="UTC", min_visitors=1)
        opened.sign_in()
        yield opened


FIREFOX: dict[str, Any] = {"browser": "Firefox", "browser_version": "145", "os": "Linux", "country": "SE"}
OLD: dict[str, Any] = {"browser": "Firefox", "browser_version": "115", "os": "Windows", "os_version": "10"}
SAFARI: dict[str, Any] = {"browser": "Safari", "browser_version": "26", "os": "iOS", "country": "NO"}


def event(visitor: int, name: str, page: str = "/", **columns: Any) -> Event:
    """A custom event of a visit that began with a pageview at noon."""
    return pageview(visitor, page, NOON + 10, visit=NOON, visits=0, bounces=-1, name=name, **columns)


# Four visitors; two sign up, one of them for money; one of these came by a campaign.
MAIL: dict[str, Any] = {"utm_source": "list", "utm_medium": "email", "utm_campaign": "june", "utm_content": "top",
                        "utm_term": "kiln", "source": "list"}  # fmt: skip
STORY = (
    pageview(1, "/", **FIREFOX, **MAIL),
    event(1, "Signup", **FIREFOX, **MAIL, props={"plan": "pro", "=key,": "=1+1"}, revenue=Decimal(20), currency="EUR"),
    pageview(2, "/", **OLD),
    event(2, "Signup", **OLD, props={"plan": "free"}),
    pageview(3, "/", **SAFARI),
    pageview(3, "/pricing", NOON + 20, visit=NOON, visits=0, bounces=-1, entry_page="/", **SAFARI),
    pageview(3, "/", NOON + 30, visit=NOON, visits=0, bounces=0, entry_page="/", name="engagement", engaged=8_000,
             scroll=60, **SAFARI),
    pageview(4, "/about", **SAFARI),
)  # fmt: skip


def shown(board: Board, *chips: str, **tabs: str) -> Markup:
    """The site's page of today under these filters, with these tabs open."""
    return read(board.get(f"/{SITE}", params={"period": "day", "f": chips, **tabs}).text)


def test_goals_show_unique_total_revenue_and_rate(board: Board) -> None:
    """Without goals of its own every custom event is one; revenue stands there because there is some."""
    board.seed(STORY)
    assert shown(board).tables["Goals and events: Goals"] == [["Signup", "2", "2", "€20.00", "50%"]]
    board.seed([event(3, "Call", **SAFARI)])
    rows = shown(board, "is,visit:browser,Safari").tables["Goals and events: Goals"]
    assert rows == [["Call", "1", "1", "50%"]]


def test_anonymous_events_are_no_row_where_visitors_are_counted(board: Board) -> None:
    """Under `limited` they have no browser and no visitor: a row of nobody says nothing. Their pageviews are counted
    where pageviews are."""
    board.seed([pageview(1, **SAFARI, device="mobile"), *(pageview(0, "/a", device="desktop") for _ in range(2))])
    found = shown(board, technology="devices").tables
    assert found["Devices: Device types"] == [["Mobile", "1", "100%"]]
    assert shown(board).tables["Devices: Browsers"] == [["Safari", "1", "100%"]]
    assert ["/a", "0", "2"] in [row[:3] for row in found["Pages: Top pages"]]
    details = read(board.get(f"/{SITE}/details/technology", params={"period": "day"}).text)
    assert [row[0] for table in details.tables.values() for row in table] == ["Safari"]
    assert "Unknown" not in board.get(f"/{SITE}/details/technology.csv", params={"period": "day"}).text


def test_days_without_properties_are_told(board: Board) -> None:
    """Whose sums lack them and whose events are gone: on the page, in the details and over the API, and only where
    properties are asked for."""
    board.seed([event(1, "Signup", props={"plan": "pro"})])
    board.database.command(
        "INSERT INTO daily_status SELECT {site:String}, toDate({now:UInt32}) - 2, 1, 9, 0, 3",
        parameters={"site": SITE, "now": NOON},
    )
    said = "1 day is left out: it had too many different properties"
    panel = {"period": "7d", "events": "properties"}
    assert said in board.get(f"/{SITE}", params=panel).text
    assert said in board.get(f"/{SITE}/details/events", params=panel).text
    assert said not in board.get(f"/{SITE}", params={"period": "7d"}).text
    assert said not in board.get(f"/{SITE}", params={**panel, "period": "day"}).text
    board.database.command("TRUNCATE TABLE events")
    page = board.get(f"/{SITE}/details/events", params=panel).text
    assert said in page
    assert "No event had a property" not in page


def test_under_a_goal_every_panel_shows_how_many_of_each_group_reach_it(board: Board) -> None:
    """Unique conversions and the share of the group's visitors: one of two with Safari would be half."""
    board.seed((*STORY, event(4, "Signup", "/about", **SAFARI)))
    page = shown(board, "is,event:goal,Signup")
    assert page.tables["Devices: Browsers"] == [["Firefox", "2", "100%"], ["Safari", "1", "50%"]]
    assert page.tables["Pages: Top pages"] == [["/", "2", "€20.00", "67%"], ["/about", "1", "–", "100%"]]
    assert page.tables["Sources: Sources"] == [["Direct / None", "2", "–", "67%"], ["list", "1", "€20.00", "100%"]]
    assert "Unique" in page.text
    assert "CR" in page.text


def test_a_goal_opens_its_properties(board: Board) -> None:
    """The keys of its events, the most frequent first, then the values of the one that is chosen, with who lacks it."""
    board.seed((*STORY, event(4, "Signup", "/about", **SAFARI)))
    page = shown(board, "is,event:goal,Signup", events="properties")
    keys = [link for link in page.links if "key=" in link.href and link.text in ("plan", "=key,")]
    assert [(link.text, link.current) for link in keys] == [("plan", True), ("=key,", False)]
    values = page.tables["Goals and events: Properties"]
    assert values == [
        ["Not given", "1", "1", "–", "33%"],
        ["free", "1", "1", "–", "33%"],
        ["pro", "1", "1", "€20.00", "33%"],
    ]
    other = board.page(keys[1].href)
    assert ["=1+1", "1", "1", "€20.00", "33%"] in other.tables["Goals and events: Properties"]
    narrowed = board.page(other.link("=1+1"))
    assert "=key, is =1+1" in narrowed.text
    assert narrowed.tables["Devices: Browsers"] == [["Firefox", "1", "100%"]]


def test_properties_of_everything_leave_out_what_has_none(board: Board) -> None:
    """Pageviews without properties would bury the values; the panel says what to do when there are none at all."""
    assert "No event had a property" in shown(board, "is,visit:source,nowhere", events="properties").text
    board.seed(STORY)
    rows = shown(board, events="properties").tables["Goals and events: Properties"]
    assert sorted(row[0] for row in rows) == ["free", "pro"]


def test_small_groups_do_not_tell_their_properties(board: Board) -> None:
    """Under a filter, a key that fewer visitors gave than may be told apart is not named."""
    board.add_site("small.example", timezone="UTC", min_visitors=3)
    many = [
        event(number, "Signup", site="small.example", props={"plan": "pro"}, country="SE") for number in range(1, 9)
    ]
    few = [event(20, "Signup", site="small.example", props={"secret": "x"}, country="SE")]
    board.seed([*many, *few])
    page = board.page("/small.example?period=day&events=properties&f=is,visit:country,SE")
    assert "plan" in [link.text for link in page.links]
    assert "secret" not in page.text
    assert "secret" in board.page("/small.example?period=day&events=properties").text


CAMPAIGNS = {"campaigns": "june", "utm_source": "list", "utm_medium": "email", "utm_content": "top", "utm_term": "kiln"}


def test_campaigns_are_chosen_by_each_tag(board: Board) -> None:
    """One tab of the panel, and within it the five tags."""
    board.seed(STORY)
    found = {}
    for tab in CAMPAIGNS:
        page = shown(board, sources=tab)
        (rows,) = [rows for caption, rows in page.tables.items() if caption.startswith("Sources: Campaigns: ")]
        found[tab] = rows[0][0]
        assert [link.text for link in page.links if link.current and link.text == "Campaigns"] == ["Campaigns"]
    assert found == CAMPAIGNS


def test_one_browser_shows_its_versions(board: Board) -> None:
    """Clicking a browser filters, the panel then shows its versions, and clicking one filters by it as well."""
    board.seed(STORY)
    page = board.page(shown(board).link("Firefox"))
    assert page.tables["Devices: Browsers"] == [["Firefox 115", "1", "50%"], ["Firefox 145", "1", "50%"]]
    page = board.page(page.link("Firefox 115"))
    assert "Browser version is 115" in page.text
    systems = board.page(shown(board, technology="systems").link("Windows"))
    assert systems.tables["Devices: Operating systems"] == [["Windows 10", "1", "100%"]]


def test_clicking_a_row_that_is_filtered_by_takes_the_filter_away(board: Board) -> None:
    """The row is marked, and leads back."""
    board.seed(STORY)
    page = shown(board, "is,visit:country,NO")
    (row,) = [link for link in page.links if link.text == "Norway"]
    assert row.current
    assert "f=" not in row.href


def test_details_have_reading_time_and_depth(board: Board) -> None:
    """The top pages with all of their columns."""
    board.seed(STORY)
    rows = board.page(f"/{SITE}/details/pages?period=day").tables["Pages: Top pages"]
    assert rows == [
        ["/", "3", "3", "0%", "8s", "60%", "€20.00", "€20.00", "75%"],
        ["/about", "1", "1", "100%", "–", "–", "–", "–", "25%"],
        ["/pricing", "1", "1", "0%", "–", "–", "–", "–", "25%"],
    ]


ORDERS = {
    "": ["Sweden", "Germany", "Norway"],
    "by=visitors&way=asc": ["Germany", "Norway", "Sweden"],
    "by=visit:country&way=asc": ["Germany", "Norway", "Sweden"],
    "by=visit:country": ["Sweden", "Norway", "Germany"],
    "by=bounce_rate": ["Germany", "Norway", "Sweden"],
    "by=visits&way=asc": ["Germany", "Norway", "Sweden"],
    "by=share&way=asc": ["Germany", "Norway", "Sweden"],
    "by=nothing": ["Sweden", "Germany", "Norway"],
}


@pytest.mark.parametrize(("query", "order"), ORDERS.items())
def test_details_are_sorted_by_any_column(board: Board, query: str, order: list[str]) -> None:
    """Either way; by name as names are read, not as they are stored."""
    board.seed([pageview(number, country=code) for number, code in enumerate(("SE", "SE", "DE", "NO"), 1)])
    page = board.page(f"/{SITE}/details/countries?period=day&{query}")
    assert [row[0] for row in page.tables["Countries: Countries"]] == order
    heads = [given.get("aria-sort") for name, given in page.elements if name == "th" and "aria-sort" in given]
    assert len(heads) == 1


def test_a_head_sorts_and_then_turns_the_order(board: Board) -> None:
    """Names begin with A, numbers with the biggest."""
    board.seed(STORY)
    page = board.page(f"/{SITE}/details/pages?period=day&f=is,visit:country,NO")
    name, visitors = page.link("Page"), page.link("Visitors")
    assert ("by=event:page&way=asc" in name, "by=visitors&way=asc" in visitors) == (True, True)
    turned = board.page(name)
    assert turned.link("Page").endswith("by=event:page")
    assert [row[0] for row in turned.tables["Pages: Top pages"]] == ["/", "/about", "/pricing"]


def test_search_finds_labels_and_leaves_the_counts_exact(board: Board) -> None:
    """Names in any case; searching is not a filter, so that small counts stay as they are without it."""
    board.add_site("small.example", timezone="UTC", min_visitors=3)
    board.seed([pageview(number, country=code, site="small.example")
                for number, code in enumerate(("SE", "SE", "DE", "NO"), 1)])  # fmt: skip
    page = board.page("/small.example/details/countries?period=day&q=EN")
    assert page.tables["Countries: Countries"][0][:2] == ["Sweden", "2"]
    assert "1–1 of 1" in page.text
    assert "No results for “zz”" in board.page("/small.example/details/countries?period=day&q=zz").text


def test_what_is_searched_and_sorted_is_paged(board: Board) -> None:
    """Pages keep search and order, and there is no row twice or missing."""
    board.seed([pageview(1, f"/page/{number:03d}", visits=0, bounces=0) for number in range(230)])
    path: str | None = f"/{SITE}/details/pages?period=day&q=/page/0&by=event:page"
    seen: list[str] = []
    while path:
        page = board.page(path)
        seen += [row[0] for row in page.tables["Pages: Top pages"]]
        path = next((link.href for link in page.links if link.text == "Next"), None)
    assert seen == [f"/page/{number:03d}" for number in reversed(range(100))]
    assert len(seen) > ROWS


def exported(board: Board, path: str, **params: Any) -> list[list[str]]:
    """A file's rows, its head first."""
    given = {"period": "day", "separator": "comma", **params}
    answer = board.get(f"/{SITE}/details/{path}.csv", params=given)
    assert answer.status_code == 200
    assert answer.content.startswith(codecs.BOM_UTF8)
    separator = ";" if given["separator"] == "semicolon" else ","
    return list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig")), delimiter=separator))


def test_a_file_has_all_rows_that_are_asked_for(board: Board) -> None:
    """No pages, the same order, search and columns; times and shares as numbers, revenue by currency."""
    board.seed((*STORY, *(pageview(1, f"/page/{number:03d}", visits=0, bounces=0) for number in range(120))))
    rows = exported(board, "pages", q="/page", by="event:page", way="asc")
    assert rows[0] == ["event:page", "visitors", "pageviews", "bounce_rate", "time_on_page", "scroll_depth",
                       "total_revenue_EUR", "average_revenue_EUR"]  # fmt: skip
    assert [row[0] for row in rows[1:]] == [f"/page/{number:03d}" for number in range(120)]
    goals = exported(board, "events")
    revenue = ["total_revenue_EUR", "average_revenue_EUR"]
    assert goals == [["event:goal", "visitors", "events", "conversion_rate", *revenue],
                     ["Signup", "2", "2", "50.0", "20.0", "20.0"]]  # fmt: skip


def test_a_file_is_the_same_in_every_language(board: Board) -> None:
    """What is searched for is what the reader sees; what the file says is what a program reads anywhere."""
    board.seed(STORY)
    english = exported(board, "countries", by="visit:country", way="asc")
    board.cookies.set(f"__Host-{COOKIE}", "sv")
    assert "Norge" in board.page(f"/{SITE}?period=day").text
    assert sorted(exported(board, "countries")) == sorted(english)
    assert exported(board, "countries", q="norg")[1][0] == "Norway"


def test_a_file_opens_in_the_reader_s_spreadsheet(board: Board) -> None:
    """With semicolons and decimal commas for Swedes, with commas for others, and either for who says so."""
    board.seed(STORY)
    files = {
        (language, separator): board.get(
            f"/{SITE}/details/events.csv?period=day{separator}", headers={"accept-language": language}
        ).content.decode("utf-8-sig")
        for language in ("en", "sv")
        for separator in ("", "&separator=comma", "&separator=semicolon")
    }
    assert files["en", ""] == files["en", "&separator=comma"] == files["sv", "&separator=comma"]
    assert files["sv", ""] == files["sv", "&separator=semicolon"] == files["en", "&separator=semicolon"]
    assert '"Signup",2,2,50.0,20.0,20.0' in files["en", ""]
    assert '"Signup";2;2;50,0;20,0;20,0' in files["sv", ""]
    assert '"hour";"visitors"' in board.get(f"/{SITE}/chart.csv?period=day", headers={"accept-language": "sv"}).text


def test_a_file_hides_small_groups_as_the_page_does(board: Board) -> None:
    """Under a filter, what the page tells together the file tells together."""
    anyio.run(board.dashboard.sites.change, msgspec.structs.replace(_site(board), min_visitors=3))
    many = [pageview(number, "/a", source="Google", country="SE") for number in range(1, 13)]
    few = [pageview(20 + number, "/b", source="Google", country=code) for number, code in enumerate(("NO", "DK", "FI"))]
    board.seed([*many, *few])
    rows = exported(board, "countries", f="is,visit:source,Google")
    page = read(board.get(f"/{SITE}/details/countries", params={"period": "day", "f": "is,visit:source,Google"}).text)
    assert [row[0] for row in rows[1:]] == [row[0] for row in page.tables["Countries: Countries"]]
    assert "Norway" not in [row[0] for row in rows]


def _site(board: Board) -> Any:
    return board.dashboard.sites.get(SITE)


def test_cells_that_look_like_formulas_are_text(board: Board) -> None:
    """Whatever a visitor's event said, a spreadsheet that opens the file computes nothing."""
    board.seed([pageview(1, name="=cmd()", props={"k": "@y"}), pageview(2)])
    assert exported(board, "events", events="events")[1][0] == "'=cmd()"
    assert exported(board, "events", events="properties", key="k")[1][0] == "'@y"


def test_the_form_for_filters_leads_to_an_address_that_says_it(board: Board) -> None:
    """Without scripts: a form, a redirect, and the chip; on the details page likewise."""
    board.seed(STORY)
    form = {"period": "day", "fd": "visit:country", "fo": "is_not", "fv": "norway"}
    for path in (f"/{SITE}", f"/{SITE}/details/pages"):
        answer = board.get(path, params=form)
        assert (answer.status_code, answer.headers["location"]) == (303, f"{path}?period=day&f=is_not,visit:country,NO")
    page = board.page(f"/{SITE}?period=day&f=is_not,visit:country,NO")
    assert "Country is not Norway" in page.text
    assert [given["value"] for name, given in page.elements if given.get("name") == "f"].count(
        "is_not,visit:country,NO"
    ) >= 1


def test_values_are_suggested_as_they_are_typed(board: Board) -> None:
    """The most frequent first, by the names that readers see; for a property its values; for nonsense nothing."""
    board.seed(STORY)

    def suggested(**form: str) -> list[str]:
        answer = board.get(f"/{SITE}/values", params={"period": "day", **form})
        return [given["value"] for name, given in read(answer.text).elements if name == "option"]

    assert suggested(fd="event:page", fv="") == ["/", "/about", "/pricing"]
    assert suggested(fd="event:page", fv="PRI") == ["/pricing"]
    assert suggested(fd="visit:country", fv="swe") == ["Sweden"]
    assert suggested(fd="visit:country", fv="japan") == ["Japan"]
    assert suggested(fd="event:props:", fk="plan", fv="pr") == ["pro"]
    assert suggested(fd="no:such", fv="x") == []


def test_a_rare_value_is_suggested(board: Board) -> None:
    """However many more frequent ones there are."""
    often = [pageview(2 * number + side, f"/often/{number}") for number in range(1, 2_100) for side in (0, 1)]
    board.seed([*often, pageview(1, "/rare")])
    text = board.get(f"/{SITE}/values", params={"period": "day", "fd": "event:page", "fv": "/rare"}).text
    assert [given["value"] for name, given in read(text).elements if name == "option"] == ["/rare"]


class _Counted:
    """Figures of a site with very many values; counts how often it is asked."""

    def __init__(self, stats: StatsService, total: int = 500_000) -> None:
        self._stats = stats
        self._total = total
        self.asked = 0

    def as_guest(self) -> _Counted:
        return self

    async def run(self, queries: Sequence[Query]) -> list[Result]:
        self.asked += 1
        return [replace(result, total_rows=self._total) for result in await self._stats.run(queries)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stats, name)


def test_a_guest_who_types_a_value_that_is_not_there_costs_two_statements(board: Board) -> None:
    """Only members search every value."""
    board.seed(STORY)
    counted = _Counted(board.dashboard.stats)
    object.__setattr__(board.dashboard, "stats", counted)
    params = {"period": "day", "fd": "event:page", "fv": "nowhere"}
    assert board.get(f"/{SITE}/values", params=params).status_code == 200
    of_member, counted.asked = counted.asked, 0
    anyio.run(board.dashboard.sites.change, msgspec.structs.replace(_site(board), public=True))
    board.cookies.clear()
    assert board.get(f"/{SITE}/values", params=params).status_code == 200
    assert (of_member, counted.asked) == (51, 2)


def test_a_filter_by_a_goal_that_is_gone_is_left_out(board: Board) -> None:
    """An old bookmark still opens: what cannot be asked for is not asked for."""
    board.seed(STORY)
    goals = (Goal(kind="page", match="/pricing"),)
    anyio.run(board.dashboard.sites.change, msgspec.structs.replace(_site(board), goals=goals))
    page = shown(board, "is,event:goal,Signup", "is,visit:country,NO")
    assert "Goal is" not in page.text
    assert "Country is Norway" in page.text
    assert page.tables["Goals and events: Goals"] == [["Visit /pricing", "1", "1", "50%"]]


@long
def test_a_file_that_lacks_rows_says_so(board: Board) -> None:
    """Beyond a million and ten thousand rows, in its last line; it ends there without an error."""
    board.seed([pageview(number, f"/{number}") for number in range(1, 4)])
    counted = _Counted(board.dashboard.stats, total=MOST_ROWS + 5)
    object.__setattr__(board.dashboard, "stats", counted)
    lines = board.get(f"/{SITE}/details/pages.csv?period=day").text.splitlines()
    assert counted.asked == MOST_ROWS // MAX_LIMIT
    assert f"the first {MOST_ROWS} of {MOST_ROWS + 5} rows" in lines[-1]
    assert lines[-1].count(",") == lines[0].count(",")


def test_details_have_period_and_comparison_of_their_own(board: Board) -> None:
    """Their menus lead to the same details, and each row says how its first metric moved."""
    board.seed([pageview(number, "/a") for number in range(1, 5)])
    board.seed([pageview(number, "/a", at=NOON - 7 * 86_400) for number in range(1, 3)])
    page = board.page(f"/{SITE}/details/pages?period=7d")
    assert page.link("Last 28 days F") == f"/{SITE}/details/pages?period=28d"
    assert page.link("Year over year") == f"/{SITE}/details/pages?period=7d&compare=year"
    assert "vs. 7–13 May 2026" in page.text
    assert "100%up 100 percent" in page.tables["Pages: Top pages"][0][1]
    assert board.page(f"/{SITE}/details/pages?period=7d&compare=none").tables["Pages: Top pages"][0][1] == "4"
