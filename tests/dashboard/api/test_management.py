"""The management API: who may do what, and errors that name what to mend."""

from __future__ import annotations

import asyncio
import datetime
import re
import stat
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import pyotp
import pytest
from argon2 import PasswordHasher
from clickhouse_connect.driver.client import Client
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from collector.erasure.job_runner import SiteJobRunner
from collector.rollups.job import RollupJob
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.storage.documents import DocumentTable
from dashboard.access.api_keys import ApiKey, ApiKeys, admin_key
from dashboard.access.api_quota import ApiQuota, QuotaFields
from dashboard.access.audit_log import AuditLog
from dashboard.access.authenticator import KeyCipher
from dashboard.access.key_attempts import UNKNOWN_KEYS
from dashboard.access.key_slots import OF_ACCOUNT, KeySlotRelease, KeySlots
from dashboard.access.passwords import Passwords
from dashboard.access.sessions import Session, Sessions
from dashboard.access.two_factor import TwoFactorAuth
from dashboard.access.users import User, Users
from dashboard.analytics.fair_queue import Lane, lane_of
from dashboard.api.auth import ApiError, bearer
from dashboard.api.management import routes
from dashboard.compliance.health_report import Check, Status
from tests.board import SECRETS
from tests.length import long
from tests.members import alone

ADMIN = "tyst_admin_for-tests"
UNKNOWN = f"tyst_00000000_{'x' * 43}"
TODAY = datetime.date(2026, 3, 1)


class Room:
    """The API over a fresh database."""

    def __init__(self, client: Client, quota: int = 0) -> None:
        self.records = DocumentTable(client, "api_keys", ApiKey)
        self.keys = ApiKeys(self.records, ADMIN, today=lambda: TODAY, quota=ApiQuota(quota))
        # The cheapest argon2: the tests are about who may, not about how slowly.
        self.passwords = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        self.users = Users(DocumentTable(client, "users", User))
        self.sessions = Sessions(DocumentTable(client, "sessions", Session), self.users, SECRETS, time.time)
        self.two_factor = TwoFactorAuth(self.users, KeyCipher(SECRETS), time.time)
        self.sites = Sites(DocumentTable(client, "sites", Site))
        self.deletions = SiteJobRunner(
            client, self.sites, RollupJob(client, self.sites, time.time), list, alone(client), time.time
        )
        app = Starlette(
            routes=routes(
                sites=self.sites,
                users=self.users,
                passwords=self.passwords,
                sessions=self.sessions,
                two_factor=self.two_factor,
                keys=self.keys,
                status=self.status,
                audit_log=AuditLog(client, self.sites, time.time),
                jobs=self.deletions,
            ),
            middleware=[Middleware(QuotaFields)],
        )
        self.transport = httpx.ASGITransport(app)

    async def status(self) -> Status:
        check = Check(name="spool", state="ok", found="0 events wait")
        return Status(version="0.1.0", started=1, now=2, checks=(check,), dropped={"bot": 3}, accepted=4)

    def ask(self, method: str, path: str, *, key: str = ADMIN, **options: Any) -> httpx.Response:
        return self.send(method, path, f"Bearer {key}", **options)

    def send(
        self, method: str, path: str, authorization: str, *, extra: dict[str, str] | None = None, **options: Any
    ) -> httpx.Response:
        async def once() -> httpx.Response:
            async with httpx.AsyncClient(transport=self.transport, base_url="http://tyst.test") as client:
                headers = {"Authorization": authorization} | (extra or {})
                return await client.request(method, f"/api/v1/{path}", headers=headers, **options)

        return anyio.run(once)

    def site(self, domain: str) -> Site:
        found = self.sites.get(domain)
        assert found is not None
        return found

    def make_key(self, **body: Any) -> str:
        return str(self.ask("POST", "keys", json=body).json()["key"])


@pytest.fixture
def room(database: Client) -> Room:
    """The API with two sites."""
    room = Room(database)
    for domain in ("one.test", "two.test"):
        room.ask("POST", "sites", json={"domain": domain})
    return room


