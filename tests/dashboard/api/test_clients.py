"""Programs that others wrote, against the running server: a fuzzer that reads the API's description, and a client
of Plausible's Stats API, unmodified. The fuzzer in short; at length: `python -m bench tests`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from dashboard.api.openapi import document
from tests.length import by_length
from tests.served import CHROME, Served, served, until

FRONTEND = Path(__file__).parents[3] / "dashboard" / "frontend"
SITE, OTHER = "clients.test", "fuzzed.test"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a site that has had three visitors: two read two pages each, one of these signs up."""
    with served(tmp_path_factory.mktemp("clients"), TYST_RATE_LIMIT="0", TYST_FLUSH_SECONDS="0.1") as running:
        running.add_site(SITE, consent="exempt", min_visitors=1)
        running.add_site(OTHER, goals=[{"kind": "page", "match": "/a/**"}, {"kind": "scroll", "depth": 50}])
        for version, pages in ((143, ("/", "/a")), (142, ("/", "/a")), (141, ("/",))):
            for page in pages:
                send(running, version, "pageview", page)
        send(running, 143, "Signup", "/a")
        running.drain()
        counts = {"site_id": SITE, "metrics": ["events"], "date_range": "day"}
        until(
            "six events", lambda: running.api("POST", "/api/v2/query", counts)["results"][0]["metrics"] == [6] or None
        )
        yield running


def send(server: Served, version: int, name: str, page: str) -> None:
    """One beacon of a browser of that version."""
    body = {"n": name, "u": f"https://{SITE}{page}", "d": SITE, "r": "https://news.example/"}
    assert server.send(json.dumps(body), {"User-Agent": CHROME.replace("143", str(version))}).status_code == 202


@pytest.fixture(scope="module")
def described(server: Served) -> Any:
    """The API as its own document describes it."""
    return schemathesis.openapi.from_url(f"{server.url}/api/openapi.json")


CLIENT = """
import Plausible from "plausible"
const [key, site, url] = process.argv.slice(1)
const client = new Plausible(key, site, url)
const wrong = new Plausible("tyst_00000000_wrong", site, url)
console.log(JSON.stringify({
  realtime: await client.getRealtime(),
  visitors: await client.getAggregate("day", "visitors", true),
  bounces: await client.getAggregate("day", "bounce_rate"),
  filtered: await client.getAggregate("day", "pageviews", false, "event:page==/a"),
  series: await client.getTimeseries("7d", "visitors"),
  hours: (await client.getTimeseries("day", "pageviews", null, null)).length,
  pages: await client.getBreakdown("day", "visitors,pageviews", "event:page", null, 5, 1),
  goals: await client.getBreakdown("day", "visitors,events", "event:goal"),
  sources: await client.getBreakdown("30d", "visitors", "visit:source", "event:goal==Signup"),
  refused: await wrong.getRealtime().catch((error) => error.message),
  mistaken: await client.getBreakdown("day", "visitors", "visit:planet").catch((error) => error.message),
}))
"""


def test_a_client_of_plausible_works_unmodified(server: Served) -> None:
    """The package `plausible` from npm, given the server's address: every call, and its errors as errors. The first of
    its module: it counts the visitors of the last five minutes."""
    key = server.api("POST", "/api/v1/keys", {"sites": [SITE]})["key"]
    command = ["node", "--input-type=module", "-e", CLIENT, key, SITE, server.url]
    done = subprocess.run(command, cwd=FRONTEND, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["realtime"] == 3
    assert found["visitors"] == {"value": 3, "change": 100}
    assert found["bounces"] == {"value": 33}
    assert found["filtered"] == {"value": 2}
    assert len(found["series"]) == 7
    assert found["series"][-1]["visitors"] == 3
    assert found["hours"] == 24
    assert found["pages"] == [
        {"page": "/", "visitors": 3, "pageviews": 3},
        {"page": "/a", "visitors": 2, "pageviews": 2},
    ]
    assert found["goals"] == [{"goal": "Signup", "visitors": 1, "events": 1}]
    assert [row["visitors"] for row in found["sources"]] == [1]
    assert found["refused"] == "authorization: this key is unknown or revoked, or has expired"
    assert found["mistaken"].startswith("property: 'visit:planet' is none of")


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
    ignored_auth,
]


def of_a_known_site(case: schemathesis.Case[Any]) -> None:
    """Ask about a site that there is, wherever the case names one: others are refused before anything is read."""
    for fields, name in ((case.query, "site_id"), (case.body, "site_id"), (case.path_parameters, "domain")):
        if isinstance(fields, dict) and isinstance(fields.get(name), str) and fields[name] and case.method != "DELETE":
            fields[name] = OTHER
    if case.method == "PUT" and isinstance(case.body, dict):
        case.body.pop("domain", None)


OPERATIONS = [
    (path, method)
    for path, operations in document()["paths"].items()
    for method in ("get", "post", "put", "delete")
    if method in operations
]


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_whatever_is_asked_is_answered_as_described(
    server: Served, described: Any, path: str, method: str, mode: GenerationMode
) -> None:
    """No failure of the server, no status, field or body that the document lacks, and wrong requests are refused."""
    headers = {"Authorization": f"Bearer {server.key}"}
    # Parameters that a GET does not know are ignored, as Plausible ignores them; a body is all understood or refused.
    checks = [*CHECKS, *([negative_data_rejection] if method in ("post", "put") else [])]

    @settings(max_examples=by_length(3, 40), deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(case=described[path][method].as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case[Any]) -> None:
        of_a_known_site(case)
        if mode is GenerationMode.POSITIVE and isinstance(case.body, dict) and "date_range" in case.body:
            case.body["date_range"] = "7d"
        case.call_and_validate(checks=checks, headers=headers)

    ask()


def test_a_real_server_lets_no_other_origin_read(server: Served) -> None:
    """Neither the API nor what a browser asks before it: no header allows another origin."""
    asked = {"Origin": "https://evil.test", "Authorization": f"Bearer {server.key}"}
    for path in ("/api/v1/sites", f"/api/v1/stats/aggregate?site_id={SITE}", "/api/openapi.json"):
        for method, status in (("GET", 200), ("OPTIONS", 405)):
            answer = server.http.request(method, path, headers=asked | {"Access-Control-Request-Method": "GET"})
            assert answer.status_code == status
            assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_an_answer_tells_what_is_left_of_a_keys_quota(server: Served) -> None:
    """600 an hour unless the operator says otherwise; statistics and management share it."""
    key = server.api("POST", "/api/v1/keys", {"sites": [SITE]})["key"]
    for left, path in ((599, "/api/v1/sites"), (598, f"/api/v1/stats/realtime/visitors?site_id={SITE}")):
        answer = httpx.get(server.url + path, headers={"Authorization": f"Bearer {key}"}, timeout=60)
        assert answer.headers["RateLimit-Policy"] == '"key";q=600;w=3600'
        assert answer.headers["RateLimit"].startswith(f'"key";r={left};t=')
