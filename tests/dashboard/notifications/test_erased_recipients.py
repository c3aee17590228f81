"""Addresses of recipients leave the disk with who unsubscribes or is removed, and with their site."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import pytest
from clickhouse_connect.driver.client import Client

from collector.storage.client import ClickHouse
from tests.board import SITE, Board, opened_board
from tests.disk import bytes_below, clean_up_at_once, findable_words


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    for table in ("subscriptions", "channels"):
        clean_up_at_once(database, table)
    with opened_board(clickhouse, database, tmp_path) as opened:
        opened.add_site()
        yield opened


def local_part(address: str) -> bytes:
    """Without its first letter, which may be stored together with what stands before it: `":"m` is in `"shape":"mail"`,
    too."""
    return address.partition("@")[0].encode()[1:]


def held(needles: list[bytes], *directories: Path) -> set[bytes]:
    return {needle for _, data in bytes_below(*directories) for needle in needles if needle in data}


def test_they_leave_the_disk(board: Board, clickhouse: ClickHouse, tmp_path: Path) -> None:
    """By the link of a mail, by an owner's button, and with the site."""
    notifications = board.dashboard.notifications
    names = [f"{word}@example.com" for word in findable_words(4)]
    board.sign_in()
    reports, alerts = f"/{SITE}/reports", f"/{SITE}/alerts"
    for name in names[:2]:
        board.post(reports, {"act": "add", "address": name, "frequency": "weekly", "language": "en"})
    for name in names[2:]:
        board.post(alerts, {"act": "add_channel", "shape": "mail", "target": name, "language": "en"})
    places = (Path(urlsplit(clickhouse.dsn).path), tmp_path)
    # Of what all of them have a merged part may hold one.
    needles = [local_part(name) for name in names]
    become({*needles}, needles, *places)
    first = notifications.subscriptions.of(board.site())[0]
    board.post(f"/unsubscribe/{notifications.subscriptions.token(first)}", {})
    channel = notifications.channels.of(board.site().id)[0]
    board.post(alerts, {"act": "remove_channel", "id": channel.id})
    gone = [local_part(first.address), local_part(channel.name)]
    become({*needles} - {*gone}, needles, *places)
    anyio.run(anyio.to_thread.run_sync, notifications.forget_site, board.site().id)
    become(set(), needles, *places)


def become(expected: set[bytes], needles: list[bytes], *places: Path) -> None:
    """Wait until these of the needles are in files, and no other. A part that is merged while files are read may be
    in none of those that are found, and where many tests have left files, reading them may take most of a minute."""
    deadline, looks = time.monotonic() + 60, 1
    while (found := held(needles, *places)) != expected:
        assert looks < 5 or time.monotonic() < deadline, found
        looks += 1
        time.sleep(0.2)
