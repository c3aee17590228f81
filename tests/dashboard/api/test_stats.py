"""The Stats API over HTTP: both versions, their answers and their errors."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import Callable
from decimal import Decimal
from http import HTTPStatus
from typing import Any

import httpx
import msgspec
import pytest
from clickhouse_connect.driver.client import Client
from starlette.applications import Starlette
from starlette.requests import Request

from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.storage.documents import DocumentTable
from dashboard.analytics.dimensions import DIMENSIONS
from dashboard.analytics.metrics import METRICS
from dashboard.analytics.service import StatsService
from dashboard.api import openapi
from dashboard.api.auth import ApiError
from dashboard.api.stats import routes
from dashboard.reports.segments import Segment
from tests.dashboard.analytics.test_service import MONDAY, NOON, SITE, STORY, event, later, seed
from tests.dashboard.analytics.test_service import store as store  # the fixture

Ask = Callable[..., httpx.Response]
SEGMENTS = (
    Segment(id="5e6", site="", name="Readers of a", filters=("is,event:page,/a",), owner="ada", shared=True),
    Segment(
        id="7a1", site="", name="Swedes", owner="ada", shared=True,
        filters=("is,visit:country,SE", "is,visit:country,NO", "contains_not,event:page,/B", "matches,event:page,/**"),
    ),
)  # fmt: skip


@pytest.fixture
def ask(database: Client, store: StatsService) -> Ask:
    """One request; the clock stands at the end of the story's day. Only the key `good` may read."""
    sites = Sites(DocumentTable(database, "sites", Site))
    site = Site(domain=SITE, timezone="Europe/Stockholm", min_visitors=1, aliases=("former.test",))
    DocumentTable(database, "sites", Site).save(SITE, site)
    sites.refresh()

    async def readable(request: Request, domain: str) -> Site:
        site = sites.get(domain)
        if site is None or request.headers.get("authorization") != "Bearer good":
            raise ApiError(HTTPStatus.UNAUTHORIZED, "authorization", "refused")
        return site

    app = Starlette(
        routes=[
            *routes(
                stats=store,
                sites=sites,
                readable=readable,
                clock=lambda: NOON + 36_000.0,
                segments=lambda site: SEGMENTS if site.domain == SITE else (),
            ),
            *openapi.routes(),
        ]
    )

    def send(method: str, path: str, **more: Any) -> httpx.Response:
        async def one() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tyst") as client:
                return await client.request(
                    method, path, headers={"Authorization": "Bearer good"} | more.pop("headers", {}), **more
                )

        return asyncio.run(one())

    return send


