"""The Stats API over HTTP: both versions, their answers and their errors."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import pytest
from clickhouse_connect.driver.client import Client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from collector.records import Records
from collector.sites import Site, Sites
from dashboard.dimensions import DIMENSIONS
from dashboard.metrics import METRICS
from dashboard.stats_api import routes
from dashboard.store import Store
from tests.test_store import MONDAY, NOON, SITE, STORY, event, later, seed
from tests.test_store import store as store  # the fixture

Ask = Callable[..., httpx.Response]


@pytest.fixture
def ask(database: Client, store: Store) -> Ask:
    """One request; the clock stands at the end of the story's day. Only the key `good` may read."""
    sites = Sites(Records(database, "sites", Site))
    Records(database, "sites", Site).put(SITE, Site(domain=SITE, timezone="Europe/Stockholm", min_visitors=1))
    sites.refresh()

    async def authorise(request: Request, domain: str) -> Response | None:
        good = request.headers.get("authorization") == "Bearer good" and domain == SITE
        return None if good else PlainTextResponse("refused", 401)

    app = Starlette(routes=routes(store=store, sites=sites, authorise=authorise, clock=lambda: NOON + 36_000.0))

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
        ({"order_by": "visitors"}, "order_by"),
        ({"include": []}, "include"),
        ({"include": {"everything": True}}, "include.everything"),
        ({"include": {"time_labels": True}}, "include.time_labels"),
        ({"include": {"total_rows": 1}}, "include.total_rows"),
        ({"include": {"comparisons": {"mode": "tomorrow"}}}, "include.comparisons.mode"),
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
    assert ask("GET", joined + SITE, headers={"Authorization": "Bearer bad"}).text == "refused"
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
        ("event:goal==Signup", 1),
        ("event:goal==Visit /pricing", 2),
        ("event:props:plan==pro", 1),
    ],
)
def test_the_older_api_filters(ask: Ask, database: Client, filters: str, visitors: int) -> None:
    """Equality, alternatives, wildcards, conjunction and escaped bars."""
    seed(database, STORY)
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
        ("aggregate", {"compare": "tomorrow"}, "compare"),
        ("timeseries", {"interval": "eon"}, "interval"),
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
