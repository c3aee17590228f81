"""The collector over HTTP: what is answered, and what stands on disk and in ClickHouse then."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import msgspec
import pytest
from starlette.types import Message, Scope

from collector.core.settings import Settings, read_settings
from collector.erasure.site_job import new_job
from collector.ingest.request_origin import RequestOrigin, RequestOrigins
from collector.server.collector import Collector
from collector.server.event_endpoint import MAX_BODY, EventEndpoint
from collector.server.routes import routes
from collector.sites.model import Site
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.spool.rewrite import Erasure
from collector.storage.client import ClickHouse
from dashboard.server.app import Tyst
from tests.collector.ingest.test_pipeline import CHROME
from tests.collector.spool.test_spool import Clock, a_spool
from tests.collector.storage.test_client import an_event

pytestmark = pytest.mark.anyio

PAGEVIEW = {"n": "pageview", "u": "https://site.test/a", "d": "site.test", "c": "granted"}


def settings_for(path: Path, **environ: str) -> Settings:
    """Settings of a process of its own data directory."""
    return read_settings({"TYST_DATA_DIR": str(path), "TYST_FLUSH_SECONDS": "0.05", **environ})


@asynccontextmanager
async def serving(
    path: Path, clickhouse: ClickHouse, monotonic: Callable[[], int] = time.monotonic_ns, /, **environ: str
) -> AsyncIterator[tuple[Collector, httpx.AsyncClient]]:
    """A started collector with one site, and a client that talks HTTP to it. `monotonic` gives the nanoseconds of the
    rate limit."""
    collector = Collector(settings_for(path, **environ), clickhouse=clickhouse)
    await collector.sites.change(Site(domain="site.test"))
    await collector.start()
    app = Tyst(collector, routes=routes(collector))
    app.beacons = EventEndpoint(collector, clock=monotonic)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://stats.test", headers={"user-agent": CHROME}
    ) as client:
        yield collector, client
    await collector.stop()


@pytest.fixture
async def running(tmp_path: Path, clickhouse: ClickHouse) -> AsyncIterator[tuple[Collector, httpx.AsyncClient]]:
    """A started collector and a client."""
    async with serving(tmp_path, clickhouse) as pair:
        yield pair


Running = tuple[Collector, httpx.AsyncClient]


async def stored(running: Running) -> list[str]:
    """Pages of the events in ClickHouse, once the spool is empty."""
    collector, _ = running
    collector.spool.seal()
    while collector.spool.stats().rows:  # noqa: ASYNC110 # emptied by threads, which set no event
        await anyio.sleep(0.005)
    return [row[0] for row in collector.client.query("SELECT page FROM events ORDER BY page").result_rows]


async def test_a_beacon_is_acknowledged_and_reaches_clickhouse(running: Running) -> None:
    """202 and `ok`, readable by the page that sent it."""
    answer = await running[1].post("/api/event", json=PAGEVIEW)
    assert (answer.status_code, answer.text) == (202, "ok")
    assert "x-tyst-dropped" not in answer.headers
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "set-cookie" not in answer.headers
    assert await stored(running) == ["/a"]


async def test_the_content_type_does_not_matter(running: Running) -> None:
    """`text/plain` spares browsers the preflight."""
    for kind in ("text/plain", "application/json", ""):
        headers = {"content-type": kind} if kind else {}
        answer = await running[1].post("/api/event", content=json.dumps(PAGEVIEW), headers=headers)
        assert answer.status_code == 202


async def test_a_dropped_beacon_is_acknowledged_with_its_reason(running: Running) -> None:
    """And counted, and not stored."""
    answer = await running[1].post("/api/event", json={**PAGEVIEW, "c": ""})
    assert (answer.status_code, answer.text, answer.headers["x-tyst-dropped"]) == (202, "ok", "consent")
    assert "X-Tyst-Dropped" in answer.headers["access-control-expose-headers"]
    assert running[0].counters.drops("site.test") == {"consent": 1}
    assert await stored(running) == []


async def test_an_odd_part_costs_that_part_and_is_named(running: Running) -> None:
    """The event is stored without it; the answer has names of keys and nothing that was sent, and a metric counts."""
    odd = {**PAGEVIEW, "u": f"https://site.test/landing?ref=ads&state={'xyzzy' * 500}", "p": ["xyzzy"], "z": "<xyzzy>"}
    answer = await running[1].post("/api/event", json=odd)
    assert (answer.status_code, answer.text, answer.headers["x-tyst-trimmed"]) == (202, "ok", "u, p, z")
    assert "X-Tyst-Trimmed" in answer.headers["access-control-expose-headers"]
    assert "xyzzy" not in str(answer.headers)
    assert await stored(running) == ["/landing"]
    metrics = running[0].counters.text().decode()
    assert 'tyst_trimmed_total{key="u"} 1.0' in metrics
    assert 'tyst_trimmed_total{key="n"} 0.0' in metrics


async def test_a_dropped_beacon_names_what_was_odd_and_counts_nothing(running: Running) -> None:
    """Only parts of events that are kept are counted."""
    answer = await running[1].post("/api/event", json={**PAGEVIEW, "c": "", "w": "wide"})
    assert (answer.headers["x-tyst-dropped"], answer.headers["x-tyst-trimmed"]) == ("consent", "w")
    assert not running[0].counters.trimmed()


async def test_one_beacon_may_count_for_several_sites(running: Running) -> None:
    """Each judged on its own."""
    await running[0].sites.add(Site(domain="all.test"))
    answer = await running[1].post("/api/event", json={**PAGEVIEW, "d": "site.test,other.test,all.test"})
    assert answer.headers["x-tyst-dropped"] == "unknown_site"
    assert await stored(running) == ["/a", "/a"]


async def test_the_same_beacon_is_stored_once(running: Running) -> None:
    """A snippet that did not hear the answer may send it again."""
    for _ in range(3):
        assert (await running[1].post("/api/event", json={**PAGEVIEW, "q": "r4nd0m"})).status_code == 202
    assert await stored(running) == ["/a"]


async def test_a_cookie_is_evidence_and_a_refusing_one_wins(running: Running) -> None:
    """Where the collector is on the same site."""
    for cookie, dropped in (("tyst_consent=granted", None), ("a=1; tyst_consent=denied; b=2", "consent")):
        consent = {"c": ""} if dropped is None else {"c": "granted"}
        answer = await running[1].post("/api/event", json={**PAGEVIEW, **consent}, headers={"cookie": cookie})
        assert answer.headers.get("x-tyst-dropped") == dropped


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "request"),
        (b"defnotjson", "request"),
        (b'"<script>"', "request"),
        (b'{"n":"pageview","d":"site.test"}', "url"),
        (b'{"u":"https://site.test/","d":"site.test"}', "event_name"),
    ],
)
async def test_a_beacon_that_breaks_the_contract_is_told_which_field(running: Running, body: bytes, field: str) -> None:
    """400, as JSON, and nothing is kept."""
    answer = await running[1].post("/api/event", content=body)
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [field]
    assert await stored(running) == []


async def test_a_body_over_the_bound_is_refused(running: Running) -> None:
    """Whether its length is announced or not."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY // 1000 + 1):
            yield b"x" * 1000

    assert (await running[1].post("/api/event", content=b"x" * (MAX_BODY + 1))).status_code == 413
    assert (await running[1].post("/api/event", content=chunks())).status_code == 413


