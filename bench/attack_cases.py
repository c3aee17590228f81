"""Families of hostile requests: each sends one attempt, made at random, and raises `Finding` when the answer is wrong.

What counts as wrong is the same everywhere: an answer of 500, an answer later than `SLOW_SECONDS`, a header that the
client wrote, an answer that depends on how the request was cut into packets, a cell of an export that a spreadsheet
would take for a formula.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import random
import re
import socket
import string
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

import httpx

from collector.server.event_endpoint import MAX_BODY
from tests.served import PASSWORD, Served

SITE = "site.test"
RECEIPTS_SITE = "receipts.test"
"""A second site, which gives out receipts of consent: its answers hold what a beacon sent."""
SLOW_SECONDS = 6.0
MAX_HEADER = 60_000
BUSY = frozenset({500, 501, 502, 504})
"""Statuses that no client may cause; 503 with Retry-After is an answer of a server that is busy."""

FORMULA = re.compile(r"^[\s'\"]*[=+\-@＝＋－＠]")
EVIL = "x-evil"
HOSTILE = (
    "\r\nx-evil: 1", "\nx-evil: 1", "\rx-evil: 1", "\x00", "=\r\n", "\u2028", "%0d%0ax-evil: 1", '"', "\\", "';--",
    "<script>", "{{7*7}}", "${jndi}", "../../etc/passwd", "\u202e", "\ud7ff", "＝1+1", "=1+1", "@SUM(A1)", "+1",
    "-1", "\t=1",
)  # fmt: skip
REPEATED = ('\\"', '"', "\\", ",", ";", "=", "a,", "for=1;", '="', "[", "::", "%", "(", "a=b;", "*", "\t", "q=0.1,")
FIELDS = (
    "Cookie", "Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "User-Agent", "Accept-Language",
    "Accept-Encoding", "Referer", "Origin", "Content-Type", "Authorization", "If-None-Match", "Sec-CH-UA",
    "Sec-CH-UA-Platform", "Range", "Access-Control-Request-Headers", "Purpose", "Host", "X-Forwarded-Host",
    "Expect", "Content-Length",
)  # fmt: skip
GET_PATHS = (
    "/", "/login", "/account", "/users", "/changes", "/sites/new", f"/{SITE}", f"/{SITE}/details/pages",
    f"/{SITE}/details/pages.csv", f"/{SITE}/values", f"/{SITE}/chart.csv", f"/{SITE}/realtime", f"/{SITE}/segments",
    f"/{SITE}/goals", f"/{SITE}/sharing", f"/{SITE}/consent", f"/{SITE}/status", f"/{SITE}/install",
    f"/{SITE}/settings", f"/{SITE}/people", f"/{SITE}/changes", f"/{SITE}/data", f"/privacy/{SITE}", "/api/me",
    "/api/event.gif", "/healthz", "/readyz", "/metrics", "/js/tyst.js", "/api/v1/sites", "/api/v1/stats/aggregate",
    "/api/v1/stats/timeseries", "/api/v1/stats/breakdown", "/api/openapi.json", "/share/x", "/static/x/y",
    "/nothing",
)  # fmt: skip
POST_PATHS = (
    "/login", "/logout", "/language", "/account", "/users", "/sites/new", f"/{SITE}/segments", f"/{SITE}/goals",
    f"/{SITE}/notes", f"/{SITE}/sharing", f"/{SITE}/sharing/revoke", f"/{SITE}/install/check", f"/{SITE}/settings",
    f"/{SITE}/people", f"/{SITE}/data", "/share/x", f"/privacy/{SITE}", "/api/v2/query", "/api/v1/sites",
    "/api/event", "/api/v1/verify", f"/api/v1/sites/{SITE}/preview",
)  # fmt: skip
PREFIXES = {
    "Cookie": ("tyst_consent=", 'tyst_consent="', "session="),
    "Forwarded": ("for=", 'for="'),
    "Authorization": ("Bearer ",),
    "Range": ("bytes=",),
    "If-None-Match": ("W/",),
}
"""What makes a field be read at all."""

PARAMETERS = (
    "period", "date", "from", "to", "compare", "filter", "f", "filters", "metric", "metrics", "page", "limit",
    "sort", "order", "search", "q", "site_id", "property", "interval", "d", "u", "n", "r", "next", "name", "tab",
    "segment", "view", "lang",
)  # fmt: skip
URLENCODED = "application/x-www-form-urlencoded"
KEYS = ("n", "u", "d", "r", "p", "$", "e", "sd", "h", "i", "z", "w", "c", "q", "v", "k")
HEADS = "date,visitors,pageviews,bounces,visits,visit_duration\n"
NEEDED = "$time_local $request $status"
"""What a format string of logs has to have."""
SIGNALS = ("1", "tyst_consent=denied", "tyst_consent=granted", "prefetch", "9.9.9.9")


class Finding(AssertionError):
    """A wrong answer; the text says which request caused it."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server under attack: `admin` is signed in, `guest` is not; `receipt` is a good one for `RECEIPTS_SITE`."""

    server: Served
    admin: httpx.Client
    guest: httpx.Client
    receipt: str

    @property
    def port(self) -> int:
        """Of the server, on loopback."""
        return httpx.URL(self.server.url).port or 80

    def raw(self, *pieces: bytes) -> bytes:
        """Send the pieces in packets of their own; everything that is answered until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=2 * SLOW_SECONDS) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for number, piece in enumerate(pieces):
                if number:
                    # The packets must not be joined on the way; the server is given time to read the first.
                    time.sleep(0.005)
                connection.sendall(piece)
            return b"".join(iter(lambda: connection.recv(65_536), b""))

    def request(self, client: httpx.Client, method: str, path: str, **options: object) -> httpx.Response:
        """Send a request; raises `Finding` for an answer that is late, a failure, or has a header of the client's."""
        began = time.monotonic()
        try:
            response = client.request(method, path, **options)  # type: ignore[arg-type]
        except (httpx.InvalidURL, httpx.LocalProtocolError, UnicodeEncodeError, ValueError):
            return httpx.Response(400)  # this client refuses to send it
        except httpx.RemoteProtocolError:
            return httpx.Response(400)  # the server closed a connection whose request is no HTTP
        except httpx.TimeoutException as error:
            raise Finding(f"{method} {path[:200]!r}: no answer in time") from error
        check(f"{method} {path[:200]!r}", response.status_code, response.headers.keys(), time.monotonic() - began)
        return response


