"""Exports that their client does not read, or leaves: nobody else waits for them."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator

import httpx
import pytest

from tests.length import by_length
from tests.served import PASSWORD, Served, served, until

DOMAIN = "demo.localhost"
EVENTS = f"/api/v1/sites/{DOMAIN}/export/events"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The demonstration, whose events are more than a socket's buffers hold."""
    with served(tmp_path_factory.mktemp("exports"), "demo", "--events", "40000", "--days", "4") as running:
        yield running


@contextlib.contextmanager
def unread(server: Served, path: str, key: str = "") -> Iterator[None]:
    """A client that has read the head of an export, and goes without the rest."""
    url = httpx.URL(server.url)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.settimeout(30)
        client.connect((url.host, url.port))
        head = f"GET {path} HTTP/1.1\r\nHost: {url.host}\r\nAuthorization: Bearer {key or server.key}\r\n\r\n"
        client.sendall(head.encode())
        assert client.recv(64).startswith(b"HTTP/1.1 200 ")
        yield


def change_and_sign_in(server: Served, days: int) -> None:
    """What needs the connection that writes."""
    server.api("PUT", f"/api/v1/sites/{DOMAIN}", {"retention_days": days})
    form = {"name": "admin", "password": PASSWORD}
    answer = server.http.post("/login", data=form, headers={"sec-fetch-site": "same-origin"})
    assert answer.status_code == 303


def exported(server: Served, path: str, key: str = "") -> httpx.Response:
    """An export that is read at once."""
    return server.http.get(path, headers={"Authorization": f"Bearer {key or server.key}"})


def own_key(server: Served) -> str:
    """A key of the account that is signed in."""
    form = {"act": "create_key", "key_name": "exports", "right": "manage", "site": DOMAIN}
    page = server.http.post("/account", data=form, headers={"sec-fetch-site": "same-origin"}).text
    found = re.search(r"tyst_[0-9a-f]{8}_[\w-]{43}", page)
    assert found is not None
    return found[0]


@pytest.mark.parametrize(
    "path", by_length([EVENTS], [EVENTS, f"{EVENTS}?format=parquet", f"/api/v1/sites/{DOMAIN}/export"])
)
def test_nobody_waits_for_an_export_that_is_not_read(server: Served, path: str) -> None:
    """Not while its connection is open, and not when its client has gone; then there is room for the next."""
    with unread(server, path):
        change_and_sign_in(server, 400)
    change_and_sign_in(server, 500)
    whole = until("the next export", lambda: found if (found := exported(server, path)).status_code == 200 else None)
    assert len(whole.content) > 20_000
    change_and_sign_in(server, 600)


def test_a_key_has_one_export_at_a_time(server: Served) -> None:
    """Each has a connection to the database for as long as it is read."""
    with unread(server, EVENTS):
        answer = exported(server, EVENTS)
    assert (answer.status_code, list(answer.json()["errors"])) == (429, ["authorization"])
    until("the next export", lambda: exported(server, EVENTS).status_code == 200)


def test_an_account_has_one_export_at_a_time(server: Served) -> None:
    """Whichever of its keys asks: with as many as there are exports in all, nobody else would have any."""
    change_and_sign_in(server, 700)
    first, second = own_key(server), own_key(server)
    with unread(server, EVENTS, first):
        assert exported(server, EVENTS, second).status_code == 429
        assert exported(server, EVENTS).status_code == 200
    until("the next export", lambda: exported(server, EVENTS, second).status_code == 200)