def test_a_site_is_added_changed_and_removed(room: Room) -> None:
    """What is left out keeps its value, and what is asked for is what is stored."""
    body = {"domain": "New.Test", "timezone": "Europe/Stockholm", "consent": "limited"}
    made = room.ask("POST", "sites", json=body)
    assert made.status_code == 201
    assert made.json() | body == made.json() | {"domain": "New.Test"}
    assert made.json()["domain"] == "new.test"
    assert made.json()["created"] > 0
    changed = room.ask("PUT", "sites/new.test", json={"min_visitors": 1, "hostnames": ["new.test"]})
    assert changed.json() == {**made.json(), "min_visitors": 1, "hostnames": ["new.test"]}
    assert room.ask("GET", "sites/new.test").json() == changed.json()
    assert room.ask("DELETE", "sites/new.test").json() == {"deleted": True}
    assert [site["domain"] for site in room.ask("GET", "sites").json()["sites"]] == ["one.test", "two.test"]
    room.sites.refresh()
    assert [site.domain for site in room.sites.all()] == ["one.test", "two.test"]


def test_a_site_may_come_as_a_form(room: Room) -> None:
    """Clients of Plausible's Sites API send forms."""
    data = {"domain": "form.test", "timezone": "Europe/Oslo", "min_visitors": "5"}
    made = room.ask("POST", "sites", data=data).json()
    assert (made["domain"], made["timezone"], made["min_visitors"]) == ("form.test", "Europe/Oslo", 5)


def test_goals_and_the_strict_form_are_settings_of_a_site(room: Room) -> None:
    """A goal without a name gets one; an empty list leaves every custom event a goal."""
    goals = [{"kind": "page", "match": "/thanks"}, {"kind": "event", "match": "Buy", "name": "Sale", "currency": "sek"}]
    room.ask("PUT", "sites/one.test", json={"goals": goals, "strict": True})
    found = room.ask("GET", "sites/one.test").json()
    assert found["goals"] == [{**goals[0], "name": "Visit /thanks"}, {**goals[1], "currency": "SEK"}]
    assert found["strict"] is True
    room.sites.refresh()
    assert room.ask("PUT", "sites/one.test", json={"min_visitors": 5}).json()["goals"] == found["goals"]
    assert room.ask("PUT", "sites/one.test", json={"goals": []}).json()["goals"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("POST", "sites", {}, 400, "domain"),
        ("POST", "sites", {"domain": "one.test"}, 400, "domain"),
        ("POST", "sites", {"domain": "no spaces.test"}, 400, "domain"),
        ("POST", "sites", {"domain": "login"}, 400, "domain"),
        ("POST", "sites", {"domain": "x.test", "timezone": "Europe/Stokholm"}, 400, "timezone"),
        ("POST", "sites", {"domain": "x.test", "consent": "never"}, 400, "consent"),
        ("POST", "sites", {"domain": "x.test", "min_visitors": "many"}, 400, "min_visitors"),
        ("POST", "sites", {"domain": "x.test", "min_visitors": 0}, 400, "min_visitors"),
        ("POST", "sites", {"domain": "x.test", "colour": "blue"}, 400, "colour"),
        ("POST", "sites", {"domain": "x.test", "created": 5}, 400, "created"),
        ("POST", "sites", ["one.test"], 400, "body"),
        ("POST", "sites", {"domain": "x.test", "strict": "perhaps"}, 400, "strict"),
        ("POST", "sites", {"domain": "x.test", "goals": "Signup"}, 400, "goals"),
        ("POST", "sites", {"domain": "x.test", "goals": [{"match": "Signup"}]}, 400, "goals"),
        ("POST", "sites", {"domain": "x.test", "goals": [{"kind": "wish"}]}, 400, "goals"),
        ("GET", "sites/none.test", None, 404, "domain"),
        ("PUT", "sites/one.test", {"domain": "two.test"}, 400, "domain"),
        ("PUT", "sites/one.test", {"domain": "no spaces.test"}, 400, "domain"),
        ("PUT", "sites/one.test", {"aliases": ["two.test"]}, 400, "aliases"),
        ("PUT", "sites/one.test", {"hostnames": ["a.test"] * 201}, 400, "hostnames"),
        ("PUT", "sites/one.test", {"hostnames": ["one.test", "*"]}, 400, "hostnames"),
        ("PUT", "sites/one.test", {"hostnames": ["https://*.com"]}, 400, "hostnames"),
        ("PUT", "sites/one.test", {"query_keys": ["x" * 301]}, 400, "query_keys"),
        ("POST", "sites/none.test/reset", {}, 404, "domain"),
        ("PUT", "sites/one.test", {"retention_days": -1}, 400, "retention_days"),
        ("DELETE", "sites/none.test", None, 404, "domain"),
        ("POST", "users", {"name": "ada"}, 400, "password"),
        ("POST", "users", {"name": "ada", "password": "short"}, 400, "password"),
        ("POST", "users", {"name": "a b", "password": "long enough"}, 400, "name"),
        ("POST", "users", {"name": "ada", "password": "long enough", "role": "king"}, 400, "role"),
        ("POST", "users", {"name": "ada", "password": "long enough", "sites": ["none.test"]}, 400, "sites"),
        ("POST", "users", {"name": "ada", "password": "long enough", "age": 36}, 400, "age"),
        ("PUT", "users/nobody", {"password": "long enough"}, 404, "name"),
        ("DELETE", "users/nobody", None, 404, "name"),
        ("POST", "keys", {"right": "own"}, 400, "right"),
        ("POST", "keys", {"sites": ["none.test"]}, 400, "sites"),
        ("POST", "keys", {"name": "x" * 101}, 400, "name"),
        ("DELETE", "keys/00000000", None, 404, "id"),
    ],
)
def test_an_error_names_the_field(room: Room, method: str, path: str, body: Any, status: int, field: str) -> None:
    """Each refusal is JSON with the field that must be mended, and nothing is changed by it."""
    before = room.ask("GET", "sites").json()
    answer = room.ask(method, path, **({"json": body} if body is not None else {}))
    assert answer.status_code == status
    assert list(answer.json()["errors"]) == [field]
    assert answer.json()["error"].startswith(f"{field}: ")
    assert room.ask("GET", "sites").json() == before


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"\xff\xfe",
        b"[" * 2_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'"' + b"x" * 70_000 + b'"',
    ],
)
def test_a_body_that_cannot_be_read_is_refused(room: Room, content: bytes) -> None:
    """Broken, deep or huge JSON is a 400 or 413, never a server error."""
    answer = room.ask("POST", "sites", content=content)
    assert answer.status_code in (400, 413)
    assert list(answer.json()["errors"]) == ["body"]


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer wrong", "Basic dHlzdDp0eXN0", "Bearer tyst_00000000_x", ADMIN]
)
@pytest.mark.parametrize("path", ["sites", "users", "keys", "status"])
def test_without_a_key_nothing_is_told(room: Room, header: str, path: str) -> None:
    """A missing, malformed or unknown key is answered 401 everywhere."""
    answer = room.send("GET", path, header)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert list(answer.json()["errors"]) == ["authorization"]


