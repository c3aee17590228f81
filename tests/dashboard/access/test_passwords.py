"""Signing in costs a bounded amount of memory, however many try at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx
import pytest
from argon2 import PasswordHasher
from clickhouse_connect.driver.client import Client

from collector.storage.client import ClickHouse
from dashboard.access.passwords import CONCURRENT_HASHES, MAX_WAITING, HashingBusy, Passwords
from tests.board import BASE, PASSWORD, Board, opened_board


class Counted(PasswordHasher):
    """Counts how many hashes are made at once, and lets none end before it may."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.lock, self.open = threading.Lock(), threading.Event()
        self.now = self.most = 0

    def verify(self, _hash: str | bytes, _password: str | bytes) -> bool:  # type: ignore[override] # takes two
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.open.wait()
        with self.lock:
            self.now -= 1
        return True


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """A dashboard with the user `admin`."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        yield opened


def test_a_few_passwords_are_hashed_at_once_and_a_bounded_number_waits() -> None:
    """Whoever comes beyond is told to come back, before any memory is taken."""
    hasher = Counted()
    passwords = Passwords(hasher)
    refused = []

    async def check() -> None:
        try:
            assert await passwords.matches("hash", PASSWORD)
        except HashingBusy:
            refused.append(True)
            hasher.open.set()

    async def many() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(CONCURRENT_HASHES + MAX_WAITING + 5):
                group.start_soon(check)

    anyio.run(many)
    assert len(refused) == 5
    assert hasher.most <= CONCURRENT_HASHES
    assert anyio.run(passwords.matches, "hash", PASSWORD)


def test_a_sign_in_beyond_the_queue_is_refused_and_not_counted(board: Board) -> None:
    """503 with the time to wait; the attempt does not count as a wrong password."""
    passwords = board.dashboard.passwords
    object.__setattr__(passwords, "_max_taken", 0)
    for _ in range(30):
        refused = board.sign_in()
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert "Try again in a few seconds" in refused.text
    object.__setattr__(passwords, "_max_taken", 1)
    assert board.sign_in().status_code == 303


@pytest.mark.parametrize("path", ["/account", "/users"])
def test_other_forms_that_hash_are_refused_likewise(board: Board, path: str) -> None:
    """A page that says so, with the time to wait, and nothing changed."""
    board.sign_in()
    link = board.post("/users", {"act": "password", "name": "admin"}).text.split("https://tyst.test")[1].split("<")[0]
    object.__setattr__(board.dashboard.passwords, "_max_taken", 0)
    form = {"act": "password", "old": PASSWORD, "password": "another password"}
    answer = board.post(path if path == "/account" else link, form)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


def test_sign_ins_that_are_given_up_leave_the_queue() -> None:
    """A client that goes away makes room for the next."""
    hasher = Counted()
    passwords = Passwords(hasher, concurrent=1, waiting=1)

    async def give_up() -> None:
        for _ in range(5):
            with anyio.move_on_after(0):
                await passwords.matches("hash", PASSWORD)
        hasher.open.set()
        assert await passwords.matches("hash", PASSWORD)

    anyio.run(give_up)


def test_an_unknown_name_takes_a_hash_as_a_known_one_does(board: Board) -> None:
    """So that the time of an answer does not tell who is there."""
    hasher = Counted()
    hasher.open.set()
    object.__setattr__(board.dashboard.passwords, "_hasher", hasher)

    async def sign_in() -> int:
        transport = httpx.ASGITransport(board.app, client=("192.0.2.1", 4321))
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
            form = {"name": "nobody", "password": PASSWORD}
            return (await client.post("/login", data=form)).status_code

    assert anyio.run(sign_in) == 401
    assert hasher.most == 1
