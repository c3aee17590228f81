"""Filters in addresses: what they spell, how they change, and what they ask for."""

from __future__ import annotations

import pytest
from starlette.datastructures import QueryParams

from dashboard.analytics.dimensions import DIMENSIONS
from dashboard.analytics.filters import And, Compare, Not
from dashboard.i18n.formatting import countries
from dashboard.reports.csv_export import csv_headers
from dashboard.reports.filter_bar import added_filter, dimension_groups, filter_links, preset_links
from dashboard.reports.filter_params import FilterParam, chosen_filter, new_filter, read_filter
from dashboard.reports.labels import label, named_value
from dashboard.reports.panels import TABS
from dashboard.reports.view_state import ViewState, read_choice

GOOGLE, BING = FilterParam("is", "visit:source", "Google"), FilterParam("is", "visit:source", "Bing")
SWEDEN = FilterParam("is", "visit:country", "SE")
CHOICE = ViewState("example.com", chips=(GOOGLE, SWEDEN, BING))


def again(state: ViewState) -> ViewState:
    """The choice that the address of this one spells."""
    return read_choice(state.domain, QueryParams(state.href().partition("?")[2]), TABS)


CHIPS = (
    GOOGLE,
    FilterParam("contains_not", "event:page", "/a,b?c&f=is,visit:source,x#%2C"),
    FilterParam("is", "event:props:a,b%2C", "c,d"),
    FilterParam("is_not", "event:goal", "Visit /å"),
    FilterParam("matches_not", "visit:entry_page", "/blog/**"),
    FilterParam("is", "visit:source", ""),
)


@pytest.mark.parametrize("chip", CHIPS)
def test_an_address_spells_every_filter(chip: FilterParam) -> None:
    """Whatever characters a value or the key of a property has, the address says it and is read back the same."""
    assert read_filter(str(chip)) == chip
    assert again(ViewState("example.com", chips=(chip,))).chips == (chip,)


@pytest.mark.parametrize(
    "text",
    ["", "is", "is,visit:source", "was,visit:source,x", "is,no:such,x", "is,event:props:,x", "contains,visit:country,S",
     "matches,visit:source,*",
     f"matches,event:page,/{'*/' * 21}",
     f"is,event:props:{'k' * 301},x", "is,time:day,2026-01-01"],
)  # fmt: skip
def test_what_spells_no_filter_is_none(text: str) -> None:
    """Unknown operators and dimensions, a property without a key, and ways to compare that mean nothing."""
    assert read_filter(text) is None


def test_chips_of_a_kind_are_alternatives_and_all_kinds_hold() -> None:
    """Source Google or Bing, and not from Sweden, and the page contains /a."""
    chips = (GOOGLE, BING, FilterParam("is_not", "visit:country", "SE"), FilterParam("contains", "event:page", "/a"))
    assert chosen_filter(chips) == And(
        (
            Compare("is", "visit:source", ("Google", "Bing")),
            Not(Compare("is", "visit:country", ("SE",))),
            Compare("contains", "event:page", ("/a",), case_sensitive=False),
        )
    )


def test_a_chip_changes_how_it_compares_with_all_its_values() -> None:
    """Each way leads to an address; values that then say the same are one."""
    google, sweden = filter_links(CHOICE)
    assert [way.title for way in google.ways] == ["is", "is not", "contains", "does not contain"]
    assert [way.title for way in sweden.ways] == ["is", "is not"]
    assert [way.current for way in google.ways] == [True, False, False, False]
    changed = read_choice("example.com", QueryParams(google.ways[1].href.partition("?")[2]), TABS)
    assert changed.chips == (
        FilterParam("is_not", "visit:source", "Google"),
        SWEDEN,
        FilterParam("is_not", "visit:source", "Bing"),
    )
    both = ViewState("example.com", chips=(GOOGLE, FilterParam("is_not", "visit:source", "Google")))
    assert both.compared((GOOGLE,), "is_not").chips == (FilterParam("is_not", "visit:source", "Google"),)


def test_each_value_of_a_chip_can_go_alone() -> None:
    """One alternative less, or the whole chip."""
    google, _ = filter_links(CHOICE)
    assert [value.text for value in google.values] == ["Google", "Bing"]
    assert "Google" not in google.values[0].href
    assert "Bing" in google.values[0].href
    assert google.href == CHOICE.without(GOOGLE, BING).href()
    assert google.text == "Source is Google or Bing"


