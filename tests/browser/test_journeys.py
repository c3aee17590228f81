"""Journeys, what is around a page, and retention in a real browser: by mouse, by keyboard, and without scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.accessibility import shortcomings, show
from tests.browser.conftest import NewPerson
from tests.browser.test_filters_and_goals import DEMO, signed_in
from tests.length import long
from tests.served import Served, served

JOURNEYS = f"{DEMO}/journeys?period=7d"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with two weeks of generated visits."""
    with served(tmp_path_factory.mktemp("journeys"), "demo", "--events", "8000", "--days", "14") as server:
        yield server


def column(page: Page, number: int) -> Locator:
    """The steps of a column, from 1."""
    return page.locator(f"ul[aria-labelledby=journey-{number}] > li")


def visits_of(step: Locator) -> str:
    """The visits of a step, with their unit."""
    found = re.search(r"[\d,]+ visits?", step.inner_text())
    assert found
    return found[0]


def follow(page: Page, link: Locator, keyboard: bool) -> None:
    """Open a link by the mouse, or by the keyboard alone."""
    if keyboard:
        link.focus()
        page.keyboard.press("Enter")
    else:
        link.click()


@pytest.mark.parametrize(("scripts", "keyboard"), [(True, False), (True, True), (False, False), (False, True)])
def test_a_journey_is_walked(new_person: NewPerson, demo: Served, scripts: bool, keyboard: bool) -> None:
    """From the beginning of visits to a step, to the one after it, back, and on to the dashboard: each step leads to as
    many visits as it says."""
    page = signed_in(new_person(java_script_enabled=scripts), demo, JOURNEYS)
    heading = page.locator("#journey-title")
    first = column(page, 1).first
    visits = visits_of(first)
    follow(page, first.locator("a.journey-step"), keyboard)
    expect(heading).to_have_text(visits)
    expect(column(page, 1)).to_have_count(1)
    second = column(page, 2).first
    visits = visits_of(second)
    follow(page, second.locator("a.journey-step"), keyboard)
    expect(heading).to_have_text(visits)
    expect(column(page, 2).locator("[aria-current]")).to_have_count(1)
    follow(page, column(page, 2).first.locator("a.journey-step"), keyboard)
    expect(column(page, 2).locator("[aria-current]")).to_have_count(0)
    expect(page.get_by_role("link", name="Show all visits again")).to_have_count(1)
    name = column(page, 1).first.locator(".journey-name").inner_text()
    for title in ("Other steps", "Left the site"):
        node = column(page, 2).filter(has_text=title)
        visits = visits_of(node)
        follow(page, node.get_by_role("link", name=f"Filter dashboard by Step 2: {title}"), keyboard)
        expect(page.locator(".chip")).to_contain_text("Journey is")
        expect(page.locator("#figure-visits strong")).to_have_attribute("title", visits.split()[0])
        page.go_back()
    page.goto(f"{demo.url}{DEMO}?period=7d&f=is,event:page,{name}")
    follow(page, page.get_by_role("link", name="Before and after this page"), keyboard)
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    expect(page.get_by_role("heading", name="Next page")).to_be_visible()
    follow(page, page.get_by_role("link", name="Journeys to here"), keyboard)
    expect(column(page, 1).first.locator(".journey-name")).to_have_text(name)


@pytest.mark.parametrize("scripts", [True, False])
def test_the_form_chooses_where_a_journey_begins(new_person: NewPerson, demo: Served, scripts: bool) -> None:
    """An event in the place of the first step, by section, with more columns, before it; filters stay."""
    page = signed_in(new_person(java_script_enabled=scripts), demo, f"{JOURNEYS}&f=is_not,visit:country,NO")
    form = page.get_by_role("form", name="Journey")
    form.get_by_label("Direction").select_option(label="What happened before")
    form.get_by_label("Page or event").fill("Add to Cart")
    form.get_by_label("Pages", exact=True).select_option(label="By section (/blog/**)")
    form.get_by_label("Columns").select_option("3")
    form.get_by_role("button", name="Show").click()
    expect(column(page, 1).first.locator(".journey-name")).to_contain_text("Add to Cart")
    expect(column(page, 2).first.locator(".journey-name")).to_have_text(re.compile(r"^/demo"))
    expect(page.locator(".chip")).to_contain_text("Country is not Norway")
    section = column(page, 2).filter(has_text="/*").first
    name = section.locator(".journey-name").inner_text()
    section.locator("a.journey-filter").click()
    expect(page.locator(".chip").last).to_contain_text(f"Journey is Add to Cart → 1 step before: {name}")


@long
def test_axe_finds_nothing_and_nothing_is_cut_off(person: BrowserContext, demo: Served) -> None:
    """On the pages of journeys, of what is around a page, and of retention, at a desk and on a phone."""
    page = signed_in(person, demo, JOURNEYS)
    found: dict[str, list[str]] = {}
    for path in ("/journeys?columns=10", "/journeys/page?page=/demo", "/retention", "/journeys?at=nothing"):
        page.goto(f"{demo.url}{DEMO}{path}")
        found |= shortcomings(page)
        widths = "[...document.querySelectorAll('table.rows')].map((table) => [table.tHead, table.tBodies[0]])"
        heads = f"{widths}.every(([head, body]) => head.offsetWidth == body.offsetWidth)"
        for width in (390, 1280):
            show(page, "light", width)
            assert page.evaluate(heads), f"the head of a list is above its rows on {path} at {width}"
    assert found == {}
