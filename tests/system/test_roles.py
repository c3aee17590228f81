"""Who may do what: every route and verb of the application, asked by everybody there is.

The table below has a row for each. A route that it does not have fails the test: whoever adds one says here whom it is
for. What is asked about is always the one site `own`: for its viewer and its owner it is their own, for `stranger`, who
owns another, it is foreign; likewise for keys.
"""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import anyio
import msgspec
from starlette.routing import Route

from collector.core.settings import read_settings
from collector.sites.model import RESERVED
from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from dashboard.access.api_keys import ApiKey
from dashboard.server.app import Tyst, build
from tests.databases import drop
from tests.length import AT_LENGTH

PEOPLE: Final = ("nobody", "viewer", "owner", "stranger", "administrator", "guest", "passer-by")
"""Who has the cookie of a sign-in, but nobody and the guest. The guest and the passer-by, who owns another site, ask
about a site whose figures are public."""
KEYS: Final = ("read", "manage", "foreign", "read all", "manage all", "expired", "revoked", "data directory")
"""Who shows an API key: for the site, for another one (to manage it), or for all; one that is over, one taken back."""

# What is answered: a allowed (whatever comes of it), l sent to sign in, 1 no key (401), 3 refused (403), 4 as if it
# were not there (404). A page's row is of people; a key is nobody to it. An API's row is of keys; people are 1 to it.
PAGES: Final[dict[str, dict[str, str]]] = {
    "laaaala": {
        "/": "GET",
        "/account": "GET POST",
        "/account/two-factor": "GET POST",
        "/account/passkeys": "GET POST",
    },
    # A pin is asked for without a site. No OpenID provider is set.
    "l4444l4": {"/": "POST", "/account/openid": "GET"},
    "l333al3": {"/users": "GET POST", "/alerts": "GET POST", "/changes": "GET"},
    "l3aaala": {"/sites/new": "GET POST"},
    "laa4aaa": {
        "/{domain}": "GET",
        "/{domain}/details/{panel}": "GET",
        "/{domain}/details/{panel}.csv": "GET",
        "/{domain}/values": "GET",
        "/{domain}/chart.csv": "GET",
        "/{domain}/journeys": "GET",
        "/{domain}/journeys.csv": "GET",
        "/{domain}/journeys/page": "GET",
        "/{domain}/retention": "GET",
        "/{domain}/realtime": "GET",
        "/{domain}/realtime/stream": "GET",
        "/{domain}/funnels": "GET",
        "/{domain}/funnels/{funnel}": "GET",
        "/{domain}/funnels/{funnel}.csv": "GET",
    },
    "laa4al4": {
        "/{domain}/segments": "GET POST",
        "/{domain}/consent": "GET",
        "/{domain}/status": "GET",
        "/{domain}/install": "GET",
    },
    "l3a4al4": {
        "/{domain}/goals": "GET POST",
        "/{domain}/funnels/edit": "GET POST",
        "/{domain}/notes": "POST",
        "/{domain}/sharing": "GET POST",
        "/{domain}/sharing/revoke": "POST",
        "/{domain}/install/check": "POST",
        "/{domain}/settings": "GET POST",
        "/{domain}/people": "GET POST",
        "/{domain}/changes": "GET",
        "/{domain}/data": "GET POST",
        "/{domain}/imports": "GET POST",
        "/{domain}/reports": "GET POST",
        "/{domain}/alerts": "GET POST",
        "/{domain}/delete": "POST",
    },
    # Whoever has the link, or knows of it.
    "aaaaaaa": {
        "/share/{token}": "GET POST",
        "/share/{token}/details/{panel}": "GET",
        "/share/{token}/details/{panel}.csv": "GET",
        "/share/{token}/values": "GET",
        "/share/{token}/chart.csv": "GET",
        "/share/{token}/journeys": "GET",
        "/share/{token}/journeys.csv": "GET",
        "/share/{token}/journeys/page": "GET",
        "/share/{token}/retention": "GET",
        "/share/{token}/realtime": "GET",
        "/share/{token}/realtime/stream": "GET",
        "/share/{token}/funnels": "GET",
        "/share/{token}/funnels/{funnel}": "GET",
        "/share/{token}/funnels/{funnel}.csv": "GET",
        "/invitation/{secret}": "GET POST",
        "/password/{secret}": "GET POST",
        "/login": "GET",
        "/login/passkey/options": "POST",
        "/language": "POST",
        "/privacy/{domain}": "GET POST",
        "/api/me": "GET",
        "/api/openapi.json": "GET",
        "/js/tyst.js": "GET",
        "/healthz": "GET",
        "/readyz": "GET",
        "/metrics": "GET",
    },
    # An erasure is asked for without a site: with one it is anybody's, and is answered by what runs beside this. No
    # OpenID provider is set.
    "4444444": {
        "/static/{digest}/{name:path}": "GET",
        "/api/me": "DELETE",
        "/login/openid": "GET",
        "/login/openid/callback": "GET",
        # A token that was signed for nobody.
        "/unsubscribe/{token}": "GET POST",
    },
    "1111111": {"/login": "POST", "/login/passkey": "POST"},
    # Nobody has given a password before.
    "lllllll": {"/logout": "POST", "/login/code": "GET POST"},
}
API: Final[dict[str, dict[str, str]]] = {
    "aaaaa11a": {"/api/v1/sites": "GET", "/api/v1/audit": "GET"},
    "aa4aa11a": {
        "/api/v1/sites/{domain}": "GET",
        "/api/v1/sites/{domain}/imports": "GET",
        "/api/v1/sites/{domain}/journeys": "GET POST",
        "/api/v1/sites/{domain}/export": "GET",
        "/api/v1/sites/{domain}/notice": "POST",
        "/api/v1/sites/{domain}/preview": "POST",
        "/api/v1/sites/goals": "GET",
        "/api/v1/sites/{domain}/funnels": "GET",
        "/api/v1/sites/{domain}/funnels/{funnel}": "GET",
        "/api/v1/stats/realtime/visitors": "GET",
        "/api/v1/stats/aggregate": "GET",
        "/api/v1/stats/timeseries": "GET",
        "/api/v1/stats/breakdown": "GET",
        "/api/v2/query": "POST",
    },
    "4a44a11a": {
        "/api/v1/sites/{domain}": "PUT DELETE",
        "/api/v1/sites/{domain}/imports": "POST",
        "/api/v1/sites/{domain}/export/events": "GET",
        "/api/v1/sites/{domain}/reset": "POST",
        "/api/v1/sites/{domain}/reports": "GET POST",
        "/api/v1/sites/{domain}/alerts": "GET POST",
        "/api/v1/sites/{domain}/channels": "GET POST",
        "/api/v1/sites/goals": "PUT",
        "/api/v1/sites/{domain}/funnels": "POST",
        "/api/v1/sites/{domain}/funnels/{funnel}": "DELETE",
        "/api/v1/sites/goals/{goal_id}": "DELETE",
        "/api/v1/verify": "POST",
    },
    "33334114": {
        "/api/v1/collectors/{name}": "DELETE",
        "/api/v1/channels/{id}": "DELETE",
        "/api/v1/channels/{id}/test": "POST",
    },
    # There is no such import or report, which those are told who may change it.
    "44444114": {
        "/api/v1/sites/{domain}/imports/{id}": "DELETE",
        "/api/v1/sites/{domain}/reports/{id}": "DELETE",
        "/api/v1/sites/{domain}/reports/{id}/send": "POST",
        "/api/v1/sites/{domain}/alerts/{id}": "DELETE",
        "/api/v1/sites/{domain}/channels/{id}": "DELETE",
        "/api/v1/sites/{domain}/channels/{id}/test": "POST",
        "/api/v1/sites/{domain}/imports/{id}/confirm": "POST",
    },
    "3333a11a": {
        "/api/v1/sites": "POST",
        "/api/v1/users": "GET POST",
        "/api/v1/users/{name}": "PUT DELETE",
        "/api/v1/users/{name}/two-factor": "DELETE",
        "/api/v1/users/{name}/sessions": "DELETE",
        "/api/v1/keys": "GET POST",
        "/api/v1/keys/{id}": "DELETE",
        "/api/v1/status": "GET",
        "/api/v1/backups": "POST",
        "/api/v1/backups/restore": "POST",
        "/api/v1/rollup": "POST",
        "/api/v1/spool/retry": "POST",
        "/api/v1/collectors": "GET",
        "/api/v1/channels": "GET POST",
        "/api/v1/audit/search": "POST",
        "/api/v1/mail/test": "POST",
    },
}

