"""Every surface tells the figures of the model, with default settings: exactly, or called hidden.

Under `strict` they are rounded; guests see the open day in steps.

One town is read through the page, its panels, their details and files, the chart, both Stats APIs, the realtime view
and a shared link.
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import functools
import io
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import anyio
import httpx
import pytest
from clickhouse_connect.driver.client import Client
from starlette.applications import Starlette
from starlette.requests import Request

from collector.ingest.event import Event
from collector.rollups.job import RollupJob
from collector.sites.goals import Goal
from collector.sites.model import Site
from collector.storage.client import ClickHouse
from dashboard.analytics.funnels import Funnel, FunnelStep
from dashboard.api import stats
from dashboard.i18n import formatting
from dashboard.reports.chart_metrics import chart_metrics_of
from dashboard.reports.panels import PANELS, Tab, property_tab
from dashboard.reports.realtime_figures import realtime_figures
from dashboard.reports.revenue import REVENUE_MEASURES
from dashboard.server.error_handlers import error_handlers
from dashboard.web import routes
from tests import journeys_model
from tests.board import NOON, Board, opened_board, pageview
from tests.databases import Databases
from tests.funnel_model import FunnelModel
from tests.length import by_length
from tests.model import OTHER, Cells, Model, Question, VisitKey
from tests.questions import body_of
from tests.towns import FIRST, SITE, ZONE, random_events

DAYS, VISITORS, LEAST = 3, 14, 3
LAST = FIRST + datetime.timedelta(days=DAYS - 1)
DATES = f"period=custom&from={FIRST}&to={LAST}&compare=none"
GOALS = (
    Goal(name="Signup", kind="event", match="Signup", currency="SEK"),
    Goal(name="Read b", kind="page", match="/b**"),
    Goal(name="Half of it", kind="scroll", depth=50),
)
FILTERS: dict[str, tuple[str, list[Any], str]] = {
    "everyone": ("", [], ""),
    "country": ("&f=is,visit:country,SE", [["is", "visit:country", ["SE"]]], "visit:country==SE"),
    "page": ("&f=is,event:page,/a", [["is", "event:page", ["/a"]]], "event:page==/a"),
    "goal": ("&f=is,event:goal,Signup", [["is", "event:goal", ["Signup"]]], "event:goal==Signup"),
    "page goal": ("&f=is,event:goal,Read b", [["is", "event:goal", ["Read b"]]], "event:goal==Read b"),
    "name": ("&f=is,event:name,pageview", [["is", "event:name", ["pageview"]]], "event:name==pageview"),
    "page and browser": (
        "&f=is,event:page,/b&f=is_not,visit:browser,Chrome",
        [["is", "event:page", ["/b"]], ["is_not", "visit:browser", ["Chrome"]]],
        "event:page==/b;visit:browser!=Chrome",
    ),
    "returning": ("&f=is,visit:returning,true", [["is", "visit:returning", ["true"]]], "visit:returning==true"),
    "not returning": ("&f=is,visit:returning,false", [["is", "visit:returning", ["false"]]], "visit:returning==false"),
    "in a funnel": (
        "&f=is,visit:funnel,reached:2:Way",
        [["is", "visit:funnel", ["reached:2:Way"]]],
        "visit:funnel==reached:2:Way",
    ),
    "out of a funnel, on a page": (
        "&f=is,visit:funnel,left:1:Way&f=is,event:page,/a",
        [["is", "visit:funnel", ["left:1:Way"]], ["is", "event:page", ["/a"]]],
        "visit:funnel==left:1:Way;event:page==/a",
    ),
    "on a journey": (
        "&f=is,visit:journey,at=page:/a%26not2=end%26not2=page:/b",
        [["is", "visit:journey", ["at=page:/a&not2=end&not2=page:/b"]]],
        "visit:journey==at=page:/a&not2=end&not2=page:/b",
    ),
    "a small group": (
        "&f=is,visit:country,DE&f=is,visit:source,Bing&f=is,event:page,/Ö",
        [["is", "visit:country", ["DE"]], ["is", "visit:source", ["Bing"]], ["is", "event:page", ["/Ö"]]],
        "visit:country==DE;visit:source==Bing;event:page==/Ö",
    ),
}
WAY = Funnel(name="Way", steps=(FunnelStep(kind="page", match="/a"), FunnelStep(kind="page", match="/b**")))
UNDER = pytest.mark.parametrize(
    ("town", "under"),
    [*(("default", each) for each in FILTERS), *(("strict", each) for each in ("everyone", "country", "page goal"))],
    indirect=["town"],
)


def members(model: Model, value: str) -> set[VisitKey]:
    """The visits of a value of the filters by funnels and journeys."""
    asked = Question(SITE, ("visits",), FIRST, LAST, zone=ZONE)
    if not value.startswith(("reached", "left")):
        return journeys_model.members(model, asked, value)
    return FunnelModel(model, GOALS).members(WAY, asked, value)


class Town:
    """The dashboard and the APIs over a town of people, of whose days some are closed; and the model of it."""

    def __init__(self, board: Board, *, strict: bool = False) -> None:
        self.board = board
        site = board.add_site(SITE, timezone=ZONE, goals=GOALS, strict=strict)
        assert site.min_visitors == LEAST
        self.events: list[Event] = random_events(5, DAYS, VISITORS)
        board.seed(self.events)
        self.model = Model(self.events, GOALS, LEAST, strict=strict, members=members)
        self.funnel = anyio.run(board.dashboard.funnels.add, site, WAY)
        evening = datetime.datetime.combine(LAST, datetime.time(23, 59, 59), ZoneInfo(ZONE))
        board.clock.now = evening.timestamp()
        RollupJob(board.database, board.dashboard.sites, board.clock).close_due()

        async def everybody(_: Request, domain: str) -> Site:
            return board.site(domain)

        figures = board.dashboard.stats
        api = stats.routes(stats=figures, sites=board.dashboard.sites, readable=everybody, clock=board.clock)
        board.app = Starlette(
            routes=[*api, *routes.routes(board.dashboard)], exception_handlers=error_handlers(board.dashboard)
        )
        board.sign_in()

    def question(self, metrics: Sequence[str], *dimensions: str, under: str = "everyone") -> Question:
        """A question about all of its days."""
        return Question(SITE, tuple(metrics), FIRST, LAST, dimensions, FILTERS[under][1], zone=ZONE)

    def figures(self, metrics: Sequence[str], under: str) -> dict[str, Any] | None:
        """The model's totals; None where they are hidden."""
        answer = self.model.answer(self.question(metrics, under=under))
        return None if answer.hidden else dict(zip(metrics, answer.rows[()], strict=True))

    def get(self, path: str) -> str:
        """A page that must be there."""
        answer = self.board.get(path)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:300])
        return answer.text

    def api(self, question: Question) -> Any:
        """The answer of the newer API."""
        answer = self.board.ask("POST", "/api/v2/query", json=body_of(question))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def older(self, endpoint: str, under: str, **more: str) -> Any:
        """The results of the older API."""
        given = {"site_id": SITE, "period": "custom", "date": f"{FIRST},{LAST}", "filters": FILTERS[under][2]} | more
        answer = self.board.get(f"/api/v1/stats/{endpoint}", params={k: v for k, v in given.items() if v})
        assert answer.status_code == 200, answer.text
        return answer.json()["results"]


