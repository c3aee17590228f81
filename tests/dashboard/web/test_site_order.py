"""The menu of other sites beside a site's name."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from starlette.applications import Starlette

from collector.storage.client import ClickHouse
from dashboard.access.users import User
from dashboard.server.error_handlers import error_handlers
from dashboard.web.routes import routes
from dashboard.web.site_order import MOST_SWITCHED, other_sites
from dashboard.web.static_files import Assets
from dashboard.web.templating import Pages
from tests.board import SITE, Board, opened_board


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """A dashboard whose pages know all sites."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        pages = Pages(Assets(), sites=opened.dashboard.sites.all)
        opened.dashboard = dataclasses.replace(opened.dashboard, pages=pages)
        opened.app = Starlette(routes=routes(opened.dashboard), exception_handlers=error_handlers(opened.dashboard))
        opened.add_site(SITE)
        yield opened


def offered(board: Board, path: str) -> list[str]:
    """Addresses in the menu."""
    text = board.get(path).text
    found = re.search(r'<details class="menu site-menu">(.*?)</details>', text, re.S)
    return re.findall(r'href="([^"]*)"', found[1]) if found else []


def test_the_menu_has_the_sites_that_one_sees(board: Board) -> None:
    """By name, the pinned ones first; without others there is no menu."""
    board.add_user("anna", "viewer", SITE)
    board.sign_in("anna")
    board.add_site("shop-10.test")
    assert offered(board, f"/{SITE}") == []
    board.sign_in()
    board.add_site("shop-2.test")
    assert offered(board, f"/{SITE}") == ["/shop-2.test", "/shop-10.test", "/"]
    assert offered(board, "/shop-2.test/funnels") == [f"/{SITE}", "/shop-10.test", "/"]
    board.post("/", {"site": "shop-10.test"})
    assert offered(board, f"/{SITE}") == ["/shop-10.test", "/shop-2.test", "/"]


def test_guests_are_told_of_no_other_site(board: Board) -> None:
    """A public page names its own site alone."""
    board.add_site("public.test", public=True)
    page = board.get("/public.test")
    assert page.status_code == 200
    assert SITE not in page.text


def test_the_menu_is_short(board: Board) -> None:
    """Whoever has many sites finds the rest in the list."""
    for number in range(MOST_SWITCHED + 3):
        board.add_site(f"site-{number}.test")
    admin = User(name="admin", password="", role="admin")
    others = other_sites(board.dashboard.sites.all(), admin, board.site())
    assert [site.domain for site in others] == [f"site-{number}.test" for number in range(MOST_SWITCHED)]
