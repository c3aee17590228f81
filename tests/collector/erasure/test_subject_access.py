"""What a visitor may ask: to see, take along and erase what is held about this browser, and nobody else's."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import datetime
import io
import json
import sqlite3
import threading
import zoneinfo
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx
import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from collector.core.errors import InsertRetryable
from collector.core.metrics import Counters
from collector.enrichment.client_ip import TrustedProxies
from collector.erasure.site_job import new_job
from collector.erasure.subject_access import Requester, SubjectAccess
from collector.erasure.visitor_erasure import Eraser
from collector.ingest.event import Event
from collector.ingest.payload import Beacon
from collector.ingest.request_context import MAX_USER_AGENT, RequestFields
from collector.privacy.salts_clickhouse import TableSalts
from collector.privacy.visitor_id import visitor_id
from collector.server.collector import Collector
from collector.server.event_endpoint import MAX_BODY
from collector.server.routes import routes as collector_routes
from collector.sites.model import Site
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.spool.rewrite import ErasePredicate, Erasure
from collector.spool.writer import Writer
from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from collector.storage.shards import Shards
from dashboard.compliance.notice_versions import History, NoticeVersions
from dashboard.server.app import Tyst
from dashboard.web import visitor_api, visitor_privacy
from dashboard.web.visitor_requests import VisitorRequests
from tests.board import prepared_pages
from tests.collector.ingest.test_pipeline import CHROME
from tests.collector.server.test_event_endpoint import settings_for
from tests.collector.spool.test_spool import Clock, a_spool
from tests.collector.storage.test_client import an_event
from tests.disk import bytes_below, clean_up_at_once, findable_words
from tests.members import alone

pytestmark = pytest.mark.anyio

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
ME, OTHER = "203.0.113.7", "203.0.113.8"
PAGE = "/en-helt-egen-sida"


class Visiting:
    """A collector with its visitors' addresses, and clients that talk to it from where they like."""

    def __init__(self, collector: Collector) -> None:
        self.collector = collector
        editions = NoticeVersions(DocumentTable(collector.client, "notices", History), collector.clock)
        visitors = VisitorRequests(collector.privacy, collector.sites, collector.settings)
        self._app = Tyst(
            collector,
            routes=[
                *collector_routes(collector),
                *visitor_api.routes(visitors),
                *visitor_privacy.routes(visitors, editions, prepared_pages()),
            ],
        )

    def client(self, address: str = ME, user_agent: str = CHROME, **headers: str) -> httpx.AsyncClient:
        """Somebody's browser."""
        transport = httpx.ASGITransport(app=self._app, client=(address, 4711))
        given = {"user-agent": user_agent, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return httpx.AsyncClient(transport=transport, base_url="http://stats.test", headers=given)

    async def see(self, page: str = PAGE, *, site: str = "site.test", **who: str) -> None:
        """Somebody opens a page."""
        beacon = {"n": "pageview", "u": f"https://{site}{page}", "d": site, "c": "granted"}
        async with self.client(**who) as client:
            assert (await client.post("/api/event", json=beacon)).status_code == 202

    async def me(self, site: str = "site.test", **who: str) -> list[str]:
        """The pages that the browser is told of."""
        async with self.client(**who) as client:
            answer = await client.get(f"/api/me?d={site}")
        assert answer.status_code == 200, answer.text
        return [event["page"] for event in answer.json()["events"]]

    async def erase(self, site: str = "site.test", **who: str) -> httpx.Response:
        """The browser asks to be erased."""
        async with self.client(**who) as client:
            return await client.delete(f"/api/me?d={site}")

    async def stored(self) -> list[str]:
        """Pages in ClickHouse, once the spool is empty and what was to be erased is erased."""
        self.collector.spool.seal()
        while self.collector.spool.stats().rows or self.collector.eraser.pending:  # noqa: ASYNC110 # threads set no event
            await anyio.sleep(0.005)
        return [row[0] for row in self.collector.client.query("SELECT page FROM events ORDER BY page").result_rows]


@asynccontextmanager
async def visiting(
    path: Path, clickhouse: ClickHouse, clock: Callable[[], float] | None = None, **environ: str
) -> AsyncIterator[Visiting]:
    """A started collector with two sites."""
    given = {"clock": clock} if clock is not None else {}
    settings = settings_for(path, **{"TYST_PUBLIC_URL": "http://stats.test", **environ})
    collector = Collector(settings, clickhouse=clickhouse, **given)  # type: ignore[arg-type]
    await collector.sites.change(Site(domain="site.test", timezone="Europe/Stockholm"))
    await collector.sites.change(Site(domain="other.test"))
    await collector.start()
    yield Visiting(collector)
    await collector.stop()


@pytest.fixture
async def town(tmp_path: Path, clickhouse: ClickHouse) -> AsyncIterator[Visiting]:
    """A started collector that writes at once."""
    async with visiting(tmp_path, clickhouse) as started:
        yield started


@pytest.fixture
async def slow(tmp_path: Path, clickhouse: ClickHouse) -> AsyncIterator[Visiting]:
    """A started collector whose events stay in the spool until that is sealed."""
    async with visiting(tmp_path, clickhouse, TYST_FLUSH_SECONDS="3600") as started:
        yield started


async def test_what_is_held_is_shown_wherever_it_lies(slow: Visiting) -> None:
    """From the spool, from ClickHouse, and from both, each event once and in order."""
    await slow.see("/a")
    assert await slow.me() == ["/a"]
    assert await slow.stored() == ["/a"]
    assert await slow.me() == ["/a"]
    await slow.see("/b")
    assert await slow.me() == ["/a", "/b"]


async def test_what_was_counted_under_a_collector_s_own_salt_is_erased(town: Visiting) -> None:
    """Of a day that began while ClickHouse was away: its salt is another collector's now."""
    client, site = town.collector.client, town.collector.sites.get("site.test")
    assert site is not None
    today = town.collector.sites.zone(site).date(town.collector.clock())
    salts, further = TableSalts(client), town.collector.salt_rotation.last_linkable()
    counted = visitor_id(salts.salt(today), site.hash_name, ME, CHROME)
    for each in (TableSalts(client), salts):
        each.rotate(today, further)
    assert visitor_id(salts.salt(today), site.hash_name, ME, CHROME) != counted
    now = int(town.collector.clock())
    ClickHouseInserter(client).insert([an_event(visitor=counted, day=today, ts=now, page=PAGE)], "one")
    collector = town.collector
    access = SubjectAccess(
        clock=collector.clock,
        sites=collector.sites,
        salts=salts,
        rotation=collector.salt_rotation,
        visits=collector.rooms.visits,
        spool=collector.spool,
        shards=collector.shards,
        eraser=collector.eraser,
        schedule=collector.erasures,
    )
    report = await access.erase(site, Requester(ME, CHROME))
    assert (report.events, await town.stored()) == (1, [])


async def test_the_answer_holds_every_column_and_says_until_when(town: Visiting) -> None:
    """All that is stored of an event; and the second at which the day's salt is destroyed."""
    await town.see("/a")
    async with town.client() as client:
        answer = (await client.get("/api/me?d=site.test")).json()
    (event,) = answer["events"]
    assert set(event) == set(Event.__struct_fields__)
    assert event["browser"] == "Chrome"
    # The day is over last in UTC, for the other site, and the salt of a date is one for all sites.
    until = datetime.datetime.fromisoformat(answer["linkable_until"]).astimezone(datetime.UTC)
    assert (until.hour, until.minute) == (0, 0)


async def test_a_spreadsheet_takes_no_cell_for_a_formula(town: Visiting) -> None:
    """CSV by `format` and by `Accept`; the cell of a property that begins with = is text."""
    beacon = {"n": "=1+1", "u": "https://site.test/a", "d": "site.test", "c": "granted"}
    async with town.client() as client:
        await client.post("/api/event", json=beacon)
        answer = await client.get("/api/me?d=site.test&format=csv&download")
        assert (await client.get("/api/me?d=site.test", headers={"accept": "text/csv"})).text == answer.text
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"].startswith("attachment")
    (row,) = csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig")))
    assert (row["name"], row["page"]) == ("'=1+1", "/a")


OTHERS: list[dict[str, str]] = [
    {"address": OTHER},
    {"user_agent": FIREFOX},
    {"address": OTHER, "x_forwarded_for": ME},
    {"address": OTHER, "forwarded": f"for={ME}"},
    {"address": OTHER, "cf_connecting_ip": ME},
    {"address": OTHER, "x_real_ip": ME, "true_client_ip": ME, "client_ip": ME},
    {"address": OTHER, "host": "site.test"},
    {"address": OTHER, "cookie": "tyst_consent=granted"},
]


@pytest.mark.parametrize("who", OTHERS, ids=json.dumps)
async def test_nobody_reads_or_erases_what_is_held_about_another(town: Visiting, who: dict[str, str]) -> None:
    """Another address, another user agent, forged headers: they see nothing, and what they erase is not there."""
    await town.see()
    assert await town.me(**who) == []
    answer = await town.erase(**who)
    assert (answer.status_code, answer.json()) == (200, {"events": 0, "complete": True})
    assert await town.me() == [PAGE]


async def test_one_site_knows_nothing_of_another(town: Visiting) -> None:
    """The same browser has another id on another site, and is erased there alone."""
    await town.see()
    await town.see("/theirs", site="other.test")
    assert await town.me("other.test") == ["/theirs"]
    assert (await town.erase("other.test")).json()["events"] == 1
    assert await town.me() == [PAGE]
    assert await town.me("other.test") == []


async def test_behind_a_trusted_proxy_the_proxy_says_who_asks(tmp_path: Path, clickhouse: ClickHouse) -> None:
    """As for beacons: the header counts where the connection comes from the proxy."""
    async with visiting(tmp_path, clickhouse, TYST_TRUSTED_PROXIES="10.0.0.1") as town:
        await town.see(address="10.0.0.1", x_forwarded_for=ME)
        assert await town.me(address="10.0.0.1", x_forwarded_for=ME) == [PAGE]
        assert await town.me(address="10.0.0.1", x_forwarded_for=f"{ME}, {OTHER}") == []
        assert await town.me(address=ME) == [PAGE]


async def test_of_a_long_user_agent_the_beginning_counts(town: Visiting) -> None:
    """For beacons and for who asks alike, so that its length costs neither time nor memory."""
    long = CHROME.ljust(MAX_USER_AGENT, "x")
    await town.see(user_agent=f"{long}one")
    assert await town.me(user_agent=f"{long}another") == [PAGE]
    assert await town.me(user_agent=long[:-1]) == []
    fields = RequestFields({"headers": [(b"user-agent", b"x" * 16_000)]}, TrustedProxies())
    assert len(fields.arrival(Beacon(name="a", url="/", domains=("site.test",)), 0).user_agent) == MAX_USER_AGENT


async def test_what_is_erased_is_gone_and_what_others_sent_stays(slow: Visiting) -> None:
    """From the spool and from ClickHouse; everything else arrives once."""
    await slow.see("/first")
    await slow.see("/theirs", address=OTHER)
    assert await slow.stored() == ["/first", "/theirs"]
    await slow.see("/second")
    await slow.see("/theirs-too", user_agent=FIREFOX)
    answer = await slow.erase()
    assert (answer.status_code, answer.json()) == (200, {"events": 2, "complete": True})
    assert await slow.me() == []
    assert await slow.stored() == ["/theirs", "/theirs-too"]


async def test_after_an_erasure_a_new_visit_begins(tmp_path: Path, clickhouse: ClickHouse) -> None:
    """What is sent after the second of the erasure is kept, and says nothing of what was before."""
    clock = Clock()
    async with visiting(tmp_path, clickhouse, clock) as town:
        await town.see("/entry")
        await town.erase()
        clock.now += 1
        await town.see("/later")
        assert await town.stored() == ["/later"]
        (row,) = town.collector.client.query("SELECT entry_page, visits FROM events").result_rows
        assert row == ("/later", 1)
        town.collector.erasures.run_pending()
        assert await town.me() == ["/later"]


async def test_a_segment_that_was_read_before_is_waited_for(tmp_path: Path, database: Client) -> None:
    """An insert that is under way cannot be called back: the erasure is complete once what it brought is deleted."""
    spool, mine, theirs = a_spool(tmp_path, Clock()), an_event(visitor=7, page="/mine"), an_event(visitor=8)
    spool.start()
    await spool.append([mine, theirs], None)
    spool.seal()
    segment = spool.next_segment(timeout=10)
    assert segment is not None
    read = spool.read(segment)
    eraser = Eraser(database, lambda: [spool], alone(database), lambda: 1)
    eraser.enqueue([an_erasure(mine)])
    assert not eraser.run_once()
    ClickHouseInserter(database).insert(read, segment.token)
    assert not eraser.run_once()
    spool.acknowledge(segment)
    assert eraser.run_once()
    assert database.query("SELECT visitor FROM events").result_rows == [(8,)]
    spool.close()


async def test_a_promise_survives_the_process(tmp_path: Path, database: Client) -> None:
    """Killed after the promise and before anything was done, the next process keeps it: the insert that had
    succeeded without anybody knowing is sent again under its token, and what it brought is deleted."""
    first, mine, theirs = a_spool(tmp_path, Clock()), an_event(visitor=7), an_event(visitor=8)
    first.start()
    await first.append([mine, theirs], None)
    first.seal()
    segment = first.next_segment(timeout=10)
    assert segment is not None
    ClickHouseInserter(database).insert(first.read(segment), segment.token)
    Eraser(database, lambda: [first], alone(database), lambda: 1).enqueue([an_erasure(mine)])
    # Nothing is closed: so a killed process leaves its files.
    second = a_spool(tmp_path, Clock())
    eraser = Eraser(database, lambda: [second], alone(database), lambda: 2)
    second.start()
    assert not eraser.run_once()
    again = second.next_segment(timeout=10)
    assert again is not None
    assert (again.token, [event.visitor for event in second.read(again)]) == (segment.token, [8])
    ClickHouseInserter(database).insert(second.read(again), again.token)
    second.acknowledge(again)
    assert eraser.run_once()
    assert database.query("SELECT visitor FROM events").result_rows == [(8,)]
    assert second.erasures.pending() == {}
    second.close()
    first.close()


async def test_where_the_spool_cannot_be_read_an_erasure_waits_for_it(slow: Visiting) -> None:
    """It is promised all the same: nobody can tell that nothing is there."""
    await slow.see()
    with contextlib.closing(sqlite3.connect(slow.collector.spool.path)) as spool:
        spool.execute("ALTER TABLE groups RENAME TO away")
        answer = await slow.erase()
        spool.execute("ALTER TABLE away RENAME TO groups")
    assert (answer.status_code, answer.json()["complete"]) == (202, False)
    await anyio.to_thread.run_sync(slow.collector.erasures.run_pending)
    assert await slow.stored() == []


async def test_a_promise_waits_for_clickhouse(tmp_path: Path, clickhouse: ClickHouse) -> None:
    """While the table cannot be reached the answer is 202; later it is done without being asked again."""
    async with visiting(tmp_path, clickhouse) as town:
        await town.see()
        assert await town.stored() == [PAGE]
        town.collector.client.command("RENAME TABLE events TO away")
        answer = await town.erase()
        assert (answer.status_code, answer.json()["complete"]) == (202, False)
        town.collector.client.command("RENAME TABLE away TO events")
        await anyio.to_thread.run_sync(town.collector.erasures.run_pending)
        assert not town.collector.eraser.pending
        assert await town.stored() == []


def test_a_segment_that_is_erased_whole_is_let_go(tmp_path: Path) -> None:
    """An empty insert would be refused; there is nothing to insert."""

    class Strict:
        def insert(self, events: Any, token: str) -> None:
            raise InsertRetryable(f"{token}: {len(events)}")

    async def run() -> None:
        spool = a_spool(tmp_path, Clock())
        spool.start()
        mine = an_event(visitor=7)
        await spool.append([mine], None)
        spool.seal()
        segment = spool.next_segment(timeout=10)
        assert segment is not None
        spool.erase([an_erasure(mine)])
        assert spool.stats().rows == 0
        assert Writer(spool, Strict(), Counters()).write(segment)
        spool.close()

    anyio.run(run)


def an_erasure(event: Event) -> Erasure:
    return Erasure(event.site, event.day, event.visitor, event.ts)


async def test_the_bytes_are_gone_from_the_disk(tmp_path: Path, clickhouse: ClickHouse) -> None:
    """The page that only this visitor saw, and the visitor's id, are in the files before and in none after."""
    engine, page = Path(urlsplit(clickhouse.dsn).path), f"/{findable_words(1)[0]}"
    async with visiting(tmp_path, clickhouse, TYST_FLUSH_SECONDS="3600") as town:
        client = town.collector.client
        clean_up_at_once(client, "events")
        await town.see("/theirs", address=OTHER)
        await town.see(page)
        await town.stored()
        await town.see(f"{page}-2")
        visitor = client.query("SELECT visitor FROM events WHERE page = {p:String}", {"p": page}).result_rows[0][0]
        needles = [page.encode(), visitor.to_bytes(8, "little"), visitor.to_bytes(8, "big"), str(visitor).encode()]
        before = {needle for _, held in bytes_below(tmp_path, engine) for needle in needles if needle in held}
        assert {page.encode(), str(visitor).encode()} <= before
        assert (await town.erase()).json() == {"events": 2, "complete": True}
        with anyio.fail_after(60):
            while found := [
                path for path, held in bytes_below(tmp_path, engine) if any(needle in held for needle in needles)
            ]:
                assert not [path for path in found if path.is_relative_to(tmp_path)], found
                await anyio.sleep(0.2)
        assert await town.stored() == ["/theirs"]


def test_the_schema_keeps_deleted_parts_for_seven_minutes(database: Client) -> None:
    """What the page promises, ten minutes, is more than an old part's lifetime and the pause between two clean-ups;
    and what replaces a part is on disk by then."""
    made = database.command("SHOW CREATE TABLE events")
    for setting in ("old_parts_lifetime = 420", "max_cleanup_delay_period = 60", "min_rows_to_fsync_after_merge = 1"):
        assert setting in str(made)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"origin": "https://site.test"},
        {"origin": "null"},
    ],
    ids=json.dumps,
)
async def test_pages_of_other_origins_are_refused(town: Visiting, method: str, headers: dict[str, str]) -> None:
    """The site's own pages too: they could learn, or erase, what a reader did."""
    await town.see()
    async with town.client(**headers) as client:
        answer = await client.request(method, "/api/me?d=site.test")
        preflight = await client.options(
            "/api/me?d=site.test", headers={"origin": "https://site.test", "access-control-request-method": method}
        )
    assert answer.status_code == 403
    assert preflight.status_code == 405
    for each in (answer, preflight):
        assert "access-control-allow-origin" not in each.headers
    assert await town.me() == [PAGE]