def check(request: str, status: int, names: object, seconds: float) -> None:
    """Raise `Finding` for what no request may lead to."""
    if status in BUSY:
        raise Finding(f"{request}: answered {status}")
    if EVIL in {str(name).lower() for name in names}:  # type: ignore[attr-defined]
        raise Finding(f"{request}: the client wrote a header of the answer")
    if seconds > SLOW_SECONDS:
        raise Finding(f"{request}: answered after {seconds:.1f} s")


def text(choose: random.Random, longest: int = 60) -> str:
    """Text with hostile parts."""
    parts = [choose.choice((*HOSTILE, choose.choice(string.printable) * choose.randint(1, 9), "word"))]
    while choose.random() < 0.5 and len(parts) < 5:
        parts.append(choose.choice(HOSTILE))
    return "".join(parts)[:longest]


def value(choose: random.Random) -> object:
    """A JSON value of any type."""
    kinds: tuple[Callable[[], object], ...] = (
        lambda: text(choose, 3_000),
        lambda: choose.choice((None, True, False, 0, -1, 1e308, 2**70, -0.0, "", [], {}, [[[]]])),
        lambda: choose.random() * 10**12,
        lambda: {text(choose): text(choose) for _ in range(choose.randint(0, 40))},
        lambda: text(choose, 3) * choose.randint(1, 3_000),
    )
    return choose.choice(kinds)()


