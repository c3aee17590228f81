"""A known address and a known user agent go through a running server in every way that there is, and are then
looked for in everything that it has written and answered."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.length import AT_LENGTH
from tests.running import tyst
from tests.served import PASSWORD, Served, served, until
from tests.stored import read_tables
from tests.traces import Form, find, forms_joined, forms_of_address, forms_of_text, written_below

SITE, PAGE = "canary.test", "/the-cage-door-is-open"
USER_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64; Kanariefagel/7.31) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/143.0.7499.169 Safari/537.36 Kvitter/20.26"
)
# What of it would be enough to tell it from others; family and major versions are kept, and meant to be.
FRAGMENTS = (USER_AGENT, "Kanariefagel", "Kvitter/20", "143.0.7499")
BOT = f"{USER_AGENT} compatible; Googlebot/2.1"
BYTES = USER_AGENT.encode() + " Kärna/".encode("latin-1") + b"\xff\xfe\xc3("

# Bytes that no UTF-8 text has (0xC0, 0xC1, 0xF5 and above) in addresses of the loopback network, which a test may
# connect from, and in public ones, which a proxy may tell of.
PEERS = ("127.193.254.171", "127.246.203.149")
FORWARDED = ("193.171.254.155", "198.251.245.200")
SIX = "2a09:bac3:c1f5:fe9b:ddc7:f6e3:c0d9:8eab"
ADDRESSES = (*PEERS, *FORWARDED, SIX)


def sought() -> list[Form]:
    """Every form of every canary."""
    forms = [form for address in ADDRESSES for form in forms_of_address(address)]
    forms += [form for text in FRAGMENTS for form in forms_of_text("user agent", text)]
    for address in ADDRESSES:
        forms += forms_joined(f"{address} with user agent", address, USER_AGENT)
        forms += forms_joined(f"{address} with user agent and site", address, USER_AGENT, SITE)
    return forms


SOUGHT = sought()


@dataclass
class Visitors:
    """Sends as one visitor after the other, and keeps every byte of every answer."""

    server: Served
    answers: list[tuple[str, bytes]] = field(default_factory=list)
    every_way: bool = True

    def everybody(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Where to connect from, and what a proxy says of it: each canary in each way it may be told, or in one."""
        for peer in PEERS:
            yield peer, {}
        four, other = FORWARDED
        if not self.every_way:
            for told in (four, f"{other}, 127.0.0.1", f"[{SIX}]:4711"):
                yield "127.0.0.1", {"X-Forwarded-For": told}
            return
        for told in (four, other, f"{four}:4711", f"::ffff:{other}", SIX, f"[{SIX}]:4711", SIX.upper()):
            yield "127.0.0.1", {"X-Forwarded-For": told}
        yield "127.0.0.1", {"X-Forwarded-For": f"{other}, {four}"}
        yield "127.0.0.1", {"Forwarded": f'for="[{SIX}]:4711";proto=https, for={four}'}
        yield "127.0.0.1", {"Forwarded": f'for={other};host="{SITE}"'}
        yield "127.0.0.1", {"CF-Connecting-IP": four}
        yield "127.0.0.1", {"X-Real-IP": other, "True-Client-IP": SIX, "X-Plausible-IP": four}

    def ask(self, client: httpx.Client, method: str, path: str, **given: object) -> httpx.Response:
        """One request; its answer is kept."""
        answer = client.request(method, path, **given)  # type: ignore[arg-type]
        head = "\n".join(f"{name}: {value}" for name, value in answer.headers.multi_items())
        self.answers.append(
            (f"the answer to {method} {path}", f"{answer.status_code} {head}\n".encode() + answer.content)
        )
        return answer

    def client(self, peer: str, headers: dict[str, str], user_agent: bytes = USER_AGENT.encode()) -> httpx.Client:
        """A visitor's connection."""
        return httpx.Client(
            base_url=self.server.url,
            transport=httpx.HTTPTransport(local_address=peer),
            headers=[(name.encode(), value.encode()) for name, value in headers.items()]
            + [(b"User-Agent", user_agent)],
            timeout=60,
        )

    def raw(self, peer: str, request: bytes, *, answered: bool = True) -> None:
        """Bytes that no HTTP client would send."""
        parts = urlsplit(self.server.url)
        with socket.create_connection((parts.hostname, parts.port), 30, (peer, 0)) as connection:
            connection.sendall(request)
            if answered:
                connection.shutdown(socket.SHUT_WR)
                received = b"".join(iter(lambda: connection.recv(65_536), b""))
                self.answers.append((f"the answer to {request[:20]!r}", received))