def test_a_key_to_read_one_site_does_only_that(room: Room) -> None:
    """It sees its site and no other, changes nothing, and learns nothing of users, keys or status."""
    key = room.make_key(sites=["one.test"])
    assert [site["domain"] for site in room.ask("GET", "sites", key=key).json()["sites"]] == ["one.test"]
    assert room.ask("GET", "sites/one.test", key=key).status_code == 200
    unknown = room.ask("GET", "sites/none.test", key=key).json()["error"].replace("none.test", "two.test")
    assert room.ask("GET", "sites/two.test", key=key).json()["error"] == unknown
    assert room.ask("PUT", "sites/one.test", key=key, json={"min_visitors": 9}).status_code == 404
    assert room.ask("DELETE", "sites/one.test", key=key).status_code == 404
    assert room.ask("POST", "sites", key=key, json={"domain": "x.test"}).status_code == 403
    for path in ("users", "keys", "status"):
        assert room.ask("GET", path, key=key).status_code == 403
    assert room.ask("GET", "sites/one.test").json()["min_visitors"] == 3


def test_a_key_to_manage_one_site_changes_that_one(room: Room) -> None:
    """And still has no say over other sites, users or keys."""
    key = room.make_key(sites=["one.test"], right="manage")
    assert room.ask("PUT", "sites/one.test", key=key, json={"min_visitors": 9}).json()["min_visitors"] == 9
    assert room.ask("PUT", "sites/two.test", key=key, json={"min_visitors": 9}).status_code == 404
    assert room.ask("POST", "keys", key=key, json={"right": "manage"}).status_code == 403
    assert room.ask("POST", "users", key=key, json={"name": "a", "password": "long enough"}).status_code == 403