def beacon(choose: random.Random) -> dict[str, object]:
    """A beacon that is right but for some of its parts."""
    made: dict[str, object] = {"n": "pageview", "u": f"https://{SITE}/a", "d": SITE, "c": "granted"}
    for key in choose.sample(
        ("n", "u", "d", "r", "p", "$", "e", "sd", "h", "i", "z", "w", "c", "q", "v", "k"), choose.randint(0, 5)
    ):
        made[key] = f"https://{SITE}/{text(choose, 2_500)}" if key in "ur" and choose.random() < 0.7 else value(choose)
    return made


def both_ways(target: Target, choose: random.Random) -> None:
    """The answer to a beacon is the same to the byte whether it comes in one packet or in two."""
    sent = beacon(choose)
    if choose.random() < 0.2:
        sent = beacon(random.Random(0)) | {
            "d": RECEIPTS_SITE,
            "k": target.receipt + choose.choice(("=", "")) + text(choose),
        }
    body = json.dumps(sent).encode()
    if choose.random() < 0.2:
        body = choose.randbytes(choose.randint(0, 40)) + body[choose.randint(0, 9) :]
    fields = [f"Host: 127.0.0.1:{target.port}", f"Content-Length: {len(body)}", "Connection: close"]
    names = choose.sample(("Cookie", "User-Agent", "Sec-GPC", "DNT", "X-Forwarded-For", "Sec-Purpose"), 2)
    fields += [f"{name}: {choose.choice(SIGNALS)}" for name in names]
    # Both must be fresh connections that end: only the cut differs.
    head = "\r\n".join(["POST /api/event HTTP/1.1", *fields, "", ""]).encode()
    whole, cut = target.raw(head + body), target.raw(head, body)
    pairs = [(whole, cut)]
    if len(body) <= MAX_BODY:
        # The answer to a longer one ends the connection, which may be reset when more is sent.
        pairs.append(_kept_alive(target, head, body))
    for one, other in pairs:
        if _comparable(one) != _comparable(other):
            raise Finding(
                f"{body[:300]!r}: {_comparable(one)[:300]!r} in one packet, {_comparable(other)[:300]!r} in two"
            )
    status = int(whole[9:12] or b"400")
    check(f"beacon {body[:300]!r}", status, _names(whole), 0)


def _kept_alive(target: Target, head: bytes, body: bytes) -> tuple[bytes, bytes]:
    """The answers on connections that another request ends: the beacon in one packet, and in two."""
    kept_alive = head.replace(b"Connection: close\r\n", b"")
    closing = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    return target.raw(kept_alive + body, closing), target.raw(kept_alive, body, closing)


def _comparable(answer: bytes) -> bytes:
    """The answer without what changes from one to the next: the date, and the signature of a new receipt."""
    return re.sub(rb"(?im)^(date|x-tyst-receipt):[^\n]*\n", b"", answer)


def _names(answer: bytes) -> list[str]:
    head = answer.partition(b"\r\n\r\n")[0].decode("latin-1")
    return [line.partition(":")[0] for line in head.replace("\n", "\r").split("\r")[1:]]


def headers(target: Target, choose: random.Random) -> None:
    """No header field, however long and of whatever it is made, delays its own request or anybody else's."""
    unit = choose.choice(REPEATED)
    field = choose.choice((*FIELDS, *PREFIXES, *PREFIXES))
    filler = (unit * MAX_HEADER)[: choose.choice((100, MAX_HEADER, MAX_HEADER))]
    prefix = choose.choice(("", *PREFIXES.get(field, ())))
    body = json.dumps(beacon(choose)).encode()
    routes = (("POST", "/api/event"), ("GET", "/login"), ("GET", f"/{SITE}"), ("OPTIONS", "/api/event"))
    method, path = choose.choice(routes)
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\nConnection: close\r\n"
    head += f"{field}: {prefix}{filler}\r\n"
    if method == "POST" and field != "Content-Length":
        head += f"Content-Length: {len(body)}\r\n"
    began = time.monotonic()
    try:
        answer = target.raw(head.encode("latin-1", "replace") + b"\r\n" + (body if method == "POST" else b""))
    except (TimeoutError, ConnectionError) as error:
        if isinstance(error, TimeoutError) and field not in ("Content-Length", "Expect"):
            raise Finding(f"{field}: {prefix}{unit!r} x {len(filler)}: no answer in time") from error
        return
    seconds = 0.0 if field in ("Content-Length", "Expect") else time.monotonic() - began
    check(f"{field}: {prefix}{unit!r} x {len(filler)}", int(answer[9:12] or b"400"), _names(answer), seconds)


