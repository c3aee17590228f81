"""The present: one question a second however many look, streams that end when they should, and what is told."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import anyio
import httpx
import msgspec
import pytest
import uvicorn
from clickhouse_connect.driver.client import Client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.types import Message

from collector.sites.model import Site
from collector.storage.client import ClickHouse
from dashboard.access.guests import guest_of
from dashboard.access.share_links import ShareLink
from dashboard.access.users import User
from dashboard.analytics.query import OTHER
from dashboard.reports.realtime_figures import Realtime, RealtimeGroup, realtime_figures
from dashboard.reports.realtime_hub import (
    MAX_LISTENERS,
    MAX_LISTENERS_PER_NETWORK,
    MAX_LISTENERS_PER_SITE,
    RealtimeChannel,
    RealtimeHub,
    RealtimeSnapshot,
    TooManyListeners,
)
from dashboard.web.app_context import Dashboard
from dashboard.web.event_stream import BEAT, EventStream
from dashboard.web.realtime import encode_snapshot, stream
from dashboard.web.routes import routes
from dashboard.web.templating import Pages
from tests.board import SITE, Board, opened_board, pageview
from tests.length import long
from tests.served import served, until

NOTHING = Realtime(0, (), 0, (), (), ())
ONE = (RealtimeGroup("news.test", 5),)
MANY = 100


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """A dashboard with one site, and its admin signed in."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        opened.add_site(SITE, min_visitors=1)
        opened.sign_in()
        yield opened


class Asked:
    """Stands where the database does: counts how often it is asked, and answers with what it is given."""

    def __init__(self, *answers: Realtime | Exception) -> None:
        self.answers = list(answers)
        self.times = 0

    async def __call__(self, site: str, guest: bool) -> Realtime:  # noqa: ARG002 # as the hubs call it
        assert site == SITE
        self.times += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def counting(now: int) -> Realtime:
    return dataclasses.replace(NOTHING, current_visitors=now)


def test_a_hundred_listeners_cost_one_question(anyio_backend: str) -> None:
    """All who listen get the same frame of the same question; when the last has left, nothing is asked any more."""
    asked = Asked(counting(1))

    async def scenario() -> None:
        hubs = RealtimeHub(asked, every=3600)
        async with contextlib.AsyncExitStack() as stack:
            entered = [await stack.enter_async_context(hubs.listening(SITE)) for _ in range(MANY)]
            frames = await asyncio.gather(*(hub.newer(0) for hub in entered))
            assert {id(frame) for frame in frames} == {id(frames[0])}
            assert hubs.listeners == MANY
        assert (hubs.listeners, asked.times) == (0, 1)
        assert len(asyncio.all_tasks()) == 1

    anyio.run(scenario, backend=anyio_backend)


def test_slots_are_shared_out_by_network_and_by_site() -> None:
    """One client cannot take those of all sites, nor all clients together those of one process."""

    async def read(_: str, guest: bool) -> Realtime:  # noqa: ARG001 # as the hubs call it
        return NOTHING

    async def listen(stack: contextlib.AsyncExitStack, hubs: RealtimeHub, site: str, network: str) -> bool:
        try:
            await stack.enter_async_context(hubs.listening(site, network))
        except TooManyListeners:
            return False
        return True

    async def scenario() -> None:
        hubs = RealtimeHub(read, every=3600)
        async with contextlib.AsyncExitStack() as stack:
            taken = [await listen(stack, hubs, f"{number % 9}.test", "192.0.2.1") for number in range(300)]
            assert sum(taken) == MAX_LISTENERS_PER_NETWORK
            assert await listen(stack, hubs, "0.test", "2001:db8::/64")
        async with contextlib.AsyncExitStack() as stack:
            taken = [await listen(stack, hubs, SITE, f"192.0.2.{number}") for number in range(600)]
            assert sum(taken) == MAX_LISTENERS_PER_SITE
            assert await listen(stack, hubs, "other.test", "192.0.2.1")
            taken = [await listen(stack, hubs, f"{number % 9}.test", f"198.51.100.{number}") for number in range(1_600)]
            assert hubs.listeners == MAX_LISTENERS
        async with contextlib.AsyncExitStack() as stack:
            assert await listen(stack, hubs, SITE, "192.0.2.1")

    anyio.run(scenario)


