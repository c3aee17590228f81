"""URLs cut to a length so that what is kept of them survives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.enrichment.shortening import shortened_url
from collector.enrichment.urls import read_page

LENGTH = 2_000
SITE = "https://example.com"
LONG = "s" * 2_300

SHORTENED = {
    "state": (f"{SITE}/landing?utm_source=ads&state={LONG}", f"{SITE}/landing?utm_source=ads"),
    "state first": (f"{SITE}/landing?state={LONG}&utm_source=ads", f"{SITE}/landing?utm_source=ads"),
    "state beside short keys": (
        f"{SITE}/landing?page=2&state={LONG}&utm_source=ads",
        f"{SITE}/landing?page=2&utm_source=ads",
    ),
    "many short keys": (
        f"{SITE}/landing?" + "&".join(f"k{n}=1" for n in range(500)) + "&utm_medium=cpc",
        f"{SITE}/landing?utm_medium=cpc",
    ),
    "no path": (f"{SITE}?state={LONG}", SITE),
    "answer to a sign-in": (f"{SITE}/callback#access_token={LONG}&state=1", f"{SITE}/callback"),
    "route of an application": (
        f"{SITE}/?a={LONG}#/welcome?b={LONG}&utm_source=news",
        f"{SITE}/#/welcome?utm_source=news",
    ),
    "long tag": (f"{SITE}/a?utm_source=ads&utm_term={LONG}", f"{SITE}/a?utm_source=ads&utm_term={'s' * 200}"),
    "tag there twice": (f"{SITE}/a?ref=one&ref={LONG}", f"{SITE}/a?ref=one"),
    "click identifier": (f"{SITE}/a?gclid={LONG}&ref=one", f"{SITE}/a?gclid=&ref=one"),
    "escaped separators": (f"{SITE}/a?x={LONG}&amp;utm_source=ads", f"{SITE}/a?amp;utm_source=ads"),
    "long path": (f"{SITE}/{LONG}", f"{SITE}/{LONG}"[:LENGTH]),
    "long path and a tag": (f"{SITE}/{LONG}?ref=x", f"{SITE}/{LONG}"[: LENGTH - 6] + "?ref=x"),
    "half a character": (f"{SITE}/" + "%C3%A4" * 400, f"{SITE}/" + "%C3%A4" * 329),
    "half an escape": (f"{SITE}/ab" + "%20" * 700, f"{SITE}/ab" + "%20" * 659),
    "no web address": ("a" * 3_000, "a" * LENGTH),
}


@pytest.mark.parametrize(("url", "expected"), SHORTENED.values(), ids=SHORTENED)
def test_what_is_kept_of_a_url_survives(url: str, expected: str) -> None:
    """Other parts of query and fragment go first, the path last, and no character is halved."""
    assert shortened_url(url, LENGTH) == expected


PARTS = st.lists(
    st.sampled_from(["utm_source=ads", "utm_campaign=spring", "ref=x", "gclid=1", "page=2", "state=" + LONG, "", "%"])
    | st.text(max_size=40),
    max_size=60,
).map("&".join)


@given(path=st.text(max_size=3_000), query=PARTS, fragment=PARTS | st.text(max_size=3_000))
def test_any_url_fits(path: str, query: str, fragment: str) -> None:
    """Whatever a URL is made of, it comes within the length and has the same host."""
    url = f"{SITE}/{path}?{query}#{fragment}"
    shortened = shortened_url(url, LENGTH)
    assert len(shortened) <= LENGTH
    assert read_page(shortened, hash_mode=False).hostname == "example.com"


@given(query=PARTS)
def test_tags_are_the_same(query: str) -> None:
    """The tags of a page are those of its whole URL, as long as none is itself too long."""
    url = f"{SITE}/landing?state={LONG}&{query}"
    whole = read_page(url.partition("#")[0], hash_mode=False)
    shortened = read_page(shortened_url(url.partition("#")[0], LENGTH), hash_mode=False)
    assert (shortened.path, shortened.tags) == (whole.path, whole.tags)