def chains(target: Target, choose: random.Random) -> None:
    """A chain of forwarding headers from a trusted proxy is read in time, whatever stands in it."""
    entries = (
        "9.9.9.9",
        "127.0.0.1",
        "[2001:db8::1]:80",
        "unknown",
        "_hidden",
        '"',
        "\\",
        "for=9.9.9.9",
        'for="[::1]"',
        "",
    )
    chain = ",".join(choose.choices(entries, k=choose.choice((1, 3, 50, 4_000))))
    name = choose.choice(("X-Forwarded-For", "Forwarded", "CF-Connecting-IP", "X-Forwarded-Proto"))
    target.request(target.guest, "POST", "/api/event", headers={name: chain}, json=beacon(choose))


def pages(target: Target, choose: random.Random) -> None:
    """A page asked with odd parameters is a page or an error in words."""
    path = choose.choice(GET_PATHS)
    if choose.random() < 0.2:
        path += "/" + quote(text(choose), safe="", errors="replace")
    pairs = [(choose.choice(PARAMETERS), text(choose, 400)) for _ in range(choose.choice((1, 3, 60, 400)))]
    query = "&".join(f"{quote(name)}={quote(given, errors='replace')}" for name, given in pairs)
    method = choose.choice(("GET", "GET", "HEAD", "OPTIONS", "DELETE", "PUT"))
    if method in ("DELETE", "PUT") and path.startswith(("/api/v1/sites", "/api/me")):
        method = "GET"  # these would do what they are asked
    target.request(choose.choice((target.admin, target.guest)), method, f"{path}?{query}"[:8_000])


