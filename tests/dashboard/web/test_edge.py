"""What every request and response passes, over real sockets: bodies, methods, names, header fields."""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import itertools
import socket
import termios
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from clickhouse_connect.driver.client import Client
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from collector.core.metrics import Counters
from collector.core.request_slots import MOST_AT_A_TIME, MOST_WAITING
from collector.core.settings import read_settings
from collector.ingest.request_body import MAX_OPEN_PER_NETWORK, BodyReader
from collector.ingest.request_origin import RequestOrigins
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.storage.documents import DocumentTable
from dashboard.web.edge import REFUSAL, Edge
from tests.served import PASSWORD, Served, served, until

SANDBOX = "default-src 'none'; sandbox"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a site that anybody may read."""
    with served(tmp_path_factory.mktemp("edge")) as running:
        running.add_site("site.test", public=True)
        yield running


BODIES = {
    "/login": "application/x-www-form-urlencoded",
    "/language": "application/x-www-form-urlencoded",
    "/privacy/site.test": "application/x-www-form-urlencoded",
    "/api/v2/query": "application/json",
    "/api/v1/sites": "application/json",
    "/api/v1/backups": "application/json",
    "/api/v1/audit/search": "application/json",
    "/api/event": "text/plain",
    "/no/such/route": "text/plain",
}


async def dribble(url: httpx.URL, path: str, kind: str) -> bytes:
    """All that comes back to a client that begins a body and lets it wait."""
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: 999\r\n\r\n{{"
    writer.write(head.encode())
    found = await reader.read()
    writer.close()
    return found


def test_a_body_that_dribbles_ends_with_408(server: Served) -> None:
    """On every route, in words, and its connection with it; all of them at once."""

    async def all_at_once() -> list[bytes]:
        async with asyncio.timeout(50):
            url = httpx.URL(server.url)
            return await asyncio.gather(*(dribble(url, path, kind) for path, kind in BODIES.items()))

    for path, found in zip(BODIES, asyncio.run(all_at_once()), strict=True):
        assert found.startswith(b"HTTP/1.1 408 "), (path, found[:200])
        assert b"connection: close" in found.lower()


def test_abandoned_bodies_are_no_errors(server: Served) -> None:
    """A client that goes away in the middle is not worth a line above `info`."""
    url = httpx.URL(server.url)

    async def abandon(path: str, kind: str) -> None:
        _, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n".encode())
        writer.write(b"Content-Length: 999\r\n\r\n{")
        await writer.drain()
        writer.transport.abort()

    async def all_of_them() -> None:
        for path, kind in BODIES.items():
            await abandon(path, kind)

    before = server.log()
    asyncio.run(all_of_them())
    assert server.http.get("/healthz").status_code == 200
    written = server.log().removeprefix(before)
    assert "Traceback" not in written
    assert " error " not in written


@pytest.mark.parametrize("path", ["/login", "/language", "/privacy/site.test"])
def test_a_form_of_too_many_fields_is_refused_in_words(server: Served, path: str) -> None:
    """Not as a fault of the server's own."""
    before = server.log()
    form = {f"field{number}": "x" for number in range(300)}
    answer = server.http.post(path, data=form, headers={"sec-fetch-site": "same-origin"})
    assert answer.status_code == 400
    assert "Bad request" in answer.text
    assert " error " not in server.log().removeprefix(before)


def test_a_pixel_of_too_many_parameters_is_refused_in_words(server: Served) -> None:
    """Likewise."""
    before = server.log()
    answer = server.http.get("/api/event.gif", params={f"field{number}": "x" for number in range(60)})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["request"])
    assert " error " not in server.log().removeprefix(before)


def test_a_body_beyond_the_bound_is_refused(server: Served) -> None:
    """Before the route is entered, whatever it would have taken."""
    for path in ("/login", "/api/v2/query", "/api/v1/sites", "/no/such/route"):
        assert server.http.post(path, content=b"x" * 70_000).status_code == 413


