"""Goals over HTTP, as clients of Plausible's Sites API ask for them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dashboard.api.test_management import Room
from tests.dashboard.api.test_management import room as room  # the fixture

SIGNUP = {"goal_type": "event", "event_name": "Signup"}
REGISTER = {"goal_type": "page", "page_path": "/register"}


def put(room: Room, **body: Any) -> Any:
    """A goal that is found or created."""
    answer = room.ask("PUT", "sites/goals", json={"site_id": "one.test"} | body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_goal_is_created_listed_and_deleted(room: Room) -> None:
    """Of both types, with the names that Plausible gives them."""
    made = put(room, **SIGNUP)
    assert made == {
        "domain": "one.test", "id": made["id"], "goal_type": "event", "display_name": "Signup",
        "event_name": "Signup", "page_path": None, "currency": None,
    }  # fmt: skip
    page = put(room, **REGISTER)
    assert (page["display_name"], page["page_path"], page["event_name"]) == ("Visit /register", "/register", None)
    listed = room.ask("GET", "sites/goals?site_id=one.test").json()
    assert [goal["display_name"] for goal in listed["goals"]] == ["Signup", "Visit /register"]
    assert listed["meta"] == {"after": None, "before": None, "limit": 100}
    gone = room.ask("DELETE", f"sites/goals/{made['id']}", data={"site_id": "one.test"})
    assert gone.json() == {"deleted": True}
    room.sites.refresh()
    assert [goal.name for goal in room.sites.all()[0].goals] == ["Visit /register"]


def test_a_goal_that_is_there_is_found(room: Room) -> None:
    """Whatever it is called now; nothing is made twice, and other settings stay."""
    first = put(room, **SIGNUP, display_name="Joined", currency="SEK")
    assert put(room, **SIGNUP) == first
    assert first["currency"] == "SEK"
    assert len(room.ask("GET", "sites/goals?site_id=one.test").json()["goals"]) == 1
    assert len(room.ask("GET", "sites/goals?site_id=two.test").json()["goals"]) == 0


def test_goals_are_listed_a_page_at_a_time(room: Room) -> None:
    """By cursors, forward and back."""
    names = [put(room, goal_type="event", event_name=f"Step {number}")["display_name"] for number in range(5)]
    seen, after = [], ""
    while after is not None:
        page = room.ask("GET", f"sites/goals?site_id=one.test&limit=2{after and f'&after={after}'}").json()
        seen += [goal["display_name"] for goal in page["goals"]]
        after, before = page["meta"]["after"], page["meta"]["before"]
    assert seen == names
    back = room.ask("GET", f"sites/goals?site_id=one.test&limit=2&before={before}").json()
    assert [goal["display_name"] for goal in back["goals"]] == names[2:4]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "goal_type"),
        ({"goal_type": "scroll"}, "goal_type"),
        ({"goal_type": "event"}, "event_name"),
        ({"goal_type": "page", "page_path": " "}, "page_path"),
        ({**SIGNUP, "page_path": "/x"}, "page_path"),
        ({**SIGNUP, "color": "red"}, "color"),
        ({**SIGNUP, "currency": "crowns"}, "goals"),
        ({"goal_type": "page", "page_path": "register"}, "goals"),
        ({"goal_type": "event", "event_name": "pageview"}, "goals"),
    ],
)
def test_goals_that_cannot_be_name_the_field(room: Room, body: dict[str, str], field: str) -> None:
    """Nothing that was sent is ignored."""
    answer = room.ask("PUT", "sites/goals", json={"site_id": "one.test"} | body)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "after=nothing", "before=nothing", "page=2"])
def test_pages_that_cannot_be_name_the_parameter(room: Room, query: str) -> None:
    """Limits beyond the greatest are refused, not cut."""
    answer = room.ask("GET", f"sites/goals?site_id=one.test&{query}")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [query.partition("=")[0]])


def test_goals_are_those_of_the_keys_own_sites(room: Room) -> None:
    """A key that reads changes nothing; one of another site sees nothing."""
    reader = room.make_key(sites=["one.test"])
    assert room.ask("GET", "sites/goals?site_id=one.test", key=reader).status_code == 200
    for method, path, body in (
        ("PUT", "sites/goals", {"site_id": "one.test", **SIGNUP}),
        ("PUT", "sites/goals", {"site_id": "two.test", **SIGNUP}),
        ("DELETE", "sites/goals/0?site_id=one.test", {}),
    ):
        assert room.ask(method, path, key=reader, json=body).status_code == 404
    assert room.ask("GET", "sites/goals?site_id=two.test", key=reader).status_code == 404
    assert room.ask("DELETE", "sites/goals/0?site_id=one.test").status_code == 404
