"""Sections of the settings: saved one by one, or several at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from collector.storage.client import ClickHouse
from tests.board import SITE, Board, opened_board
from tests.markup import read


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """A dashboard with one site, its admin signed in."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        opened.add_site(SITE)
        opened.sign_in()
        yield opened


def test_sections_are_saved_together(board: Board) -> None:
    """A form that names several saves them all, and each says so."""
    form = {"section": "general,notice", "timezone": "Asia/Tokyo", "controller": "Ada", "contact": "", "hosting": ""}
    answer = board.post(f"/{SITE}/settings", form)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/{SITE}/settings?saved=general,notice#general")
    assert (board.site().timezone, board.site().controller) == ("Asia/Tokyo", "Ada")
    assert board.get(answer.headers["location"]).text.count("Saved.") == 2


def test_an_error_in_one_saves_none_and_keeps_what_was_typed(board: Board) -> None:
    """The section with the error is marked; the other's edits are on the page, unsaved."""
    form = {"section": "general,counting", "timezone": "Asia/Tokyo", "excluded_countries": "Sverige"}
    answer = board.post(f"/{SITE}/settings", form)
    assert answer.status_code == 422
    assert board.site().timezone == "UTC"
    page = read(answer.text)
    assert page.attributes(id="timezone", name="timezone")["value"] == "Asia/Tokyo"
    assert answer.text.count("Not saved.") == 1
    unsaved = {given["id"] for name, given in page.elements if name == "form" and "data-unsaved" in given}
    assert unsaved == {"general", "counting"}


@pytest.mark.parametrize(("hidden", "unsaved"), [("", False), ("/team/*", True)])
def test_an_address_that_is_tried_leaves_nothing_unsaved(board: Board, hidden: str, unsaved: bool) -> None:
    """Only what was changed beside it is."""
    form = {"section": "addresses", "hidden_paths": hidden, "tried": f"https://{SITE}/a", "try": "on"}
    page = read(board.post(f"/{SITE}/settings", form).text)
    assert ("Your changes are not saved yet." in page.text) is unsaved
    assert any("data-unsaved" in given for name, given in page.elements if name == "form") is unsaved


@pytest.mark.parametrize("section", ["", "nowhere", "general,nowhere"])
def test_a_section_that_is_not_there_is_refused(board: Board, section: str) -> None:
    """Nothing of the form is saved."""
    assert board.post(f"/{SITE}/settings", {"section": section, "timezone": "Asia/Tokyo"}).status_code == 400
    assert board.site().timezone == "UTC"


def test_ones_own_visits_are_excluded_from_where_one_looks(board: Board) -> None:
    """The settings' filters and the status page lead to the site's switch."""
    for path in ("settings", "status"):
        page = board.page(f"/{SITE}/{path}")
        assert page.link("Exclude my visits") == f"https://{SITE}/#tyst-exclude"


def test_a_changed_policy_needs_another_tag(board: Board) -> None:
    """The page says so where it was changed, and nothing where it was saved as it was."""
    for policy, told in (("limited", True), ("limited", False)):
        answer = board.post(f"/{SITE}/settings", {"section": "consent", "consent": policy})
        page = board.get(answer.headers["location"].partition("#")[0]).text
        assert ("still states the former policy" in page) is told