def query(ask: Ask, **more: Any) -> Any:
    """A successful query of the day."""
    body = {"site_id": SITE, "metrics": ["visitors"], "date_range": "day"} | more
    answer = ask("POST", "/api/v2/query", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_query_is_answered_as_plausible_answers_it(ask: Ask, database: Client) -> None:
    """Results, meta and the query as it was understood."""
    seed(database, STORY)
    found = query(
        ask, metrics=["visitors", "pageviews"], dimensions=["visit:source"], filters=[["is", "visit:country", ["SE"]]],
        include={"total_rows": True, "imports": True}, pagination={"limit": 1},
    )  # fmt: skip
    assert found == {
        "results": [{"metrics": [1, 1], "dimensions": ["Bing"]}],
        "meta": {"total_rows": 2, "imports_included": False, "imports_skip_reason": "no_imported_data"},
        "query": {
            "site_id": SITE,
            "metrics": ["visitors", "pageviews"],
            "date_range": ["2026-03-02T00:00:00+01:00", "2026-03-02T23:59:59+01:00"],
            "dimensions": ["visit:source"],
            "filters": [["is", "visit:country", ["SE"]]],
            "order_by": [],
            "include": {"imports": True, "time_labels": False, "total_rows": True},
            "pagination": {"limit": 1, "offset": 0},
        },
    }


def test_time_labels_are_every_bucket_by_the_sites_clock(ask: Ask, database: Client) -> None:
    """Noon in Greenwich is 13 o'clock in Stockholm."""
    seed(database, STORY)
    found = query(ask, dimensions=["time:hour"], include={"time_labels": True})
    assert found["results"] == [{"metrics": [3], "dimensions": ["2026-03-02 13:00:00"]}]
    assert len(found["meta"]["time_labels"]) == 24


@pytest.mark.parametrize(
    ("dates", "visitors"),
    [
        (["2026-03-02", "2026-03-02"], 3),
        (["2026-03-01", "2026-03-01"], 0),
        (["2026-03-02T12:00:00Z", "2026-03-02T12:00:00Z"], 3),
        (["2026-03-02T13:00:00+01:00", "2026-03-02T13:59:59+01:00"], 3),
        (["2026-03-02T13:00:01", "2026-03-02T13:59:59"], 1),
        ("all", 3),
        ("24h", 3),
    ],
)
def test_dates_and_times_are_understood(ask: Ask, database: Client, dates: Any, visitors: int) -> None:
    """Pairs of dates, of times with an offset, and of times by the site's clock; both ends included."""
    seed(database, STORY)
    assert query(ask, date_range=dates)["results"][0]["metrics"] == [visitors]


def test_comparisons_stand_beside_their_rows(ask: Ask, database: Client) -> None:
    """Values match by value, times by their place in the period; the change is in percent."""
    before = [
        event(9, "/", -86_400, day=MONDAY - datetime.timedelta(1), source="Google"),
        event(8, "/", -86_400, day=MONDAY - datetime.timedelta(1), source="Google"),
    ]
    seed(database, [*STORY, *before])
    compared = {"comparisons": {"mode": "previous_period"}}
    found = query(ask, dimensions=["visit:source"], include=compared)["results"]
    beside = {row["dimensions"][0]: row["comparison"] for row in found}
    assert beside["Google"] == {"dimensions": ["Google"], "metrics": [2], "change": [-50]}
    assert beside["Bing"] == {"dimensions": ["Bing"], "metrics": [0], "change": [100]}
    hours = query(ask, dimensions=["time:hour"], include=compared)["results"]
    assert hours[0]["comparison"] == {"dimensions": ["2026-03-01 13:00:00"], "metrics": [2], "change": [50]}
    year = query(ask, include={"comparisons": {"mode": "year_over_year"}})["results"]
    assert year[0]["comparison"]["metrics"] == [0]


@pytest.mark.parametrize("dates", ["day", "7d"])
def test_a_period_that_goes_on_is_compared_as_far_as_it_has_come(ask: Ask, database: Client, dates: str) -> None:
    """Two visitors in every hour are no change at eleven in the evening, in either version."""
    hours = range(1, 20 * 24)
    seed(database, [
        event(2 * back + side, "/", at, day=datetime.datetime.fromtimestamp(NOON + at + 3600, datetime.UTC).date())
        for back in hours for at in (36_000 - back * 3600 + 1800,) for side in (0, 1)
    ])  # fmt: skip
    rows = query(ask, date_range=dates, include={"comparisons": {"mode": "previous_period"}})["results"]
    assert rows[0]["comparison"]["change"] == [0]
    older = get(ask, "aggregate", period=dates, compare="previous_period")["results"]
    assert older["visitors"]["change"] == 0


@pytest.mark.parametrize(
    "asked",
    [
        {"mode": "previous_period", "match_day_of_week": True},
        {"mode": "custom", "date_range": ["2026-02-01", "2026-02-02"]},
        None,
    ],
)
def test_the_comparison_is_part_of_the_query_that_is_answered(ask: Ask, asked: dict[str, Any] | None) -> None:
    """As it was asked for; where none was, nothing says there is one."""
    include = query(ask, include={"comparisons": asked} if asked else {})["query"]["include"]
    assert include.pop("comparisons", None) == asked
    assert include == {"imports": False, "time_labels": False, "total_rows": False}


def test_revenue_has_a_currency_or_is_unknown(ask: Ask, database: Client) -> None:
    """Sums of one currency are given; of several, nothing can be said."""
    seed(database, [
        *STORY, later(2, "/", 5, name="Buy", revenue=Decimal("19.5"), currency="SEK"),
        later(3, "/", 5, name="Buy", revenue=Decimal("10.25"), currency="SEK", country="NO"),
        later(3, "/", 5, name="Give", revenue=Decimal(1), currency="EUR"),
    ])  # fmt: skip
    metrics = ["total_revenue", "average_revenue"]
    by_goal = {
        row["dimensions"][0]: row["metrics"]
        for row in query(ask, metrics=metrics, dimensions=["event:goal"])["results"]
    }
    assert by_goal["Buy"][0] == {"value": 29.75, "currency": "SEK", "short": "SEK 29.75", "long": "SEK 29.75"}
    assert by_goal["Buy"][1]["value"] == 14.875
    assert by_goal["Give"][0]["currency"] == "EUR"
    assert by_goal["Signup"] == [None, None]
    both = query(ask, metrics=metrics, filters=[["is", "event:goal", ["Buy", "Give"]]])
    assert both["results"][0]["metrics"] == [None, None]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"site_id": 7}, "site_id"),
        ({"site": SITE}, "site"),
        ({"metrics": "visitors"}, "metrics"),
        ({"metrics": ["clicks"]}, "metrics"),
        ({"metrics": [["visitors"]]}, "metrics"),
        ({"date_range": None}, "date_range"),
        ({"date_range": "fortnight"}, "date_range"),
        ({"date_range": "custom"}, "date_range"),
        ({"date_range": ["2026-03-02"]}, "date_range"),
        ({"date_range": ["yesterday", "today"]}, "date_range"),
        ({"date_range": ["0001-01-01", "9999-12-31"]}, "date_range"),
        ({"date_range": ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]}, "date_range"),
        ({"dimensions": ["visit:planet"]}, "dimensions"),
        ({"dimensions": {}}, "dimensions"),
        ({"filters": [["is", "visit:planet", ["Earth"]]]}, "filters[0][1]"),
        ({"filters": [["matches", "event:page", ["("]]]}, "filters"),
        ({"order_by": [["pageviews", "desc"]]}, "order_by"),
        ({"order_by": [["visitors"]]}, "order_by"),
        ({"order_by": [["visitors", "asc"], ["visitors", "desc"]]}, "order_by"),
        ({"order_by": "visitors"}, "order_by"),
        ({"include": []}, "include"),
        ({"include": {"everything": True}}, "include.everything"),
        ({"include": {"time_labels": True}}, "include.time_labels"),
        ({"include": {"total_rows": 1}}, "include.total_rows"),
        ({"include": {"comparisons": {"mode": "tomorrow"}}}, "include.comparisons.mode"),
        (
            {"include": {"comparisons": {"mode": "previous_period", "date_range": "7d"}}},
            "include.comparisons.date_range",
        ),
        (
            {"include": {"comparisons": {"mode": "previous_period", "match_day_of_week": 1}}},
            "include.comparisons.match_day_of_week",
        ),
        (
            {"include": {"comparisons": {"mode": "custom", "date_range": ["2000-01-01", "2030-12-31"]}}},
            "include.comparisons",
        ),
        ({"pagination": {"limit": 0}}, "pagination"),
        ({"pagination": {"limit": "10"}}, "pagination"),
        ({"pagination": {"limit": True}}, "pagination"),
        ({"pagination": {"offset": -1}}, "pagination"),
    ],
)
def test_errors_name_the_field_and_what_was_expected(
    ask: Ask, database: Client, more: dict[str, Any], field: str
) -> None:
    """Always 400, always JSON."""
    seed(database, STORY)
    answer = ask("POST", "/api/v2/query", json={"site_id": SITE, "metrics": ["visitors"], "date_range": "day"} | more)
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [field]
    assert answer.json()["error"].startswith(field)


