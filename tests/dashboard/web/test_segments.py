"""Saved segments and goals: who may save, change and see them, and what their pages say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import msgspec
import pytest
from clickhouse_connect.driver.client import Client
from msgspec.structs import replace

from collector.core.errors import RecordError
from collector.sites.goals import Goal
from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from dashboard.access.guests import guest_of
from dashboard.reports.filter_params import FilterParam
from dashboard.reports.segments import MOST_OF_USER, Segment, Segments
from tests.board import NOON, SITE, Board, opened_board, pageview
from tests.length import long
from tests.markup import read

SWEDEN = "is,visit:country,SE"
VIEW = f"/{SITE}?period=day&f={SWEDEN}"


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """A dashboard that its admin is signed in to, with one site and two who may look at it."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        opened.add_site(timezone="UTC", min_visitors=1)
        opened.add_user("vera", "viewer", SITE)
        opened.add_user("olle", "owner", SITE)
        opened.sign_in()
        yield opened


def save(board: Board, name: str, view: str = VIEW, **form: str) -> int:
    """Save the filters of a view; the answer's status."""
    return board.post(f"/{SITE}/segments", {"act": "save", "back": view, "name": name, **form}).status_code


def named(board: Board) -> list[str]:
    """Names of the segments that the reader has, as the figures offer them."""
    page = board.page(f"/{SITE}?period=day")
    return [link.text for link in page.links if link.href == VIEW and link.text != "Sweden"]


def changes(board: Board) -> list[tuple[str, str, str, str]]:
    """What was noted, the oldest first."""
    noted = anyio.run(board.dashboard.changes.of, board.site())
    return sorted((each.who, each.what, each.before, each.after) for each in noted)


def test_a_segment_is_its_filters_under_a_name(board: Board) -> None:
    """Saving leads back to the view; one click applies it; the address says the filters, not the segment."""
    board.seed([pageview(1, country="SE"), pageview(2, country="NO")])
    answer = board.post(f"/{SITE}/segments", {"act": "save", "back": VIEW, "name": " Swedes ", "shared": "yes"})
    assert (answer.status_code, answer.headers["location"]) == (303, VIEW)
    assert named(board) == ["Swedes"]
    page = board.page(VIEW)
    assert "Segment: Swedes" in page.text
    assert "Visitors 1" in page.text
    assert changes(board) == [("admin", "Segment saved", "", "Swedes: Country is Sweden")]


def test_a_segment_of_ones_own_is_nobody_elses(board: Board) -> None:
    """A viewer keeps their own, and cannot save for others; those for everybody are everybody's."""
    save(board, "Everybody's", shared="yes")
    save(board, "The admin's")
    assert named(board) == ["Everybody's", "The admin's only you"]
    board.sign_in("vera")
    save(board, "Vera's", shared="yes")
    assert named(board) == ["Everybody's", "Vera's only you"]
    board.sign_in("olle")
    assert named(board) == ["Everybody's"]


def test_segments_are_renamed_and_deleted_by_those_who_may(board: Board) -> None:
    """One's own, and everybody's by those who may change the site; a stranger's are as if they were not there."""
    save(board, "Everybody's", shared="yes")
    save(board, "The admin's")
    everybodys, admins = board.dashboard.segments.of(board.site(), board.dashboard.users.get("admin"))

    def change(act: str, segment: Segment, name: str = "") -> int:
        return board.post(f"/{SITE}/segments", {"act": act, "id": segment.id, "name": name}).status_code

    board.sign_in("vera")
    assert [change(act, each, "x") for act in ("rename", "delete") for each in (everybodys, admins)] == [
        403, 404, 403, 404]  # fmt: skip
    board.sign_in("olle")
    assert (change("rename", everybodys, "All of us"), change("delete", admins)) == (303, 404)
    board.sign_in()
    assert named(board) == ["All of us", "The admin's only you"]
    assert (change("delete", everybodys), change("delete", admins)) == (303, 303)
    assert named(board) == []
    assert ("olle", "Segment renamed", "Everybody's", "All of us") in changes(board)


WRONG = {
    ("", VIEW): "Enter a name of 1 to 60 characters",
    ("x" * 61, VIEW): "Enter a name of 1 to 60 characters",
    ("swedes", VIEW): "A segment named Swedes already exists",
}


def test_a_segment_that_cannot_be_saved_is_explained(board: Board) -> None:
    """The form comes back with the filters and the reason; without filters there is nothing to save."""
    save(board, "Swedes")
    for (name, view), problem in WRONG.items():
        answer = board.post(f"/{SITE}/segments", {"act": "save", "back": view, "name": name})
        assert answer.status_code == 422
        assert problem in read(answer.text).text
        assert "Country is Sweden" in read(answer.text).text
    assert save(board, "Nothing", f"/{SITE}") == 422
    assert save(board, "Elsewhere", f"https://evil.example/?f={SWEDEN}") == 422
    assert len(board.dashboard.segments.of(board.site(), board.dashboard.users.get("admin"))) == 1