FINAL: Final = {
    ("DELETE", "/api/v1/sites/{domain}"),
    ("DELETE", "/api/v1/sites/goals/{goal_id}"),
    ("DELETE", "/api/v1/sites/{domain}/funnels/{funnel}"),
    ("DELETE", "/api/v1/users/{name}"),
    ("DELETE", "/api/v1/keys/{id}"),
    ("POST", "/api/v1/sites/{domain}/reset"),
    ("POST", "/{domain}/sharing/revoke"),
    ("POST", "/logout"),
}
"""What is gone when it was allowed: each who may is given a site, a user, a key of their own to take away."""

OWN: Final = "own.test"
OTHER: Final = "other.test"
PUBLIC: Final = "public.test"
FORM: Final = "application/x-www-form-urlencoded"
PASSWORD: Final = "a quiet password"  # of this test's people
_numbers = itertools.count(1)


@dataclass
class World:
    """One site with its people and keys, another one, and what stands for the parts of an address."""

    parts: dict[str, str]
    cookies: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)


@dataclass
class Answer:
    """An answer as far as it was waited for: a stream has no end."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cookies: list[str] = field(default_factory=list)

    @property
    def code(self) -> str:
        """As the table has it."""
        if self.status in (302, 303, 307) and self.headers.get("location", "").startswith("/login"):
            return "l"
        return {401: "1", 403: "3", 404: "4"}.get(self.status, "a" if 200 <= self.status < 500 else f"({self.status})")


async def ask(app: Tyst, method: str, path: str, content: bytes = b"", **headers: str) -> Answer:
    """One request, each from an address of its own so that no limit is reached."""
    number = next(_numbers)
    address, _, query = path.partition("?")
    given = {"host": "tyst.test", "content-length": str(len(content)), "sec-fetch-site": "same-origin", **headers}
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "https",
        "path": address, "raw_path": address.encode(), "query_string": query.encode(), "root_path": "",
        "client": (f"198.18.{number // 250 % 250}.{number % 250}", 1), "server": ("tyst.test", 443),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()],
    }  # fmt: skip
    answer, done, sent = Answer(), anyio.Event(), False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": content, "more_body": False}
        await done.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            fields = [(name.decode().lower(), value.decode()) for name, value in message["headers"]]
            answer.headers = dict(fields)
            answer.cookies = [value.partition(";")[0] for name, value in fields if name == "set-cookie"]
            if address.endswith("/stream"):
                done.set()
        elif message["type"] == "http.response.body":
            answer.body += message.get("body", b"")
            if not message.get("more_body"):
                done.set()

    with anyio.move_on_after(60) as scope_of_time:
        async with anyio.create_task_group() as group:

            async def run() -> None:
                await app(scope, receive, send)
                done.set()

            group.start_soon(run)
            await done.wait()
            if address.endswith("/stream"):
                group.cancel_scope.cancel()
    assert not scope_of_time.cancelled_caught, f"{method} {path} has no answer"
    return answer


def admin_key(app: Tyst) -> str:
    """The key of the data directory."""
    return (app.collector.settings.data_dir / "admin.key").read_text().strip()


async def call(app: Tyst, method: str, path: str, body: object = None) -> Any:
    """What the management API says to the key of the data directory."""
    content = msgspec.json.encode(body) if body is not None else b""
    answer = await ask(app, method, f"/api/v1/{path}", content, authorization=f"Bearer {admin_key(app)}")
    assert 200 <= answer.status < 300, (path, answer.status, answer.body)
    return msgspec.json.decode(answer.body)


async def a_world(app: Tyst) -> World:
    """Sites, people, keys and a link."""
    for domain in (OWN, OTHER, PUBLIC):
        await call(app, "POST", "sites", {"domain": domain, "public": domain == PUBLIC})
    funnels = {domain: await a_funnel(app, domain) for domain in (OWN, PUBLIC)}
    people: dict[str, dict[str, object]] = {
        "viewer": {"role": "viewer", "sites": [OWN]},
        "owner": {"role": "owner", "sites": [OWN]},
        "stranger": {"role": "owner", "sites": [OTHER]},
        "administrator": {"role": "admin"},
        "passer-by": {"role": "owner", "sites": [OTHER]},
    }
    world = World(
        {
            "funnel": funnels[OWN],
            "public funnel": funnels[PUBLIC],
            "domain": OWN,
            "panel": "pages",
            "secret": "unknown",
            "digest": "0",
            "name:path": "x",
        }
    )
    for name, account in people.items():
        await call(app, "POST", "users", {"name": name, "password": PASSWORD, **account})
        world.cookies[name] = await signed_in(app, name)
    sites = {"read": [OWN], "manage": [OWN], "foreign": [OTHER]}
    for name in KEYS[:-1]:
        right = "read" if name in ("read", "read all") else "manage"
        made = await call(app, "POST", "keys", {"sites": sites.get(name, []), "right": right})
        world.keys[name] = made["key"]
        if name == "revoked":
            await call(app, "DELETE", f"keys/{made['id']}")
        if name == "expired":
            records = DocumentTable(app.collector.client, "api_keys", ApiKey)
            yesterday = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)
            records.update(made["id"], partial(msgspec.structs.replace, expires=yesterday))
    world.keys["data directory"] = admin_key(app)
    for method, path in sorted(FINAL):
        if ("{domain}/" not in path and not path.endswith("{domain}")) or path.endswith("/revoke"):
            world = await renewed(app, world, method, path)
    return world


async def a_funnel(app: Tyst, domain: str) -> str:
    """The id of a new funnel of the site."""
    steps = [{"kind": "page", "match": "/"}, {"kind": "page", "match": "/thanks"}]
    return str(
        (await call(app, "POST", f"sites/{domain}/funnels", {"name": f"F {next(_numbers)}", "steps": steps}))["id"]
    )


async def signed_in(app: Tyst, name: str) -> str:
    """The cookie of a new sign-in."""
    form = urlencode({"name": name, "password": PASSWORD}).encode()
    entered = await ask(app, "POST", "/login", form, content_type=FORM)
    return next(cookie for cookie in entered.cookies if len(cookie) > 40)


async def renewed(app: Tyst, world: World, method: str, path: str) -> World:
    """The world with another thing for this request to take away."""
    number, parts, cookies, keys = next(_numbers), dict(world.parts), dict(world.cookies), dict(world.keys)
    if path == "/logout":
        cookies |= {name: await signed_in(app, name) for name in cookies if method == "POST"}
    elif path.endswith("{name}"):
        parts["name"] = f"spare{number}"
        await call(app, "POST", "users", {"name": parts["name"], "password": PASSWORD})
    elif path.endswith("{id}"):
        parts["id"] = (await call(app, "POST", "keys", {"sites": [OWN]}))["id"]
    elif path.endswith("{funnel}"):
        parts["funnel"] = await a_funnel(app, OWN)
    elif path.endswith("{goal_id}"):
        goal = {"site_id": OWN, "goal_type": "event", "event_name": f"Signup {number}"}
        parts["goal_id"] = (await call(app, "PUT", "sites/goals", goal))["id"]
    elif path.endswith("/revoke"):
        form = urlencode({"name": f"Link {number}"}).encode()
        page = (
            await ask(app, "POST", f"/{OWN}/sharing", form, content_type=FORM, cookie=cookies["owner"])
        ).body.decode()
        token, ids = re.search(r"/share/([\w-]{20,})", page), re.findall(r'name="id" value="([0-9a-f]+)"', page)
        assert token
        parts |= {"token": token[1], "share": ids[-1]}
    else:
        parts["domain"] = f"spare{number}.test"
        await call(app, "POST", "sites", {"domain": parts["domain"]})
        keys["manage"] = (await call(app, "POST", "keys", {"sites": [parts["domain"]], "right": "manage"}))["key"]
    return World(parts, cookies, keys)


def question(world: World, method: str, path: str) -> tuple[str, bytes, str]:
    """The address, a body that changes nothing where it can be helped, and what kind of body that is."""
    site = world.parts["domain"]
    address = re.sub(r"\{([\w:]+)\}", lambda part: world.parts[part[1]], path)
    if path.startswith("/api/v1/stats"):
        visits = "&property=visit:source" if path.endswith("breakdown") else ""
        return f"{address}?site_id={site}{visits}", b"", ""
    if (method == "GET" and path == "/api/v1/sites/goals") or (method == "DELETE" and "goal_id" in path):
        return f"{address}?site_id={site}", b"", ""
    if path.endswith("/journeys/page"):
        return f"{address}?page=/", b"", ""
    if path == "/api/me":
        return f"{address}?d={site}" if method == "GET" else address, b"", ""
    bodies: dict[str, object] = {
        "/api/v2/query": {"site_id": site, "metrics": ["visitors"], "date_range": "day"},
        "/api/v1/sites/goals": {"site_id": site, "goal_type": "event", "event_name": "Signup"},
        "/api/v1/verify": {"url": "http://127.0.0.1/", "site": site},
        "/api/v1/sites/{domain}/notice": {"language": "en", "format": "html"},
        "/api/v1/sites/{domain}/preview": {"url": "https://own.test/"},
    }
    if path.startswith("/api/"):
        return address, msgspec.json.encode(bodies.get(path, {})) if method != "DELETE" else b"", "application/json"
    form = {"id": world.parts["share"]} if path.endswith("/revoke") else {"act": "save"}
    return address, urlencode(form).encode(), FORM


def expectations() -> Iterator[tuple[str, str, dict[str, str]]]:
    """Method, path, and what everybody is answered."""
    for codes, rows in PAGES.items():
        for path, methods in rows.items():
            by_name = dict(zip(PEOPLE, codes, strict=True)) | dict.fromkeys(KEYS, codes[0])
            yield from ((method, path, by_name) for method in methods.split())
    for codes, rows in API.items():
        for path, methods in rows.items():
            by_name = dict.fromkeys(PEOPLE, "1") | dict(zip(KEYS, codes, strict=True))
            yield from ((method, path, by_name) for method in methods.split())


def routes_of(app: Tyst) -> set[tuple[str, str]]:
    """Every route and verb there is; HEAD is GET without a body."""
    assert all(isinstance(route, Route) for route in app.routes)
    routes = [route for route in app.routes if isinstance(route, Route)]
    return {(method, route.path) for route in routes for method in (route.methods or ()) if method != "HEAD"}


@contextmanager
def an_application(engine: str, directory: Path) -> Iterator[Tyst]:
    """The whole application, as the server has it."""
    given = {"TYST_DATA_DIR": str(directory), "TYST_CLICKHOUSE_DSN": engine, "TYST_API_RATE_LIMIT": "0"}
    given["TYST_PUBLIC_URL"] = "https://tyst.test"
    app = build(read_settings(given))
    try:
        yield app
    finally:
        app.collector.client.close()
        drop(ClickHouse(engine))


async def answers(app: Tyst) -> list[str]:
    """Where what is answered is not what the table says. In short, those who may not are asked for at every route, and
    of the others every sixth, so that each of them is at a sixth of the routes."""
    everyday, wrong = await a_world(app), []
    for row, (method, path, by_name) in enumerate(expectations()):
        for number, (name, expected) in enumerate(by_name.items(), start=row):
            if not AT_LENGTH and name not in ("nobody", "stranger", "foreign") and number % 6:
                continue
            lasting = (method, path) in FINAL and expected in "al" and name not in ("nobody", "guest", *KEYS[5:7])
            world = await renewed(app, everyday, method, path) if lasting else everyday
            if name in ("guest", "passer-by"):
                world = replace(world, parts=world.parts | {"domain": PUBLIC})
            if name in ("guest", "passer-by") and path.startswith("/{domain}"):
                world = replace(world, parts=world.parts | {"funnel": world.parts["public funnel"]})
            address, content, kind = question(world, method, path)
            who = {"cookie": world.cookies[name]} if name in world.cookies else {}
            who |= {"authorization": f"Bearer {world.keys[name]}"} if name in world.keys else {}
            for verb in (
                (method, "HEAD")
                if method == "GET" and name in ("nobody", "stranger", "foreign", "guest")
                else (method,)
            ):
                answer = await ask(app, verb, address, content, content_type=kind, **who)
                if answer.code != expected:
                    wrong.append(f"{verb} {path} as {name}: {answer.status} ({answer.code}), not {expected}")
    return wrong


def test_no_site_has_the_name_of_an_address() -> None:
    """Its pages would be others' pages, and could not be reached."""
    first = {path.split("/")[1] for _, path, _ in expectations()}
    assert first - {"", "{domain}"} <= RESERVED


def test_everybody_is_answered_as_the_table_says(embedded_engine: str, tmp_path: Path) -> None:
    """Every route and verb, for everybody; a route that has no row fails."""
    with an_application(embedded_engine, tmp_path) as app:
        rows = {(method, path) for method, path, _ in expectations()}
        assert routes_of(app) - rows == set(), "these routes have no row in the table of this test"
        assert rows - routes_of(app) == set(), "the table has rows for routes that there are not"
        assert anyio.run(answers, app) == []