def test_guests_leave_slots_to_members() -> None:
    """Whoever has no account fills half of a site's slots, of a network's and of the process's at most."""

    async def read(_: str, guest: bool) -> Realtime:  # noqa: ARG001 # as the hubs call it
        return NOTHING

    async def scenario() -> None:
        hubs = RealtimeHub(read, every=3600)

        async def guests(stack: contextlib.AsyncExitStack, places: Iterable[tuple[str, str]]) -> int:
            before = hubs.listeners
            for site, network in places:
                with contextlib.suppress(TooManyListeners):
                    await stack.enter_async_context(hubs.listening(site, network, guest=True))
            return hubs.listeners - before

        async with contextlib.AsyncExitStack() as stack:
            assert await guests(stack, [(SITE, "192.0.2.1")] * 200) == MAX_LISTENERS_PER_NETWORK // 2
            assert not hubs.is_full(SITE, "192.0.2.1")
        async with contextlib.AsyncExitStack() as stack:
            networks = [f"198.51.{number}.1" for number in range(2_000)]
            assert await guests(stack, [(SITE, each) for each in networks[:600]]) == MAX_LISTENERS_PER_SITE // 2
            assert hubs.is_full(SITE, "192.0.2.2", guest=True)
            assert not hubs.is_full(SITE, "192.0.2.2")
            await guests(stack, [(f"{number % 9}.test", each) for number, each in enumerate(networks)])
            assert hubs.listeners == MAX_LISTENERS // 2
            assert not hubs.is_full(SITE, "192.0.2.2")

    anyio.run(scenario)


