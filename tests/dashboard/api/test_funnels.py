"""Funnels over HTTP: saved, listed, counted, deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette

from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from dashboard.access.api_keys import ApiKey, ApiKeys
from dashboard.api import funnels
from dashboard.api.auth import readers
from dashboard.api.stats import StatsApi
from dashboard.reports.segments import Segment
from tests.board import NOON, SITE, Board, opened_board, pageview

STEPS = [{"kind": "page", "match": "/a"}, {"kind": "event", "match": "Buy", "where": [{"key": "plan", "value": "pro"}]}]
SEGMENTS = (Segment(id="5e6", site="", name="Swedes", filters=("is,visit:country,SE",), owner="ada", shared=True),)


class Api:
    """The API of funnels over a board's services, with a key for everything."""

    def __init__(self, board: Board) -> None:
        self.board = board
        keys = ApiKeys(DocumentTable(board.database, "api_keys", ApiKey), "tyst_admin_key")
        dashboard = board.dashboard
        self._app = Starlette(
            routes=funnels.routes(
                dashboard.funnels,
                StatsApi(
                    dashboard.stats, dashboard.sites, readers(keys, dashboard.sites), board.clock, lambda _: SEGMENTS
                ),
                dashboard.sites,
                keys,
                dashboard.changes,
                board.clock,
            )
        )

    def ask(self, method: str, path: str = "", **options: Any) -> httpx.Response:
        """One request below the site's funnels."""

        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            headers = {"authorization": "Bearer tyst_admin_key"}
            async with httpx.AsyncClient(transport=transport, base_url="https://tyst.test", headers=headers) as client:
                return await client.request(method, f"/api/v1/sites/{SITE}/funnels{path}", **options)

        return anyio.run(once)

    def save(self, **body: Any) -> Any:
        """A funnel that is saved."""
        answer = self.ask("POST", json={"name": "Sale", "steps": STEPS} | body)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()


@pytest.fixture
def api(clickhouse: ClickHouse, database: Any, tmp_path: Path) -> Iterator[Api]:
    """One site with eight visits: four buy the one plan, four the other."""
    with opened_board(clickhouse, database, tmp_path) as board:
        board.add_site(timezone="UTC")
        board.seed(
            [
                event
                for number in range(1, 9)
                for event in (
                    pageview(number, "/a", NOON - 60, seq=1, country="SE" if number < 5 else "NO"),
                    pageview(
                        number, "/a", NOON - 60, seq=2, name="Buy", visits=0, bounces=-1, currency="SEK", revenue=10,
                        props={"plan": "pro" if number % 2 else "free"}, country="SE" if number < 5 else "NO",
                    ),
                )
            ]
        )  # fmt: skip
        yield Api(board)


def test_a_funnel_is_saved_listed_counted_and_deleted(api: Api) -> None:
    """With defaults spelled out; an id replaces."""
    made = api.save()
    assert (made["order"], made["window"]) == ("sequential", "visit")
    assert made["steps"][1]["where"] == [{"key": "plan", "operator": "is", "value": "pro"}]
    changed = api.save(id=made["id"], name="Sales")
    assert changed == made | {"name": "Sales"}
    assert api.ask("GET").json() == {"funnels": [changed]}
    result = api.ask("GET", f"/{made['id']}?date_range=day").json()
    assert (result["unit"], result["all"], result["conversion_rate"]) == ("visits", 8, 50.0)
    assert [each["count"] for each in result["steps"]] == [8, 4]
    assert result["steps"][0]["next_pages"] == [{"page": None, "count": 4}]
    assert result["revenue"] == {"SEK": {"total": 40.0, "average": 10.0}}
    assert api.ask("DELETE", f"/{made['id']}").json() == {"deleted": True}
    assert api.ask("GET", f"/{made['id']}").status_code == 404


def test_filters_dimensions_and_comparisons_apply(api: Api) -> None:
    """As in queries; small groups are null, and folded."""
    id_ = api.save()["id"]
    filters = json.dumps([["is", "visit:country", ["SE"]]])
    swedes = api.ask("GET", f"/{id_}", params={"date_range": "day", "filters": filters}).json()
    # Two of the four buy the plan.
    assert (swedes["all"], [each["count"] for each in swedes["steps"]]) == (4, [4, None])
    assert swedes["meta"]["min_visitors"] == 3
    for same in (["is", "segment", ["Swedes"]], ["is", "visit:country_name", ["Sweden"]]):
        params = {"date_range": "day", "filters": json.dumps([same])}
        assert api.ask("GET", f"/{id_}", params=params).json() == swedes
    by_plan = api.ask("GET", f"/{id_}?date_range=day&dimension=event:props:plan&compare=previous_period").json()
    assert {row["value"]: (row["entered"], row["completed"]) for row in by_plan["rows"]} == {
        "(none)": (8, 4), "free": (4, 0), "pro": (4, 4),
    }  # fmt: skip
    assert by_plan["comparison"]["all"] == 0


def test_the_row_of_small_groups_is_marked(api: Api) -> None:
    """A value may be called the same."""
    campaigns = ["(other)"] * 5 + ["a", "b", "c", "d"]
    api.board.seed([
        pageview(number, "/a", NOON - 60, utm_campaign=name) for number, name in enumerate(campaigns, 20)
    ])  # fmt: skip
    path = f"/{api.save()['id']}?date_range=day&dimension=visit:utm_campaign"
    found = [(row["value"], row.get("grouped"), row["entered"]) for row in api.ask("GET", path).json()["rows"]]
    assert ("(other)", None, 5) in found
    assert found[-1] == ("(other)", True, 4)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"steps": STEPS[:1]}, "steps"),
        ({"steps": [STEPS[0], {"kind": "goal", "match": "Nothing"}]}, "steps.2"),
        ({"steps": [STEPS[0], {"kind": "visit", "match": "/"}]}, "steps"),
        ({"order": "reverse"}, "order"),
        ({"name": ""}, "name"),
        ({"color": "red"}, "color"),
        ({"id": "unknown"}, "funnel"),
    ],
)
def test_what_is_wrong_is_named(api: Api, body: dict[str, Any], field: str) -> None:
    """Nothing is saved."""
    answer = api.ask("POST", json={"name": "Sale", "steps": STEPS} | body)
    assert answer.status_code in (400, 404)
    assert list(answer.json()["errors"]) == [field]
    assert api.ask("GET").json() == {"funnels": []}


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"period": "30d"}, "period"),
        ({"date_range": "24h"}, "date_range"),
        ({"date_range": "soon"}, "date_range"),
        ({"filters": "["}, "filters"),
        ({"filters": '[["is","visit:funnel",["reached:1:No"]]]'}, "filters"),
        ({"dimension": "time:day"}, "dimension"),
        ({"dimension": "visit:funnel"}, "dimension"),
        ({"compare": "next_period"}, "compare"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(api: Api, parameters: dict[str, str], field: str) -> None:
    """Naming its part."""
    answer = api.ask("GET", f"/{api.save()['id']}", params=parameters)
    assert answer.status_code == 400, answer.text
    assert list(answer.json()["errors"]) == [field]
