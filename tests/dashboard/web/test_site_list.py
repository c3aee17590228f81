"""The list of sites: in what order they come, which are pinned, and what they add up to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from collector.storage.client import ClickHouse
from tests.board import NOON, Board, opened_board, pageview

DAY = 86_400
VISITORS = {"alpha.example": (1, 5), "beta.example": (3, 0), "gamma.example": (2, 1)}
"""Visitors of today, and of the week before the last seven days."""


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """A dashboard with three visited sites, its admin signed in."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        for domain, (today, before) in VISITORS.items():
            opened.add_site(domain, min_visitors=1)
            opened.seed([pageview(number, site=domain) for number in range(1, today + 1)])
            earlier = NOON - 8 * DAY
            opened.seed([pageview(number, at=earlier, site=domain) for number in range(1, before + 1)])
        opened.clock.now = NOON + 60
        opened.sign_in()
        yield opened


def order(board: Board, query: str = "") -> list[str]:
    """The sites' names as they stand in the list."""
    return re.findall(r'class="cover" href="/([^"]+)"', board.get(f"/{query}").text)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["alpha", "beta", "gamma"]),
        ("?sort=today", ["beta", "gamma", "alpha"]),
        ("?sort=week", ["beta", "gamma", "alpha"]),
        ("?sort=change", ["gamma", "beta", "alpha"]),
        ("?sort=nonsense", ["alpha", "beta", "gamma"]),
        ("?sort=today&q=a.ex", ["beta", "gamma", "alpha"]),
        ("?q=gam", ["gamma"]),
    ],
)
def test_sites_come_in_the_order_that_is_asked_for(board: Board, query: str, names: list[str]) -> None:
    """By name, by visitors, by growth; also among those that were searched."""
    assert [domain.removesuffix(".example") for domain in order(board, query)] == names


def test_numbers_in_names_are_sorted_by_their_value(board: Board) -> None:
    """As people count."""
    for domain in ("shop-10.example", "shop-2.example"):
        board.add_site(domain)
    assert order(board, "?q=shop") == ["shop-2.example", "shop-10.example"]


def test_they_are_added_up(board: Board) -> None:
    """Visitors of today and of seven days, of all that were found."""
    assert "3 sites · 6 visitors today · 6 in the last 7 days" in board.page("/").text
    assert "1 site · 2 visitors today" in board.page("/?q=gamma").text


def test_of_a_strict_site_the_sum_has_what_its_card_tells(board: Board) -> None:
    """Of too few visitors nothing, as of none."""
    board.add_site("quiet.example", min_visitors=5, strict=True)
    nobody = board.page("/").text
    board.seed([pageview(number, site="quiet.example") for number in (1, 2)])
    assert "4 sites · 6 visitors today" in board.page("/").text
    assert board.page("/").text == nobody


def test_a_pinned_site_comes_first(board: Board) -> None:
    """Until it is pressed again; the order of the others stays, and it is this user's alone."""
    answer = board.post("/", {"site": "gamma.example", "sort": "today"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/?sort=today")
    assert order(board)[0] == "gamma.example"
    assert order(board, "?sort=today") == ["gamma.example", "beta.example", "alpha.example"]
    board.add_user("vera", "viewer", *VISITORS)
    board.sign_in("vera")
    assert order(board)[0] == "alpha.example"
    board.sign_in()
    board.post("/", {"site": "gamma.example"})
    assert order(board)[0] == "alpha.example"


def test_only_sites_that_one_sees_can_be_pinned(board: Board) -> None:
    """Another is answered like one that does not exist."""
    board.add_user("vera", "viewer", "alpha.example")
    board.sign_in("vera")
    assert board.post("/", {"site": "beta.example"}).status_code == 404
    assert board.post("/", {"site": "nowhere.example"}).status_code == 404
    assert board.post("/", {"site": "alpha.example"}).status_code == 303