def test_a_name_that_the_site_had_is_good_for_its_figures(ask: Ask, database: Client) -> None:
    """Those are stored under the name that it has, and the answer says which."""
    seed(database, STORY)
    now, former = (query(ask, site_id=name) for name in (SITE, "former.test"))
    assert now == former
    assert now["query"]["site_id"] == SITE
    assert now["results"][0]["metrics"][0] > 0


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{", 400), (b"[]", 400), (b"[" * 60_000, 400), (b"\xff", 400), (b" " * 65_537, 413)],
)
def test_what_is_no_json_object_is_refused(ask: Ask, body: bytes, status: int) -> None:
    """However it is malformed, and before all of it is read."""
    assert ask("POST", "/api/v2/query", content=body).status_code == status


@pytest.mark.parametrize("path", ["aggregate", "timeseries", "breakdown?property=visit:source", "realtime/visitors"])
def test_without_leave_nothing_is_told(ask: Ask, path: str) -> None:
    """Who may read a site is decided by the one who built the routes; so is what is answered."""
    joined = f"/api/v1/stats/{path}{'&' if '?' in path else '?'}site_id="
    assert ask("GET", joined + SITE).status_code == 200
    assert ask("GET", joined + SITE, headers={"Authorization": "Bearer bad"}).json()["error"].endswith("refused")
    assert ask("GET", joined + "other.example").status_code == 401
    body = {"site_id": "other.example", "metrics": ["visitors"], "date_range": "day"}
    assert ask("POST", "/api/v2/query", json=body).status_code == 401


def get(ask: Ask, path: str, **parameters: str) -> Any:
    """A successful request of the older API."""
    answer = ask("GET", f"/api/v1/stats/{path}", params={"site_id": SITE, "period": "day"} | parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_older_api_aggregates(ask: Ask, database: Client) -> None:
    """Values by metric, with their change when asked."""
    seed(database, [*STORY, event(9, "/", -86_400, day=MONDAY - datetime.timedelta(1))])
    found = get(ask, "aggregate", metrics="visitors,bounce_rate", compare="previous_period")
    assert found == {"results": {"visitors": {"value": 3, "change": 200}, "bounce_rate": {"value": 67, "change": -33}}}
    assert get(ask, "aggregate") == {"results": {"visitors": {"value": 3}}}


@pytest.mark.parametrize(
    ("filters", "visitors"),
    [
        ("visit:country==SE", 2),
        ("visit:country==SE|NO", 3),
        ("visit:country!=SE", 1),
        ("visit:country==SE;event:page==/pricing", 2),
        ("event:page==/pri*", 2),
        ("event:page!=/pri*", 2),
        ("event:page~ric", 2),
        (r"visit:country==S\|E", 0),
        (r"visit:utm_campaign==a\;b", 1),
        (r"visit:utm_campaign==a\;b|other;visit:country==SE|NO", 1),
        (r"visit:utm_campaign==a\|b", 1),
        (r"visit:utm_campaign~\;", 1),
        (r"visit:utm_campaign==a\b", 0),
        ("event:goal==Signup", 1),
        ("event:goal==Visit /pricing", 2),
        ("event:props:plan==pro", 1),
    ],
)
def test_the_older_api_filters(ask: Ask, database: Client, filters: str, visitors: int) -> None:
    """Equality, alternatives, wildcards, conjunction; escaped bars and semicolons stand for themselves."""
    campaigns = {1: r"a|b", 2: "a;b"}
    seed(database, [msgspec.structs.replace(each, utm_campaign=campaigns.get(each.visitor, "")) for each in STORY])
    assert get(ask, "aggregate", filters=filters)["results"]["visitors"]["value"] == visitors


def test_the_older_api_gives_every_date(ask: Ask, database: Client) -> None:
    """Dates without events are there, with zero counts and unknown rates."""
    seed(database, STORY)
    found = get(ask, "timeseries", period="7d", metrics="visitors,bounce_rate")["results"]
    assert [row["date"] for row in found] == [
        f"2026-0{day}" for day in ("2-24", "2-25", "2-26", "2-27", "2-28", "3-01", "3-02")
    ]
    assert found[0] == {"date": "2026-02-24", "visitors": 0, "bounce_rate": None}
    assert found[-1] == {"date": "2026-03-02", "visitors": 3, "bounce_rate": 67}
    months = get(ask, "timeseries", period="6mo")["results"]
    assert [row["date"] for row in months][-1] == "2026-03-01"
    assert len(months) == 6
    assert len(get(ask, "timeseries", period="custom", date="2026-02-01,2026-02-28", interval="date")["results"]) == 28


def test_the_older_api_breaks_down(ask: Ask, database: Client) -> None:
    """By the property's last name, a page of rows at a time."""
    seed(database, STORY)
    found = get(ask, "breakdown", property="event:page", metrics="visitors,pageviews", limit="1", page="2")
    assert found == {"results": [{"page": "/pricing", "visitors": 2, "pageviews": 2}]}
    props = get(ask, "breakdown", property="event:props:plan", filters="event:goal==Signup")
    assert props == {"results": [{"plan": "pro", "visitors": 1}]}


@pytest.mark.parametrize(
    ("path", "parameters", "field"),
    [
        ("aggregate", {"period": "eon"}, "date_range"),
        ("aggregate", {"period": "custom"}, "date"),
        ("aggregate", {"date": "soon"}, "date"),
        ("aggregate", {"metrics": "clicks"}, "metrics"),
        ("aggregate", {"filters": "country=SE"}, "filters"),
        ("aggregate", {"filters": "visit:country==SE;time:day~2026"}, "filters"),
        ("breakdown", {"property": "visit:source", "filters": "time:hour!=1"}, "filters"),
        ("breakdown", {"property": "time:day"}, "property"),
        ("aggregate", {"compare": "tomorrow"}, "compare"),
        ("timeseries", {"interval": "eon"}, "interval"),
        ("timeseries", {"interval": "minute", "period": "30d"}, "interval"),
        ("timeseries", {"compare": "previous_period"}, "compare"),
        ("breakdown", {"property": "visit:source", "sort": "visitors"}, "sort"),
        ("aggregate", {"with_imported": "maybe"}, "with_imported"),
        ("aggregate", {"page": "2"}, "page"),
        ("breakdown", {"property": "visit:planet"}, "property"),
        ("breakdown", {"property": "visit:source", "limit": "1001"}, "limit"),
        ("breakdown", {"property": "visit:source", "page": "0"}, "page"),
    ],
)
def test_the_older_api_names_the_parameter(ask: Ask, path: str, parameters: dict[str, str], field: str) -> None:
    """As the newer one does."""
    answer = ask("GET", f"/api/v1/stats/{path}", params={"site_id": SITE} | parameters)
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [field]


def test_a_parameter_that_is_given_twice_is_refused(ask: Ask) -> None:
    """Either of the two would be ignored."""
    pairs = [("site_id", SITE), ("filters", "visit:country==SE"), ("filters", "visit:country==NO")]
    answer = ask("GET", "/api/v1/stats/aggregate", params=pairs)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["filters"])


@pytest.mark.parametrize(
    ("given", "first", "last", "count"),
    [
        ({}, "2026-02-01", "2026-03-02", 30),
        ({"period": "custom", "date": "2025-06-01,2026-02-28"}, "2025-06-01", "2026-02-28", 273),
        ({"period": "7d"}, "2026-02-24", "2026-03-02", 7),
        ({"period": "7d", "date": "2026-01-31"}, "2026-01-25", "2026-01-31", 7),
        ({"period": "day"}, "2026-03-02 00:00:00", "2026-03-02 23:00:00", 24),
        ({"period": "month"}, "2026-03-01", "2026-03-31", 31),
        ({"period": "month", "date": "2026-02-10"}, "2026-02-01", "2026-02-28", 28),
        ({"period": "6mo"}, "2025-10-01", "2026-03-01", 6),
        ({"period": "12mo", "date": "2025-12-24"}, "2025-01-01", "2025-12-01", 12),
        ({"period": "year"}, "2026-01-01", "2026-03-02", 61),
        ({"period": "12mo", "interval": "day"}, "2025-04-01", "2026-03-31", 365),
    ],
)
def test_the_older_api_has_the_defaults_of_its_documentation(
    ask: Ask, given: dict[str, str], first: str, last: str, count: int
) -> None:
    """30 days up to today; whole calendar months; by month for 6mo and 12mo, by hour for a day, else by date."""
    answer = ask("GET", "/api/v1/stats/timeseries", params={"site_id": SITE} | given)
    rows = answer.json()["results"]
    assert (rows[0]["date"], rows[-1]["date"], len(rows)) == (first, last, count)
    assert rows[0].keys() == {"date", "visitors"}


def test_the_older_api_breaks_down_100_rows_by_default(ask: Ask, database: Client) -> None:
    """The first page, of visitors."""
    seed(database, [event(number, f"/{number}") for number in range(1, 120)])
    found = get(ask, "breakdown", property="event:page")["results"]
    assert len(found) == 100
    assert found[0].keys() == {"page", "visitors"}
    assert len(get(ask, "breakdown", property="event:page", page="2")["results"]) == 19


def test_a_month_of_the_older_api_has_all_of_its_days(ask: Ask, database: Client) -> None:
    """Also those after `date`."""
    seed(database, [event(9, "/", -10 * 86_400, day=MONDAY - datetime.timedelta(10))])
    found = ask("GET", "/api/v1/stats/aggregate", params={"site_id": SITE, "period": "month", "date": "2026-02-01"})
    assert found.json() == {"results": {"visitors": {"value": 1}}}


def test_the_newer_api_has_the_defaults_of_its_documentation(ask: Ask, database: Client) -> None:
    """No dimensions, filters or includes; time ascending, else the first metric descending; 10,000 rows."""
    seed(database, STORY)
    asked = query(ask)["query"]
    assert (asked["dimensions"], asked["filters"]) == ([], [])
    assert asked["include"] == {"imports": False, "time_labels": False, "total_rows": False}
    assert asked["pagination"] == {"limit": 10_000, "offset": 0}
    pages = query(ask, metrics=["pageviews", "visitors"], dimensions=["event:page"])["results"]
    assert [row["metrics"][0] for row in pages] == sorted((row["metrics"][0] for row in pages), reverse=True)
    days = query(ask, date_range="7d", dimensions=["time:day", "event:page"])["results"]
    assert [row["dimensions"][0] for row in days] == sorted(row["dimensions"][0] for row in days)
    case = query(ask, filters=[["is", "visit:country", ["se"]]])["results"][0]["metrics"]
    assert case == [0]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ([], ["(not set)", "Norway", "Sweden"]),
        ([["is", "visit:country_name", ["Sweden", "Atlantis"]]], ["Sweden"]),
        ([["is_not", "visit:country_name", ["Sweden"]]], ["(not set)", "Norway"]),
        ([["contains", "visit:country_name", ["WAY"], {"case_sensitive": False}]], ["Norway"]),
        ([["not", ["matches", "visit:country_name", ["^Nor"]]]], ["(not set)", "Sweden"]),
        ([["is", "visit:country_name", ["sweden"]]], []),
    ],
)
def test_countries_have_names(ask: Ask, database: Client, filters: list[Any], names: list[str]) -> None:
    """As a dimension and in filters, in English; the query is answered as it was asked."""
    seed(database, STORY)
    body = {"dimensions": ["visit:country_name"], "filters": filters}
    found = query(ask, **body, include={"comparisons": {"mode": "previous_period"}})
    assert sorted(row["dimensions"][0] for row in found["results"]) == names
    assert all(row["comparison"]["dimensions"] == row["dimensions"] for row in found["results"])
    assert {name: found["query"][name] for name in body} == body