class _Texts:
    """A dashboard's pages, counting how often the present is laid out."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self.made = 0

    def text(self, template: str, **values: Any) -> str:
        self.made += 1
        return self._pages.text(template, **values)


def _published(board: Board) -> Site:
    """The site, with its figures public."""
    site = msgspec.structs.replace(board.site(), public=True)
    anyio.run(board.dashboard.sites.change, site)
    return site


def _stream_request(query: str) -> Request:
    return Request({
        "type": "http", "method": "GET", "scheme": "https", "path": f"/{SITE}/realtime/stream",
        "query_string": query.encode(), "headers": [], "client": ("192.0.2.1", 1), "path_params": {"domain": SITE},
    })  # fmt: skip


async def _first_event(dashboard: Dashboard, query: str, user: User) -> bytes:
    """The first event of a stream, which then ends."""
    response = await stream(dashboard, _stream_request(query), user)
    assert isinstance(response, EventStream)
    async with contextlib.aclosing(response.parts()) as parts:  # type: ignore[type-var]
        async for part in parts:
            if part.startswith(b"event: present"):
                return part
    raise AssertionError("the stream ended")


def test_streams_share_one_text_whatever_their_addresses_say(board: Board) -> None:
    """Fifty addresses, ten secret links: a frame is laid out once for members, and once for all links together."""
    site = _published(board)
    pages = _Texts(board.dashboard.pages)
    dashboard = dataclasses.replace(
        board.dashboard, pages=cast("Pages", pages), hubs=RealtimeHub(Asked(dataclasses.replace(NOTHING, sources=ONE)))
    )
    queries = [f"metric=events&key={number}&f=is,page,/{number}&x={number}" for number in range(50)]
    guests = [guest_of(site, f"/share/{'t' * 31}{number}") for number in range(10)]

    async def scenario() -> tuple[list[bytes], list[bytes]]:
        async with dashboard.hubs.listening(SITE), dashboard.hubs.listening(SITE, guest=True):
            admin = dashboard.users.get("admin")
            assert admin is not None
            members = [await _first_event(dashboard, query, admin) for query in queries]
            return members, [await _first_event(dashboard, "", guest) for guest in guests]

    members, links = anyio.run(scenario)
    assert len(set(members)) == 1
    assert pages.made == 2
    for guest, event in zip(guests, links, strict=True):
        assert f'href=\\"{guest.base}?'.encode() in event
        assert b"any-share-link" not in event


@pytest.mark.parametrize("ends", ["another site", "hidden", "revoked", "removed", "demoted", "another account"])
def test_a_stream_ends_with_the_access_to_its_site(board: Board, ends: str) -> None:
    """Whoever listens hears nothing of the next site of that name, nor what they may not read any more."""
    site = _published(board)
    asked = Asked(*map(counting, range(1, 1_000)))
    dashboard = dataclasses.replace(board.dashboard, hubs=RealtimeHub(asked, every=0.01))
    reader: User = guest_of(site)
    if ends not in ("another site", "hidden", "revoked"):
        reader = board.add_user("vera", "viewer", SITE)

    async def end(link: ShareLink) -> None:
        if ends in ("another site", "hidden"):
            changes: dict[str, Any] = {"id": "another"} if ends == "another site" else {"public": False}
            await dashboard.sites.change(msgspec.structs.replace(site, **changes))
        elif ends == "revoked":
            await dashboard.shares.revoke(site, link.id)
        elif ends == "demoted":
            await dashboard.users.update("vera", lambda user: user.with_role(site.id, None))
        else:
            await dashboard.users.remove("vera")
            if ends == "another account":
                await dashboard.users.add(User(name="vera", password="", sites=(site.id,)))

    async def scenario() -> list[bytes]:
        link, token = await dashboard.shares.create(site, name="For Ada")
        request = _stream_request("only=changes")
        if ends == "revoked":
            request.path_params["token"] = token
        response = await stream(dashboard, request, reader)
        assert isinstance(response, EventStream)
        heard = []
        async with contextlib.aclosing(response.parts()) as parts:  # type: ignore[type-var]
            async for part in parts:
                heard.append(part)
                if len(heard) == 3:
                    await end(link)
                assert len(heard) < 10
        return heard

    assert len(anyio.run(scenario)) == 3


def test_what_has_not_changed_is_not_told_again() -> None:
    """Only a present that differs makes a frame; one who reads slowly gets the newest, not all in between."""
    asked = Asked(counting(1), counting(1), counting(2), counting(3))

    async def scenario() -> tuple[RealtimeSnapshot | None, RealtimeSnapshot | None, int]:
        hubs = RealtimeHub(asked, every=0)
        async with hubs.listening(SITE) as hub:
            first = await hub.newer(0)
            while asked.times < 6:  # noqa: ASYNC110 # every turn of the loop is one question
                await asyncio.sleep(0)
            return first, await hub.newer(1), asked.times

    first, last, _times = anyio.run(scenario)
    assert first is not None
    assert last is not None
    assert (first.number, last.number, last.present) == (1, 3, counting(3))


def test_a_database_that_does_not_answer_is_said_and_asked_again() -> None:
    """Listeners hear that the figures stand still, and go on once it answers."""
    asked = Asked(counting(1), OSError("away"), OSError("still"), counting(2))

    async def scenario() -> list[Realtime | None]:
        hubs, number = RealtimeHub(asked, every=0.001), 0
        seen: list[Realtime | None] = []
        async with hubs.listening(SITE) as hub:
            while len(seen) < 3:
                frame = await hub.newer(number)
                assert frame is not None
                number = frame.number
                seen.append(frame.present)
        return seen

    assert anyio.run(scenario) == [counting(1), None, counting(2)]


def test_closing_lets_every_listener_go_and_takes_no_new_one() -> None:
    """When the server stops, nobody waits for the next frame, and nobody begins to."""

    async def scenario() -> None:
        hubs = RealtimeHub(Asked(counting(1)), every=3600)
        async with hubs.listening(SITE) as hub:
            waiting = asyncio.create_task(hub.newer(1))
            await hub.newer(0)
            hubs.close_soon()
            assert await waiting is None
        with pytest.raises(TooManyListeners):
            async with hubs.listening(SITE):
                raise AssertionError("it was let in")

    anyio.run(scenario)


def test_a_stream_beats_where_nothing_happens_and_ends_after_its_time() -> None:
    """A proxy sees that the connection lives; the browser comes back for a new one and is asked who it is."""

    async def scenario() -> list[bytes]:
        hub = RealtimeChannel(partial(Asked(counting(7)), SITE, False), 3600)
        hub.enter()
        parts = [
            part async for part in encode_snapshot(hub, lambda frame: b"%d" % frame.number, beat=0.01, lifetime=0.05)
        ]
        await hub.leave()
        return parts

    first, *beats = anyio.run(scenario)
    assert first == b"1"
    assert set(beats) == {BEAT}


@pytest.mark.parametrize("how", ["leaves", "is slow"])
def test_a_reader_who_is_gone_or_too_slow_is_let_go(how: str) -> None:
    """The answer ends when the browser closes the connection, and when it takes nothing for too long."""
    ended: list[bool] = []

    async def parts() -> AsyncIterator[bytes]:
        try:
            while True:
                yield BEAT
                await asyncio.sleep(0)
        finally:
            ended.append(True)

    async def scenario() -> None:
        taken = asyncio.Event()

        async def receive() -> Message:
            await taken.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body":
                if how == "is slow":
                    await asyncio.Event().wait()
                taken.set()

        async with asyncio.timeout(20):
            await EventStream(parts, slow_seconds=0.01)({"type": "http"}, receive, send)

    anyio.run(scenario)
    assert ended == [True]


def test_a_stream_that_fails_leaves_nothing_behind() -> None:
    """Whoever listens for the reader's leaving is told to stop, too."""

    async def parts() -> AsyncIterator[bytes]:
        yield BEAT

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(_: Message) -> None:
        raise RuntimeError("no")

    async def scenario() -> None:
        with pytest.raises(RuntimeError, match="no"):
            await EventStream(parts)({"type": "http"}, receive, send)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    anyio.run(scenario)