async def test_an_address_that_asks_too_often_has_to_wait(town: Visiting) -> None:
    """Reading five times a second, erasing once; others are not held up."""
    async with town.client() as client:
        # At once: a busy machine is slower than the limits.
        reads = await asyncio.gather(*(client.get("/api/me?d=site.test") for _ in range(40)))
        erasures = await asyncio.gather(*(client.delete("/api/me?d=site.test") for _ in range(10)))
    for answers in (reads, erasures):
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert int(refused[0].headers["retry-after"]) >= 1
    assert await town.me(address=OTHER) == []


async def test_an_unknown_site_is_not_there(town: Visiting) -> None:
    """404 in the form of every error."""
    async with town.client() as client:
        answer = await client.get("/api/me?d=nowhere.test")
    assert (answer.status_code, list(answer.json())) == (404, ["errors"])


async def test_what_was_counted_is_shown_until_the_salt_of_its_day_is_destroyed(
    tmp_path: Path, clickhouse: ClickHouse
) -> None:
    """As long as the salt is there both days are held, which is until the day is over for the last site; after that
    yesterday is nobody's, and cannot be asked for."""
    zone = zoneinfo.ZoneInfo("Europe/Stockholm")
    clock = Clock(datetime.datetime(2026, 3, 1, 23, 50, tzinfo=zone).timestamp())
    async with visiting(tmp_path, clickhouse, clock) as town:
        await town.see("/before")
        clock.now += 20 * 60
        await town.see("/after")
        assert await town.me() == ["/before", "/after"]
        # The other sites of the town are in UTC, where the day ends an hour later.
        clock.now += 49 * 60
        salts = tmp_path / "salts"
        for minutes, days, held in ((0, 3, ["/before", "/after"]), (1, 2, ["/after"])):
            clock.now += minutes * 60
            town.collector.salt_rotation.rotate()
            assert len(list(salts.iterdir())) == days
            assert await town.me() == held
        assert (await town.erase()).json()["events"] == 1
        assert await town.stored() == ["/before"]