def beacon(**keys: object) -> str:
    return json.dumps({"n": "pageview", "u": f"https://{SITE}{PAGE}?utm_source=news", "d": SITE, "c": "granted"} | keys)


BEACONS: tuple[tuple[str, dict[str, str]], ...] = (
    (beacon(r="https://search.example/found", z="Europe/Stockholm", w=1280, q="again"), {}),
    (beacon(q="again"), {}),
    (beacon(n="Signup", p={"plan": "pro"}, **{"$": {"amount": "9.5", "currency": "SEK"}}), {}),
    (beacon(n="engagement", e=4_000, sd=80), {}),
    (beacon(d=f"{SITE},nowhere.test"), {}),
    (beacon(d="limited.test", c=""), {}),
    (beacon(c=""), {}),
    (beacon(c="denied"), {}),
    (beacon(), {"Cookie": "tyst_consent=denied; other=1"}),
    (beacon(), {"Sec-GPC": "1"}),
    (beacon(), {"DNT": "1"}),
    (beacon(), {"Sec-Purpose": "prefetch;prerender"}),
    (beacon(), {"User-Agent": BOT}),
    (beacon(u=f"https://{SITE}/excluded/page"), {}),
    (beacon(d="nowhere.test"), {}),
    (beacon(u=""), {}),
    (beacon(n=""), {}),
    (beacon(p={"k": "x" * 2_001}), {}),
    ("", {}),
    ("defnotjson", {}),
    ('["a"]', {}),
    ("\x00\x01", {}),
    ("[" * 10_000, {}),
    ("x" * 20_000, {}),
)


def send_everything(visitors: Visitors) -> None:
    """Every visitor sends every kind of beacon, opens every page, and does what is not allowed."""
    for peer, headers in visitors.everybody():
        with visitors.client(peer, headers) as client:
            for body, more in BEACONS:
                visitors.ask(client, "POST", "/api/event", content=body.encode(), headers=more)
            for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"):
                visitors.ask(client, method, "/api/event", headers={"Access-Control-Request-Method": "POST"})
            for path in (
                "/js/tyst.js",
                "/healthz",
                "/readyz",
                "/metrics",
                "/nowhere",
                f"/{SITE}",
                "/%ff%00",
                "/api/v1/x",
                f"/privacy/{SITE}",
                f"/api/me?d={SITE}",
                f"/api/me?d={SITE}&format=csv&download",
            ):
                visitors.ask(client, "GET", path)
            visitors.ask(client, "POST", "/healthz")
            visitors.ask(client, "GET", "/api/v1/sites", headers={"Authorization": "Bearer wrong"})
            visitors.ask(client, "POST", "/login", data={"name": "nobody", "password": "wrong"})
        with visitors.client(peer, headers, BYTES) as client:
            visitors.ask(client, "POST", "/api/event", content=beacon().encode())
            visitors.ask(client, "GET", "/nowhere")


