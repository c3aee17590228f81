"""Strings that try to be SQL, in every field there is of both versions of the Stats API and of the dashboard's
addresses: each is a value or a mistake of the reader, never a failure, and never a statement."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from dashboard.api.stats_v1 import ENDPOINTS
from tests.served import DEADLINE, PASSWORD, Served, served

SITE = "injected.test"
TEXTS = ("'", "\\", "');DROP TABLE events;--", "{p0:String}", "\\' UNION ALL SELECT record FROM sites --", "\0", "")
BODY: dict[str, Any] = {
    "site_id": SITE,
    "metrics": ["visitors", "conversion_rate"],
    "date_range": ["2026-01-01", "2026-01-31"],
    "dimensions": ["event:goal", "time:day", "event:props:plan"],
    "filters": [
        ["is", "event:goal", ["Signup"]],
        ["matches_not", "event:props:plan", ["^pro"], {"case_sensitive": False}],
        ["or", [["contains", "visit:source", ["a"]], ["not", ["has_done", ["is", "event:page", ["/"]]]]]],
    ],
    "order_by": [["visitors", "desc"]],
    "include": {
        "imports": False,
        "time_labels": True,
        "total_rows": True,
        "comparisons": {"mode": "custom", "date_range": ["2025-01-01", "2025-01-31"], "match_day_of_week": True},
    },
    "pagination": {"limit": 10, "offset": 0},
}
OLDER = {
    "site_id": SITE,
    "period": "custom",
    "date": "2026-01-01,2026-01-31",
    "metrics": "visitors,events",
    "filters": "event:props:plan==pro;visit:source!=a|b;event:page~x",
    "compare": "previous_period",
    "interval": "day",
    "property": "event:props:plan",
    "limit": "10",
    "page": "1",
}
ADDRESS = {
    "period": "custom", "from": "2026-01-01", "to": "2026-01-31", "date": "2026-01-01", "bucket": "day",
    "compare": "custom", "compare_from": "2025-01-01", "compare_to": "2025-01-31", "match": "weekday",
    "metric": "visitors", "key": "plan", "f": "is,event:props:plan,pro", "sources": "referrers", "pages": "entry",
    "devices": "os", "q": "a", "by": "visitors", "way": "asc", "page": "1", "goal": "Signup", "kind": "event",
}  # fmt: skip
FORM = {"fd": "event:props:", "fk": "plan", "fv": "pro", "fo": "is"}
PAGES = ("", "/details/pages", "/chart.csv")
# One text that has all that could end a string or begin a parameter, where a request takes long.
ALL_AT_ONCE = "'\\');DROP TABLE events;--{p0:String}%s`"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with one site that has one event, which are there in the end too."""
    with served(tmp_path_factory.mktemp("injected"), TYST_RATE_LIMIT="0", TYST_FLUSH_SECONDS="0.1") as running:
        running.add_site(SITE, consent="exempt", min_visitors=1)
        beacon = {"n": "Signup", "u": f"https://{SITE}/", "d": SITE, "p": {"plan": "pro"}}
        assert running.send(json.dumps(beacon)).status_code == 202
        running.drain()
        answer = running.http.post("/api/v2/query", json=BODY, headers={"Authorization": f"Bearer {running.key}"})
        assert answer.status_code == 200
        yield running
        intact(running)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where each leaf of a body is, and each key."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*at, key)
        yield from places(child, (*at, key))


def changed(at: tuple[Any, ...], text: str, *, key: bool) -> dict[str, Any]:
    """The body with the text in one place: as the value there, as the end of it, or as the key."""
    body = copy.deepcopy(BODY)
    inner: Any = body
    for step in at[:-1]:
        inner = inner[step]
    if key and isinstance(inner, dict):
        inner[text] = inner.pop(at[-1])
    else:
        inner[at[-1]] = f"{inner[at[-1]]}{text}" if key else text
    return body


def intact(server: Served) -> None:
    """The event and the site are there, and the server answers."""
    body = {"site_id": SITE, "metrics": ["events"], "date_range": "day", "filters": [["is", "event:goal", ["Signup"]]]}
    assert server.api("POST", "/api/v2/query", body)["results"][0]["metrics"] == [1]
    assert [site["domain"] for site in server.api("GET", "/api/v1/sites")["sites"]] == [SITE]


@pytest.mark.parametrize("at", list(places(BODY)), ids=lambda at: ".".join(map(str, at)))
def test_no_field_of_a_query_is_sql(server: Served, at: tuple[Any, ...]) -> None:
    """Every value and every key, replaced by the text and followed by it."""
    headers = {"Authorization": f"Bearer {server.key}"}
    for text, key in (*((text, False) for text in TEXTS), (ALL_AT_ONCE, True)):
        answer = server.http.post("/api/v2/query", json=changed(at, text, key=key), headers=headers)
        assert answer.status_code in (200, 400, 404), (text, answer.text)
        assert "DB::" not in answer.text
        assert answer.status_code == 200 or all(answer.json()["errors"].values())


@pytest.mark.parametrize("path", ["aggregate", "timeseries", "breakdown", "realtime/visitors"])
def test_no_parameter_of_the_older_api_is_sql(server: Served, path: str) -> None:
    """Every parameter, replaced by the text and followed by it."""
    headers = {"Authorization": f"Bearer {server.key}"}
    older = {name: value for name, value in OLDER.items() if name in ENDPOINTS.get(path, ("site_id",))}
    assert server.http.get(f"/api/v1/stats/{path}", params=older, headers=headers).status_code == 200
    for name, value in older.items():
        for text in (*TEXTS[:4], ALL_AT_ONCE):
            for given in ({name: text}, {name: value + text}):
                answer = server.http.get(f"/api/v1/stats/{path}", params={**older, **given}, headers=headers)
                assert answer.status_code in (200, 400, 404), (given, answer.text)
                assert "DB::" not in answer.text
    intact(server)


@pytest.mark.parametrize("below", PAGES)
def test_no_part_of_a_pages_address_is_sql(server: Served, below: str) -> None:
    """Every parameter of a site's pages, followed by it, and the path itself; what is misspelt is left out."""
    with httpx.Client(base_url=server.url, follow_redirects=True, timeout=DEADLINE) as reader:
        signed_in = reader.post("/login", data={"name": "admin", "password": PASSWORD}, headers={"Origin": server.url})
        assert signed_in.url.path == "/"
        fields = ADDRESS | (FORM if below == "" else {})
        assert reader.get(f"/{SITE}{below}", params=ADDRESS).status_code == 200
        for name, value in fields.items():
            given = (fields if name in FORM else ADDRESS) | {name: value + ALL_AT_ONCE}
            answer = reader.get(f"/{SITE}{below}", params=given)
            assert answer.status_code in (200, 400, 404), (given, answer.text[:500])
            assert "DB::" not in answer.text
        assert reader.get(f"/{SITE}{quote(ALL_AT_ONCE)}{below}").status_code == 404
    intact(server)