def test_nothing_of_who_asks_is_shown_in_a_traceback() -> None:
    """Neither address nor user agent nor id has a way into a log."""
    assert repr(Requester(ME, CHROME)) == "Browser(…)"
    assert "7777" not in repr(Erasure("site.test", datetime.date(2026, 3, 1), 7777, 1))


def test_erasing_takes_no_more_than_it_says() -> None:
    """Another day, another site and a later second are left."""
    erasure = ErasePredicate([Erasure("site.test", datetime.date(2026, 3, 1), 7, 1_772_366_400)])
    assert erasure.takes(an_event(visitor=7))
    assert not erasure.takes(an_event(visitor=7, ts=1_772_366_401))
    assert not erasure.takes(an_event(visitor=7, site="other.test"))
    assert not erasure.takes(an_event(visitor=7, day=datetime.date(2026, 3, 2)))


def a_no(page: str = "/no") -> dict[str, str]:
    return {"n": "pageview", "u": f"https://site.test{page}", "d": "site.test", "c": "denied"}


@pytest.mark.parametrize(("policy", "left"), [("required", []), ("limited", [("/no", 0)]), ("exempt", [])])
@pytest.mark.parametrize("how", ["the withdrawal", "the beacon", "the cookie", "for good"])
async def test_a_no_in_the_middle_of_a_visit_erases_the_visit(
    town: Visiting, policy: str, left: list[tuple[str, int]], how: str
) -> None:
    """What was linkable goes; under `limited` the page of a beacon is counted, by nobody, but for those who object for
    good; another visitor's visit stays."""
    site = town.collector.sites.get("site.test")
    assert site is not None
    await town.collector.sites.change(msgspec.structs.replace(site, consent=policy))
    await town.see("/yes")
    await town.stored()
    await town.see("/yes-too")
    await town.see("/theirs", address=OTHER)
    beacon, cookie = a_no(), {}
    if how == "the withdrawal":
        left = []
    elif how != "the beacon":
        word = "denied" if how == "the cookie" else "excluded"
        beacon["c"], cookie = "granted", {"cookie": f"tyst_consent={word}"}
    left = [] if how == "for good" else left
    async with town.client(**cookie) as client:
        if how == "the withdrawal":
            answer = await client.request(
                "DELETE", "/api/event", json={"c": "withdrawn", "d": "www.site.test,nowhere.test"}
            )
            assert answer.headers["access-control-allow-origin"] == "*"
        else:
            answer = await client.post("/api/event", json=beacon)
        assert (answer.status_code, answer.text) == (202, "ok")
    await town.stored()
    rows = town.collector.client.query("SELECT page, visitor FROM events WHERE page != '/theirs' ORDER BY page")
    assert [tuple(row) for row in rows.result_rows] == left
    assert await town.me(address=OTHER) == ["/theirs"]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, "request"),
        (b"[]", 400, "request"),
        (b"{}", 400, "c"),
        (b'{"d": "site.test"}', 400, "c"),
        (b'{"d": "site.test", "k": null}', 400, "c"),
        (b'{"c": "", "d": "site.test"}', 400, "c"),
        (b'{"c": null, "d": "site.test"}', 400, "c"),
        (b'{"c": true, "d": "site.test"}', 400, "c"),
        (b'{"c": "denied", "d": "site.test"}', 400, "c"),
        (b'{"c": "Withdrawn", "d": "site.test"}', 400, "c"),
        (b'{"c": ["withdrawn"], "d": "site.test"}', 400, "c"),
        (b'{"c": "withdrawn"}', 400, "domain"),
        (b'{"c": "withdrawn", "d": null}', 400, "domain"),
        (b'{"c": "withdrawn", "d": 7}', 400, "domain"),
        (b'{"c": "withdrawn", "d": ["site.test"]}', 400, "domain"),
        (b'{"c": "withdrawn", "d": " , "}', 400, "domain"),
        (b'{"c": "withdrawn", "d": "site.test", "k": 7}', 400, "k"),
        (b'{"c": "withdrawn", "d": "site.test", "u": "https://site.test/"}', 400, "request"),
        (b'{"c": "withdrawn", "d": "site.test", "n": "", "u": "https://site.test/"}', 400, "request"),
        (b'{"u": "https://site.test/", "d": "site.test", "c": "granted", "v": 1}', 400, "c"),
        (b'{"d": "site.test", "k": "%s"}' % (b"x" * MAX_BODY), 413, "request"),
    ],
)
async def test_a_withdrawal_that_cannot_be_read_says_why(town: Visiting, body: bytes, status: int, field: str) -> None:
    """As a beacon's error does, and nothing is erased."""
    await town.see()
    async with town.client() as client:
        answer = await client.request("DELETE", "/api/event", content=body)
    assert (answer.status_code, list(answer.json()["errors"])) == (status, [field])
    assert await town.me() == [PAGE]