async def test_a_browser_may_ask_first(running: Running) -> None:
    """The preflight of a page that sends JSON."""
    answer = await running[1].request("OPTIONS", "/api/event", headers={"origin": "https://site.test"})
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-methods"] == "POST, DELETE"
    assert "access-control-allow-credentials" not in answer.headers


REQUESTED = {
    "content type": ("content-type", "content-type"),
    "tracing": ("baggage,content-type,sentry-trace,traceparent", "baggage,content-type,sentry-trace,traceparent"),
    "with blanks": ("Content-Type, X-Datadog-Trace-Id", "Content-Type, X-Datadog-Trace-Id"),
    "none": (None, "Content-Type, *"),
    "no list": ("content-type;traceparent", "Content-Type, *"),
    "blank parts": ("content-type,,traceparent", "Content-Type, *"),
    "too long": (",".join(["x-header"] * 120), "Content-Type, *"),
}


@pytest.mark.parametrize(("requested", "allowed"), REQUESTED.values(), ids=REQUESTED)
async def test_a_page_may_send_any_header(running: Running, requested: str | None, allowed: str) -> None:
    """Headers that a page's other tools add to each request are named in the answer; what is no list gets the star."""
    headers = {"origin": "https://site.test", "access-control-request-method": "POST"}
    if requested is not None:
        headers["access-control-request-headers"] = requested
    answer = await running[1].request("OPTIONS", "/api/event", headers=headers)
    assert (answer.status_code, answer.headers["access-control-allow-headers"]) == (204, allowed)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    assert answer.headers["vary"] == "Access-Control-Request-Headers"


