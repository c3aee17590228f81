"""Funnels in the dashboard: built without JavaScript, shown, filtered by, and as a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from collector.core.errors import RecordError
from collector.ingest.event import Event
from collector.sites.goals import Goal
from collector.storage.client import ClickHouse
from dashboard.analytics.funnels import Funnel, FunnelStep
from tests.board import NOON, SITE, Board, opened_board, pageview
from tests.length import long

PEOPLE = {3: 12, 2: 4, 1: 8}
"""How many people reached so many of three pages and no more."""


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """A dashboard with one site under default settings, its owner signed in, and visits of a day."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        opened.add_site(timezone="UTC", goals=(Goal(name="Thanks", kind="page", match="/thanks"),))
        opened.add_user("vera", "viewer", SITE)
        opened.add_user("olle", "owner", SITE)
        opened.seed(list(visits()))
        opened.sign_in("olle")
        yield opened


def visits() -> Iterator[Event]:
    """People who went to the shop, to the cart, and to the end."""
    number = 0
    for steps, people in PEOPLE.items():
        for _ in range(people):
            number += 1
            source = "Google" if number % 2 else ""
            for place, page in enumerate(("/shop", "/cart", "/thanks")[:steps]):
                yield pageview(
                    number, page, ts=NOON - 600 + 60 * place, visit=NOON - 600, seq=place + 1, visits=int(not place),
                    entry_page="/shop", source=source,
                )  # fmt: skip


FORM = {
    "act": "save", "name": "Checkout", "order": "sequential", "window": "visit",
    "kind-1": "page", "match-1": "/shop", "kind-2": "page", "match-2": "/cart", "kind-3": "goal", "match-3": "Thanks",
}  # fmt: skip


def saved(board: Board, **changes: str) -> str:
    """The address of a funnel that was saved with the form."""
    answer = board.post(f"/{SITE}/funnels/edit", FORM | changes)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def test_a_funnel_is_built_and_shown(board: Board) -> None:
    """Each step has its visits, its share of the first and those who left; the table says the same."""
    page = board.page(f"{saved(board)}?period=day")
    for text in ("24 visits", "16 visits", "12 visits", "8 visits dropped off", "4 visits dropped off", "50%"):
        assert text in page.text, text
    assert "Within a visit · In order" in page.text
    assert "2. /cart 16" in page.text
    assert board.page(f"/{SITE}/funnels?period=day").text.count("Checkout") > 0


@long
def test_a_view_has_few_filters_by_funnels(board: Board) -> None:
    """Each is a funnel to be walked, in one statement, for whoever asks."""
    names = [saved(board, name=name) and name for name in ("One", "Two")]
    chips = [f"&f=is,visit:funnel,{step}:{name}" for name in names for step in ("reached:1", "reached:2", "left:1")]
    for page in ("", "/journeys", "/retention"):
        assert board.get(f"/{SITE}{page}?period=day{''.join(chips[:5])}").status_code == 200
        assert board.get(f"/{SITE}{page}?period=day{''.join(chips)}").status_code == 400


def test_a_funnel_of_another_site_cannot_be_replaced(board: Board) -> None:
    """Its id is in the addresses of public dashboards."""
    steps = tuple(FunnelStep(kind="page", match=each) for each in ("/secret", "/paid"))
    other = board.add_site("other.test", public=True)
    theirs = anyio.run(board.dashboard.funnels.add, other, Funnel(name="Theirs", steps=steps))
    assert board.get(f"/other.test/funnels/{theirs.id}").status_code == 200, "as a guest"
    for act in ("save", "delete"):
        answer = board.post(f"/{SITE}/funnels/edit", FORM | {"funnel": theirs.id, "act": act})
        assert answer.status_code in (404, 422)
        assert "Theirs" not in answer.text
    assert board.dashboard.funnels.of(other) == [theirs]
    assert "Theirs" not in board.get(f"/{SITE}/changes").text


def test_steps_lead_to_the_dashboard_of_those_who_took_them(board: Board) -> None:
    """Who reached a step, and who left at it, are as many there."""
    page = board.page(f"{saved(board)}?period=day")
    reached = next(link.href for link in page.links if link.text.startswith("/cart"))
    left = next(link.href for link in page.links if link.text == "8 visits dropped off")
    assert "reached:2:Checkout" in reached
    assert "Visits 16" in board.page(reached).text
    assert "Checkout: reached step 2" in board.page(reached).text
    assert "Visits 8" in board.page(left).text