def break_everything(visitors: Visitors) -> None:
    """Requests that end in the web server's own errors, or not at all."""
    told = b"User-Agent: " + USER_AGENT.encode() + f"\r\nX-Forwarded-For: {FORWARDED[0]}\r\n".encode()
    for peer in PEERS:
        for request in (
            b"NONSENSE " + told + b"\r\n",
            b"GET / HTTP/9.9\r\n" + told + b"\r\n",
            b"GET /healthz HTTP/1.1\r\n" + told + b"Bad Header\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + told + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
            b"POST /api/event HTTP/1.1\r\nHost: x\r\n" + told + b"Content-Length: nine\r\n\r\n{}",
            b"POST /api/event HTTP/1.1\r\nHost: x\r\n" + told + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            # Addresses where some would raise an error that has them in its words.
            *(
                b"%b HTTP/1.1\r\nHost: x\r\n%b: http://[%b]/\r\nContent-Length: 0\r\n%b\r\n"
                % (line, name, FORWARDED[0].encode(), told)
                for line, name in ((b"POST /login", b"Origin"), (b"POST /language", b"Referer"))
            ),
            b"GET /login?next=//[%b] HTTP/1.1\r\nHost: [%b\r\n%b\r\n"
            % (FORWARDED[0].encode(), FORWARDED[1].encode(), told),
        ):
            visitors.raw(peer, request)
        visitors.raw(
            peer, b"POST /api/event HTTP/1.1\r\nHost: x\r\n" + told + b"Content-Length: 900\r\n\r\n{", answered=False
        )


def ask_without_a_database(visitors: Visitors) -> None:
    """What needs ClickHouse while it does not answer: errors, and what the log says of them."""
    asked: tuple[tuple[str, str, dict[str, object]], ...] = (
        ("GET", f"/privacy/{SITE}", {}),
        ("GET", f"/api/me?d={SITE}", {}),
        ("DELETE", f"/api/me?d={SITE}", {}),
        ("POST", "/api/event", {"content": beacon(c="denied").encode()}),
        ("DELETE", "/api/event", {"content": f'{{"c": "withdrawn", "d": "{SITE}", "k": null}}'.encode()}),
        ("GET", "/invitation/nobody", {}),
        ("POST", "/login", {"data": {"name": "admin", "password": PASSWORD}}),
    )
    for method, path, given in asked:
        # An answer that failed half-way ends its connection.
        with visitors.client(PEERS[0], {}) as client:
            assert visitors.ask(client, method, path, **given).status_code in (202, 429, 500, 503)


def read_the_dashboard(visitors: Visitors) -> None:
    """An owner signs in from the canary's browser, looks at every page, and mistypes until it is enough."""
    peer = PEERS[0]
    with visitors.client(peer, {}) as client:
        entered = visitors.ask(client, "POST", "/login", data={"name": "admin", "password": PASSWORD, "next": "/"})
        assert entered.status_code == 303
        for path in (
            "",
            "/details/pages",
            "/status",
            "/install",
            "/settings",
            "/nowhere",
            "?period=day",
            "?period=odd",
        ):
            visitors.ask(client, "GET", f"/{SITE}{path}")
        for export in ("/details/pages.csv?period=day", "/chart.csv?period=day"):
            assert visitors.ask(client, "GET", f"/{SITE}{export}").status_code == 200
        visitors.ask(client, "GET", "/")
        visitors.ask(client, "POST", f"/{SITE}/settings", data={"timezone": "Nowhere/Land"})
        visitors.ask(client, "POST", f"/{SITE}/settings", data={}, headers={"Sec-Fetch-Site": "cross-site"})
        for path in ("/api/v1/status", "/api/v1/sites", f"/api/v1/sites/{SITE}", "/api/v1/sites/nowhere"):
            visitors.ask(client, "GET", path, headers={"Authorization": f"Bearer {visitors.server.key}"})
        refused = (
            visitors.ask(client, "POST", "/login", data={"name": USER_AGENT[:9], "password": "wrong"}).status_code
            for _ in range(30)
        )
        assert 429 in refused


def fill_the_spool(visitors: Visitors) -> None:
    """Beacons until there is no more room, and one more."""
    large = beacon(p={f"key {number}": "many words " * 45 for number in range(30)})
    with visitors.client(PEERS[0], {}) as client:
        until(
            "a full spool",
            lambda: visitors.ask(client, "POST", "/api/event", content=large.encode()).status_code == 503,
        )


def prepare(server: Served) -> None:
    server.add_site(SITE, excluded_paths=["/excluded/**"])
    server.add_site("limited.test", consent="limited")


def back_up(server: Served, directory: Path) -> str:
    """Have a backup written; its last name, which the names of its files have in them, wherever they are."""
    ran = tyst("backup", str(directory), "--json", directory=directory.parent, TYST_DATA_DIR=str(server.data_dir))
    assert ran.status == 0, ran.err
    assert "events" in ran.json["tables"]
    return Path(ran.json["backup"]).name