def test_segments_outlive_the_program_and_follow_their_site(board: Board, database: Client) -> None:
    """They are read again from ClickHouse, stay with a site of another name, and end with it."""
    save(board, "Swedes", shared="yes")

    def again() -> Segments:
        segments = Segments(DocumentTable(database, "segments", Segment), board.clock)
        segments.refresh()
        return segments

    admin = board.dashboard.users.get("admin")
    site = board.site()
    (found,) = again().of(site, admin)
    assert (found.name, found.chips, found.created) == ("Swedes", (FilterParam("is", "visit:country", "SE"),), NOON)
    renamed = board.dashboard.sites.rename_now(site, "new.example")
    other = board.add_site("third.example")
    assert [len(again().of(each, admin)) for each in (other, renamed)] == [0, 1]
    board.dashboard.segments.forget_site(renamed.id)
    assert again().of(renamed, admin) == []


@long
def test_a_segment_that_was_saved_elsewhere_goes_with_its_user(board: Board, database: Client) -> None:
    """Another collector stored it, and nobody has read it here yet. Without its owner it is nobody's."""
    filters = ("is,visit:country,SE",)
    table, site = DocumentTable(database, "segments", Segment), board.site()
    mine = Segment(id="s1", site=site.id, name="Mine", filters=filters, owner="vera")
    table.create(mine.id, mine)
    anyio.run(board.dashboard.users.remove, "vera")
    assert table.all() == {}
    assert not replace(mine, owner="").seen_by(guest_of(site))


def test_nobody_fills_the_segments_of_another(board: Board) -> None:
    """The bound is each user's own: who has reached it takes nothing from the others."""
    segments, chips = board.dashboard.segments, (FilterParam("is", "visit:country", "SE"),)

    async def fill(name: str, count: int) -> None:
        user = board.dashboard.users.get(name)
        assert user is not None
        for _ in range(count):
            await segments.add(board.site(), user, f"S{len(segments.of(board.site(), user))}", chips, shared=False)

    anyio.run(fill, "vera", MOST_OF_USER)
    with pytest.raises(RecordError, match="delete some first"):
        anyio.run(fill, "vera", 1)
    anyio.run(fill, "olle", 3)


# ---- Goals ----


def goals(board: Board) -> tuple[Goal, ...]:
    """The site's goals."""
    site = board.dashboard.sites.get(SITE)
    assert site is not None
    return site.goals


ADDED = {
    Goal(kind="event", match="Signup", name="Signup"): {"kind": "event", "match-event": " Signup "},
    Goal(kind="page", match="/blog/**", name="Read"): {"kind": "page", "match-page": "/blog/**", "name": "Read"},
    Goal(kind="outbound", name="Outbound Link: Click"): {"kind": "outbound"},
    Goal(kind="download", match="**.pdf", name="Leaflet"): {"kind": "download", "match-download": "**.pdf",
                                                            "name": "Leaflet"},
    Goal(kind="form", name="Form: Submission"): {"kind": "form", "match-event": "of another kind"},
    Goal(kind="404", name="404"): {"kind": "404"},
    Goal(kind="scroll", depth=75, name="Scroll 75%"): {"kind": "scroll", "depth": "75"},
    Goal(kind="event", match="Buy", name="Buy", currency="SEK"): {"kind": "event", "match-event": "Buy",
                                                                  "currency": "sek"},
}  # fmt: skip


def test_goals_of_every_kind_are_added(board: Board) -> None:
    """By one form; each is then listed with its kind and noted."""
    for form in ADDED.values():
        assert board.post(f"/{SITE}/goals", {"act": "save", **form}).status_code == 303
    assert goals(board) == tuple(ADDED)
    page = board.page(f"/{SITE}/goals")
    assert [link.text for link in page.links if "f=is,event:goal," in link.href] == [goal.name for goal in ADDED]
    assert ("admin", "Goal added", "", "Scroll 75% (scroll, 75%)") in changes(board)


UNUSABLE = {
    ("match-event", ""): ({"kind": "event"}, "Enter the event's name"),
    ("match-event", "pageview"): ({"kind": "event"}, "pageview is not a custom event"),
    ("match-page", "thanks"): ({"kind": "page"}, "Enter a path that begins with /"),
    ("depth", ""): ({"kind": "scroll"}, "Enter a scroll depth of 1 to 100 percent"),
    ("depth", "x"): ({"kind": "scroll"}, "Enter a scroll depth of 1 to 100 percent"),
    ("depth", "101"): ({"kind": "scroll"}, "Enter a scroll depth of 1 to 100 percent"),
    ("currency", "kronor"): ({"kind": "event", "match-event": "Buy"}, "Enter a currency code such as SEK"),
    ("name", "Signup"): ({"kind": "page", "match-page": "/x"}, "A goal with this name already exists"),
    ("name", "n" * 121): ({"kind": "page", "match-page": "/x"}, "Enter a name of one line"),
}


