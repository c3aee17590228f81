"""Plausible's two official trackers, unmodified, in a browser against a running Tyst.

On the site's own origin, through a proxy, and on another one. Nothing about consent changes for them.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from collector.core.metrics import REASONS
from tests.browser.conftest import GPC, USER_AGENT
from tests.browser.recorder import FOREIGN
from tests.served import DEADLINE, Served, served, until
from tests.stored import Rows, read_tables

BODY = """<!doctype html><title>page</title><body>
<a id="out" href="http://elsewhere.localhost:{port}/there?q=1">out</a>
<a id="file" href="/files/report.pdf?key=1">file</a>
<form id="form" action="/sent"><button>send</button></form>
<script src="/foreign/{script}"></script><script>{start}</script>"""

NEWER = """plausibleTracker.init({{ domain: '{domain}', endpoint: '{endpoint}', captureOnLocalhost: true,
    outboundLinks: true, fileDownloads: true, formSubmissions: true, customProperties: {{ plan: 'free' }} }})"""
OLDER = """window.older = PlausibleTracker({{ domain: '{domain}', apiHost: '{api}', trackLocalhost: true }});
    older.enableAutoPageviews()"""

HEADERS = ("content-type", "user-agent", "cookie", "sec-gpc", "dnt", "origin")


class Website:
    """A site with a tracker in its pages, and a proxy to Tyst on its own origin."""

    def __init__(self, port: int, tyst: str) -> None:
        self.url = f"http://site.localhost:{port}"
        self.tyst = tyst
        self.html = ""
        self._port = port
        self.app = Starlette(
            routes=[
                Route("/api/event", self._proxy, methods=["POST"]),
                Mount("/foreign", StaticFiles(directory=FOREIGN)),
                Route("/fence", self._fence),
                Route("/{path:path}", self._page),
            ]
        )

    def use(self, tracker: Tracker, domain: str, *, own: bool) -> None:
        """Every page has `tracker` from now on, which sends to the site's own origin or to Tyst's."""
        api = self.url if own else self.tyst
        start = tracker.start.format(domain=domain, api=api, endpoint=f"{api}/api/event")
        self.html = BODY.format(port=self._port, script=tracker.script, start=start)

    async def _proxy(self, request: Request) -> Response:
        headers = {name: request.headers[name] for name in HEADERS if name in request.headers}
        async with httpx.AsyncClient(timeout=DEADLINE, trust_env=False) as http:
            answer = await http.post(f"{self.tyst}/api/event", content=await request.body(), headers=headers)
        return Response(answer.content, answer.status_code)

    async def _fence(self, _: Request) -> Response:
        return PlainTextResponse("passed")

    async def _page(self, request: Request) -> Response:
        # No content: where a link or a form leads to, the browser stays on the page.
        return HTMLResponse(self.html) if request.url.path == "/a" else Response(status_code=204)


@dataclass(frozen=True, slots=True)
class Tracker:
    """A tracker: its bundle, how a page starts it, what a visitor does, and what that is as rows."""

    script: str
    start: str
    visit: Callable[[Page, Callable[[int], None]], None]
    rows: list[dict[str, Any]]


def visit_with_newer(page: Page, sent: Callable[[int], None]) -> None:
    """Two pages of one document, own events, and what the tracker sees by itself."""
    sent(1)
    page.evaluate("plausibleTracker.track('signup', { props: { tier: 'startup' } })")
    page.evaluate("plausibleTracker.track('Purchase', { revenue: { amount: 15.99, currency: 'USD' } })")
    page.evaluate("plausibleTracker.track('autoplay', { interactive: false })")
    sent(4)
    for number, selector in enumerate(("#out", "#file", "#form button"), 5):
        page.locator(selector).click()
        sent(number)
    page.clock.run_for(5_000)
    page.evaluate("history.pushState({}, '', '/b')")
    sent(9)


def visit_with_older(page: Page, sent: Callable[[int], None]) -> None:
    """Two pages of one document and an own event."""
    sent(1)
    page.evaluate("older.trackEvent('signup', { props: { tier: 'startup', n: 3 } })")
    sent(2)
    page.evaluate("history.pushState({}, '', '/b')")
    sent(3)


def row(name: str, page: str = "/a", props: dict[str, str] | None = None, **columns: Any) -> dict[str, Any]:
    """What is looked at of a row."""
    return {"name": name, "page": page, "props": props or {}, "revenue": 0, "currency": "", **columns}


FREE = {"plan": "free"}
TRACKERS = {
    "newer": Tracker(
        "plausible.js",
        NEWER,
        visit_with_newer,
        [
            row("File Download", props=FREE | {"url": "http://site.localhost/files/report.pdf"}),
            row("Form: Submission", props=FREE),
            row("Outbound Link: Click", props=FREE | {"url": "http://elsewhere.localhost/there"}),
            row("Purchase", props=FREE, revenue=15.99, currency="USD"),
            row("autoplay", props=FREE),
            row("engagement", props=FREE),
            row("pageview", props=FREE),
            row("pageview", "/b", props=FREE),
            row("signup", props=FREE | {"tier": "startup"}),
        ],
    ),
    "older": Tracker(
        "plausible-tracker.js",
        OLDER,
        visit_with_older,
        [row("pageview"), row("pageview", "/b"), row("signup", props={"tier": "startup", "n": "3"})],
    ),
}


@dataclass(frozen=True, slots=True)
class Case:
    """A site's policy, where the tracker sends to, what the browser says, and why nothing is kept (empty: all is)."""

    policy: str
    own: bool
    dropped: str = ""
    cookie: str = ""
    gpc: bool = False