def test_a_key_to_manage_every_site_may_do_everything(room: Room) -> None:
    """It is what another server's command line uses."""
    key = room.make_key(right="manage", name="ops")
    assert room.ask("POST", "sites", key=key, json={"domain": "x.test"}).status_code == 201
    assert room.ask("GET", "status", key=key).json()["dropped"] == {"bot": 3}


def test_a_key_that_is_made_with_another_belongs_to_its_account(room: Room) -> None:
    """And so ends with that account's access; one of the data directory belongs to none."""
    _, shown = anyio.run(partial(room.keys.create, right="manage", by="anna", user="anna"))
    made = room.ask("POST", "keys", key=shown, json={"right": "manage", "name": "for ever"}).json()
    assert made["user"] == "anna"
    demoted = User(name="anna", password="", role="viewer")
    assert {key.id for key in room.keys.forget_access_of(demoted)} >= {made["id"]}
    assert room.ask("GET", "sites", key=made["key"]).status_code == 401
    room.make_key()
    assert [each["user"] for each in room.ask("GET", "keys").json()["keys"]] == [""]


def test_what_a_key_asks_waits_behind_its_own_account_only(room: Room) -> None:
    """All keys of an account have one lane together, and a key of nobody has its own."""

    async def lane_of_key(user: str) -> Lane:
        _, shown = await room.keys.create(by="anna", user=user)
        headers = [(b"authorization", f"Bearer {shown}".encode())]
        await bearer(room.keys, Request({"type": "http", "headers": headers}))
        return lane_of("one.test", guest=False)

    assert anyio.run(lane_of_key, "anna") == anyio.run(lane_of_key, "anna") == (False, "account anna")
    assert anyio.run(lane_of_key, "") != anyio.run(lane_of_key, "")


def test_keys_of_an_account_have_a_few_requests_at_a_time(room: Room) -> None:
    """Whatever network they come from, until their answers are sent; those of another account wait for none of them,
    and a request has one slot however often it is asked for its key."""

    async def asked() -> list[int]:
        begun, many, go_on = list[str](), asyncio.Semaphore(0), asyncio.Event()

        async def handler(scope: Scope, _: Receive, __: Send) -> None:
            key = await bearer(room.keys, Request(scope))
            await bearer(room.keys, Request(scope))
            begun.append(key.user)
            many.release()
            await go_on.wait()

        async def requested(shown: str) -> None:
            headers = [(b"authorization", f"Bearer {shown}".encode())]
            await KeySlotRelease(handler)({"type": "http", "headers": headers}, unused, unused)

        async def unused(*_: object) -> Any:
            raise AssertionError

        shown = [(await room.keys.create(by=user, user=user))[1] for user in ("anna", "anna", "bo")]
        tasks = [asyncio.create_task(requested(each)) for each in shown for _ in range(OF_ACCOUNT)]
        async with asyncio.timeout(30):
            for _ in range(2 * OF_ACCOUNT):
                await many.acquire()
            counts = [begun.count(user) for user in ("anna", "bo")]
            go_on.set()
            await asyncio.gather(*tasks)
        return [*counts, len(begun)]

    assert asyncio.run(asked()) == [OF_ACCOUNT, OF_ACCOUNT, 3 * OF_ACCOUNT]