@pytest.mark.parametrize(
    "c",
    [
        "Denied",
        " denied",
        "DENIED",
        "no",
        "0",
        0,
        False,
        "false",
        "withdrawn",
        "undefined",
        None,
        "",
        [],
        {},
        "excluded ",
    ],
)
async def test_an_odd_claim_erases_nothing(town: Visiting, c: object) -> None:
    """Only the word itself refuses; whatever else is claimed may be kept or dropped, and takes nothing back."""
    await town.see()
    async with town.client() as client:
        answer = await client.post("/api/event", json=a_no() | {"c": c})
    assert answer.status_code in (202, 400)
    assert PAGE in await town.stored()


async def test_a_no_without_a_visit_erases_nothing(town: Visiting) -> None:
    """Somebody with the same browser in another network is not touched; a cookie is promised nothing again."""
    await town.see("/theirs", address=OTHER)
    async with town.client() as client:
        await client.post("/api/event", json=a_no())
    assert await town.stored() == ["/theirs"]
    assert town.collector.spool.erasures.pending() == {}
    promise = town.collector.eraser.enqueue
    promised: list[object] = []
    town.collector.eraser.enqueue = promised.append  # type: ignore[method-assign, assignment]
    async with town.client(cookie="tyst_consent=denied") as client:
        assert (await client.post("/api/event", json=a_no() | {"c": "granted"})).status_code == 202
    town.collector.eraser.enqueue = promise  # type: ignore[method-assign]
    assert promised == []


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_no_does_not_tell_whether_there_was_anything_to_erase(town: Visiting, method: str) -> None:
    """Any page can send one in its visitor's place: neither the answer nor what is done before it depends on what this
    browser did on the site, be it nothing, something, or something since it last said no."""
    done: list[str] = []
    told = []
    with pytest.MonkeyPatch.context() as patch:
        spy(patch, town.collector.eraser, "enqueue", done)
        spy(patch, town.collector.spool, "append", done)
        for number, pages in enumerate(((), ("/once",), (), ("/again",))):
            for page in pages:
                await town.see(page, address=ME)
            await town.stored()
            done.clear()
            with pytest.MonkeyPatch.context() as asked:
                spy(asked, SubjectAccess, "_found", done)
                # What comes after the answer is not part of it.
                asked.setattr(town.collector.erasures, "run_soon", lambda: None)
                body = a_no() if method == "POST" else {"c": "withdrawn", "d": "site.test"}
                async with town.client(origin=f"https://stranger{number}.test") as client:
                    answer = await client.request(method, "/api/event", json=body)
            told.append((answer.status_code, dict(answer.headers), answer.text, done.copy()))
            town.collector.erasures.run_soon()
            assert await town.stored() == []
    assert told[1:] == told[:-1]
    assert told[0][0] == 202
    assert told[0][3] == ["append", "enqueue"]