@pytest.mark.parametrize(("wrong", "form"), UNUSABLE.items())
def test_a_goal_that_cannot_be_is_explained_at_its_field(
    board: Board, wrong: tuple[str, str], form: tuple[dict[str, str], str]
) -> None:
    """The form comes back as it was filled in, the reason beside the field, and nothing is saved."""
    board.post(f"/{SITE}/goals", {"act": "take", "match": "Signup"})
    (field, value), (rest, problem) = wrong, form
    answer = board.post(f"/{SITE}/goals", {"act": "save", **rest, field: value})
    assert answer.status_code == 422
    page = read(answer.text)
    assert problem in page.text
    assert page.attributes(id=field)["aria-invalid"] == "true"
    assert page.attributes(id=f"{field}-problem")["class"] == "problem"
    assert [given.get("value") for _, given in page.elements if given.get("name") == "kind" and "checked" in given] == [
        rest["kind"]
    ]
    assert len(goals(board)) == 1


def test_a_goal_is_edited_in_its_place_and_removed(board: Board) -> None:
    """The form opens filled in; what is changed stands where it stood; removing one leaves the others."""
    for match in ("A", "B", "C"):
        board.post(f"/{SITE}/goals", {"act": "take", "match": match})
    page = board.page(f"/{SITE}/goals?goal=B")
    assert page.attributes(id="match-event")["value"] == "B"
    form = {"act": "save", "goal": "B", "kind": "page", "match-page": "/b", "name": "B page"}
    assert board.post(f"/{SITE}/goals", form).status_code == 303
    assert [goal.name for goal in goals(board)] == ["A", "B page", "C"]
    assert board.post(f"/{SITE}/goals", {"act": "remove", "goal": "A"}).status_code == 303
    assert board.post(f"/{SITE}/goals", {"act": "remove", "goal": "A"}).status_code == 404
    assert [goal.name for goal in goals(board)] == ["B page", "C"]
    assert ("admin", "Goal changed", "B (event, B)", "B page (page, /b)") in changes(board)
    assert ("admin", "Goal removed", "A (event, A)", "") in changes(board)


def test_events_that_were_seen_are_suggested(board: Board) -> None:
    """The most frequent first, without pageviews and without those that a goal counts; one click makes one a goal."""
    board.seed([pageview(number, name=name) for number, name in enumerate(
        ("Signup", "Signup", "File Download", "engagement", "pageview"), 1)])  # fmt: skip
    page = board.page(f"/{SITE}/goals")
    assert "every custom event that your site sends counts as one" in page.text
    assert [given["value"] for _, given in page.elements if given.get("name") == "match"] == ["Signup", "File Download"]
    board.post(f"/{SITE}/goals", {"act": "take", "match": "File Download"})
    assert goals(board) == (Goal(kind="download", name="File Download"),)
    page = board.page(f"/{SITE}/goals")
    assert [given["value"] for _, given in page.elements if given.get("name") == "match"] == ["Signup"]


def test_goals_are_changed_by_those_who_may(board: Board) -> None:
    """A viewer has no page of goals; an owner has."""
    board.sign_in("vera")
    assert board.get(f"/{SITE}/goals").status_code == 403
    assert board.post(f"/{SITE}/goals", {"act": "take", "match": "Signup"}).status_code == 403
    assert "/goals" not in board.get(f"/{SITE}").text
    board.sign_in("olle")
    assert board.post(f"/{SITE}/goals", {"act": "take", "match": "Signup"}).status_code == 303
    refused = board.ask("POST", f"/{SITE}/goals", data={"act": "take", "match": "Evil"},
                        headers={"sec-fetch-site": "cross-site"})  # fmt: skip
    assert refused.status_code == 403
    assert [goal.name for goal in goals(board)] == ["Signup"]


def test_defined_goals_are_what_the_panel_shows(board: Board) -> None:
    """Those that were reached, with their rates; an empty panel tells owners where to define one."""
    board.seed([pageview(1, "/thanks"), pageview(2, "/"), pageview(3, name="Signup")])
    site = board.dashboard.sites.get(SITE)
    assert site is not None
    wanted = msgspec.structs.replace(site, goals=(Goal(kind="page", match="/thanks", name="Thanks"),))
    anyio.run(board.dashboard.sites.change, wanted)
    page = board.page(f"/{SITE}?period=day")
    assert page.tables["Goals and events: Goals"] == [["Thanks", "1", "1", "33%"]]
    empty = board.page(f"/{SITE}?period=day&f=is,event:page,/")
    assert empty.link("Define a goal") == f"/{SITE}/goals"
