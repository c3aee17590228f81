"""The import page of a site: check first, confirm, remove; and what the dashboard says of imported days."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from clickhouse_connect.driver.client import Client
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

from collector.storage.client import ClickHouse
from dashboard.web.app_context import read_form
from tests.board import SITE, Board, opened_board

SAMPLES = Path(__file__).parents[2] / "fixtures" / "imports"
EXPORT = SAMPLES / "plausible" / "example_com_20260115.zip"
JANUARY = "period=custom&from=2026-01-01&to=2026-01-31"


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """A dashboard with a site that has no figures, the admin signed in."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        opened.add_site(SITE)
        opened.sign_in()
        yield opened


def upload(board: Board, path: Path) -> None:
    """Send a file by the form."""
    files = {"file": (path.name, path.read_bytes(), "application/zip")}
    answer = board.ask("POST", f"/{SITE}/imports", files=files, headers={"sec-fetch-site": "same-origin"})
    assert answer.status_code in (303, 200), answer.text


def act(board: Board, what: str) -> None:
    """Press the first button of that kind."""
    text = board.get(f"/{SITE}/imports").text
    (id_, *_) = re.findall(r'name="id" value="([0-9a-f]{16})"', text)
    board.post(f"/{SITE}/imports", {"id": id_, "act": what})


def test_files_are_checked_confirmed_and_removed(board: Board) -> None:
    """Nothing counts before it is confirmed; what is removed counts no more."""
    upload(board, EXPORT)
    page = board.get(f"/{SITE}/imports").text
    assert "Check before importing: example_com_20260115.zip" in page
    assert "Read 57 rows: 56 accepted, 1 left out." in page
    assert "imported_custom_events_20260112_20260114.csv:3" in page
    assert "Import 3 days" in page
    assert board.database.query("SELECT count() FROM daily_status").result_rows == [(0,)]
    act(board, "confirm")
    page = board.get(f"/{SITE}/imports").text
    assert "3 days in the dashboard" in page
    assert "Check before importing" not in page
    act(board, "remove")
    assert "Nothing has been imported yet." in board.get(f"/{SITE}/imports").text
    board.dashboard.imports.delete_removed()
    assert board.database.query("SELECT count() FROM daily_rollup").result_rows == [(0,)]
    changes = board.get(f"/{SITE}/changes").text
    assert "Data imported" in changes
    assert "Imported data removed" in changes
    assert "12–14 Jan 2026" in changes


def test_a_form_in_place_of_files_has_to_arrive_in_time() -> None:
    """Bodies of this page are not read before the view, as files are large: of a form it is the view that waits."""

    async def receive() -> Message:
        await anyio.sleep(0.02)
        return {"type": "http.request", "body": b"a", "more_body": True}

    async def read() -> None:
        with anyio.fail_after(30):
            await read_form(Request({"type": "http", "method": "POST", "headers": []}, receive), seconds=0.2)

    with pytest.raises(HTTPException) as refused:
        anyio.run(read)
    assert refused.value.status_code == 408


@pytest.mark.parametrize("fields", [{str(number): "x" for number in range(21)}, {"x": ["x"] * 21}])
def test_a_form_has_few_fields(board: Board, fields: dict[str, Any]) -> None:
    """They are kept in memory until the first file begins, however long that takes."""
    answer = board.ask(
        "POST",
        f"/{SITE}/imports",
        data=fields,
        files={"file": ("a.csv", b"")},
        headers={"sec-fetch-site": "same-origin"},
    )
    assert (answer.status_code, "Enter at most 20 fields" in answer.text) == (422, True)


def test_a_file_that_is_refused_says_which_one_to_take(board: Board) -> None:
    """On the page that it was sent from."""
    (wrong,) = (SAMPLES / "plausible-wrong").glob("*.zip")
    files = {"file": (wrong.name, wrong.read_bytes(), "application/zip")}
    answer = board.ask("POST", f"/{SITE}/imports", files=files, headers={"sec-fetch-site": "same-origin"})
    assert answer.status_code == 422
    assert "Imports &amp; Exports, Export to CSV" in answer.text


def test_the_dashboard_says_what_a_filter_leaves_out(board: Board) -> None:
    """Unfiltered, imported days are in the figures; filtered, the page says how many are not."""
    upload(board, EXPORT)
    act(board, "confirm")
    page = board.get(f"/{SITE}?{JANUARY}").text
    assert "3 days of this period were imported." in page
    assert page.count(" data-imported") == 3
    assert "Hacker News" in page
    filtered = board.get(f"/{SITE}?{JANUARY}&f=is,visit:country,SE").text
    assert "3 imported days are left out (12–14 Jan 2026)" in filtered
    assert filtered.count(" data-imported") == 3
    details = board.get(f"/{SITE}/details/pages?{JANUARY}&f=is,visit:country,SE").text
    assert "3 imported days are left out (12–14 Jan 2026)" in details
    assert "3 days of this period were imported." in board.get(f"/{SITE}/details/pages?{JANUARY}").text