async def test_a_pixel_counts_with_a_cookie_as_its_only_evidence(running: Running) -> None:
    """For pages without JavaScript; whatever its query says of consent."""
    pixel = "/api/event.gif?d=site.test&c=granted&u=https://site.test/plain"
    answer = await running[1].get(pixel)
    assert (answer.status_code, answer.headers["x-tyst-dropped"]) == (200, "consent")
    answer = await running[1].get(pixel, headers={"cookie": "tyst_consent=granted"})
    assert answer.headers["content-type"] == "image/gif"
    assert answer.headers["cache-control"] == "no-store"
    page = {"cookie": "tyst_consent=granted", "referer": "https://site.test/by-referer"}
    await running[1].get("/api/event.gif?d=site.test", headers=page)
    assert (await running[1].get("/api/event.gif?d=site.test")).status_code == 400
    assert await stored(running) == ["/by-referer", "/plain"]


async def test_other_methods_are_told_what_to_do(running: Running) -> None:
    """405 with the ones that are allowed."""
    answer = await running[1].get("/api/event")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST, DELETE, OPTIONS")


async def test_a_full_spool_asks_to_come_back(tmp_path: Path, clickhouse: ClickHouse) -> None:
    """503 with Retry-After; what was acknowledged before is kept."""
    async with serving(
        tmp_path, clickhouse, TYST_SPOOL_MAX_BYTES="1000000", TYST_RATE_LIMIT="0", TYST_FLUSH_SECONDS="3600"
    ) as running:
        body = {**PAGEVIEW, "p": {"long": "word " * 390}}
        statuses = [(await running[1].post("/api/event", json=body)).status_code for _ in range(550)]
        answer = await running[1].post("/api/event", json=body)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "spool is full" in (await running[1].get("/readyz")).text
        assert len(await stored(running)) == statuses.count(202) > 400


async def test_too_many_beacons_from_one_address_are_asked_to_wait(tmp_path: Path, clickhouse: ClickHouse) -> None:
    """429 with Retry-After until time has passed; others are not affected, and a site may allow more or fewer."""
    now = 1_000 * 10**9
    settings = {"TYST_RATE_LIMIT": "4", "TYST_TRUSTED_PROXIES": "127.0.0.1"}
    async with serving(tmp_path, clickhouse, lambda: now, **settings) as running:
        collector, client = running

        async def statuses(domain: str, address: str) -> list[int]:
            body, headers = {**PAGEVIEW, "d": domain}, {"x-forwarded-for": address}
            return [(await client.post("/api/event", json=body, headers=headers)).status_code for _ in range(6)]

        assert await statuses("site.test", "192.0.2.1") == [202] * 4 + [429] * 2
        assert await statuses("site.test", "192.0.2.2") == [202] * 4 + [429] * 2
        await collector.sites.add(Site(domain="busy.test", rate_limit=0))
        quiet = await collector.sites.add(Site(domain="quiet.test", rate_limit=1))
        assert await statuses("busy.test", "192.0.2.1") == [202] * 6
        assert await statuses("quiet.test", "192.0.2.1") == [202] + [429] * 5
        answer = await client.post("/api/event", json=PAGEVIEW, headers={"x-forwarded-for": "192.0.2.1"})
        assert (answer.headers["retry-after"], answer.headers["x-tyst-dropped"]) == ("1", "rate")
        assert collector.counters.drops(quiet.id) == {"rate": 5}
        now += 10**9 // 2
        assert await statuses("site.test", "192.0.2.1") == [202] * 2 + [429] * 4
        assert await statuses("quiet.test", "192.0.2.1") == [429] * 6