def spy(patch: pytest.MonkeyPatch, owner: object, name: str, called: list[str]) -> None:
    """Note each call of a method."""
    method = getattr(owner, name)

    def noted(*given: Any, **options: Any) -> Any:
        called.append(name)
        return method(*given, **options)

    patch.setattr(owner, name, noted)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_how_often_a_no_may_come_does_not_depend_on_what_is_held(town: Visiting, method: str) -> None:
    """A browser that has sent nothing has to wait as well."""
    body = a_no() if method == "POST" else {"c": "withdrawn", "d": "site.test"}
    statuses = set()
    async with town.client() as client:
        assert (await client.request(method, "/api/event", json=body)).status_code == 202

        async def ask() -> None:
            statuses.add((await client.request(method, "/api/event", json=body)).status_code)

        async with anyio.create_task_group() as group:
            for _ in range(30):
                group.start_soon(ask)
    assert statuses == {202, 429}


async def test_a_no_hours_after_the_last_page_erases_too(tmp_path: Path, clickhouse: ClickHouse) -> None:
    """The visit is over and the day is not: what was counted in the morning goes, and what comes after a new yes when
    that is taken back."""
    clock = Clock(datetime.datetime(2026, 3, 1, 8, tzinfo=datetime.UTC).timestamp())
    async with visiting(tmp_path, clickhouse, clock) as town, town.client() as client:
        for page in ("/morning", "/noon", "/afternoon"):
            await town.see(page)
            assert await town.stored() == [page]
            clock.now += 3 * 3600
            assert (await client.post("/api/event", json=a_no())).status_code == 202
            assert await town.stored() == []


