"""Filters, panels, details, segments and goals in a real browser, on figures and on a site that has none."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from dashboard.server.demo.site import WARES
from tests.browser import people
from tests.browser.accessibility import shortcomings, show
from tests.browser.conftest import NewPerson
from tests.length import long
from tests.served import Served, served

DEMO = "/demo.localhost"
EMPTY = "/empty.example"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with two weeks of generated visits, and one site that nobody has visited."""
    with served(tmp_path_factory.mktemp("filters"), "demo", "--events", "8000", "--days", "14") as server:
        server.add_site("empty.example", timezone="Europe/Stockholm")
        yield server


def signed_in(person: BrowserContext, demo: Served, path: str) -> Page:
    """A tab of the admin's at that page."""
    return people.signed_in(person, demo.url, path)


def add_filter(page: Page, by: str, how: str, value: str) -> None:
    """Fill in the form for one more filter."""
    page.locator("#add-filter > summary").click()
    form = page.get_by_role("form", name="Add a filter")
    form.get_by_label("Filter by").select_option(label=by)
    form.get_by_label("Condition").select_option(label=how)
    form.get_by_label("Value", exact=True).fill(value)
    form.get_by_role("button", name="Add filter").click()


@long
def test_axe_finds_nothing_in_open_menus(person: BrowserContext, demo: Served) -> None:
    """The form for a new filter, and the menu of each kind of filter that is set, in both colour schemes."""
    page = signed_in(person, demo, f"{DEMO}?period=7d&f=is,visit:country,SE&f=contains,event:page,shop")
    found: dict[str, list[str]] = {}
    for menu in ("#add-filter", "#chip-1", "#chip-2"):
        page.locator(f"{menu} > summary").click()
        expect(page.locator(menu)).to_have_attribute("open", "")
        found |= {f"{menu} {what}": where for what, where in shortcomings(page).items()}
        expect(page.locator(menu)).to_have_attribute("open", "")
        show(page, "light", 1280)
        page.keyboard.press("Escape")
    assert found == {}


@pytest.mark.parametrize("scripts", [True, False])
def test_filters_are_added_changed_and_taken_away(new_person: NewPerson, demo: Served, scripts: bool) -> None:
    """By the form, by a chip's own menu, and by its cross, with scripts and without: the address says all of it."""
    page = signed_in(new_person(java_script_enabled=scripts), demo, f"{DEMO}?period=7d")
    add_filter(page, "Country", "is", "sweden")
    expect(page.locator(".chip")).to_contain_text("Country is Sweden")
    expect(page).to_have_url(f"{demo.url}{DEMO}?period=7d&f=is,visit:country,SE")
    page.locator("#chip-1 > summary").click()
    page.get_by_label("Another value").fill("Norway")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(".chip")).to_contain_text("Country is Sweden or Norway")
    page.locator("#chip-1 > summary").click()
    page.get_by_role("link", name="is not", exact=True).click()
    expect(page.locator(".chip")).to_contain_text("Country is not Sweden or Norway")
    expect(page).to_have_url(re.compile("f=is_not,visit:country,SE&f=is_not,visit:country,NO"))
    add_filter(page, "Page", "contains", "SHOP")
    expect(page.locator(".chip")).to_have_count(2)
    page.locator("#chip-1 > summary").click()
    page.get_by_role("link", name="Remove Sweden").click()
    expect(page.locator(".chip").first).to_contain_text("Country is not Norway")
    page.get_by_role("link", name="Remove the filter Country is not Norway").click()
    expect(page.locator(".chip")).to_have_count(1)
    expect(page.locator(".chip")).to_contain_text("Page contains SHOP")
    page.go_back()
    expect(page.locator(".chip")).to_have_count(2)
    page.get_by_role("link", name="Clear all").click()
    expect(page.locator(".chip")).to_have_count(0)