@pytest.fixture(scope="module")
def towns(embedded_databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Town]]:
    """The towns that tests read: one with default settings and a `strict` one, each made when it is first wanted."""
    with contextlib.ExitStack() as opened:

        @functools.cache
        def town_of(kind: str) -> Town:
            clickhouse = opened.enter_context(embedded_databases.lent())
            database = opened.enter_context(contextlib.closing(clickhouse.client()))
            board = opened.enter_context(opened_board(clickhouse, database, tmp_path_factory.mktemp("town")))
            return Town(board, strict=kind == "strict")

        yield town_of


@pytest.fixture
def town(towns: Callable[[str], Town], request: pytest.FixtureRequest) -> Iterator[Town]:
    """A town with default settings, or `strict`, its admin signed in, in the evening of its last day."""
    town = towns(getattr(request, "param", "default"))
    board, model = town.board, town.model
    now, cookies = board.clock.now, httpx.Cookies(board.cookies)
    yield town
    town.model, board.clock.now, board.cookies = model, now, cookies
    board.dashboard.stats.clear_cache()


@pytest.fixture
def own_town(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Town]:
    """A town of one's own, to put other events into."""
    with opened_board(clickhouse, database, tmp_path) as board:
        yield Town(board)


def strip(page: str) -> dict[str, str]:
    """The full text of each figure at the top; of revenue one a currency, such as `total_revenue-EUR`."""
    found = re.findall(r'id="figure-([\w-]+)".*?<strong title="([^"]*)"', page, re.DOTALL)
    return {metric: unescape(text) for metric, text in found}