def signed_in(server: Served) -> httpx.Client:
    """An administrator's browser."""
    client = httpx.Client(base_url=server.url, headers={"sec-fetch-site": "same-origin"}, trust_env=False, timeout=60)
    assert client.post("/login", data={"name": "admin", "password": PASSWORD}).status_code == 303
    return client


def test_head_uses_up_no_invitation(server: Served) -> None:
    """Programs that look at links in mails ask so; whoever is signed in would have joined."""
    with closing(signed_in(server)) as client:
        invited = client.post("/site.test/people", data={"act": "invite", "role": "viewer"}).text
        path = f"/invitation/{invited.partition('/invitation/')[2].partition('<')[0].partition(chr(34))[0].strip()}"
        assert client.get(path).status_code == 200
        for method in ("HEAD", "HEAD", "OPTIONS"):
            client.request(method, path)
        assert client.get(path).status_code == 200


HEADED = ("/", "/site.test", "/site.test/realtime", "/site.test/realtime/stream", "/site.test/settings",
          "/site.test/data", "/site.test/chart.csv", "/login", "/users", "/account", "/js/tyst.js", "/healthz",
          "/api/openapi.json",
          "/privacy/site.test", "/no/such/route", "/site.test/delete", "/logout", "/api/v2/query")  # fmt: skip


def test_head_is_get_without_a_body(server: Served) -> None:
    """The same status and type, and nothing else: a stream ends, and no form is sent."""
    with closing(signed_in(server)) as client:
        for path in HEADED:
            head = client.head(path)
            with client.stream("GET", path) as got:
                assert (head.status_code, head.headers.get("content-type"), head.content) == (
                    got.status_code,
                    got.headers.get("content-type"),
                    b"",
                ), path
    assert "site.test" in str(server.api("GET", "/api/v1/sites"))


def test_a_head_for_the_pixel_counts_nothing(server: Served) -> None:
    """Its GET is the act."""
    before = server.counted("tyst_accepted_total")
    path, cookie = "/api/event.gif?d=site.test&u=https://site.test/", {"cookie": "tyst_consent=granted"}
    assert server.http.head(path, headers=cookie).status_code == 405
    assert server.counted("tyst_accepted_total") == before
    assert server.http.get(path, headers=cookie).status_code == 200
    assert server.counted("tyst_accepted_total") == before + 1


def test_what_is_no_page_is_sandboxed(server: Served) -> None:
    """No type is guessed, and a browser that is led there runs nothing; pages have their own policy."""
    for path in ("/healthz", "/readyz", "/metrics", "/js/tyst.js", "/api/openapi.json", "/api/me?d=site.test",
                 "/api/me?d=none", "/api/v1/sites", "/site.test/chart.csv", "/", "/api/none"):  # fmt: skip
        answer = server.http.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff", path
        page = answer.headers.get("content-type", "").startswith("text/html")
        assert (answer.headers["content-security-policy"] == SANDBOX) == (not page), path
    for path in ("/login", "/site.test", "/privacy/site.test", "/no/such/route"):
        answer = server.http.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")


@pytest.mark.parametrize("path", ["//evil.test", "/login/", "/site.test/", "/api/event/", "//evil.test/%2e%2e"])
def test_no_redirect_names_the_host_that_was_asked(server: Served, path: str) -> None:
    """Nothing that a client wrote is in a response's header."""
    answer = server.http.get(path, headers={"host": "evil.localhost"})
    assert "evil.localhost" not in str(answer.headers)


@pytest.mark.parametrize("path", ["/metrics", "/readyz"])
def test_what_is_the_operator_s_has_one_spelling(server: Served, path: str) -> None:
    """Some proxies compare what was sent, and would let another one pass."""
    url = httpx.URL(server.url)

    async def status(target: str) -> int:
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        head = await reader.readline()
        await reader.read()
        writer.close()
        return int(head.split()[1])

    for target, wanted in ((path, 200), (f"{path}?a=b", 200), (f"/%{ord(path[1]):x}{path[2:]}", 404)):
        assert asyncio.run(status(target)) == wanted, target