def test_a_key_that_is_revoked_while_its_requests_wait_is_refused(room: Room) -> None:
    """Those of an account take turns: what is asked before a key is revoked and begins after it does nothing."""

    class Announced(KeySlots):
        """Slots that say when one is asked for."""

        def __init__(self) -> None:
            super().__init__()
            self.asked = asyncio.Semaphore(0)

        async def acquire(self, scope: Scope, account: str) -> bool:
            self.asked.release()
            return await super().acquire(scope, account)

    async def asked() -> list[str]:
        go_on, outcomes = asyncio.Event(), list[str]()
        slots = room.keys.slots = Announced()

        async def handler(scope: Scope, _: Receive, __: Send) -> None:
            try:
                await bearer(room.keys, Request(scope))
            except ApiError as error:
                outcomes.append(str(error.status.value))
                return
            await go_on.wait()
            outcomes.append("answered")

        async def unused(*_: object) -> Any:
            raise AssertionError

        key, shown = await room.keys.create(by="anna", user="anna")
        headers = [(b"authorization", f"Bearer {shown}".encode())]

        async def requested() -> None:
            await KeySlotRelease(handler)({"type": "http", "headers": headers}, unused, unused)

        async with asyncio.timeout(30):
            tasks = [asyncio.create_task(requested()) for _ in range(OF_ACCOUNT + 1)]
            for _ in tasks:
                await slots.asked.acquire()
            await room.keys.revoke(key.id)
            go_on.set()
            await asyncio.gather(*tasks)
        return outcomes

    assert sorted(asyncio.run(asked())) == ["401", *["answered"] * OF_ACCOUNT]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "users/anna", {"role": "admin"}),
        ("POST", "users", {"name": "anton", "password": "a quiet password", "role": "admin"}),
        ("DELETE", "users/admin", None),
        ("POST", "keys", {"right": "manage"}),
    ],
)
def test_a_key_that_is_revoked_gives_no_access_any_more(
    room: Room, monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: Any
) -> None:
    """Who is demoted loses their keys first: a request that was under way must not make them administrator again, nor
    leave another key behind."""
    anyio.run(room.users.add, User(name="admin", password="", role="admin"))
    anyio.run(room.users.add, User(name="anna", password=""))
    _, shown = anyio.run(partial(room.keys.create, right="manage", by="anna", user="anna"))
    before = room.users.all()
    check = room.keys.check

    async def revoked_then(*given: Any) -> ApiKey | None:
        key = await check(*given)
        assert key is not None
        await room.keys.revoke(key.id)
        return key

    monkeypatch.setattr(room.keys, "check", revoked_then)
    assert room.ask(method, path, key=shown, json=body).status_code == 409
    assert room.users.all() == before
    assert anyio.run(room.keys.all) == []


def test_a_revoked_key_is_refused_at_once(room: Room) -> None:
    """Also by another process: nothing is cached."""
    key = room.make_key(sites=["one.test"])
    assert room.ask("GET", "sites", key=key).status_code == 200
    listed = room.ask("GET", "keys").json()["keys"]
    assert room.ask("DELETE", f"keys/{listed[0]['id']}").json() == {"deleted": True}
    assert room.ask("GET", "sites", key=key).status_code == 401
    assert room.ask("GET", "keys").json() == {"keys": []}


def test_a_key_is_nowhere_at_rest(room: Room) -> None:
    """Neither the table nor the listing holds the key or its secret part; only the answer that made it did."""
    key = room.make_key(sites=["one.test"], name="reports")
    stored = str(room.records.all())
    assert key not in stored
    assert key.rpartition("_")[2] not in stored
    listed = room.ask("GET", "keys")
    assert key not in listed.text
    assert "hash" not in listed.json()["keys"][0]
    assert listed.json()["keys"][0]["name"] == "reports"


def test_the_day_of_last_use_is_noted(room: Room) -> None:
    """So that an owner sees which keys can go."""
    key = room.make_key(sites=["one.test"])
    assert room.ask("GET", "keys").json()["keys"][0]["last_used"] is None
    room.ask("GET", "sites", key=key)
    assert room.ask("GET", "keys").json()["keys"][0]["last_used"] == "2026-03-01"


def test_a_key_has_a_quota_and_answers_tell_it(database: Client) -> None:
    """Standard fields on every answer, 429 with when to come back, and no other key is held up."""
    room = Room(database, quota=3)
    key, other = room.make_key(name="a"), room.make_key(name="b")
    answers = [room.ask("GET", path, key=key) for path in ("sites", "sites/none.test", "sites", "sites", "keys")]
    assert [answer.status_code for answer in answers] == [200, 404, 200, 429, 429]
    assert [answer.headers["RateLimit-Policy"] for answer in answers] == ['"key";q=3;w=3600'] * 5
    left = [re.fullmatch(r'"key";r=(\d);t=\d+', answer.headers["RateLimit"]) for answer in answers]
    assert [each and each[1] for each in left] == ["2", "1", "0", "0", "0"]
    assert 1 <= int(answers[3].headers["Retry-After"]) <= 1200
    assert "Retry-After" not in answers[2].headers
    assert list(answers[3].json()["errors"]) == ["authorization"]
    assert room.ask("GET", "sites", key=other).headers["RateLimit"].startswith('"key";r=2')