def is_hidden(page: str) -> bool:
    """Whether the page says that the view is hidden, all of it: not one panel, of which few are left."""
    return f"<h2>Hidden: fewer than {LEAST} visitors</h2>" in page


def table_rows(page: str) -> list[tuple[str, str, str, list[str]]]:
    """Panel, address, label and cells of every row of the panels that leads to a narrower view."""
    found = []
    panels = re.compile(r'<section class="card panel" aria-labelledby="(\w+)-title">(.*?)</section>', re.DOTALL)
    for panel, body in panels.findall(page):
        for row in re.findall(r"<tr[^>]*>\s*<th scope=\"row\">.*?</tr>", body, re.DOTALL):
            link = re.search(r'<a href="([^"]*)" title="([^"]*)">', row)
            cells = [
                re.sub(r"<[^>]*>", "", each).strip() for each in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)
            ]
            if link:
                found.append((panel, unescape(link[1]), unescape(link[2]), cells))
    return found


def texts(town: Town, under: str) -> dict[str, str]:
    """What the strip should say."""
    dimensions = {each.split(",")[1] for each in FILTERS[under][0].split("&f=") if each}
    names = chart_metrics_of(dimensions)
    figures = town.figures((*names, *REVENUE_MEASURES), under)
    found = {name: formatting.metric_text(name, figures[name] if figures else None) for name in names}
    # A rate of too few visits is called hidden; one of none is a dash.
    exact = Model(town.events, GOALS, members=members).rows(town.question(names, under=under))[()]
    few = [name for name, value in zip(names, exact, strict=True) if value is not None]
    found |= {name: "Hidden" for name in few if figures and figures[name] is None}
    for name in REVENUE_MEASURES:
        amounts = figures[name] if figures else ()
        found |= {f"{name}-{currency}": formatting.money(amount, currency) for currency, amount in amounts}
    return found


@UNDER
def test_the_strip(town: Town, under: str) -> None:
    """Each figure of the view, for members and by a shared link."""
    expected = texts(town, under)
    path = f"/{SITE}?{DATES}{FILTERS[under][0]}"
    page = town.get(path)
    assert is_hidden(page) == (town.figures(["visitors"], under) is None)
    assert expected == strip(page)
    town.board.clock.now += 86_400
    link = anyio.run(share, town)
    town.board.cookies.clear()
    assert strip(town.get(path.replace(f"/{SITE}", link))) == strip(page)


async def share(town: Town) -> str:
    """The address by which anybody may read the site."""
    site = town.board.dashboard.sites.get(SITE)
    assert site is not None
    _, token = await town.board.dashboard.shares.create(site, name="For Ada")
    return f"/share/{token}"


def tabs_under(filters: str) -> Sequence[tuple[str, Tab, str]]:
    """All tabs of everyone's figures; under a filter, in short, every third, so that each tab is read under several."""
    every = list(tabs())
    return every if filters == "everyone" else by_length(every[[*FILTERS].index(filters) % 3 :: 3], every)