CASES = {
    "own-exempt": Case("exempt", own=True),
    "other-exempt": Case("exempt", own=False),
    "own-required": Case("required", own=True, dropped="consent"),
    "other-required": Case("required", own=False, dropped="consent"),
    "own-granted": Case("required", own=True, cookie="granted"),
    # To another origin these trackers send no cookie, so that no evidence arrives.
    "other-granted": Case("required", own=False, dropped="consent", cookie="granted"),
    "own-denied": Case("exempt", own=True, dropped="consent", cookie="denied"),
    "other-gpc": Case("exempt", own=False, dropped="gpc", gpc=True),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Statuses of beacons, what was stored, and how many were dropped for which reason."""

    statuses: list[int]
    stored: Rows
    dropped: dict[str, int]


@pytest.fixture(scope="module")
def outcomes(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Each tracker once in every case, in one browser against one server."""
    directory = tmp_path_factory.mktemp("trackers")
    statuses = {}
    with served(directory, TYST_TRUSTED_PROXIES="127.0.0.1") as server, _website(server) as website:
        for name, tracker, case in _cases():
            server.add_site(f"{name}.test", consent=case.policy)
            website.use(tracker, f"{name}.test", own=case.own)
            with _person(browser, website, case) as context:
                statuses[name] = _visit(context, website, tracker, server)
        assert server.stop() == 0
    tables = {table.name: table.rows for table in read_tables(directory / "data")}
    outcomes = {name: Outcome(found, [], {}) for name, found in statuses.items()}
    for stored in tables["events"]:
        outcomes[stored["site"].removesuffix(".test")].stored.append(stored)
    for drop in tables["dropped_events"]:
        # They are written now and then, and what was written is added up later.
        dropped = outcomes[drop["site"].removesuffix(".test")].dropped
        dropped[drop["reason"]] = dropped.get(drop["reason"], 0) + drop["count"]
    return outcomes


def _cases() -> Iterator[tuple[str, Tracker, Case]]:
    for which, tracker in TRACKERS.items():
        for name, case in CASES.items():
            yield f"{which}-{name}", tracker, case


@contextlib.contextmanager
def _website(server: Served) -> Iterator[Website]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()  # who comes before the server's thread is ready waits, and is not refused
    website = Website(listener.getsockname()[1], server.url)
    running = uvicorn.Server(uvicorn.Config(website.app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield website
    finally:
        running.should_exit = running.force_exit = True
        thread.join()
        listener.close()


@contextlib.contextmanager
def _person(browser: Browser, website: Website, case: Case) -> Iterator[BrowserContext]:
    headers = {"Sec-GPC": "1"} if case.gpc else None
    context = browser.new_context(user_agent=USER_AGENT, extra_http_headers=headers)
    context.set_default_timeout(DEADLINE * 1000)
    if case.gpc:
        context.add_init_script(GPC)
    if case.cookie:
        context.add_cookies([{"name": "tyst_consent", "value": case.cookie, "url": website.url}])
    try:
        yield context
    finally:
        context.close()


def _visit(context: BrowserContext, website: Website, tracker: Tracker, server: Served) -> list[int]:
    """Status of every answer that the browser saw."""
    statuses: list[int] = []
    context.on("response", lambda answer: statuses.append(answer.status) if answer.url.endswith("/event") else None)
    page = context.new_page()
    page.clock.install()
    before = _taken(server)

    def sent(count: int) -> None:
        until(f"{count} beacons", lambda: _taken(server) - before >= count, DEADLINE)

    page.goto(website.url + "/a?utm_source=news&secret=1#top")
    tracker.visit(page, sent)
    return statuses


def _taken(server: Served) -> float:
    """Events that the server has kept or dropped."""
    dropped = sum(server.counted(f'tyst_dropped_total{{reason="{reason}"}}') for reason in REASONS)
    return server.counted("tyst_accepted_total") + dropped


FIRST_PAGE = ("engagement", "/a")
LAST_WORDS = ("engagement", "/b")
"""What the newer tracker may still send while its page closes, and may not."""
KEPT = [name for name, _, case in _cases() if not case.dropped]
TURNED_AWAY = [name for name, _, case in _cases() if case.dropped]


@pytest.mark.parametrize("name", KEPT)
def test_what_the_tracker_sends_is_stored_as_it_means(outcomes: dict[str, Outcome], name: str) -> None:
    """Every event with its page, properties and revenue, as one visit that came by its tag and is no bounce."""
    outcome, expected = outcomes[name], TRACKERS[name.partition("-")[0]].rows
    assert set(outcome.statuses) == {202}
    rows = [found for found in outcome.stored if (found["name"], found["page"]) != LAST_WORDS]
    shown = [{column: found[column] for column in expected[0]} for found in rows]
    assert sorted(shown, key=lambda found: (found["name"], found["page"])) == expected
    assert {found["hostname"] for found in outcome.stored} == {"site.localhost"}
    assert {found["source"] for found in outcome.stored} == {"news"}
    assert len({found["visit"] for found in outcome.stored}) == 1
    assert (sum(found["visits"] for found in outcome.stored), sum(found["bounces"] for found in outcome.stored)) == (
        1,
        0,
    )
    assert {found["consent"] for found in outcome.stored} == {"cookie" if "granted" in name else "exempt"}


@pytest.mark.parametrize("name", TURNED_AWAY)
def test_without_consent_nothing_of_it_is_kept(outcomes: dict[str, Outcome], name: str) -> None:
    """The tracker is told 202 as always; no row is stored, and every beacon is counted with its reason."""
    outcome = outcomes[name]
    beacons = len(TRACKERS[name.partition("-")[0]].rows)
    assert set(outcome.statuses) == {202}
    assert outcome.stored == []
    # One more may come as the page closes. What it is sent with then says that this Chromium is headless.
    assert outcome.dropped.pop("bot", 0) <= 1
    ((reason, dropped),) = outcome.dropped.items()
    assert reason == CASES[name.partition("-")[2]].dropped
    assert beacons <= dropped <= beacons + 1


def test_engagement_is_that_of_its_page(outcomes: dict[str, Outcome]) -> None:
    """Five seconds on the first page, and what the browser took meanwhile."""
    for name in KEPT:
        engaged = [found for found in outcomes[name].stored if (found["name"], found["page"]) == FIRST_PAGE]
        assert all(5_000 <= found["engaged"] < 60_000 and found["scroll"] == 100 for found in engaged)
        assert len(engaged) == (1 if name.startswith("newer") else 0)