def test_the_present_is_the_last_half_hour(board: Board) -> None:
    """Visitors of five minutes, pageviews by the minute, and sources, pages and countries of thirty; older is past."""
    now = int(board.clock.now)
    board.seed(
        [
            pageview(1, "/a", at=now - 10, source="Google", country="SE"),
            pageview(1, "/b", at=now - 5, visits=0, bounces=-1, source="Google", country="SE"),
            pageview(2, "/a", at=now - 400, country="NO"),
            pageview(3, "/a", at=now - 4000, source="Bing", country="DK"),
            pageview(4, "/a", at=now - 5, name="engagement", visits=0, bounces=0, country="FI"),
            pageview(5, "/c", at=now - 10, site="elsewhere.example"),
        ]
    )
    present = anyio.run(realtime_figures, board.dashboard.stats, SITE)
    assert (present.current_visitors, present.pageviews, present.events) == (2, 3, 3)
    assert len(present.minutes) == 30
    assert [start for start, _ in present.minutes] == sorted({start // 60 * 60 for start, _ in present.minutes})
    assert present.sources == (RealtimeGroup("", 1), RealtimeGroup("Google", 1))
    assert present.pages == (RealtimeGroup("/a", 2), RealtimeGroup("/b", 1))
    assert present.countries == (RealtimeGroup("NO", 1), RealtimeGroup("SE", 1))


def test_small_groups_of_the_present_are_protected(board: Board) -> None:
    """Half an hour is cut as finely as any filter: groups of too few are one, which counts everybody once."""
    board.add_site("small.example", min_visitors=3)
    now = int(board.clock.now)
    many = [pageview(number, "/a", at=now - 5, country="SE", site="small.example") for number in range(1, 11)]
    few = [pageview(20 + number, "/b", at=now - 5, country=code, site="small.example")
           for number, code in enumerate(("NO", "DK", "FI", "IS"))]  # fmt: skip
    board.seed([*many, *few])
    present = anyio.run(realtime_figures, board.dashboard.stats, "small.example")
    assert present.countries == (RealtimeGroup("SE", 10), RealtimeGroup(OTHER, 4))
    assert present.pages == (RealtimeGroup("/a", 10), RealtimeGroup("/b", 4))
    assert present.current_visitors == 14


def test_the_page_shows_it_and_links_to_today(board: Board) -> None:
    """A row leads to today's figures under its filter; an empty half hour says so."""
    assert board.page(f"/{SITE}/realtime").text.count("No visitors in the last 30 minutes.") == 3
    board.seed([pageview(1, "/a", at=int(board.clock.now) - 5, source="Google", country="SE")])
    page = board.page(f"/{SITE}/realtime")
    assert "Current visitors 1" in page.text
    assert "1 pageview in the last 30 minutes" in page.text
    assert page.tables["Countries, last 30 minutes"] == [["Sweden", "1"]]
    links = [link.href for link in page.links if link.text == "Sweden"]
    assert links[0] == f"/{SITE}?period=day&f=is,visit:country,SE"


def test_only_who_sees_the_site_may_listen(board: Board) -> None:
    """A stranger is sent to sign in; somebody with other sites finds nothing there; a public site is for all."""
    board.add_user("vera", "viewer", "other.example")
    for path in (f"/{SITE}/realtime", f"/{SITE}/realtime/stream"):
        board.sign_in("vera")
        assert board.get(path).status_code == 404
        board.cookies = httpx.Cookies()
        assert board.get(path).status_code == 303


@contextlib.contextmanager
def listening_server(app: Starlette) -> Iterator[int]:
    """The application behind real sockets, in a thread; its port."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until("a listening server", lambda: server.started)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        thread.join()


async def _frames(reader: asyncio.StreamReader, name: bytes, count: int) -> list[object]:
    """The contents of the next so many events of that name."""
    found: list[object] = []
    while len(found) < count:
        line = await reader.readline()
        assert line, "the stream ended"
        if line == b"event: %b\n" % name:
            found.append(msgspec.json.decode((await reader.readline()).removeprefix(b"data: ")))
    return found


@long
def test_a_hundred_open_dashboards_cost_one_query_a_second(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    """A hundred real connections get each change, and the database is asked once a second for all of them."""
    asked: list[float] = []

    async def read(site: str, guest: bool) -> Realtime:  # noqa: ARG001 # as the hubs call it
        asked.append(time.monotonic())
        return await realtime_figures(board.dashboard.stats, site)

    dashboard = dataclasses.replace(board.dashboard, hubs=RealtimeHub(read))
    board.secure = False
    board.sign_in()
    cookie = "; ".join(f"{each.name}={each.value}" for each in board.cookies.jar)
    request = f"GET /{SITE}/realtime/stream HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n".encode()
    rounds = 3

    async def listen(port: int) -> None:
        pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MANY)]
        for _, writer in pairs:
            writer.write(request)
        for number in range(rounds + 1):
            heard = await asyncio.gather(*(_frames(reader, b"present", 1) for reader, _ in pairs))
            assert {str(text).count("data-now>") for (text,) in heard} == {1}
            visitor = pageview(number + 1, f"/{number}", at=int(board.clock.now))
            await asyncio.to_thread(board.seed, [visitor])
        for _, writer in pairs:
            writer.close()

    with listening_server(Starlette(routes=routes(dashboard))) as port:
        began, cpu = time.monotonic(), time.process_time()
        anyio.run(listen, port)
        took, cpu = time.monotonic() - began, time.process_time() - cpu
    assert rounds < len(asked) <= took + 2
    gaps = [after - before for before, after in itertools.pairwise(asked)]
    assert min(gaps) > 0.9
    with capsys.disabled():
        figures = f"{len(asked)} queries in {took:.1f} s, {cpu / took:.2f} s of CPU a second"
        print(f"\n{MANY} listeners and their clients: {figures}")  # noqa: T201 # how cheap it is can only be read


def test_a_stopping_server_does_not_wait_for_its_listeners(tmp_path: Path) -> None:
    """At SIGTERM open streams end at once, in order: the server is gone before its patience is."""
    with served(tmp_path) as server:
        server.add_site(SITE, public=True)
        with server.http.stream("GET", f"/{SITE}/realtime/stream") as stream:
            lines = stream.iter_lines()
            assert any(line == "event: present" for line in lines)
            began = time.monotonic()
            assert server.stop() == 0
            assert list(lines)[-1:] in ([""], [])
        assert time.monotonic() - began < 8


def test_a_quiet_site_sees_its_day(board: Board) -> None:
    """Ten visitors a day are seldom there at once: below the last half hour is today so far, in exact counts."""
    earlier = int(board.clock.now) - 3 * 3_600
    board.seed([pageview(number, f"/{number}", at=earlier, source="Google") for number in range(1, 4)])
    page = board.page(f"/{SITE}/realtime")
    assert "Current visitors 0" in page.text
    assert page.tables["Pages: Top pages"] == [[f"/{number}", "1", "1", "33%"] for number in range(1, 4)]
    today = board.fragment(f"/{SITE}/realtime", "today").text
    assert today.lstrip().startswith('<section id="today"')
    strip = board.page(f"/{SITE}?period=day")
    figures = [link.text for link in strip.links if link.text.startswith(("Visitors ", "Pageviews "))]
    assert [text.split()[1] for text in figures] == ["3", "3"]
    assert '<span class="name">Visitors</span><strong title="3">3</strong>' in today


def test_the_minutes_have_axes(board: Board) -> None:
    """Marks at an even number, and words for how long ago; each bar says its count and minute."""
    board.seed([pageview(number, at=int(board.clock.now) - 60) for number in range(5)])
    text = board.get(f"/{SITE}/realtime").text
    assert '<p class="marks" aria-hidden="true"><span>6</span><span>3</span><span>0</span></p>' in text
    assert "<title>5 pageviews, 1 minute ago</title>" in text
    assert "20 min ago" in text
