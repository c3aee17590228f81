"""No name and no stored text holds characters that hide, or that turn what is beside them around."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import httpx
import pytest
from clickhouse_connect.driver.client import Client

from collector.core.text import has_hidden, is_one_line, with_hidden_shown, without_hidden
from collector.enrichment.urls import clean_path
from collector.ingest.payload import parse_beacon
from collector.storage.client import ClickHouse
from tests.board import SITE, Board, opened_board
from tests.dashboard.api.test_management import Room

# Override, embedding, isolate, marks, zero width, word joiner, byte order mark, soft hyphen, tag, annotation, line and
# paragraph separators, C0 and C1 controls.
HIDDEN = (
    "\u202e", "\u202a", "\u2066", "\u2069", "\u200e", "\u200f", "\u061c", "\u200b", "\u2060", "\ufeff", "\u00ad",
    "\U000e0041", "\ufff9", "\u2028", "\u2029", "\x00", "\x1b", "\x7f", "\x9b",
)  # fmt: skip
SHOWN = ("Ångström", "日本語", "می\u200cخواهم", "👩\u200d💻", "❤\ufe0f", "x y", "naïve", "Ωμέγα", "🫨")


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """One site, and its administrator signed in."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        opened.add_site()
        opened.sign_in()
        yield opened


@pytest.mark.parametrize("hidden", HIDDEN, ids=ascii)
def test_what_hides_is_found_and_left_out(hidden: str) -> None:
    """Alone, and in the middle of what is seen."""
    assert has_hidden(f"a{hidden}b")
    assert without_hidden(f"a{hidden}b") == "ab"
    assert with_hidden_shown(f"a\n{hidden}b").isascii()
    assert with_hidden_shown(f"a\n{hidden}b").replace("\n", "").isprintable()
    assert not is_one_line(f"a{hidden}b", 10)
    assert not is_one_line(hidden, 10)


@pytest.mark.parametrize("text", SHOWN)
def test_writing_of_all_kinds_is_as_it_was(text: str) -> None:
    """Joiners, which scripts and emoji need, variation selectors, and letters of every script."""
    assert not has_hidden(text)
    assert without_hidden(text) == with_hidden_shown(text) == text
    assert is_one_line(text, 10)


@pytest.mark.parametrize("hidden", HIDDEN, ids=ascii)
def test_events_are_stored_without_it(hidden: str) -> None:
    """Names, keys and values of properties, and paths, however the beacon is written."""
    for props in ({f"k{hidden}ey": f"v{hidden}alue"}, {f"k{hidden}ey": f"v{hidden}alue", "odd": [1]}):
        body = {"n": f"na{hidden}me", "u": "https://a.test/", "d": "a.test", "p": props}
        beacon = parse_beacon(json.dumps(body).encode())
        assert (beacon.name, beacon.props["key"]) == ("name", "value")
    assert clean_path(f"/a{hidden}b") == "/ab"


Enter = Callable[[Board, str], httpx.Response]
FORMS: dict[str, Enter] = {
    "site": lambda board, text: board.post("/sites/new", {"domain": f"a{text}b.test", "timezone": "UTC"}),
    "new name": lambda board, text: board.post(f"/{SITE}/data", {"act": "rename", "domain": f"a{text}b.test"}),
    "controller": lambda board, text: board.post(
        f"/{SITE}/settings", {"section": "notice", "controller": f"Ada{text}Ltd", "contact": "", "hosting": ""}
    ),
    "goal": lambda board, text: board.post(
        f"/{SITE}/goals", {"act": "save", "kind": "event", "match": "Signup", "name": f"Sign{text}up"}
    ),
    "segment": lambda board, text: board.post(
        f"/{SITE}/segments",
        {"act": "save", "back": f"/{SITE}?f=is%2Cvisit%3Acountry%2CSE", "name": f"Swe{text}des"},
    ),
    "note": lambda board, text: board.post(f"/{SITE}/notes", {"date": "2026-05-19", "text": f"Sa{text}le"}),
    "link": lambda board, text: board.post(f"/{SITE}/sharing", {"name": f"A{text}da"}),
    "invitation": lambda board, text: board.post(
        f"/{SITE}/people", {"act": "invite", "role": "viewer", "note": f"A{text}da"}
    ),
}


@pytest.mark.parametrize("what", FORMS)
@pytest.mark.parametrize("hidden", ["\u202e", "\u2066", "\u200b", "\x1b"], ids=ascii)
def test_no_name_is_entered_with_it(board: Board, what: str, hidden: str) -> None:
    """Whatever form takes a name refuses it, beside the field."""
    assert FORMS[what](board, hidden).status_code == 422


@pytest.mark.parametrize("hidden", ["\u202e", "\u200b", "\u200d", "\x1b", "\u3164", "\ufe0f", "\U000e0100"], ids=ascii)
def test_no_user_and_no_key_is_named_with_it(database: Client, hidden: str) -> None:
    """A user's name must be plain to see: not even joiners, fillers and variation selectors are in it."""
    room = Room(database)
    user = {"name": f"ad{hidden}min", "password": "long enough"}
    assert room.ask("POST", "users", json=user).status_code == 400
    status = room.ask("POST", "keys", json={"name": f"re{hidden}ports"}).status_code
    assert status == (201 if hidden in "\u200d\u3164\ufe0f\U000e0100" else 400)
    assert room.ask("POST", "keys", json={"name": hidden}).status_code == 400


def test_an_invitation_s_link_takes_no_such_name(board: Board) -> None:
    """The account is not made, and the link is still good."""
    made = board.post(f"/{SITE}/people", {"act": "invite", "role": "viewer"}).text
    path = made.split("https://tyst.test")[1].split("<")[0]
    board.cookies = httpx.Cookies()
    assert board.post(path, {"name": "ad\u202emin", "password": "long enough"}).status_code == 422
    assert board.post(path, {"name": "ida", "password": "long enough"}).status_code == 303
    assert anyio.run(board.dashboard.changes.all)[0].who == "ida"