ENGAGED = FilterParam("is", "visit:engaged", "true")


def test_engaged_visits_are_one_filter_away_and_back() -> None:
    """The menu's entry adds the filter to those in force, and takes it away where it is one of them; the chip has the
    entry's name, and the address spells the filter as any other."""
    (entry,) = preset_links(CHOICE)
    assert (entry.title, entry.current) == ("Engaged visits only", False)
    assert "more than one page" in entry.explanation
    assert entry.href == CHOICE.filtered(ENGAGED).href()
    assert entry.href.endswith("&f=is,visit:engaged,true")
    (on,) = preset_links(again(CHOICE.filtered(ENGAGED)), "/details/pages")
    assert (on.href, on.current) == (CHOICE.href("/details/pages"), True)
    assert chosen_filter([ENGAGED]) == Compare("is", "visit:engaged", ("true",))


@pytest.mark.parametrize(
    ("chips", "text"),
    [
        ((ENGAGED,), "Engaged visits only"),
        ((FilterParam("is_not", "visit:engaged", "true"),), "Engaged is not Yes"),
        ((FilterParam("is", "visit:engaged", "false"),), "Engaged is No"),
        ((ENGAGED, FilterParam("is", "visit:engaged", "false")), "Engaged is Yes or No"),
        ((FilterParam("is", "visit:datacenter", "true"),), "Data center is Yes"),
    ],
)
def test_a_chip_of_a_preset_has_its_name(chips: tuple[FilterParam, ...], text: str) -> None:
    """Only the very filter: what has another value as well, or compares otherwise, is a sentence."""
    (link,) = filter_links(ViewState("example.com", chips=chips))
    assert link.text == text


ADDED = {
    "fd=visit:source&fo=is&fv=Google": GOOGLE,
    "fd=visit:country&fo=is&fv=sweden": SWEDEN,
    "fd=visit:country&fo=is_not&fv=SE": FilterParam("is_not", "visit:country", "SE"),
    "fd=visit:device&fv=Tablet": FilterParam("is", "visit:device", "tablet"),
    "fd=visit:source&fv=Unknown": FilterParam("is", "visit:source", "Direct / None"),
    "fd=event:props:&fk=plan&fo=contains&fv=pro": FilterParam("contains", "event:props:plan", "pro"),
    "fd=event:props:&fk=&fv=pro": None,
    "fd=event:page&fv=+": None,
    "fd=event:page&fo=matches&fv=/blog/*": FilterParam("matches", "event:page", "/blog/*"),
    "fd=no:such&fv=x": None,
    "fd=visit:country&fo=contains&fv=S": None,
    "": None,
}


@pytest.mark.parametrize(("query", "chip"), ADDED.items())
def test_the_form_adds_a_filter_by_the_names_that_readers_see(query: str, chip: FilterParam | None) -> None:
    """A country by its name in any case, an unknown value as Unknown; a form that says nothing adds nothing."""
    assert added_filter(QueryParams(query)) == chip


def test_countries_have_their_names_in_the_readers_language() -> None:
    """Both ways: as a label, and as what a reader types."""
    assert (countries("sv")["DE"], countries("en")["DE"]) == ("Tyskland", "Germany")
    assert (label("visit:country", "DE"), named_value("visit:country", "germany")) == ("Germany", "DE")


def test_every_dimension_of_the_form_is_one_that_can_be_asked_for() -> None:
    """And none of the store's own is left out but the click identifier's name."""
    offered = {name for _, group in dimension_groups() for name, _ in group}
    known = {name for name in DIMENSIONS if not name.startswith("time:")}
    assert offered - {"event:props:"} == known - {"visit:click_id"}


def test_a_filter_that_is_there_is_not_added_twice() -> None:
    """All others are kept, however many; a value that is longer than any can be is no filter."""
    assert CHOICE.filtered(GOOGLE) == CHOICE
    many = ViewState("example.com").filtered(*(FilterParam("is", "event:page", f"/{number}") for number in range(30)))
    assert len(again(many).chips) == 30
    assert new_filter("is", "event:page", "x" * 2_001) is None


def test_a_file_has_a_name() -> None:
    """Letters of any kind survive; nothing can end the header."""
    headers = csv_headers('å"\r\n.csv')
    assert headers["content-disposition"] == "attachment; filename=\"----.csv\"; filename*=UTF-8''%C3%A5%22%0D%0A.csv"