async def test_a_no_is_promised_while_every_thread_waits_for_the_database(town: Visiting) -> None:
    """As where it hangs, and others ask what is held about them, or have that erased."""
    await town.see()
    answered, threads = threading.Event(), anyio.to_thread.current_default_thread_limiter()

    async def wait() -> None:
        await anyio.to_thread.run_sync(answered.wait)

    async with anyio.create_task_group() as waiting, town.client() as client:
        for _ in range(int(threads.total_tokens)):
            waiting.start_soon(wait)
        try:
            while threads.available_tokens:  # noqa: ASYNC110 # a thread that is taken sets no event
                await anyio.sleep(0.001)
            with anyio.fail_after(30):
                answer = await client.request("DELETE", "/api/event", json={"c": "withdrawn", "d": "site.test"})
        finally:
            answered.set()
    assert answer.status_code == 202
    assert await town.stored() == []


async def test_erasures_of_many_networks_keep_nobody_waiting(town: Visiting) -> None:
    """One client may have thousands (IPv6). A few are looked for at a time, others promised."""
    await town.see()
    answered, answers = threading.Event(), list[int]()

    class Stuck:
        """A database that does not answer."""

        def insert(self, *_: object, **__: object) -> None:
            answered.wait()
            raise OSError

    town.collector.privacy._shards = Shards([cast(Client, Stuck())])

    async def erase(address: str) -> None:
        answers.append((await town.erase(address=address)).status_code)

    async with anyio.create_task_group() as erasing:
        for number in range(60):
            erasing.start_soon(erase, f"198.51.100.{number}")
        erasing.start_soon(erase, ME)
        try:
            with anyio.fail_after(30):
                while not town.collector.eraser.pending:  # noqa: ASYNC110 # a promise sets no event
                    await anyio.sleep(0.01)
                await anyio.to_thread.run_sync(int)
        finally:
            answered.set()
    assert set(answers) <= {200, 202}
    assert await town.stored() == []