@pytest.mark.parametrize("width", [1280, 390])
def test_engaged_visits_are_shown_by_one_entry_of_the_menu(new_person: NewPerson, demo: Served, width: int) -> None:
    """On with one click and off with another, by the menu and by the chip's cross, at a desk and on a phone: fewer
    visits than without it, and the address says so."""
    page = signed_in(new_person(viewport={"width": width, "height": 844}), demo, f"{DEMO}?period=7d")
    visits = page.locator(".figure", has=page.locator(".name", has_text="Visits")).first.locator("strong")
    everybody = visits.inner_text()
    page.locator("#add-filter > summary").click()
    entry = page.get_by_role("link", name="Engaged visits only Visits that looked at a page for some seconds")
    entry.click()
    expect(page).to_have_url(f"{demo.url}{DEMO}?period=7d&f=is,visit:engaged,true")
    expect(page.locator(".chip summary")).to_have_text("Change: Engaged visits only")
    expect(visits).not_to_have_text(everybody)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("#add-filter > summary").click()
    expect(entry).to_have_attribute("aria-current", "true")
    entry.click()
    expect(page.locator(".chip")).to_have_count(0)
    expect(visits).to_have_text(everybody)
    page.go_back()
    page.get_by_role("link", name="Remove the filter Engaged visits only").click()
    expect(page).to_have_url(f"{demo.url}{DEMO}?period=7d")
    expect(visits).to_have_text(everybody)


def test_values_are_suggested_while_typing(person: BrowserContext, demo: Served) -> None:
    """The list under the field follows the dimension and what is typed; the address does not change by it."""
    page = signed_in(person, demo, f"{DEMO}?period=7d")
    page.locator("#add-filter > summary").click()
    page.get_by_label("Filter by").select_option(label="Source")
    page.locator("#fv").press_sequentially("goo")
    expect(page.locator("#fv-values option")).to_have_count(1)
    expect(page.locator("#fv-values option")).to_have_attribute("value", "Google")
    expect(page).to_have_url(f"{demo.url}{DEMO}?period=7d")
    expect(page.get_by_label("Property key")).to_be_hidden()
    page.get_by_label("Filter by").select_option(label="Property")
    expect(page.get_by_label("Property key")).to_be_visible()


def test_a_segment_is_saved_applied_and_deleted(person: BrowserContext, demo: Served) -> None:
    """Filters get a name, are there again by one click from anywhere, and go when they are deleted."""
    page = signed_in(person, demo, f"{DEMO}?period=7d&f=is,visit:device,mobile&f=is,visit:country,SE")
    page.locator("#saved > summary").click()
    page.get_by_label("Save these filters as").fill("Swedes on the go")
    page.get_by_role("button", name="Save segment").click()
    expect(page.locator("#saved > summary")).to_have_text("Segment: Swedes on the go")
    page.goto(f"{demo.url}{DEMO}?period=day")
    page.locator("#saved > summary").click()
    page.get_by_role("link", name="Swedes on the go").click()
    expect(page.locator("#saved .alternatives li")).to_have_count(2)
    expect(page.locator(".chip")).to_have_count(0)
    within = f"{demo.url}{DEMO}?period=day&f=is,visit:device,mobile&f=is,visit:country,SE"
    expect(page).to_have_url(within)
    page.get_by_role("link", name="Remove the segment Swedes on the go").click()
    expect(page).to_have_url(f"{demo.url}{DEMO}?period=day")
    page.goto(within)
    page.locator("#saved > summary").click()
    page.get_by_role("link", name="Swedes on the go", exact=True).click()
    # It has the same filters and no other chips: that the menu is closed again shows that the view is the new one.
    expect(page.locator("#saved")).not_to_have_attribute("open", "")
    expect(page.locator(".chip")).to_have_count(0)
    page.locator("#saved > summary").click()
    page.get_by_role("link", name="Rename or delete segments").click()
    page.get_by_text("Rename or delete Swedes").click()
    page.get_by_role("button", name="Delete Swedes on the go").click()
    expect(page.get_by_text("No saved segments yet.")).to_be_visible()