async def unused(*_: object) -> Any:
    """What no request of the test asks for."""
    raise AssertionError


@pytest.mark.parametrize("path", ["/", "/elsewhere.test/chart.csv", "/site.test/settings", "/healthz"])
def test_no_cache_keeps_what_does_not_say_so(server: Served, path: str) -> None:
    """Such as the way to the sign-in page, by which a shared cache would keep who is signed in from a file."""
    assert "no-store" in server.http.get(path).headers["cache-control"]


def edge_around(app: ASGIApp, database: Client, network: Callable[[Scope], str] = lambda _: "192.0.2.1") -> Edge:
    """The middleware, for requests of one network; an account is signed in where the path says so."""
    return Edge(
        app,
        RequestOrigins(read_settings({}), Sites(DocumentTable(database, "sites", Site))),
        BodyReader(),
        Counters(),
        network,
        lambda scope: scope["path"].removeprefix("/of-") if scope["path"].startswith("/of-") else "",
    )


def request_of(path: str, method: str = "GET", query: bytes = b"") -> dict[str, Any]:
    """The scope of a request."""
    headers = [(b"host", b"localhost")]
    return {
        "type": "http", "method": method, "path": path, "query_string": query, "scheme": "http", "headers": headers,
    }  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_client_that_has_just_left_is_no_error(database: Client, method: str) -> None:
    """uvloop says so before the web server does; anybody could fill the log with it. Other errors stay errors."""
    said = ["unable to perform operation on <TCPTransport closed=True reading=False 0x1>; the handler is closed"]

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"more", "more_body": True})

    async def gone(_: Message) -> None:
        raise RuntimeError(*said)

    asyncio.run(edge_around(app, database)(request_of("/site.test", method), unused, gone))
    said[0] = "Response content longer than Content-Length"
    with pytest.raises(RuntimeError, match="longer than"):
        asyncio.run(edge_around(app, database)(request_of("/site.test", method), unused, gone))


def answered(connections: list[socket.socket]) -> int:
    """Bytes of answers that nobody has read yet."""
    waiting = array.array("i", [0])
    total = 0
    for each in connections:
        fcntl.ioctl(each, termios.FIONREAD, waiting)
        total += waiting[0]
    return total


def test_requests_of_many_connections_keep_nobody_from_connecting(server: Served) -> None:
    """A connection that comes after three hundred, each with ninety requests, is answered among them."""
    address = (httpx.URL(server.url).host, httpx.URL(server.url).port)
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def asked(another: socket.socket) -> int:
        another.sendall(request)
        answer = b""
        while not answer.endswith(b"ok\n"):
            answer += another.recv(65_536)
        return len(answer)

    with contextlib.ExitStack() as stack:
        many = [stack.enter_context(socket.create_connection(address)) for _ in range(300)]
        size = asked(many[-1])
        more = [stack.enter_context(socket.create_connection(address)) for _ in range(300)]
        for each in (*many, *more):
            each.sendall(request * 90)
        another = stack.enter_context(socket.create_connection(address))
        before = answered([*many, *more])
        asked(another)
        during = answered([*many, *more]) - before
    assert during < 600 * 90 * size / 8