def test_patterns_of_names_take_no_time(ask: Ask) -> None:
    """The database judges names by them, in linear time; what it cannot read is refused."""
    for pattern, status in (("(.+)+!", 200), ("(" * 3, 400), ("(a{1000}){1000}", 400)):
        body: dict[str, Any] = {"site_id": SITE, "metrics": ["visitors"], "date_range": "day"}
        body["filters"] = [["matches", "visit:country_name", [pattern]]]
        assert ask("POST", "/api/v2/query", json=body).status_code == status, pattern


MANY: dict[str, list[Any]] = {
    "comparisons": [["is", "visit:country", ["SE"]]] * 51,
    "comparisons within others": [["or", [["is", "visit:country", ["SE"]]] * 30]] * 2,
    "values": [["is", "visit:country_name", ["Sweden"] * 251]],
    "segments": [["is", "segment", ["Swedes"] * 51]],
    "segments of several filters": [["is", "segment", ["Swedes"] * 20]] * 3,
    "within each other": [["not", ["not", ["not", ["not", ["not", ["not", ["not", ["not", ["is", "x", []]]]]]]]]]],
    "lists within each other": json.loads("[" * 900 + "]" * 900),
}


@pytest.mark.parametrize("filters", MANY.values(), ids=MANY)
def test_filters_without_number_are_refused_before_they_are_read(ask: Ask, filters: list[Any]) -> None:
    """Also those that stand for many others."""
    body = {"site_id": SITE, "metrics": ["visitors"], "date_range": "day", "filters": filters}
    answer = ask("POST", "/api/v2/query", json=body)
    assert (answer.status_code, [name.partition("[")[0] for name in answer.json()["errors"]]) == (400, ["filters"])