def tabs() -> Iterator[tuple[str, Tab, str]]:
    """Every tab with its panel, and what an address says to open it."""
    for panel in PANELS:
        for index, tab in enumerate(panel.tabs):
            opened = property_tab(tab, (), ("plan", "x"), "plan") if tab.empty else tab
            yield (
                panel.name,
                opened,
                (f"&{panel.name}={tab.name}" if index else "") + ("&key=plan" if tab.empty else ""),
            )


def written(value: Any) -> str:
    """A number as a file has it."""
    return "" if value is None else str(value)


def columns(heads: Sequence[str]) -> list[tuple[str, str]]:
    """The columns of a file: each a metric, and the currency of one of revenue."""
    found = [re.fullmatch(r"(total_revenue|average_revenue)_([A-Z]{3})", head) for head in heads]
    return [(match[1], match[2]) if match else (head, "") for head, match in zip(heads, found, strict=True)]


def written_cells(names: Sequence[tuple[str, str]], cells: Cells) -> list[str]:
    """A row of a file. Of revenue in a currency that there is none in, or that is not told, nothing is written."""
    return [
        written(dict(value).get(currency) if isinstance(value, tuple) else value)
        for (_, currency), value in zip(names, cells, strict=True)
    ]


@UNDER
def test_the_files_of_the_panels(town: Town, under: str) -> None:
    """Every row and column of every tab: exact, or in the row of small groups."""
    check_files(town, under)


def check_files(town: Town, under: str, base: str = f"/{SITE}") -> None:
    """Whether the files of the tabs are as the model has them."""
    for panel, tab, opens in tabs_under(under):
        text = town.get(f"{base}/details/{panel}.csv?{DATES}{opens}{FILTERS[under][0]}")
        head, *rows = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
        names = columns(head[1:])
        assert {currency for name, currency in names if name in REVENUE_MEASURES} in ({"EUR", "SEK"}, set())
        metrics = [name for name, _ in names]
        answer = town.model.answer(town.question(metrics, tab.dimension, under=under))
        # What has no property is a row only where events are chosen by a goal or a name.
        left_out = "Not given" if tab.dimension == "event:props:plan" else None
        expected = {}
        for (value,), cells in answer.rows.items():
            if value == OTHER or (tab.shows(value) and tab.label(value) != left_out):
                label = "Other (grouped for privacy)" if value == OTHER else tab.label(value)
                # Nor is what only anonymous events have, where visitors and visits are counted; what is hidden is.
                if any(cells) or cells[0] is None:
                    expected[label] = written_cells(names, cells)
        found = {row[0]: row[1 : 1 + len(metrics)] for row in rows if row[0] != left_out}
        found = {label: cells for label, cells in found.items() if not label.startswith("Hidden")}
        assert found == expected, (panel, tab.name)


@UNDER
def test_the_chart(town: Town, under: str) -> None:
    """Every metric by day and by hour; hidden buckets are empty in the file and called hidden on the page."""
    check_chart(town, under)
    page = town.get(f"/{SITE}?{DATES}{FILTERS[under][0]}")
    assert ("Gaps in the line are hidden" in page) == bool(re.search(r"<tr data-label.*?</th><td>Hidden</td>", page))


def check_chart(town: Town, under: str, base: str = f"/{SITE}") -> None:
    """Whether the files of the chart are as the model has them."""
    for bucket, range_ in (("day", DATES), ("hour", f"period=custom&from={FIRST}&to={FIRST}&compare=none")):
        text = town.get(f"{base}/chart.csv?{range_}&bucket={bucket}{FILTERS[under][0]}")
        head, *rows = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
        names = columns(["group_conversion_rate" if name == "conversion_rate" else name for name in head[1:]])
        metrics = [name for name, _ in names]
        asked = town.question(metrics, f"time:{bucket}", under=under)
        if bucket == "hour":
            asked = Question(**{**asked.__dict__, "last": FIRST})
        answer = town.model.answer(asked)
        for label, *cells in rows:
            if (label,) in answer.rows:
                assert cells == written_cells(names, answer.rows[(label,)]), label
            elif answer.hidden:
                told = {"", "0"} if answer.rows and (label,) not in answer.hidden else {""}
                assert set(cells) <= told, label
        assert {label for (label,) in answer.rows} <= {row[0] for row in rows}