async def test_who_says_no_again_and_again_asks_the_database_once(town: Visiting) -> None:
    """Page after page without consent costs no look into the tables; and who says it as many browsers of one address
    has to wait, as for everything that is dear."""
    site = town.collector.sites.get("site.test")
    assert site is not None
    privacy, me = town.collector.privacy, Requester(ME, CHROME)
    assert privacy.may_hold(site, me)
    await privacy.withdraw([site], me)
    assert not privacy.may_hold(site, me)
    await town.see()
    assert privacy.may_hold(site, me)
    for method, body in (("POST", a_no()), ("DELETE", {"c": "withdrawn", "d": "site.test"})):
        async with town.client(address=f"198.51.100.{len(method)}") as client:
            many = [
                await client.request(method, "/api/event", json=body, headers={"user-agent": f"{CHROME} {number}"})
                for number in range(40)
            ]
        refused = [answer for answer in many if answer.status_code == 429]
        assert refused
        told = {(answer.headers["retry-after"], answer.headers["x-tyst-dropped"]) for answer in refused}
        assert told == {("1", "rate")}
    # Each site that is named counts.
    wide = {"c": "withdrawn", "d": ",".join(["site.test", *(f"site{number}.test" for number in range(9))])}
    async with town.client(address="198.51.100.77") as client:
        answers = [await client.request("DELETE", "/api/event", json=wide) for _ in range(4)]
    assert 429 in {answer.status_code for answer in answers}


async def test_a_beacon_that_is_on_its_way_to_the_disk_is_erased_too(slow: Visiting) -> None:
    """Sent a moment before, not yet acknowledged: the erasure waits for it."""
    await slow.see("/first")
    (event,) = slow.collector.spool.events_of({(await told(slow))[0]})
    await slow.erase()
    with contextlib.closing(sqlite3.connect(slow.collector.spool.path, isolation_level=None)) as disk:
        disk.execute("BEGIN IMMEDIATE")
        async with anyio.create_task_group() as group:
            group.start_soon(slow.collector.spool.append, [event], None)
            await anyio.lowlevel.checkpoint()
            done = anyio.Event()

            async def erase() -> None:
                site = slow.collector.sites.get("site.test")
                assert site is not None
                await slow.collector.privacy.erase(site, Requester(ME, CHROME))
                done.set()

            group.start_soon(erase)
            with anyio.move_on_after(0.3):
                await done.wait()
            disk.execute("ROLLBACK")
    assert await slow.stored() == []


async def told(town: Visiting) -> list[int]:
    """The browser's ids, as it is told."""
    async with town.client() as client:
        answer = await client.get("/api/me?d=site.test")
    return [int(each["visitor"]) for each in answer.json()["visitors"]][::-1]


async def test_a_no_takes_what_was_stored_under_a_later_date(tmp_path: Path, clickhouse: ClickHouse) -> None:
    """Where it is tomorrow already, and the site is moved to a time zone where it is not: what was stored as of
    tomorrow is shown and erased as all else."""
    clock = Clock(datetime.datetime(2026, 3, 1, 11, tzinfo=datetime.UTC).timestamp())
    async with visiting(tmp_path, clickhouse, clock) as town, town.client() as client:
        site = await town.collector.sites.change(Site(domain="site.test", timezone="Pacific/Kiritimati"))
        await town.see("/tomorrow")
        assert await town.stored() == ["/tomorrow"]
        await town.collector.sites.change(msgspec.structs.replace(site, timezone="UTC"))
        await town.see("/today")
        assert await town.me() == ["/tomorrow", "/today"]
        answer = await client.request("DELETE", "/api/event", json={"c": "withdrawn", "d": "site.test"})
        assert answer.status_code == 202
        assert await town.stored() == []


async def test_a_no_takes_what_a_clock_ahead_has_stored(tmp_path: Path, clickhouse: ClickHouse) -> None:
    """A clock that was set back between the visit and the no keeps nothing of the visit."""
    clock = Clock()
    async with visiting(tmp_path, clickhouse, clock) as town, town.client() as client:
        await town.see("/ahead")
        await town.stored()
        clock.now -= 90
        answer = await client.request("DELETE", "/api/event", json={"c": "withdrawn", "d": "site.test"})
        assert answer.status_code == 202
        assert await town.stored() == []


async def test_all_that_is_shown_is_erased(tmp_path: Path, clickhouse: ClickHouse, database: Client) -> None:
    """Also what a collector with a clock ahead has stored, or this one before it was set back and started again."""
    async with visiting(tmp_path, clickhouse, Clock()) as town:
        await town.see("/seen")
        await town.see("/theirs", address=OTHER)
        await town.stored()
        await anyio.to_thread.run_sync(
            database.command, "INSERT INTO events SELECT * REPLACE (ts + 300 AS ts, '/ahead' AS page) FROM events"
        )
        assert await town.me() == ["/seen", "/ahead"]
        answer = await town.erase()
        assert answer.json() == {"events": 2, "complete": True}
        assert sorted(await town.stored()) == ["/ahead", "/theirs"]
        assert await town.me() == []