def test_strangers_and_the_operator_have_no_quota(database: Client) -> None:
    """A wrong key is refused as often as it comes; the key of the data directory is never held up."""
    room = Room(database, quota=1)
    for _ in range(3):
        assert room.ask("GET", "sites", key=UNKNOWN).status_code == 401
        answer = room.ask("GET", "sites")
        assert answer.status_code == 200
        assert "RateLimit" not in answer.headers


class CountedKeys(DocumentTable[ApiKey]):
    """The keys, and how many were looked up."""

    lookups = 0

    def get(self, id_: str) -> ApiKey | None:
        """As the table does."""
        self.lookups += 1
        return super().get(id_)


def test_unknown_keys_are_looked_up_a_few_times_a_minute(database: Client) -> None:
    """Then the network has to wait, but for keys that were good before. What has no key's form costs no lookup."""
    room = Room(database)
    good, unused = (room.make_key() for _ in range(2))
    counted = CountedKeys(database, "api_keys", ApiKey)
    room.keys._records = counted
    assert room.ask("GET", "sites", key=good).status_code == 200
    counted.lookups = 0
    for wrong in ("tyst_0000", "tyst_00000000_", f"tyst_../etc/_{'x' * 43}", "x" * 10_000) * UNKNOWN_KEYS:
        assert room.ask("GET", "sites", key=wrong).status_code == 401
    assert counted.lookups == 0
    answers = [room.ask("GET", "sites", key=f"{UNKNOWN[:-3]}{number:03}") for number in range(UNKNOWN_KEYS + 20)]
    assert [answer.status_code for answer in answers[-21:]] == [401] + [429] * 20
    assert counted.lookups == UNKNOWN_KEYS
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert room.ask("GET", "sites", key=good).status_code == 200
    assert room.ask("GET", "sites").status_code == 200
    assert room.ask("GET", "sites", key=unused).status_code == 429
    elsewhere = ("198.51.100.7", 1234)
    room.transport = httpx.ASGITransport(room.transport.app, client=elsewhere)
    assert room.ask("GET", "sites", key=unused).status_code == 200


def test_a_revoked_key_is_an_unknown_one(database: Client) -> None:
    """Whoever goes on to use it has as many attempts."""
    room = Room(database)
    made = room.ask("POST", "keys", json={"name": "former"}).json()
    assert room.ask("GET", "sites", key=made["key"]).status_code == 200
    assert room.ask("DELETE", f"keys/{made['id']}").status_code == 200
    answers = [room.ask("GET", "sites", key=made["key"]).status_code for _ in range(UNKNOWN_KEYS + 20)]
    assert answers[0] == 401
    assert answers[-10:] == [429] * 10


class StuckKeys(DocumentTable[ApiKey]):
    """The keys, of which one is looked for until `go_on`: an unknown one, unless `stuck` is the id of another."""

    stuck = UNKNOWN[5:13]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.go_on = threading.Event()

    def get(self, id_: str) -> ApiKey | None:
        """As the table does."""
        if id_ == self.stuck:
            self.go_on.wait()
        return super().get(id_)


def test_a_key_that_is_used_without_end_keeps_nobody_waiting(database: Client) -> None:
    """Also beyond its quota it is looked up each time, but beside all that takes a thread."""
    room = Room(database)
    good, stuck = room.make_key(), StuckKeys(database, "api_keys", ApiKey)
    room.keys._records = stuck
    assert room.ask("GET", "sites", key=good).status_code == 200
    stuck.stuck = good[5:13]

    async def asked() -> None:
        waiting = [asyncio.create_task(room.keys.authenticate(good, {"type": "http"})) for _ in range(100)]
        try:
            async with asyncio.timeout(10):
                await asyncio.sleep(0)
                assert await anyio.to_thread.run_sync(lambda: True)
        finally:
            stuck.go_on.set()
        assert all(await asyncio.gather(*waiting))

    asyncio.run(asked())


