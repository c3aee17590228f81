"""Patterns that people write: what they stand for, and that none of them takes long."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.core.errors import RecordError
from collector.core.wildcards import MOST_STARS, expression, is_bounded, matches
from collector.ingest.context import Rejection
from collector.ingest.pipeline import run
from collector.sites.goals import Goal
from collector.sites.model import Site, checked
from collector.spool.rewrite import DeletePredicate
from tests.collector.ingest.test_pipeline import arrival, kept, rooms_for
from tests.collector.storage.test_client import an_event


@settings(max_examples=500, deadline=None)
@given(st.text("ab/*", max_size=10), st.text("ab/", max_size=14))
def test_a_pattern_stands_for_what_its_expression_does(pattern: str, text: str) -> None:
    """ClickHouse, which is given the expression, and this process never differ."""
    assert matches(pattern, text) == (re.fullmatch(expression(pattern), text) is not None)


SLOW = [
    ("/**a**a**a**a**a**b", "/a"),
    ("/**-**-**-**/x", "-"),
    ("*a*a*a*a*a*b", "a"),
    ("/**a*a**a*a**a*a**b*", "/a"),
    ("/*a*a*a*a*a*a*a*a*b*", "a"),
    ("/**ab*ba**ab*ba**ab*", "ab"),
    ("/" + "*a" * MOST_STARS, "a"),
]


def seconds(act: Callable[[], object], times: int = 5) -> float:
    """The least processor time that it takes."""
    least = 1e9
    for _ in range(times):
        began = process_time()
        act()
        least = min(least, process_time() - began)
    return least


@pytest.mark.parametrize(("pattern", "piece"), SLOW)
@pytest.mark.parametrize("end", ["", "b", "/x", "c"])
def test_time_grows_with_the_text_and_not_with_what_could_be_tried(pattern: str, piece: str, end: str) -> None:
    """The longest path that is kept takes milliseconds; one of eight times the length no more than in proportion."""
    text = f"/{piece * (2_000 // len(piece))}{end}"
    longer = f"/{piece * (16_000 // len(piece))}{end}"
    short = seconds(lambda: matches(pattern, text))
    assert short < 0.05
    assert seconds(lambda: matches(pattern, longer)) < 40 * max(short, 0.002)


def test_beacons_of_an_excluding_site_are_taken_at_once(tmp_path: Path) -> None:
    """Every pattern of the site against an address that nearly fits."""
    patterns = ("/**a**a**a**a**a**b", "/**-**-**-**/x")
    rooms = rooms_for(tmp_path, checked(Site(domain="site.test", excluded_paths=patterns)))
    nearly = [arrival(f"https://site.test{path}") for path in ("/a" * 300, "/" + "-a" * 500)]
    run(nearly[0], "site.test", rooms)
    assert seconds(lambda: [kept(run(each, "site.test", rooms)) for each in nearly]) < 0.05
    assert run(arrival("https://site.test/x/-a-b-/x"), "site.test", rooms) == Rejection("excluded")


def test_what_is_deleted_from_the_spool_is_found_at_once() -> None:
    """A thousand events whose page nearly fits."""
    purge = DeletePredicate("site.test", None, column="page", value="**a**a**a**a**a**b")
    events = [an_event(page="/a" * 900 + str(number)) for number in range(1_000)]
    assert seconds(lambda: [purge.takes(event) for event in events], times=2) < 1.0
    assert purge.takes(an_event(page="/xa/a/aaab"))


TOO_MUCH = ["/" + "*a" * (MOST_STARS + 1), "/" + "a" * 501]


@pytest.mark.parametrize("pattern", TOO_MUCH)
def test_a_pattern_is_bounded_where_it_is_saved(pattern: str) -> None:
    """Excluded and hidden paths, and goals; the error names the setting."""
    assert not is_bounded(pattern)
    for fields, named in (
        ({"excluded_paths": (pattern,)}, "excluded_paths"),
        ({"hidden_paths": (pattern + "*",)}, "hidden_paths"),
        ({"goals": (Goal(kind="page", match=pattern),)}, "goals"),
        ({"excluded_paths": ("/a",) * 201}, "excluded_paths"),
    ):
        with pytest.raises(RecordError) as raised:
            checked(Site(domain="a.test", **fields))
        assert raised.value.field == named


def test_patterns_within_the_bounds_are_saved() -> None:
    """As many stars as there may be."""
    pattern = "/" + "a*" * MOST_STARS
    site = checked(Site(domain="a.test", excluded_paths=(pattern,), goals=(Goal(kind="page", match=pattern),)))
    assert site.excluded_paths == (pattern,)