def test_current_visitors_are_a_number(ask: Ask, database: Client) -> None:
    """Nothing around it."""
    seed(database, STORY)
    assert get(ask, "realtime/visitors") == 0


def test_the_document_speaks_of_every_name(ask: Ask) -> None:
    """OpenAPI 3.1, made from the tables that answer."""
    document = ask("GET", "/api/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    text = msgspec.json.encode(document).decode()
    assert all(f'"{name}"' in text for name in (*METRICS, *DIMENSIONS))


def test_intervals_without_number_are_refused(ask: Ask) -> None:
    """By minutes over all dates, in both versions, and in what is compared."""
    dates = ["1971-01-01", "2148-12-31"]
    asked = {"site_id": SITE, "metrics": "visitors", "period": "custom", "date": ",".join(dates), "interval": "minute"}
    assert ask("GET", "/api/v1/stats/timeseries", params=asked).status_code == 400
    body: dict[str, Any] = {"site_id": SITE, "metrics": ["visitors"], "dimensions": ["time:minute"]}
    compared = {"comparisons": {"mode": "custom", "date_range": [dates[0], "2025-02-28"]}}
    for more in ({"date_range": dates}, {"date_range": dates, "include": {"time_labels": True}},
                 {"date_range": ["2025-03-01", "2025-03-01"], "include": compared}):  # fmt: skip
        answer = ask("POST", "/api/v2/query", json=body | more)
        assert answer.status_code == 400, more
        assert "intervals" in answer.text


@pytest.mark.parametrize(
    "filters",
    [
        ";".join(["visit:exit_page==a"] * 51),
        "visit:os==" + "|".join(["a"] * 251),
        "event:page==" + "*a" * 1_100,
    ],
)
def test_the_older_version_has_the_same_limits_of_filters(ask: Ask, filters: str) -> None:
    """As many comparisons, values and characters as version 2 takes."""
    params = {"site_id": SITE, "metrics": "visitors", "filters": filters}
    answer = ask("GET", "/api/v1/stats/aggregate", params=params)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["filters"])


