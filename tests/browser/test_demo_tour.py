"""What a newcomer does in the first minutes: start the demonstration, look around, and add a site of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import NewPerson
from tests.browser.people import Owner, Visitor
from tests.browser.recorder import Recorder
from tests.served import DEADLINE, Served, served, until

EVENTS = "3000"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A demonstration started as a newcomer starts it: no setting but the port."""
    directory = tmp_path_factory.mktemp("demo")
    with served(directory, "demo", "--events", EVENTS, "--days", "7", TYST_ADMIN_PASSWORD="") as server:
        until("the greeting", lambda: "Stop it with Ctrl-C" in server.output())
        yield server


def printed(demo: Served, label: str) -> str:
    """What the greeting says after a label."""
    found = re.search(rf"^\s*{label}\s+(.+?)\s*$", demo.output(), re.MULTILINE)
    assert found, demo.output()
    return found[1]


def password(demo: Served) -> str:
    """The password that was generated and printed."""
    found = re.search(r"user admin, password (\S+)", printed(demo, "Sign in"))
    assert found, demo.output()
    return found[1]


@pytest.fixture
def owner(person: BrowserContext, demo: Served) -> Owner:
    """The newcomer, with nothing opened yet."""
    return Owner(person, demo.url)


def pageviews(page: Page) -> int:
    """The figure in full, as it stands on the page now: the number that its tooltip begins with."""
    title = page.locator("#figure-pageviews strong").get_attribute("title") or ""
    found = re.match(r"[\d\s,]+", title)
    assert found, title
    return int(re.sub(r"\D", "", found[0]))


def test_the_printed_addresses_lead_to_a_month_of_figures(owner: Owner, demo: Served) -> None:
    """The dashboard's address asks to sign in with what was printed, and then shows numbers in every panel."""
    address = printed(demo, "Dashboard")
    assert address == f"{demo.url}/demo.localhost"
    owner.sign_in("/demo.localhost", password(demo))
    assert pageviews(owner.page) > 1_000
    for figure in ("Visitors", "Visits", "Pageviews", "Bounce rate", "Visit duration"):
        assert re.search(r"[1-9]", owner.figure(figure)), figure
    panels = owner.page.locator("section.panel")
    assert panels.count() >= 4
    for number in range(panels.count()):
        assert panels.nth(number).locator("tbody tr").count() > 0, panels.nth(number).inner_text()
    expect(owner.page.locator(".uplot, #report table").first).to_be_attached()


def test_the_demo_site_asks_first_and_then_moves_the_numbers(owner: Owner, demo: Served, new_person: NewPerson) -> None:
    """On the demo site only anonymous counts are sent before its banner is accepted; then each page counts with its
    visit, and a dashboard that is open elsewhere shows it by itself."""
    owner.sign_in("/demo.localhost?period=day", password(demo))
    before = pageviews(owner.page)
    owner.page.evaluate("window.untouched = true")

    somebody = Visitor(new_person(), demo.url, fence="/healthz")
    page = somebody.page
    page.goto(printed(demo, "Demo site").split()[0])
    # Of a page that is left, nobody sees the answers.
    assert somebody.take() == [("pageview", "/demo", None)]
    page.get_by_role("link", name="Shop").first.click()
    page.wait_for_url("**/demo/shop")
    page.wait_for_load_state()
    assert somebody.take() == [("pageview", "/demo/shop", None)]
    expect(page.get_by_role("status").first).to_contain_text("have not chosen yet")

    page.get_by_role("dialog").get_by_role("button", name="Accept").click()
    assert somebody.take() == [("pageview", "/demo/shop", "cookieconsent")]
    page.get_by_role("link", name="Workshops").first.click()
    page.wait_for_url("**/demo/workshops")
    assert somebody.take() == [("pageview", "/demo/workshops", "cookieconsent")]

    shown = owner.page.locator("#figure-pageviews strong")
    expect(shown).to_have_attribute("title", re.compile(rf"^{before + 4:,}\b"), timeout=DEADLINE * 1000)
    assert owner.page.evaluate("window.untouched") is True

    page.get_by_role("button", name="Change consent").click()
    somebody.settle()
    page.get_by_role("dialog").get_by_role("button", name="Decline all").click()
    expect(page.get_by_role("status").first).to_contain_text("declined")
    somebody.settle()
    somebody.take()
    page.reload()
    assert somebody.take() == [("pageview", "/demo/workshops", None)]


def test_a_site_is_added_and_notices_its_first_beacon(
    owner: Owner, demo: Served, recorder: Recorder, new_person: NewPerson
) -> None:
    """Adding a site shows the tag; a page with exactly this tag sends, once a visitor agrees; the page with the tag
    turns into "Receiving data" without being touched, and leads to a dashboard with one visitor."""
    owner.sign_in("/", password(demo))
    page = owner.page
    page.get_by_role("link", name="Add a site").click()
    page.get_by_label("Domain").fill("https://New.test/")
    page.get_by_role("button", name="Add the site").click()
    page.wait_for_url("**/new.test/install")
    tag = page.locator("#tag").inner_text()
    assert tag.splitlines()[-1] == f'<script defer data-domain="new.test" src="{demo.url}/js/tyst.js"></script>'
    receiving = page.locator("#receiving")
    expect(receiving).to_contain_text("Waiting for data from new.test")
    page.evaluate("window.untouched = true")

    recorder.html = f"<!doctype html><title>mine</title>{tag}<body>Hello"
    somebody = Visitor(new_person(), demo.url)
    somebody.page.goto(recorder.url)
    assert somebody.take() == []
    expect(receiving).to_contain_text("Waiting for data from new.test")
    somebody.page.evaluate("tyst.consent('granted')")
    assert somebody.take() == [("pageview", "/", "granted")]

    expect(receiving).to_contain_text("Receiving data", timeout=DEADLINE * 1000)
    assert page.evaluate("window.untouched") is True
    demo.drain()
    page.get_by_role("link", name="Open the dashboard").click()
    page.wait_for_url("**/new.test?period=day")
    assert (owner.figure("Visitors"), owner.figure("Pageviews")) == ("1", "1")
    page.goto(demo.url)
    expect(page.get_by_role("main")).to_contain_text("1 visitor today")
