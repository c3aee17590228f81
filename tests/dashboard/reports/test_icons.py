"""Icons beside values: each is a file of the build, a value without one has the general one, and none is elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from collector.storage.client import ClickHouse
from dashboard.reports.icons import icon
from dashboard.web.static_files import STATIC, Assets
from tests.board import SITE, Board, opened_board, pageview

TABLE = json.loads((Path(__file__).parents[3] / "dashboard/data/icons.json").read_text())


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """A dashboard with one site, its admin signed in."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        opened.add_site(SITE, min_visitors=1)
        opened.sign_in()
        yield opened


def test_every_icon_of_the_table_was_built() -> None:
    """And no other: only what is used is shipped."""
    files = {f"vendor/icons/{path.name}" for path in (STATIC / "vendor/icons").iterdir()}
    assert {icon(dimension, value) for dimension, values in TABLE.items() for value in values} == files


def test_countries_have_flags() -> None:
    """Those that visitors come from most, and a general icon for what is no country."""
    assets = Assets()
    for code in ("SE", "DE", "US", "GB", "IN", "BR", "JP", "XK"):
        assert icon("visit:country", code) in assets
    assert icon("visit:country", "") == icon("visit:country", "(not set)") == "vendor/icons/globe2.svg"


def test_a_dimension_without_icons_has_none() -> None:
    """Such as pages."""
    assert icon("event:page", "/") == ""


def test_a_row_has_its_icon_and_an_unknown_one_the_general(board: Board) -> None:
    """Even for a code that no country has; all are of this server, and decoration to a screen reader."""
    board.seed(
        [
            pageview(1, source="Google", country="SE", browser="Firefox"),
            pageview(2, source="quiet.example", country="ZZ", browser="Nobody’s Own"),
        ]
    )
    images = [given for name, given in board.page(f"/{SITE}?period=day").elements if name == "img"]
    names = [given["src"].rpartition("/")[2] for given in images]
    assert {"google.svg", "globe2.svg", "SE.svg", "firefoxbrowser.svg", "window.svg"} <= set(names)
    for given in images:
        assert given["src"].startswith("/static/")
        assert given["alt"] == ""
        assert board.get(given["src"]).headers["content-type"] == "image/svg+xml"


def test_their_licences_are_shipped_with_them() -> None:
    """Each package by name, with the text of its licence."""
    text = (STATIC / "vendor/LICENSES.txt").read_text()
    for name in ("bootstrap-icons", "country-flag-icons", "simple-icons"):
        assert f"{name} " in text


def test_a_page_opens_from_its_row(board: Board) -> None:
    """In a new tab that learns nothing of the dashboard; not one whose path was stored without a part."""
    board.seed([pageview(1, "/a b/?page=2"), pageview(2, "/orders/:number")])
    page = board.page(f"/{SITE}?period=day")
    links = [given for name, given in page.elements if name == "a" and given.get("class") == "open"]
    assert [given["href"] for given in links] == [f"https://{SITE}/a%20b/?page=2"]
    assert (links[0]["rel"], links[0]["target"]) == ("noopener noreferrer", "_blank")