def test_details_are_searched_sorted_and_kept(person: BrowserContext, demo: Served) -> None:
    """Typing searches at once and keeps the cursor, heads sort, back goes back, a row filters, a file has it all."""
    page = signed_in(person, demo, f"{DEMO}?period=7d")
    page.get_by_role("link", name="Details – Pages").click()
    page.wait_for_load_state()
    rows = page.locator(".rows tbody tr")
    expect(rows.first).to_contain_text("/demo")
    page.locator("#q").press_sequentially("journal/")
    expect(page.locator("#tally")).to_contain_text(re.compile(r"1–\d of \d"))
    expect(page.locator("#q")).to_be_focused()
    expect(page).to_have_url(re.compile(r"q=journal(/|%2F)"))
    page.locator("#by-event-page").click()
    expect(page.locator("th[aria-sort=ascending] a")).to_have_text("Page")
    labels = rows.locator("th").all_inner_texts()
    assert labels == sorted(labels)
    assert all("journal/" in label for label in labels)
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    rows_of_file = list(csv.reader(download.value.path().read_text("utf-8-sig").splitlines()))
    assert [row[0] for row in rows_of_file[1:]] == labels
    page.go_back()
    expect(page.locator("th[aria-sort=descending] a")).to_have_text("Visitors")
    rows.first.locator("a:not(.open)").click()
    expect(page.locator(".chip")).to_contain_text("Page is /demo/journal/")


def test_a_goal_is_defined_and_filters_every_panel(person: BrowserContext, demo: Served) -> None:
    """From an event that was seen, and from a page; the panel counts both, and by one all others show its rate."""
    page = signed_in(person, demo, f"{DEMO}/goals")
    page.get_by_role("button", name="Add Purchase").click()
    page.get_by_role("radio", name="Page A page was viewed").check()
    page.get_by_label("Path").locator("visible=true").fill("demo/journal/**")
    page.get_by_role("button", name="Add goal").click()
    expect(page.locator("#match-page-problem")).to_contain_text("begins with /")
    page.locator("#match-page").fill("/demo/journal/**")
    page.get_by_label("Name optional").fill("Read the journal")
    page.get_by_role("button", name="Add goal").click()
    expect(page.locator(".record h3")).to_have_text(["Purchase", "Read the journal"])
    page.goto(f"{demo.url}{DEMO}?period=7d")
    goals = page.get_by_role("region", name="Goals and events")
    expect(goals.locator("tbody tr")).to_have_count(2)
    goals.get_by_role("link", name="Read the journal").click()
    expect(page.locator(".chip")).to_contain_text("Goal is Read the journal")
    for name in ("Sources", "Pages", "Countries", "Devices"):
        expect(page.get_by_role("region", name=name).locator("th.share")).to_have_text("CR")
    goals.get_by_role("link", name="Read the journal").click()
    expect(page.locator(".chip")).to_have_count(0)
    goals.get_by_role("link", name="Purchase").click()
    expect(page.locator(".chip")).to_contain_text("Goal is Purchase")
    goals.get_by_role("link", name="Properties").click()
    expect(goals.get_by_role("link", name="product")).to_have_attribute("aria-current", "true")
    # Which ware is sold most in seven days depends on which days these are.
    expect(goals.locator("tbody th").first).to_have_text(re.compile(f"^({'|'.join(ware.name for ware in WARES)})$"))


def test_an_empty_site_explains_itself(person: BrowserContext, demo: Served) -> None:
    """No goals, no segments, no rows: each page says what to do, and filters on nothing are no error."""
    page = signed_in(person, demo, f"{EMPTY}/goals")
    expect(page.get_by_text("every custom event that your site sends counts as one")).to_be_visible()
    page.goto(f"{demo.url}{EMPTY}")
    add_filter(page, "Source", "is", "Google")
    expect(page.locator(".chip")).to_contain_text("Source is Google")
    page.get_by_role("region", name="Goals and events").get_by_role("link", name="Define a goal").click()
    expect(page).to_have_url(f"{demo.url}{EMPTY}/goals")
    for panel in ("sources", "pages", "countries", "technology", "events", "consent"):
        page.goto(f"{demo.url}{EMPTY}/details/{panel}")
        expect(page.locator("#found")).to_be_visible()
    page.goto(f"{demo.url}{EMPTY}/segments")
    expect(page.get_by_text("No saved segments yet.")).to_be_visible()