def test_who_is_signed_in_waits_for_nobody_of_the_same_network(database: Client) -> None:
    """Of a network a few requests are answered at a time; accounts, keys and the sign-in page have turns of their own.
    Further ones wait, and beyond that are refused."""

    async def asked() -> dict[str, int]:
        go_on, begun, refused = asyncio.Event(), Counter[str](), Counter[str]()

        async def app(scope: Scope, _: Receive, __: Send) -> None:
            if REFUSAL in scope:
                refused[scope["path"]] += scope[REFUSAL].status_code == 429
                return
            begun[scope["path"]] += 1
            await go_on.wait()

        edge = edge_around(app, database)

        def requests(path: str, count: int) -> list[asyncio.Task[None]]:
            return [asyncio.create_task(edge(request_of(path), unused, unused)) for _ in range(count)]

        tasks = requests("/site.test", MOST_AT_A_TIME + MOST_WAITING + 1)
        tasks += requests("/of-anna", MOST_AT_A_TIME + 1)
        tasks += [task for path in ("/login", "/api/v2/query", "/metrics") for task in requests(path, 1)]
        for _ in range(5):
            await asyncio.sleep(0)
        found = {**begun, "refused": refused.total()}
        go_on.set()
        await asyncio.gather(*tasks)
        return found

    assert asyncio.run(asked()) == {
        "/site.test": MOST_AT_A_TIME,
        "/of-anna": MOST_AT_A_TIME,
        "/login": 1,
        "/api/v2/query": 1,
        "/metrics": 1,
        "refused": 1,
    }


@pytest.mark.parametrize(
    ("path", "host"),
    [
        ("/login", b"localhost"),
        ("/static/x/y", b"localhost"),
        ("/site.test", b"localhost"),
        ("/site.test", b"elsewhere.test"),
        ("/no/such/realtime/stream", b"localhost"),
        ("/site.test/realtime/stream", b"elsewhere.test"),
        ("/site.test/imports", b"localhost"),
        ("/metrics", b"elsewhere.test"),
        ("/readyz", b"elsewhere.test"),
        ("/js/tyst.js", b"elsewhere.test"),
        ("/api/v1/sites", b"localhost"),
    ],
)
@pytest.mark.parametrize("networks", [1, 200])
def test_of_a_network_a_few_requests_are_answered_in_a_turn(
    database: Client, path: str, host: bytes, networks: int
) -> None:
    """Also those that wait for nothing, those that are refused, and those of several networks, as one client may have:
    a turn of the event loop has a request of every connection, and its next one has everybody else's."""
    several = itertools.cycle(map(str, range(networks)))

    async def most() -> int:
        answered, found, count = 0, 0, 10 * MOST_AT_A_TIME

        async def app(_: Scope, __: Receive, ___: Send) -> None:
            nonlocal answered
            answered += 1

        edge = edge_around(app, database, lambda _: next(several))
        scopes = [{**request_of(path), "headers": [(b"host", host)]} for _ in range(count)]
        tasks = [asyncio.create_task(edge(scope, unused, unused)) for scope in scopes]
        while answered < count:
            before = answered
            await asyncio.sleep(0)
            found = max(found, answered - before)
        await asyncio.gather(*tasks)
        return found

    assert asyncio.run(most()) <= MOST_AT_A_TIME


def test_a_few_are_told_in_a_turn_that_too_many_wait(database: Client) -> None:
    """However many connections a client has beyond those that wait: refusing all of them takes a turn its time, too."""

    async def most() -> int:
        refused, found, count = 0, 0, 10 * MOST_AT_A_TIME
        go_on = asyncio.Event()

        async def app(scope: Scope, _: Receive, __: Send) -> None:
            nonlocal refused
            if REFUSAL in scope:
                refused += 1
            else:
                await go_on.wait()

        edge = edge_around(app, database, lambda _: "192.0.2.1")
        scopes = [request_of("/site.test") for _ in range(MOST_AT_A_TIME + MOST_WAITING + count)]
        tasks = [asyncio.create_task(edge(scope, unused, unused)) for scope in scopes]
        async with asyncio.timeout(10):
            while refused < count:
                before = refused
                await asyncio.sleep(0)
                found = max(found, refused - before)
        go_on.set()
        await asyncio.gather(*tasks)
        return found

    assert asyncio.run(most()) <= MOST_AT_A_TIME


