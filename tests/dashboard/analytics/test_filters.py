"""Filters: their JSON form, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dashboard.analytics.dimensions import DIMENSIONS
from dashboard.analytics.errors import QueryError
from dashboard.analytics.filters import (
    And,
    Compare,
    HasDone,
    Not,
    Or,
    direct_leaves,
    is_,
    leaves,
    parse_filters,
    without,
)
from dashboard.analytics.metrics import METRICS

SE = ["is", "visit:country", ["SE"]]
IS_SE = is_("visit:country", "SE")


@pytest.mark.parametrize(
    ("given", "tree"),
    [
        ([], None),
        ([SE], IS_SE),
        ([SE, SE], And((IS_SE, IS_SE))),
        ([["is_not", "visit:country", ["SE"]]], Not(IS_SE)),
        ([["not", SE]], Not(IS_SE)),
        ([["and", [SE]]], And((IS_SE,))),
        ([["or", [SE, ["not", SE]]]], Or((IS_SE, Not(IS_SE)))),
        ([["contains", "event:page", ["a", "b"]]], Compare("contains", "event:page", ("a", "b"))),
        ([["contains_not", "event:page", ["a"]]], Not(Compare("contains", "event:page", ("a",)))),
        ([["matches", "event:props:plan", ["^p"]]], Compare("matches", "event:props:plan", ("^p",))),
        ([["matches_not", "event:page", ["^p"]]], Not(Compare("matches", "event:page", ("^p",)))),
        ([[*SE, {"case_sensitive": False}]], Compare("is", "visit:country", ("SE",), case_sensitive=False)),
        ([["has_done", SE]], HasDone(IS_SE)),
        ([["has_not_done", SE]], Not(HasDone(IS_SE))),
    ],
)
def test_every_form_is_read(given: list[Any], tree: object) -> None:
    """A list of filters is their conjunction; `_not` is the opposite of its operator."""
    assert parse_filters(given) == tree


DEEP: list[Any] = SE
for _ in range(9):
    DEEP = ["not", DEEP]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ("visit:country==SE", "filters"),
        ([SE] * 51, "filters"),
        (["is"], "filters[0]"),
        ([SE, []], "filters[1]"),
        ([["and", []]], "filters[0]"),
        ([["and", [SE, ["is"]]]], "filters[0][1][1]"),
        ([["not", SE, SE]], "filters[0][0]"),
        ([["equals", "visit:country", ["SE"]]], "filters[0][0]"),
        ([["is", "visit:planet", ["Earth"]]], "filters[0][1]"),
        ([["is", "time:day", ["2026-01-01"]]], "filters[0][1]"),
        ([["is", 7, ["SE"]]], "filters[0][1]"),
        ([["is", "visit:country", "SE"]], "filters[0][2]"),
        ([["is", "visit:country", []]], "filters[0][2]"),
        ([["is", "visit:country", [1]]], "filters[0][2]"),
        ([["is", "visit:country", ["x"] * 251]], "filters[0][2]"),
        ([["is", "visit:country", ["x" * 2001]]], "filters[0][2]"),
        ([[*SE, {"case": False}]], "filters[0][3]"),
        ([[*SE, {"case_sensitive": "no"}]], "filters[0][3]"),
        ([DEEP], "filters[0]" + "[1]" * 8),
    ],
)
def test_what_is_no_filter_is_refused_at_its_place(given: Any, field: str) -> None:
    """The error says where in the tree, so that a client can mend it."""
    with pytest.raises(QueryError) as caught:
        parse_filters(given)
    assert caught.value.field == field


def test_another_event_of_the_visit_is_not_the_event_itself() -> None:
    """`has_done` asks about the visit: its inner filter selects no events."""
    tree = parse_filters([SE, ["has_done", ["is", "event:page", ["/"]]]])
    assert [leaf.dimension for leaf in leaves(tree)] == ["visit:country", "event:page"]
    assert [leaf.dimension for leaf in direct_leaves(tree)] == ["visit:country"]


def test_a_dimension_can_be_left_out() -> None:
    """Only from the top: within `or` it would change what the others mean."""
    goal = is_("event:goal", "Signup")
    assert without(And((IS_SE, goal)), "event:goal") == IS_SE
    assert without(goal, "event:goal") is None
    either = Or((IS_SE, goal))
    assert without(either, "event:goal") == either


def test_every_metric_and_dimension_is_documented() -> None:
    """docs/metrics.md names each of them."""
    text = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()
    assert [name for name in (*METRICS, *DIMENSIONS) if f"`{name}`" not in text] == []
