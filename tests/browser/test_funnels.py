"""Funnels in a real browser: built by mouse, by keyboard and without JavaScript, and followed to the dashboard."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser import people
from tests.browser.accessibility import shortcomings
from tests.browser.conftest import NewPerson
from tests.length import long
from tests.served import Served, served

FUNNELS = "/demo.localhost/funnels"
SAVED = "From product to purchase"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with two weeks of generated visits, and a funnel that the demonstration has."""
    with served(tmp_path_factory.mktemp("funnels"), "demo", "--events", "8000", "--days", "14") as server:
        yield server


def signed_in(person: BrowserContext, demo: Served, path: str) -> Page:
    """A tab of the admin's at that page."""
    return people.signed_in(person, demo.url, path)


def count(text: str) -> int:
    """The number in a text such as `1,234 visits`."""
    return int(re.sub(r"\D", "", text))


def counts(page: Page) -> list[int]:
    """Visits of each step of the picture."""
    expect(page.locator(".funnel-head strong").first).to_be_visible()
    return [count(each) for each in page.locator(".funnel-head strong").all_inner_texts()]


@long
def test_axe_finds_nothing(person: BrowserContext, demo: Served) -> None:
    """The list, a funnel with its breakdown, and the form with its preview: accessible, and not too wide."""
    page = signed_in(person, demo, FUNNELS)
    funnel = page.get_by_role("link", name=SAVED, exact=True).get_attribute("href") or ""
    found: dict[str, list[str]] = {}
    for path in (FUNNELS, f"{funnel}?by=visit:source", f"{FUNNELS}/edit?funnel={funnel.rpartition('/')[2]}"):
        page.goto(f"{demo.url}{path}")
        found |= shortcomings(page)
    assert found == {}


def test_a_funnel_is_built_with_the_mouse_and_a_live_preview(new_person: NewPerson, demo: Served) -> None:
    """What is typed is counted at once; steps are added, moved and removed in place; saving leads to its page."""
    page = signed_in(new_person(), demo, f"{FUNNELS}/edit")
    preview = page.get_by_role("region", name="Preview")
    page.get_by_label("Name").fill("To the cart")
    page.locator("#match-1").fill("/demo/shop/*")
    page.locator("#match-2").fill("/demo/cart")
    expect(preview.locator(".funnel-head")).to_have_count(2)
    page.get_by_role("button", name="Add a step").click()
    expect(page.locator("#match-3")).to_be_focused()
    page.locator("#kind-3").select_option(label="Event")
    page.locator("#match-3").fill("Add to Cart")
    page.get_by_role("button", name="Move up – Step 3").click()
    expect(page.locator("#match-2")).to_have_value("Add to Cart")
    expect(preview.locator(".funnel-title").nth(1)).to_contain_text("Add to Cart")
    page.get_by_label("Within a visitor").check()
    expect(preview).to_contain_text("visitors")
    page.get_by_role("button", name="Remove – Step 3").click()
    expect(page.locator("#match-3")).to_have_count(0)
    page.get_by_role("button", name="Save funnel").click()
    expect(page.get_by_role("heading", name="To the cart")).to_be_visible()
    first, second = counts(page)
    assert first > second > 0


def test_a_funnel_is_built_with_the_keyboard(new_person: NewPerson, demo: Served) -> None:
    """From the list to the saved funnel without a mouse."""
    page = signed_in(new_person(), demo, FUNNELS)
    page.get_by_role("link", name="New funnel").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Name").focus()
    page.keyboard.type("By keyboard")
    for path in ("/demo/shop/*", "/demo/cart"):
        # Past the kind of the step, and the buttons of the one before.
        while page.evaluate("!document.activeElement.id.startsWith('match-') || document.activeElement.value"):
            page.keyboard.press("Tab")
        page.keyboard.type(path)
        page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="By keyboard")).to_be_visible()
    assert len(counts(page)) == 2


def test_a_funnel_is_built_and_followed_without_javascript(new_person: NewPerson, demo: Served) -> None:
    """By buttons of the form; a step leads to the dashboard of as many visits."""
    page = signed_in(new_person(java_script_enabled=False), demo, f"{FUNNELS}/edit")
    page.get_by_label("Name").fill("Plain")
    page.locator("#match-1").fill("/demo")
    page.get_by_role("button", name="Add a step").click()
    page.locator("#match-2").fill("/demo/shop")
    page.locator("#match-3").fill("/demo/shop/*")
    page.get_by_role("button", name="Update preview").click()
    assert len(counts(page)) == 3
    page.get_by_role("button", name="Save funnel").click()
    expect(page.get_by_role("heading", name="Plain")).to_be_visible()
    of_steps = counts(page)
    page.get_by_label("By", exact=True).select_option(label="Source")
    page.get_by_role("button", name="Show", exact=True).last.click()
    expect(page.locator(".funnel-rows tbody tr").first).to_be_visible()
    page.locator(".funnel-left a").first.click()
    expect(page.locator(".chip")).to_contain_text("Plain: dropped off after step 1")
    assert count(page.locator("#figure-visits strong").get_attribute("title") or "") == of_steps[0] - of_steps[1]


def test_the_table_says_what_the_picture_says(new_person: NewPerson, demo: Served) -> None:
    """And the period's menu and filters change both."""
    page = signed_in(new_person(), demo, FUNNELS)
    page.get_by_role("link", name=SAVED, exact=True).click()
    table = page.locator(".funnel-table tbody tr td:nth-child(2)")
    thirty = counts(page)
    assert [count(each) for each in table.all_inner_texts()] == thirty
    page.locator("#period > summary").click()
    page.get_by_role("link", name=re.compile("Last 7 days")).click()
    expect(page).to_have_url(re.compile("period=7d"))
    expect(page.locator("#period > summary")).to_contain_text("Last 7 days")
    week = counts(page)
    assert week[0] < thirty[0]
    page.get_by_label("By", exact=True).select_option(label="Device")
    expect(page.locator(".funnel-rows tbody tr").first).to_be_visible()
    page.locator(".funnel-rows tbody a").first.click()
    expect(page.locator(".chip")).to_contain_text("Device is")
    assert counts(page)[0] < week[0]