def test_a_body_in_another_encoding_is_refused(ask: Ask) -> None:
    """Texts that are no UTF-8 are the client's mistake."""
    assert ask("POST", "/api/v2/query", content=b'{"site_id": "\xff"}').status_code == 400


@pytest.mark.parametrize("period", ["day", "7d", "30d", "month", "6mo", "12mo", "year", "all"])
@pytest.mark.parametrize("date", ["0001-01-01", "0001-05-01", "9999-12-31"])
def test_dates_at_the_ends_of_time_are_refused(ask: Ask, period: str, date: str) -> None:
    """Where there is nothing to count back to."""
    params = {"site_id": SITE, "metrics": "visitors", "period": period, "date": date}
    assert ask("GET", "/api/v1/stats/aggregate", params=params).status_code == 400


SPELT_OUT: dict[str, tuple[list[Any], list[Any]]] = {
    "by name": (["is", "segment", ["Readers of a"]], ["is", "event:page", ["/a"]]),
    "by id": (["is", "segment", ["5e6"]], ["is", "event:page", ["/a"]]),
    "several filters": (
        ["is", "segment", ["Swedes"]],
        ["and", [["is", "visit:country", ["SE", "NO"]], ["not", ["contains", "event:page", ["/b"]]]]],
    ),
    "not": (["is_not", "segment", ["Readers of a"]], ["is_not", "event:page", ["/a"]]),
    "any of two": (
        ["is", "segment", ["Readers of a", "7a1"]],
        ["or", [["is", "event:page", ["/a"]], ["is_not", "event:page", ["/b"]]]],
    ),
    "within another": (
        ["has_done", ["is", "segment", ["Readers of a"]]],
        ["has_done", ["is", "event:page", ["/a"]]],
    ),
}