def test_the_form_works_without_javascript(board: Board) -> None:
    """Steps are added, moved and removed by its buttons, and the preview counts what is filled in."""
    form = {name: value for name, value in FORM.items() if name != "act"}
    preview = board.post(f"/{SITE}/funnels/edit?period=day", form | {"act": "preview"})
    assert "24 visits" in preview.text
    more = board.post(f"/{SITE}/funnels/edit", form | {"act": "more"}).text
    assert 'name="match-4"' in more
    moved = board.post(f"/{SITE}/funnels/edit", form | {"act": "up-2"}).text
    assert moved.index('value="/cart"') < moved.index('value="/shop"')
    fewer = board.post(f"/{SITE}/funnels/edit", form | {"act": "drop-1"}).text
    assert 'name="match-3"' not in fewer
    assert 'id="match-1" name="match-1" value="/cart"' in fewer


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": ""}, "Enter a name of 1 to 60 characters"),
        ({"match-2": "", "match-3": ""}, "Enter 2 to 8 steps"),
        ({"match-2": "cart"}, "Enter a path that begins with /"),
        ({"match-3": "Nothing"}, "Choose one of the site's goals"),
        ({"kind-2": "event", "match-2": "pageview"}, "pageview is not a custom event"),
        ({"kind-2": "event", "match-2": "Buy", "where-2": "plan"}, "Enter conditions such as plan=pro"),
        ({"order": "reverse"}, "Enter one of sequential, strict, any"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(board: Board, changes: dict[str, str], problem: str) -> None:
    """Nothing is saved, and what was filled in stays."""
    answer = board.post(f"/{SITE}/funnels/edit", FORM | changes)
    assert answer.status_code == 422
    assert problem in answer.text.replace("&#39;", "'")
    assert board.dashboard.funnels.of(board.site()) == []


def test_a_name_and_steps_that_are_missing_are_both_said(board: Board) -> None:
    """At once: who adds the name does not learn of the steps only then."""
    answer = board.post(f"/{SITE}/funnels/edit", FORM | {"name": "", "match-2": "", "match-3": ""}).text
    assert "Enter a name of 1 to 60 characters" in answer
    assert "Enter 2 to 8 steps" in answer


def test_funnels_are_changed_and_deleted_by_those_who_may(board: Board) -> None:
    """Names are unique; a viewer sees funnels and changes none; what was done is in the list of changes."""
    address = saved(board)
    id_ = address.rpartition("/")[2]
    assert board.post(f"/{SITE}/funnels/edit", FORM).status_code == 422
    assert saved(board, funnel=id_, name="Till") == address
    board.sign_in("vera")
    assert board.get(address).status_code == 200
    assert board.post(f"/{SITE}/funnels/edit", {"act": "delete", "funnel": id_}).status_code == 403
    board.sign_in("olle")
    assert board.post(f"/{SITE}/funnels/edit", {"act": "delete", "funnel": id_}).status_code == 303
    assert board.get(address).status_code == 404
    noted = anyio.run(board.dashboard.changes.of, board.site())
    assert {each.what for each in noted} == {"Funnel added", "Funnel changed", "Funnel deleted"}


def test_files_have_the_numbers(board: Board) -> None:
    """A row for each step; by a dimension a row for each value."""
    address = saved(board)
    steps = board.get(f"{address}.csv?period=day&separator=comma").text.replace('"', "").splitlines()
    assert steps[1:] == [
        "0,all,,24,,,,,",
        "1,page,/shop,24,100.0,100.0,,8,",
        "2,page,/cart,16,66.7,66.7,66.7,4,60.0",
        "3,goal,Thanks,12,50.0,50.0,75.0,,60.0",
    ]
    sources = board.get(f"{address}.csv?period=day&separator=comma&by=visit:source").text.replace('"', "").splitlines()
    assert sources[1:] == ["Direct / None,12,6,50.0", "Google,12,6,50.0"]


def test_a_breakdown_leads_to_the_funnel_of_its_value(board: Board) -> None:
    """And says the same there."""
    page = board.page(f"{saved(board)}?period=day&by=visit:source")
    google = next(link.href for link in page.links if link.text == "Google")
    assert "12 visits" in board.page(google).text


def test_a_goal_that_is_gone_is_said(board: Board) -> None:
    """The funnel stays, says what is missing, and its filters are left out."""
    address = saved(board)
    board.post(f"/{SITE}/goals", {"act": "remove", "goal": "Thanks"})
    assert "This funnel has a step whose goal no longer exists: Thanks." in board.page(address).text
    assert "Visits 24" in board.page(f"/{SITE}?period=day&f=is,visit:funnel,reached:2:Checkout").text
    assert "Goal missing" in board.page(f"/{SITE}/funnels").text


def test_readers_without_an_account_see_funnels_and_change_none(board: Board) -> None:
    """At a public site, in steps of the open day; what changes them is not offered."""
    address = saved(board)
    anyio.run(board.dashboard.sites.update, board.site(), lambda site: msgspec.structs.replace(site, public=True))
    board.post("/logout", {})
    board.clock.now += 86_400
    listed = board.page(f"/{SITE}/funnels")
    assert "New funnel" not in listed.text
    assert any(link.href.startswith(address) for link in listed.links)
    page = board.page(f"{address}?period=yesterday")
    assert "16 visits" in page.text
    assert "Edit" not in page.text
    assert board.get(f"/{SITE}/funnels/edit").status_code == 303


def test_funnels_go_with_their_site(board: Board) -> None:
    """And a site has so many at most."""
    saved(board)
    site = board.site()
    board.dashboard.funnels.forget_site(site.id)
    assert board.dashboard.funnels.of(site) == []
    steps = (FunnelStep(kind="page", match="/"), FunnelStep(kind="page", match="/x"))
    for number in range(50):
        anyio.run(board.dashboard.funnels.add, site, Funnel(name=f"F {number}", steps=steps))
    with pytest.raises(RecordError, match="50 funnels"):
        anyio.run(board.dashboard.funnels.add, site, Funnel(name="One more", steps=steps))