async def test_large_beacons_count_as_several(tmp_path: Path, clickhouse: ClickHouse) -> None:
    """What they cost goes by their length; the largest passes also where a second has room for less."""
    settings = {"TYST_RATE_LIMIT": "8", "TYST_TRUSTED_PROXIES": "127.0.0.1"}
    async with serving(tmp_path, clickhouse, lambda: 1_000 * 10**9, **settings) as running:
        collector, client = running
        await collector.sites.add(Site(domain="quiet.test", rate_limit=1))

        async def accepted(domain: str, address: str, length: int) -> int:
            body, headers = {**PAGEVIEW, "d": domain, "x": "x" * length}, {"x-forwarded-for": address}
            answers = [await client.post("/api/event", json=body, headers=headers) for _ in range(5)]
            return [answer.status_code for answer in answers].count(202)

        assert await accepted("site.test", "192.0.2.1", 100) == 5
        assert await accepted("site.test", "192.0.2.2", 7_000) == 2
        assert await accepted("quiet.test", "192.0.2.3", 15_000) == 1


async def test_a_proxy_of_one_site_speaks_for_no_other(tmp_path: Path, clickhouse: ClickHouse) -> None:
    """What it says of addresses could otherwise erase what another site's visitors sent."""
    trusted = {"TYST_TRUSTED_PROXIES": "site.test=127.0.0.1"}
    async with serving(tmp_path, clickhouse, **trusted) as running:
        collector, client = running
        await collector.sites.add(Site(domain="other.test"))
        headers = {"x-forwarded-for": "192.0.2.1"}
        assert (await client.post("/api/event", json=PAGEVIEW, headers=headers)).status_code == 202
        for domain in ("other.test", "site.test,other.test", "none.test"):
            bodies = {"POST": {**PAGEVIEW, "d": domain}, "DELETE": {"c": "withdrawn", "d": domain, "k": None}}
            for method, body in bodies.items():
                answer = await client.request(method, "/api/event", json=body, headers=headers)
                assert (answer.status_code, list(answer.json()["errors"])) == (403, ["domain"])
        assert await stored(running) == ["/a"]


@pytest.mark.parametrize("bound", ["site.test", "www.site.test", "former.test"])
async def test_a_proxy_of_a_site_speaks_for_it_under_all_its_names(
    tmp_path: Path, clickhouse: ClickHouse, bound: str
) -> None:
    """Renaming a site loses nothing that comes by its proxy."""
    async with serving(tmp_path, clickhouse, TYST_TRUSTED_PROXIES=f"{bound}=127.0.0.1") as running:
        collector, client = running
        site = collector.sites.get("site.test")
        assert site
        await collector.sites.change(msgspec.structs.replace(site, aliases=("former.test",)))
        headers = {"x-forwarded-for": "192.0.2.1"}
        for domain in ("site.test", "former.test"):
            answer = await client.post("/api/event", json={**PAGEVIEW, "d": domain}, headers=headers)
            assert answer.status_code == 202
        origin = RequestOrigin("https", "site.test", "/", sites=frozenset({bound.removeprefix("www.")}))
        assert RequestOrigins(collector.settings, collector.sites).may_access(origin, collector.sites.all()[0])


async def test_a_pixel_of_too_many_parameters_is_refused(running: Running) -> None:
    """In words that name nothing of them."""
    answer = await running[1].get("/api/event.gif", params={f"secret{number}": "x" for number in range(60)})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["request"])
    assert "secret" not in answer.text