@pytest.mark.parametrize(("path", "method"), [("/site.test/realtime/stream", "GET"), ("/site.test/imports", "POST")])
def test_what_goes_on_for_long_keeps_nothing_else_waiting(database: Client, path: str, method: str) -> None:
    """A stream, and an upload: once they listen to their client, others of its network are answered."""

    async def listening() -> int:
        begun, go_on = 0, asyncio.Event()

        async def app(_: Scope, receive: Receive, __: Send) -> None:
            await receive()

        async def receive() -> Message:
            nonlocal begun
            begun += 1
            await go_on.wait()
            return {"type": "http.disconnect"}

        edge, count = edge_around(app, database), 3 * MOST_AT_A_TIME
        tasks = [asyncio.create_task(edge(request_of(path, method), receive, unused)) for _ in range(count)]
        for _ in range(100):
            await asyncio.sleep(0)
        found = begun
        go_on.set()
        await asyncio.gather(*tasks)
        return found

    assert asyncio.run(listening()) == 3 * MOST_AT_A_TIME


def test_what_is_too_much_is_refused_without_a_page(server: Served) -> None:
    """A page would take longer than what it refuses."""
    address = (httpx.URL(server.url).host, httpx.URL(server.url).port)
    begun = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
    with contextlib.ExitStack() as stack:
        for _ in range(MAX_OPEN_PER_NETWORK):
            stack.enter_context(socket.create_connection(address)).sendall(begun)
        refused = until("a refusal", lambda: _if_429(server.http.post("/login", data={"name": "x"})))
    assert refused.headers["content-type"] == "text/plain; charset=utf-8"
    assert int(refused.headers["retry-after"]) > 0


def _if_429(answer: httpx.Response) -> httpx.Response | None:
    return answer if answer.status_code == 429 else None


def test_views_with_very_many_filters_are_laid_out_one_by_one(database: Client) -> None:
    """Of an account, or a network: each takes some tenths of a second of everybody's. Its other requests do not wait
    for them, nor those of others."""

    async def asked() -> tuple[Counter[str], Counter[str]]:
        turns, begun = asyncio.Semaphore(0), Counter[str]()

        async def app(scope: Scope, _: Receive, __: Send) -> None:
            begun[f"{scope['path']}?{len(scope['query_string'])}"] += 1
            await turns.acquire()

        edge, many = edge_around(app, database), b"f=" + b"x" * 3_000
        scopes = [request_of(path, query=many) for path in ("/site.test", "/of-anna") for _ in range(MOST_AT_A_TIME)]
        scopes += [request_of("/of-anna", query=b"f=x") for _ in range(MOST_AT_A_TIME - 1)]
        tasks = [asyncio.create_task(edge(scope, unused, unused)) for scope in scopes]
        for _ in range(20):
            await asyncio.sleep(0)
        at_first = begun.copy()
        for _ in tasks:
            turns.release()
        await asyncio.gather(*tasks)
        return at_first, begun

    first, last = asyncio.run(asked())
    assert first == {"/site.test?3002": 1, "/of-anna?3002": 1, "/of-anna?3": MOST_AT_A_TIME - 1}
    assert last == {
        "/site.test?3002": MOST_AT_A_TIME,
        "/of-anna?3002": MOST_AT_A_TIME,
        "/of-anna?3": MOST_AT_A_TIME - 1,
    }


@pytest.mark.parametrize("begun", [False, True])
def test_what_takes_longer_than_a_stop_may_is_refused_in_words(database: Client, begun: bool) -> None:
    """The web server cancels it then: no error of the application, whose traceback would be in the log. A response that
    has begun ends there."""
    told: list[Any] = []

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        if REFUSAL in scope:
            told.append(scope[REFUSAL].status_code)
            return
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.Event().wait()

    async def sent(message: Message) -> None:
        told.append(message["type"])

    async def stopped() -> None:
        request = asyncio.create_task(edge_around(app, database)(request_of("/site.test"), unused, sent))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        request.cancel()
        await request

    asyncio.run(stopped())
    assert told == (["http.response.start"] if begun else [503])