def assert_silent(places: Iterable[tuple[str, bytes]], control: str) -> None:
    """No canary is in `places`; the same search does find `control`, so it looks where things are."""
    places = list(places)
    assert find(forms_of_text("control", control), places), f"{control} is not found, so the search does not see"
    found = find(SOUGHT, places)
    assert not found, "\n".join(found)


SETTINGS = {"TYST_LOG_LEVEL": "debug", "TYST_TRUSTED_PROXIES": "127.0.0.1", "TYST_RATE_LIMIT": "0"}


def test_no_address_and_no_user_agent_is_left_behind(tmp_path: Path) -> None:
    """After every kind of request nothing on disk, in a log, in ClickHouse, in a backup or in an answer, exports
    among them, knows who sent it: while the server runs, after it was killed, after it was started again, and after
    it has stopped. In short the last server is told of each canary in one way."""
    with served(tmp_path, **SETTINGS, TYST_FLUSH_SECONDS="3600", TYST_SPOOL_MAX_BYTES="1000000") as server:
        prepare(server)
        visitors = Visitors(server)
        send_everything(visitors)
        break_everything(visitors)
        read_the_dashboard(visitors)
        fill_the_spool(visitors)
        assert server.counted("tyst_accepted_total") > 100
        assert_silent(written_below(tmp_path), PAGE)
        assert server.kill() != 0
    assert_silent(written_below(tmp_path), PAGE)
    with served(tmp_path, **SETTINGS, TYST_FLUSH_SECONDS="0.05") as server:
        again = Visitors(server, every_way=AT_LENGTH)
        send_everything(again)
        server.drain()
        read_the_dashboard(again)
        backup = back_up(server, tmp_path / "backup")
        assert_silent(((name, held) for name, held in written_below(tmp_path) if backup in name), PAGE)
        assert_silent(written_below(tmp_path), SITE)
        assert server.stop() == 0
        assert "debug" in server.log() or "info" in server.log()
    assert_silent(written_below(tmp_path), "info dashboard.server.app: stopped")
    assert_silent(visitors.answers + again.answers, PAGE)
    tables = read_tables(tmp_path / "data")
    assert_silent(((f"{t.database}.{t.name}", t.packed) for t in tables), PAGE)
    assert_silent(((f"{t.database}.{t.name}", json.dumps(t.rows, ensure_ascii=False).encode()) for t in tables), PAGE)


def test_every_form_is_found_where_it_is_planted() -> None:
    """The search sees each form that it looks for, in the middle of other bytes, letters in capitals or not."""
    planted = {
        f"place {number}": b"before " + (form.needle.upper() if form.text else form.needle) + b" after"
        for number, form in enumerate(SOUGHT)
    }
    found = {line.rpartition(" in ")[2] for line in find(SOUGHT, planted.items())}
    assert found == set(planted)


def test_a_leak_in_a_file_is_a_find(tmp_path: Path) -> None:
    """An address in a log line and a user agent in a table fail the test that they must not be in."""
    (tmp_path / "log").write_text(f"info: {PAGE} from {PEERS[0]}:4711\n")
    with pytest.raises(AssertionError, match=r"127\.193\.254\.171 \(utf-8\) in log"):
        assert_silent(written_below(tmp_path), PAGE)
    with pytest.raises(AssertionError, match=r"user agent \(utf-8\) in events"):
        assert_silent([("events", PAGE.encode() + b"\0" + USER_AGENT.encode())], PAGE)
    with pytest.raises(AssertionError, match="does not see"):
        assert_silent([("events", b"")], PAGE)


def test_four_bytes_alone_are_chance_and_of_two_addresses_are_none() -> None:
    """Packed IPv4 addresses count once those of two visitors are there."""
    packed = [bytes(map(int, address.split("."))) for address in PEERS]
    assert find(SOUGHT, [("part", b"..." + packed[0] + b"...")]) == []
    assert find(SOUGHT, [("part", b"..." + packed[0] + b"..." + packed[1][::-1])]) != []