async def test_a_sender_that_goes_away_is_let_go(running: Running) -> None:
    """Nothing is answered, nothing is kept."""
    sent: list[Message] = []
    scope: Scope = {"type": "http", "method": "POST", "path": "/api/event", "headers": [], "client": ("192.0.2.1", 1)}

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await EventEndpoint(running[0])(scope, receive, send)
    assert sent == []


async def test_the_snippet_is_served_compressed_and_revalidated(running: Running) -> None:
    """Every page of every site asks for it."""
    client = running[1]
    answer = await client.get("/js/tyst.js", headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["content-type"].startswith("text/javascript")
    plain = await client.get("/js/tyst.js", headers={"accept-encoding": "identity"})
    assert plain.content == answer.content
    assert len(gzip.compress(plain.content, 9)) <= 2_600
    assert answer.headers["etag"].startswith('W/"')
    again = await client.get("/js/tyst.js", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("br;q=1.0, gzip;q=0.8", "br"),
        ("BR", "br"),
        ("br; q=0, gzip", "gzip"),
        ("br;q=0.0, gzip;q=0.5", "gzip"),
        ("gzip;q=0", ""),
        ("brotli", ""),
        ("", ""),
    ],
)
async def test_the_snippet_is_served_as_well_compressed_as_the_browser_can_read_it(
    running: Running, accepted: str, coding: str
) -> None:
    """What every browser of today downloads over TLS is at most 2,370 bytes."""
    async with running[1].stream("GET", "/js/tyst.js", headers={"accept-encoding": accepted}) as answer:
        sent = b"".join([part async for part in answer.aiter_raw()])
    assert answer.headers.get("content-encoding", "") == coding
    assert answer.headers["vary"] == "Accept-Encoding"
    if coding == "br":
        assert len(sent) <= 2_370


async def test_the_process_says_how_it_is(running: Running) -> None:
    """For people, probes and Prometheus."""
    client = running[1]
    await client.post("/api/event", json=PAGEVIEW)
    await client.post("/api/event", json={**PAGEVIEW, "c": ""})
    assert (await client.get("/healthz")).text == "ok\n"
    assert (await client.get("/readyz")).json()["ready"] is True
    metrics = (await client.get("/metrics")).text
    assert "tyst_accepted_total 1.0" in metrics
    assert 'tyst_dropped_total{reason="consent"} 1.0' in metrics


async def test_a_restart_goes_on_with_visits(tmp_path: Path, clickhouse: ClickHouse) -> None:
    """A visit of two pages is one visit, also when the process was stopped between them."""
    for page in ("/a", "/b"):
        async with serving(tmp_path, clickhouse) as running:
            await running[1].post("/api/event", json={**PAGEVIEW, "u": f"https://site.test{page}"})
    async with serving(tmp_path, clickhouse) as running:
        assert await stored(running) == ["/a", "/b"]
        sums = running[0].client.query("SELECT sum(visits), sum(bounces), uniqExact(visit) FROM events").first_row
        assert sums == (1, 0, 1)


async def test_visits_are_recalled_from_what_the_spool_holds_too(tmp_path: Path, clickhouse: ClickHouse) -> None:
    """A crash may come before ClickHouse has the events."""
    now = int(time.time())
    crashed = a_spool(tmp_path / "spool" / "1", Clock(now))
    crashed.start()
    await crashed.append([an_event(visitor=7, visit=now - 5, ts=now - 5, page="/a", entry_page="/a", bounces=1)], None)
    crashed.close()
    async with serving(tmp_path, clickhouse) as (collector, _):
        visit = collector.rooms.visits.current(7, now)
        assert visit is not None
        assert (visit.id, visit.entry_page, visit.bouncing) == (now - 5, "/a", True)