@pytest.mark.parametrize(("asked", "spelt_out"), SPELT_OUT.values(), ids=SPELT_OUT)
def test_a_segment_is_a_filter(ask: Ask, database: Client, asked: list[Any], spelt_out: list[Any]) -> None:
    """It stands for the filters that it has; the answer repeats the query as it was asked."""
    seed(database, [
        *(event(n, "/", country="SE") for n in range(1, 4)), *(later(n, "/a", 5, country="SE") for n in range(1, 3)),
        later(1, "/b", 9, country="SE"), event(8, "/b", country="NO"),
    ])  # fmt: skip
    by_page: dict[str, Any] = {"metrics": ["visitors", "events"], "dimensions": ["event:page"]}
    found, expected = (query(ask, filters=[each], **by_page) for each in (asked, spelt_out))
    assert found["results"] == expected["results"] != []
    assert found["query"]["filters"] == [asked]


@pytest.mark.parametrize(
    "asked",
    [["is", "segment", ["Nobody"]], ["contains", "segment", ["a"]], ["is", "segment", []], ["is", "segment", [5]]],
    ids=str,
)
def test_a_segment_that_cannot_be_is_refused(ask: Ask, asked: list[Any]) -> None:
    """One that everybody at the site does not have, and comparisons other than by whole names; the error says so."""
    body = {"site_id": SITE, "metrics": ["visitors"], "date_range": "day", "filters": [asked]}
    answer = ask("POST", "/api/v2/query", json=body)
    assert answer.status_code == 400
    assert answer.json()["errors"]["filters"]