API_METRICS: dict[tuple[str, ...], tuple[str, ...]] = {
    (): ("visitors", "visits", "pageviews", "events", "views_per_visit", "bounce_rate", "visit_duration"),
    ("visit:source",): ("visitors", "visits", "views_per_visit", "percentage"),
    ("event:page",): (
        "visitors",
        "pageviews",
        "visits",
        "bounce_rate",
        "visit_duration",
        "time_on_page",
        "scroll_depth",
    ),
    ("event:goal",): ("visitors", "events", "conversion_rate", "bounce_rate"),
    ("visit:exit_page",): ("visitors", "visits", "pageviews"),
    ("event:hostname",): ("visitors", "pageviews", "visit_duration"),
    ("time:day",): ("visitors", "visits", "pageviews", "bounce_rate"),
    ("time:day", "visit:country"): ("visitors", "events"),
    ("visit:country", "event:page"): ("visitors", "pageviews"),
}


def values(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The values of a row of the newer API; the row of small groups says that it is."""
    return tuple(OTHER if value == "(other)" and row.get("grouped") else value for value in row["dimensions"])


@UNDER
def test_revenue_in_the_newer_api(town: Town, under: str) -> None:
    """Of one currency as the metric itself; of several in the row's `revenue`."""
    for dimensions in ((), ("visit:source",), ("event:props:plan",), ("event:page",), ("time:day",)):
        asked = town.question([*REVENUE_MEASURES], *dimensions, under=under)
        answer = town.model.answer(asked)
        for row in town.api(asked)["results"]:
            total, average = answer.rows.get(values(row), ((), ()))
            assert isinstance(total, tuple)
            assert isinstance(average, tuple)
            if len(total) == 1:
                shown = [(cell["currency"], cell["value"]) if cell else None for cell in row["metrics"]]
                assert shown == [total[0], average[0] if average[0][1] is not None else None]
            else:
                assert row["metrics"] == [None, None]
            several = {currency: {"total_revenue": amount} for currency, amount in total}
            for currency, amount in average:
                several[currency]["average_revenue"] = amount
            assert row.get("revenue", {}) == (several if len(total) > 1 else {})


@UNDER
def test_the_newer_api(town: Town, under: str) -> None:
    """Totals, breakdowns, time and two dimensions; what is hidden is said in `meta`."""
    for dimensions, metrics in API_METRICS.items():
        asked = town.question(metrics, *dimensions, under=under)
        answer, found = town.model.answer(asked), town.api(asked)
        rows = {values(row): tuple(row["metrics"]) for row in found["results"]}
        shown = {group: cells for group, cells in rows.items() if group in answer.rows}
        assert shown == answer.rows, dimensions
        assert all(set(cells) == {None} for group, cells in rows.items() if group not in answer.rows), dimensions
        withheld = bool(answer.hidden or Model(town.events, GOALS, members=members).rows(asked))
        assert found["meta"].get("hidden", False) == (withheld and not answer.rows), dimensions


def test_values_called_like_the_row_of_small_groups_are_told_from_it(own_town: Town) -> None:
    """On the page, in its file and over both APIs: only the one is marked, and only the others can be filtered by."""
    town, grouped = own_town, "Other (grouped for privacy)"
    said = {"(other)": 5, grouped: 4, "a": 2, "b": 2}
    visitors = itertools.count(1)
    town.board.database.command("TRUNCATE TABLE events")
    came = [name for name, count in said.items() for _ in range(count)]
    town.board.seed([pageview(next(visitors), site=SITE, country="SE", utm_campaign=name) for name in came])
    town.board.clock.now = NOON + 600.0
    town.board.dashboard.stats.clear_cache()
    shown = "period=day&sources=campaigns&f=is,visit:country,SE"
    rows = {label: href for panel, href, label, _ in table_rows(town.get(f"/{SITE}?{shown}")) if panel == "sources"}
    assert set(rows) == {"(other)", f"“{grouped}”"}
    assert strip(town.get(rows["(other)"]))["visitors"] == "5"
    assert strip(town.get(rows[f"“{grouped}”"]))["visitors"] == "4"
    text = town.get(f"/{SITE}/details/sources.csv?{shown}&separator=comma").removeprefix("\ufeff")
    cells = [row[:2] for row in csv.reader(io.StringIO(text))][1:]
    assert cells == [["(other)", "5"], [f"“{grouped}”", "4"], [grouped, "4"]]
    body: dict[str, Any] = {"site_id": SITE, "metrics": ["visitors"], "date_range": "day"}
    body["dimensions"] = ["visit:utm_campaign"]
    body["filters"] = [["is", "visit:country", ["SE"]]]
    found = town.board.ask("POST", "/api/v2/query", json=body).json()["results"]
    assert [(row["dimensions"], row["metrics"], row.get("grouped")) for row in found] == [
        (["(other)"], [5], None), ([grouped], [4], None), (["(other)"], [4], True),
    ]  # fmt: skip
    given = {"site_id": SITE, "period": "day", "property": "visit:utm_campaign", "filters": "visit:country==SE"}
    assert town.board.get("/api/v1/stats/breakdown", params=given).json()["results"] == [
        {"utm_campaign": "(other)", "visitors": 5},
        {"utm_campaign": grouped, "visitors": 4},
        {"utm_campaign": "(other)", "visitors": 4, "grouped": True},
    ]


@pytest.mark.parametrize("under", ["everyone", "country"])
def test_exit_rates(town: Town, under: str) -> None:
    """Visits that ended on a page, of its pageviews."""
    asked = town.question(("visits", "exit_rate"), "visit:exit_page", under=under)
    rows = {values(row): tuple(row["metrics"]) for row in town.api(asked)["results"]}
    assert rows == town.model.rows(asked)


@UNDER
def test_the_older_api(town: Town, under: str) -> None:
    """Aggregate, time series and breakdown."""
    metrics = ("visitors", "visits", "pageviews", "bounce_rate")
    figures = town.figures(metrics, under)
    results = town.older("aggregate", under, metrics=",".join(metrics))
    assert {name: results[name]["value"] for name in metrics} == (figures or dict.fromkeys(metrics))
    answer = town.model.answer(town.question(metrics, "event:page", under=under))
    rows = town.older("breakdown", under, property="event:page", metrics=",".join(metrics))
    shown = {OTHER if row.get("grouped") else row["page"]: tuple(row[name] for name in metrics) for row in rows}
    assert shown == {page: cells for (page,), cells in answer.rows.items()}
    series = town.model.answer(town.question(metrics, "time:day", under=under))
    for row in town.older("timeseries", under, metrics=",".join(metrics)):
        group = (row["date"],)
        expected = series.rows.get(group, (None,) * 4 if group in series.hidden or () in series.hidden else None)
        if expected is not None:
            assert tuple(row[name] for name in metrics) == expected


def _local(ts: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(ts, ZoneInfo(ZONE))


@pytest.mark.parametrize("town", ["default", "strict"], indirect=True)
def test_the_realtime_view(town: Town) -> None:
    """The last half hour by source, page and country: small groups are one, whose visitors count once."""
    minute = _busiest(town.events)
    town.board.clock.now = float(minute + 29 * 60)
    realtime = anyio.run(realtime_figures, town.board.dashboard.stats, SITE, ZONE)
    start, end = minute // 60 * 60, minute + 29 * 60 + 1
    for name, groups in (
        ("visit:source", realtime.sources), ("event:page", realtime.pages), ("visit:country", realtime.countries),
    ):  # fmt: skip
        asked = Question(SITE, ("visitors",), FIRST, LAST, (name,), start=start, end=end, zone=ZONE)
        empty = {"visit:source": "Direct / None"}.get(name, "(not set)")
        found = {(group.value or empty,): (group.visitors,) for group in groups}
        assert found == {group: cells for group, cells in town.model.rows(asked).items() if cells[0]}, name
    by_minute = Question(SITE, ("pageviews",), FIRST, LAST, ("time:minute",), start=start, end=end, zone=ZONE)
    told = {f"{_local(ts):%F %T}": count for ts, count in realtime.minutes if count}
    assert told == {label: count for (label,), (count,) in town.model.rows(by_minute).items() if count}
    ((events,),) = town.model.rows(Question(SITE, ("events",), FIRST, LAST, start=start, end=end, zone=ZONE)).values()
    assert realtime.events == events


@pytest.mark.parametrize(
    ("town", "under"),
    [("default", "everyone"), ("default", "page"), ("default", "goal"), ("strict", "everyone"), ("strict", "country")],
    indirect=["town"],
)
@pytest.mark.parametrize("hour", [11, 18])
def test_guests_see_the_open_day_in_steps(town: Town, under: str, hour: int) -> None:
    """By a shared link, during the day: strip, panels and chart as they were when the step before the newest ended."""
    town.board.clock.now = datetime.datetime.combine(LAST, datetime.time(hour), ZoneInfo(ZONE)).timestamp()
    members = town.figures(["visitors", "events"], "everyone")
    town.model = town.model.for_guest(town.board.clock.now, ZONE)
    assert town.figures(["visitors", "events"], "everyone") != members
    expected = texts(town, under)
    link = anyio.run(share, town)
    town.board.cookies.clear()
    page = town.get(f"{link}?{DATES}{FILTERS[under][0]}")
    assert expected == strip(page)
    check_files(town, under, link)
    check_chart(town, under, link)


def _busiest(events: Sequence[Event]) -> int:
    """The minute before the half hour with the most visitors."""
    moments = [event.ts // 60 * 60 for event in events]
    return max(moments, key=lambda at: len({e.visitor for e in events if at <= e.ts < at + 1800}))


def _followed(town: Town, page: str, columns: Mapping[str, Sequence[str]], most: int) -> int:
    """Follow rows, and compare what their pages say with what they say; returns how many were compared."""
    seen: dict[str, int] = {}
    compared = 0
    for panel, href, label, cells in table_rows(page):
        seen[panel] = seen.get(panel, 0) + 1
        if seen[panel] > most:
            continue
        target = town.get(href)
        if is_hidden(target):
            continue
        figures = strip(target)
        for metric, text in zip(columns[panel], cells, strict=False):
            if metric in figures:
                compared += 1
                assert figures[metric] == text, (panel, label, metric, href)
    return compared


@pytest.mark.parametrize("under", ["everyone", "page", "goal"])
def test_a_row_leads_to_a_page_that_says_the_same(town: Town, under: str) -> None:
    """Of every panel, in each of its columns; or the page says that it is hidden."""
    compared = 0
    # Under a goal the columns are visitors, and their rate of the row's own.
    columns = {panel.name: ("visitors",) if under == "goal" else panel.tabs[0].columns for panel in PANELS}
    page = town.get(f"/{SITE}?{DATES}{FILTERS[under][0]}")
    compared += _followed(town, page, columns, 3)
    assert compared > (5 if under == "everyone" else 2)


@pytest.mark.parametrize("tab", [tab for tab in tabs() if tab[2]], ids=lambda tab: f"{tab[0]}-{tab[1].name}")
def test_a_row_of_any_tab_leads_to_a_page_that_says_the_same(town: Town, tab: tuple[str, Tab, str]) -> None:
    """Entry and exit pages, hostnames, campaigns, systems, events and properties, too."""
    panel, opened, opens = tab
    page = town.get(f"/{SITE}?{DATES}{opens}")
    rows = [row for row in table_rows(page) if row[0] == panel]
    assert rows or opened.name == "map"
    section = page.partition(f'aria-labelledby="{panel}-title"')[2].partition("</section>")[0]
    only = f'<section class="card panel" aria-labelledby="{panel}-title">{section}</section>'
    assert _followed(town, only, {panel: opened.columns}, 2) > 0
    assert quote(panel) == panel