async def test_the_process_closes_days_and_opens_them_for_late_events(tmp_path: Path, clickhouse: ClickHouse) -> None:
    """Nobody has to ask for it."""
    noon = int(time.time()) // 86_400 * 86_400 - 36 * 3600
    day = datetime.datetime.fromtimestamp(noon, datetime.UTC).date()
    ClickHouseInserter(clickhouse.prepare()).insert([an_event(day=day, ts=noon)], "before")
    async with serving(tmp_path, clickhouse) as (collector, _):
        collector.close_days()
        assert closed_rows(collector, day) == (1, 0)
        await collector.spool.append([an_event(day=day, ts=noon + 5, page="/late")], None)
        await stored((collector, _))
        await opened(collector, day)
        # The upkeep may have closed it with the late event before the writer noted that one: then it is open once more.
        async with asyncio.timeout(30):
            while closed_rows(collector, day) != (2, 0):
                collector.close_days()
                await anyio.sleep(0.005)


async def test_withdrawals_of_today_do_not_keep_earlier_days_open(tmp_path: Path, clickhouse: ClickHouse) -> None:
    """However many come, one after the other: only a day whose own events are being erased waits for that."""
    noon = int(time.time()) // 86_400 * 86_400 - 36 * 3600
    day = datetime.datetime.fromtimestamp(noon, datetime.UTC).date()
    ClickHouseInserter(clickhouse.prepare()).insert(
        [an_event(day=day - datetime.timedelta(back), ts=noon - back * 86_400) for back in (0, 1)], "before"
    )
    # Not started: its upkeep would close days by itself.
    collector = Collector(settings_for(tmp_path), clickhouse=clickhouse)
    await collector.sites.change(Site(domain="site.test"))
    today = Erasure("site.test", day + datetime.timedelta(2), 7, noon + 2 * 86_400)
    collector.eraser.enqueue([today, Erasure("site.test", day, 7, noon + 86_400)])
    collector.close_days()
    assert closed_rows(collector, day - datetime.timedelta(1)) == (1, 0)
    with pytest.raises(IndexError):
        closed_rows(collector, day)
    assert collector.eraser.run_once()
    collector.eraser.enqueue([today])
    collector.close_days()
    assert closed_rows(collector, day) == (1, 0)


async def test_a_site_that_is_renamed_keeps_no_other_site_s_days_open(tmp_path: Path, clickhouse: ClickHouse) -> None:
    """However often its owner renames it; its own days are closed once it has one name again."""
    noon = int(time.time()) // 86_400 * 86_400 - 36 * 3600
    day = datetime.datetime.fromtimestamp(noon, datetime.UTC).date()
    events = [an_event(site=site, day=day, ts=noon) for site in ("site.test", "other.test")]
    ClickHouseInserter(clickhouse.prepare()).insert(events, "before")
    # Not started: its upkeep would rename and close days by itself.
    collector = Collector(settings_for(tmp_path), clickhouse=clickhouse)
    other = await collector.sites.add(Site(domain="other.test"))
    await collector.sites.add(Site(domain="site.test"))
    collector.deletions.enqueue(new_job("rename", other, "anna", time.time(), to="new.test"))
    collector.close_days()
    assert closed_rows(collector, day) == (1, 0)
    for name in ("other.test", "new.test"):
        with pytest.raises(IndexError):
            closed_rows(collector, day, name)
    assert collector.deletions.run_pending()
    collector.close_days()
    assert closed_rows(collector, day, "new.test") == (1, 0)


def closed_rows(collector: Collector, day: datetime.date, site: str = "site.test") -> tuple[int, int]:
    """How many events the day was closed with, and whether it is open again."""
    sql = "SELECT rows, reopened FROM daily_status FINAL WHERE site = {site:String} AND day = {day:Date}"
    rows, reopened = collector.client.query(sql, parameters={"site": site, "day": day}).result_rows[0]
    return rows, reopened


async def opened(collector: Collector, day: datetime.date) -> None:
    """Wait until the writer has noted the late segment: the day is open, or the upkeep has closed it anew already."""
    async with asyncio.timeout(30):
        while closed_rows(collector, day) == (1, 0):  # noqa: ASYNC110 # noted by a thread, which sets no event
            await anyio.sleep(0.005)