def test_unknown_keys_of_many_networks_keep_nobody_waiting(database: Client) -> None:
    """One client may have thousands (IPv6): a few of their keys are looked up at a time, beside all that takes a
    thread, and beside keys that were good before."""
    room = Room(database)
    good, stuck = room.make_key(), StuckKeys(database, "api_keys", ApiKey)
    room.keys._records = stuck
    assert room.ask("GET", "sites", key=good).status_code == 200

    async def asked() -> None:
        scopes = [{"type": "http", "client": (f"192.0.2.{number}", 1)} for number in range(100)]
        waiting = [asyncio.create_task(room.keys.authenticate(UNKNOWN, scope)) for scope in scopes]
        try:
            async with asyncio.timeout(10):
                await asyncio.sleep(0)
                assert await room.keys.authenticate(good, scopes[0]) is not None
        finally:
            stuck.go_on.set()
        assert await asyncio.gather(*waiting) == [None] * len(scopes)

    asyncio.run(asked())


@long
def test_a_good_key_counts_as_no_attempt(database: Client) -> None:
    """However many different ones come from a network."""
    room = Room(database)
    for key in [room.make_key() for _ in range(UNKNOWN_KEYS + 1)]:
        assert room.ask("GET", "sites", key=key).status_code == 200


def test_pages_of_other_origins_cannot_read_the_api(room: Room) -> None:
    """No answer allows it, and what a browser asks beforehand is refused."""
    ask = {"Origin": "https://evil.test", "Access-Control-Request-Method": "GET"}
    for method, status in (("GET", 200), ("OPTIONS", 405)):
        answer = room.send(method, "sites", f"Bearer {ADMIN}", extra=ask)
        assert answer.status_code == status
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_one_wrong_letter_is_a_wrong_key(room: Room) -> None:
    """The whole key counts, not its public part."""
    key = room.make_key(sites=["one.test"])
    assert anyio.run(room.keys.check, key) is not None
    for position in (5, 20, len(key) - 1):
        letter = "0" if key[position] != "0" else "1"
        assert anyio.run(room.keys.check, key[:position] + letter + key[position + 1 :]) is None
    assert anyio.run(room.keys.check, "") is None


def test_two_factor_is_reset_and_sessions_end(room: Room) -> None:
    """By the operator, for somebody else; each is noted."""
    room.ask("POST", "users", json={"name": "ada", "password": "difference engine"})

    async def set_up() -> None:
        ada = room.users.get("ada")
        assert ada is not None
        setup = room.two_factor.begin(ada)
        await room.two_factor.turn_on(ada, setup, pyotp.TOTP(setup.key).now())
        changed = room.users.get("ada")
        assert changed is not None
        request = Request({"type": "http", "scheme": "https", "path": "/login", "headers": []})
        await room.sessions.start(request, Response(), changed)

    anyio.run(set_up)
    ada = room.users.get("ada")
    assert ada is not None
    assert len(room.sessions.of(ada)) == 1
    assert room.ask("GET", "users").json()["users"][0]["two_factor"] is True
    assert room.ask("DELETE", "users/ada/two-factor").json() == {"deleted": True}
    assert room.ask("GET", "users").json()["users"][0]["two_factor"] is False
    assert room.ask("DELETE", "users/ada/sessions").status_code == 200
    assert room.sessions.of(ada) == []
    assert room.ask("DELETE", "users/nobody/sessions").status_code == 404


def test_a_user_is_added_changed_and_removed(room: Room) -> None:
    """The password is kept as an argon2 hash and never shown."""
    room.ask("POST", "users", json={"name": "boss", "password": "correct horse", "role": "admin"})
    body = {"name": "ada", "password": "difference engine", "sites": ["one.test"]}
    made = room.ask("POST", "users", json=body)
    assert made.json() == {"name": "ada", "role": "viewer", "sites": ["one.test"], "roles": {}, "two_factor": False}
    ada = room.users.get("ada")
    assert ada is not None
    assert ada.password.startswith("$argon2id$")
    assert (
        room.ask("PUT", "users/ada", json={"password": "analytical engine", "role": "owner"}).json()["role"] == "owner"
    )
    ada = room.users.get("ada")
    assert ada is not None
    assert anyio.run(room.passwords.matches, ada.password, "analytical engine")
    assert not anyio.run(room.passwords.matches, ada.password, "difference engine")
    assert ada.sites == (room.site("one.test").id,)
    assert room.ask("DELETE", "users/ada").json() == {"deleted": True}
    assert [user["name"] for user in room.ask("GET", "users").json()["users"]] == ["boss"]