async def test_a_no_to_a_renamed_site_takes_what_waits_under_the_former_name(slow: Visiting) -> None:
    """Events that are in the spool when the site gets another name are shown and erased under the new one."""
    await slow.see("/before")
    site = slow.collector.sites.get("site.test")
    assert site is not None
    job = new_job("rename", site, "admin", slow.collector.clock(), to="new.test")
    await anyio.to_thread.run_sync(slow.collector.deletions.enqueue, job)
    assert await slow.me("new.test") == ["/before"]
    async with slow.client() as client:
        answer = await client.request("DELETE", "/api/event", json={"c": "withdrawn", "d": "new.test"})
    assert answer.status_code == 202
    assert await slow.stored() == []


@pytest.mark.parametrize("said_to", ["site.test", "new.test"])
async def test_an_erasure_lasts_until_the_site_is_renamed(tmp_path: Path, database: Client, said_to: str) -> None:
    """Under whichever name it was promised: what a renaming copies from the old name meanwhile goes as well."""
    spool, mine = a_spool(tmp_path, Clock()), an_event(visitor=7)
    names = {"site.test", "new.test"}
    eraser = Eraser(
        database, lambda: [spool], alone(database), lambda: 1, names=lambda _: names, renaming=lambda: names
    )
    ClickHouseInserter(database).insert([mine, an_event(visitor=8)], "before")
    eraser.enqueue([msgspec.structs.replace(an_erasure(mine), site=said_to)])
    assert not eraser.run_once()
    assert database.query("SELECT site, visitor FROM events").result_rows == [("site.test", 8)]
    ClickHouseInserter(database).insert([msgspec.structs.replace(mine, site="new.test")], "copied meanwhile")
    eraser = Eraser(database, lambda: [spool], alone(database), lambda: 1, names=lambda _: {"site.test", "new.test"})
    assert eraser.run_once()
    assert database.query("SELECT site, visitor FROM events").result_rows == [("site.test", 8)]
    spool.close()


@pytest.mark.parametrize("others", [["/theirs"], []])
async def test_a_no_takes_the_visitor_out_of_a_day_that_is_rolled_up(
    tmp_path: Path, clickhouse: ClickHouse, others: list[str]
) -> None:
    """The day is over at the site and not at every site: its sums are built anew without the visitor, and those of
    before are deleted."""
    zone = zoneinfo.ZoneInfo("Europe/Stockholm")
    clock = Clock(datetime.datetime(2026, 3, 1, 23, 50, tzinfo=zone).timestamp())
    async with visiting(tmp_path, clickhouse, clock) as town, town.client() as client:
        await town.collector.sites.change(Site(domain="other.test", timezone="America/Los_Angeles"))
        await town.see("/mine")
        for page in others:
            await town.see(page, address=OTHER)
        await town.stored()
        clock.now += 3600
        await anyio.to_thread.run_sync(town.collector.close_days)
        assert rolled_up(town) == {"/mine": 1, **dict.fromkeys(others, 1)}
        answer = await client.request("DELETE", "/api/event", json={"c": "withdrawn", "d": "site.test"})
        assert answer.status_code == 202
        assert await town.stored() == others
        assert rolled_up(town) == {}
        for _ in range(2):
            await anyio.to_thread.run_sync(town.collector.close_days)
            assert rolled_up(town) == dict.fromkeys(others, 1)
            clock.now += 700
        assert town.collector.client.query("SELECT count() FROM daily_rollup WHERE value = '/mine'").result_rows == [
            (0,)
        ]


def rolled_up(town: Visiting) -> dict[str, int]:
    """Visitors by page, as the rollups that count say."""
    rows = town.collector.client.query(
        "SELECT value, sum(visitors) FROM daily_rollup WHERE dimension = 'event:page'"
        " AND (site, day, version) IN (SELECT site, day, version FROM daily_status FINAL WHERE NOT reopened)"
        " GROUP BY value"
    ).result_rows
    return {str(page): int(visitors) for page, visitors in rows}


async def test_a_no_takes_what_came_after_another_and_began_no_visit(town: Visiting) -> None:
    """Time on a page that is reported after the visit was erased is stored with the visitor: the next no erases it."""
    no = {"cookie": "tyst_consent=denied"}
    await town.see("/first")
    async with town.client(**no) as client:
        await client.post("/api/event", json=a_no())
    assert await town.stored() == []
    late = {"n": "engagement", "u": "https://site.test/first", "d": "site.test", "c": "granted", "e": 4000}
    async with town.client() as client:
        assert (await client.post("/api/event", json=late)).status_code == 202
    assert await town.me() == ["/first"]
    async with town.client(**no) as client:
        await client.post("/api/event", json={**a_no(), "c": "granted"})
    assert await town.stored() == []


async def test_where_another_collector_may_hold_something_an_erasure_is_promised(town: Visiting) -> None:
    """Nothing is to be found here, and yet it is not complete until the other one has stored what it had."""
    site, me = town.collector.sites.get("site.test"), Requester(ME, CHROME)
    assert site is not None
    assert (await town.collector.privacy.erase(site, me)).complete
    row = ["another", "another", datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC), 0, 0]
    columns = ["collector", "name", "stored", "secret", "removed"]
    town.collector.client.insert("collectors", [row], column_names=columns)
    # Looks who there is.
    assert town.collector.members.remove("nobody") is None
    assert not (await town.collector.privacy.erase(site, me, seconds=0.1)).complete
    assert town.collector.eraser.pending