def forms(target: Target, choose: random.Random) -> None:
    """A form or body that no page of ours sends is refused in words."""
    path = choose.choice(POST_PATHS)
    fields = {
        choose.choice((*PARAMETERS, text(choose))): text(choose, 2_000) for _ in range(choose.choice((0, 2, 20, 500)))
    }
    fields.pop("name", None) if path in ("/users", f"/{SITE}/people") else None
    same_origin = {"Origin": target.server.url, "Sec-Fetch-Site": "same-origin"}
    kinds: tuple[dict[str, object], ...] = (
        {"data": fields},
        {"json": value(choose)},
        {"content": json.dumps({choose.choice(PARAMETERS): value(choose) for _ in range(4)})},
        {
            "content": choose.randbytes(choose.randint(0, 5_000)),
            "headers": {"Content-Type": "application/x-www-form-urlencoded"},
        },
        {"content": b"--b\r\n" * 400, "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
        {"content": b"[" * 20_000},
    )
    sent = dict(choose.choice(kinds))
    sent["headers"] = {**same_origin, **sent.pop("headers", {})}  # type: ignore[dict-item]
    client = target.guest if path == "/logout" else choose.choice((target.admin, target.guest))
    target.request(client, "POST", path, **sent)


def patterns(target: Target, choose: random.Random) -> None:
    """A pattern that may be saved is matched in time against every path."""
    parts = choose.choices(("*", "**", "a", "-", "/", "b", "*a", "**a", "**-"), k=choose.randint(1, 24))
    repeated = choose.choice(("*a", "**a", "**-", "*-*")) * choose.randint(2, 9) + choose.choice(("b", "/x", ""))
    pattern = "/" + choose.choice(("".join(parts), repeated))
    key = choose.choice(("excluded_paths", "hidden_paths"))
    authorised = {"Authorization": f"Bearer {target.server.key}"}
    target.request(target.guest, "PUT", f"/api/v1/sites/{SITE}", json={key: [pattern]}, headers=authorised)
    unit = choose.choice(("/a", "a", "-", "/-", "a-"))
    path = unit * choose.choice((10, 300, 900))
    target.request(target.guest, "POST", "/api/event", json={**beacon(random.Random(0)), "u": f"https://{SITE}/{path}"})
    target.request(target.guest, "PUT", f"/api/v1/sites/{SITE}", json={key: []}, headers=authorised)


def cells(target: Target, choose: random.Random) -> None:
    """No cell of an export is a formula to a spreadsheet."""
    for _ in range(3):
        name = text(choose, 100)
        sent = {
            "n": name,
            "u": f"https://{SITE}/{quote(text(choose))}",
            "d": SITE,
            "c": "granted",
            "p": {name: text(choose)},
        }
        target.request(target.guest, "POST", "/api/event", json=sent)
    target.server.drain()
    for panel in ("pages", "top", "sources", "events"):
        answer = target.request(target.admin, "GET", f"/{SITE}/details/{panel}.csv")
        if answer.status_code != 200:
            continue
        first = answer.text.lstrip("\ufeff").partition("\n")[0]
        for row in csv.reader(io.StringIO(answer.text.lstrip("\ufeff")), delimiter=";" if ";" in first else ","):
            for cell in row:
                if FORMULA.match(cell) and not cell.startswith("'") and not re.fullmatch(r"-?[\d.,]+", cell):
                    raise Finding(f"{panel}.csv has the cell {cell[:80]!r}")


def imports(target: Target, choose: random.Random) -> None:
    """A file is imported or refused in time, whatever is in it, around it, or said of its format."""
    unit = choose.choice(('ab\n","', "-", " ", "[],", '{"a":1},', '"\\"', "1,2\n", "\r\n--b", "/", '";', "\0"))
    begin = choose.choice(
        ("", 'session_id,url_path,event_type,created_at\n"', '[{"idVisit":1,"actionDetails":[', HEADS)
    )
    content = (begin + unit * choose.choice((10, 4_000, 100_000))).encode()
    variables = choose.choices(("$a", "$request_uri", "$host", "$http_user_agent"), k=choose.choice((1, 5, 40)))
    query = {"mode": "dry-run", "log_format": choose.choice(("", f"{unit.join(variables)}x {NEEDED}"))}
    authorised = {"Authorization": f"Bearer {target.server.key}"}
    field = f'form-data; name="{unit * 4_000}'[:4_100]
    part = f"--b\r\nContent-Disposition: {field}\r\n\r\n".encode()
    boundary = choose.choice(("b", '"' + ";" * 8_000))
    forms: tuple[tuple[str, bytes], ...] = (
        ("application/octet-stream", content),
        ("application/octet-stream", gzip.compress(content)),
        (f"multipart/form-data; boundary={boundary}", part * choose.choice((1, 30)) + b"x\r\n--b--\r\n"),
    )
    type_, body = choose.choice(forms)
    headers = {**authorised, "Content-Type": type_}
    path = f"/api/v1/sites/{SITE}/imports"
    # An import may take its time; meanwhile, and after it, the server answers others.
    with contextlib.suppress(httpx.TimeoutException):
        answer = target.guest.post(path, params=query, content=body, headers=headers)
        check(f"import of {body[:300]!r} {query}", answer.status_code, answer.headers.keys(), 0)


FAMILIES: dict[str, Callable[[Target, random.Random], None]] = {
    "beacons, in one packet and in two": both_ways,
    "header fields of up to 60 KB": headers,
    "forwarding chains": chains,
    "parameters of pages": pages,
    "forms and bodies": forms,
    "patterns": patterns,
    "cells of exports": cells,
    "imported files, formats and forms": imports,
}


def sign_in(client: httpx.Client, server: Served) -> None:
    """Sign the client in as the administrator."""
    answer = client.post("/login", data={"name": "admin", "password": PASSWORD}, headers={"Origin": server.url})
    if answer.status_code != 303:
        raise Finding(f"signing in was answered {answer.status_code}")