@pytest.mark.parametrize(("method", "body"), [("DELETE", None), ("PUT", {"role": "viewer"})])
def test_the_only_administrator_stays(room: Room, method: str, body: Any) -> None:
    """Nobody can lock everybody out."""
    room.ask("POST", "users", json={"name": "boss", "password": "correct horse", "role": "admin"})
    answer = room.ask(method, "users/boss", **({"json": body} if body else {}))
    assert answer.status_code == 400
    assert "only administrator" in answer.json()["error"]


def test_the_status_is_told_in_words(room: Room) -> None:
    """Checks with what was found, and the counts since the start."""
    assert room.ask("GET", "status").json() == {
        "version": "0.1.0",
        "started": 1,
        "now": 2,
        "checks": [{"name": "spool", "state": "ok", "found": "0 events wait", "advice": "", "code": ""}],
        "dropped": {"bot": 3},
        "accepted": 4,
    }


def test_the_key_of_the_data_directory_is_its_owners(tmp_path: Path) -> None:
    """Made once, readable by nobody else, and the same for every worker."""
    made = admin_key(tmp_path / "new")
    assert admin_key(tmp_path / "new") == made
    assert len(made) > 40
    assert stat.S_IMODE((tmp_path / "new" / "admin.key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["admin.key"]
    # As a power failure may leave it: nobody may have an empty key, or one that anybody knows.
    (tmp_path / "new" / "admin.key").write_text("")
    again = admin_key(tmp_path / "new")
    assert again not in ("", made)
    assert admin_key(tmp_path / "new") == again
    assert stat.S_IMODE((tmp_path / "new" / "admin.key").stat().st_mode) == 0o600


def test_a_site_is_renamed_reset_and_deleted_with_its_figures(room: Room) -> None:
    """Each is done by the server in its own time; who asked, with which key, is in the list of changes."""
    assert room.ask("PUT", "sites/one.test", json={"domain": "new.test"}).json()["domain"] == "new.test"
    assert room.sites.get("one.test") is None
    assert room.deletions.run_pending()
    assert room.ask("POST", "sites/new.test/reset").json() == {"deleted": True, "events": 0}
    assert room.deletions.run_pending()
    key, site = room.make_key(right="manage", name="robot"), room.site("new.test")
    assert room.ask("DELETE", "sites/new.test", key=key).json() == {"deleted": True}
    assert room.deletions.run_pending()
    noted = anyio.run(AuditLog(room.records._client, room.sites, time.time).of, site)
    assert [each.what for each in noted] == ["Site deleted", "Statistics reset", "Site renamed", "Site added"]
    assert noted[0].who.endswith("(robot)")
    assert noted[1].who == "command line"


@pytest.mark.parametrize("name", [None, 7, ["new.test"], True])
def test_a_name_that_is_no_text_renames_nothing(room: Room, name: object) -> None:
    """Least of all to the word for nothing."""
    answer = room.ask("PUT", "sites/one.test", json={"domain": name})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["domain"])
    assert room.sites.get("one.test")


def test_a_key_for_one_site_does_not_rename_it(room: Room) -> None:
    """It would take itself and others the way in. What is refused in part is refused as a whole."""
    key = room.make_key(right="manage", sites=["one.test"])
    assert room.ask("PUT", "sites/one.test", key=key, json={"domain": "new.test"}).status_code == 403
    before = room.site("one.test")
    for change in ({"min_visitors": 9, "domain": "new.test"}, {"public": True, "timezone": "Nowhere/Land"}):
        assert room.ask("PUT", "sites/one.test", key=key, json=change).status_code in (400, 403)
        assert room.site("one.test") == before
    assert room.sites.get("one.test")


def test_keys_of_one_maker_are_bounded(room: Room) -> None:
    """Two hundred that are good at a time, for each who makes them."""
    assert ApiKeys.max_of_maker == 200
    room.keys.max_of_maker = 2
    first = room.ask("POST", "keys", json={"right": "manage"}).json()
    assert room.ask("POST", "keys", json={"expires": str(TODAY)}).status_code == 201
    answer = room.ask("POST", "keys", json={})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["name"])
    assert room.ask("POST", "keys", key=first["key"], json={}).status_code == 201
    assert room.ask("DELETE", f"keys/{first['id']}").status_code == 200
    assert room.ask("POST", "keys", json={}).status_code == 201
