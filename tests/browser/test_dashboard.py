"""The dashboard in a real browser: by keyboard, without JavaScript, on a phone, and as assistive technology sees it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, expect

from tests.browser.conftest import NewPerson
from tests.browser.people import Owner
from tests.served import Served, served

AXE = Path(__file__).parents[2] / "dashboard/frontend/node_modules/axe-core/axe.min.js"
DEMO = "/demo.localhost"
FILTERED = f"{DEMO}?period=7d&f=is,visit:device,desktop&f=is_not,visit:country,SE"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a week of generated visits, and one site that nobody has visited."""
    with served(tmp_path_factory.mktemp("dashboard"), "demo", "--events", "8000", "--days", "14") as server:
        server.add_site("empty.example", timezone="Europe/Stockholm")
        yield server


def signed_in(person: BrowserContext, demo: Served, path: str = DEMO) -> Page:
    """A tab of the admin's at that page."""
    owner = Owner(person, demo.url)
    owner.sign_in(path)
    return owner.page


def visitors(page: Page) -> int:
    """The first of the top figures, in full."""
    title = page.locator("#figure-visitors strong").get_attribute("title") or ""
    return int(title.replace(",", ""))


def test_the_chart_is_drawn_and_read_by_keyboard(person: BrowserContext, demo: Served) -> None:
    """The table gives way to the chart; arrow keys read its values out; the table opens again when asked for."""
    page = signed_in(person, demo, f"{DEMO}?period=7d")
    plot = page.locator("[data-plot]")
    expect(plot.locator("canvas")).to_be_visible()
    table = page.locator("#chart table")
    expect(table).to_be_hidden()
    plot.focus()
    page.keyboard.press("Home")
    first = table.locator("tbody tr").first
    spoken = page.locator("[data-reading]")
    value = (first.locator("td").first.text_content() or "").strip()
    expect(spoken).to_contain_text(f": {value};")
    expect(page.locator(".tip strong")).to_have_text(f"{value} visitors")
    before = spoken.text_content() or ""
    page.keyboard.press("ArrowRight")
    expect(spoken).not_to_have_text(before)
    page.get_by_text("Show as table").click()
    expect(table).to_be_visible()


def test_a_click_filters_without_leaving_the_page(person: BrowserContext, demo: Served) -> None:
    """Only the report is replaced, the address says all of it, and back and reload show what they should."""
    page = signed_in(person, demo, f"{DEMO}?period=7d")
    everyone = visitors(page)
    page.evaluate("window.untouched = true")
    page.locator(".panel", has_text="Devices").get_by_role("link", name="Firefox").click()
    expect(page.locator(".chip")).to_contain_text("Browser is Firefox")
    expect(page).to_have_url(re.compile(r"f=is,visit:browser,Firefox"))
    assert page.evaluate("window.untouched")
    expect(page.locator("[data-plot] canvas")).to_be_visible()
    some = visitors(page)
    assert 0 < some < everyone
    page.reload()
    expect(page.locator(".chip")).to_contain_text("Browser is Firefox")
    assert visitors(page) == some
    page.go_back()
    expect(page.locator(".chip")).to_have_count(0)
    expect(page).to_have_url(re.compile(r"\?period=7d$"))
    page.go_forward()
    page.get_by_role("link", name="Remove the filter Browser is Firefox").click()
    expect(page.locator(".chip")).to_have_count(0)


def test_the_page_is_walked_by_keyboard(person: BrowserContext, demo: Served) -> None:
    """The first key shows a way past the header; a tab of a panel opens by Enter and keeps the focus."""
    page = signed_in(person, demo)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    tab = page.locator("#technology-tab-2")
    tab.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#technology-tab-2[aria-current]")).to_be_focused()
    expect(page).to_have_url(re.compile("technology=systems"))
    summary = page.locator("#period summary")
    summary.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#from")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#from")).to_be_hidden()
    expect(summary).to_be_focused()


def test_everything_works_without_javascript(new_person: NewPerson, demo: Served) -> None:
    """Signing in, periods, tabs, filters, custom dates, details, adding a site: links and forms are enough."""
    page = signed_in(new_person(java_script_enabled=False), demo)
    expect(page.locator("#chart table")).to_be_visible()
    expect(page.locator("canvas")).to_have_count(0)
    page.locator("#period summary").click()
    page.locator("#period-7d").click()
    expect(page.locator("#chart tbody tr")).to_have_count(7)
    page.get_by_role("link", name="Channels").click()
    page.locator(".panel", has_text="Sources").locator("tbody a").first.click()
    expect(page.locator(".chip")).to_contain_text("Channel is")
    page.locator("#period summary").click()
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile("period=custom"))
    expect(page.locator(".chip")).to_contain_text("Channel is")
    page.get_by_role("link", name="Remove the filter").click()
    page.get_by_role("link", name="Details – Pages").click()
    expect(page.get_by_role("heading", name="Pages")).to_be_visible()
    page.goto(f"{demo.url}/sites/new")
    page.get_by_label("Domain").fill("plain.example")
    page.get_by_role("button", name="Add the site").click()
    expect(page.locator("#tag")).to_contain_text('data-domain="plain.example"')
    page.locator(".account-menu summary").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_adding_a_site_turns_into_receiving_by_itself(new_person: NewPerson, demo: Served) -> None:
    """The browser's time zone is suggested; the page that listens notices the first beacon without a reload."""
    page = signed_in(new_person(timezone_id="Europe/Helsinki"), demo, "/sites/new")
    expect(page.get_by_label("Time zone")).to_have_value("Europe/Helsinki")
    page.get_by_label("Domain").fill("fresh.example")
    page.get_by_role("button", name="Add the site").click()
    expect(page.locator("#receiving")).to_contain_text("Waiting for data from fresh.example")
    beacon = {"n": "pageview", "u": "https://fresh.example/", "d": "fresh.example"}
    assert demo.http.post("/api/event", json=beacon).headers["x-tyst-dropped"] == "consent"
    expect(page.locator("#receiving")).to_contain_text("no consent (1)")
    assert demo.http.post("/api/event", json={**beacon, "c": "granted"}).status_code == 202
    expect(page.locator("#receiving")).to_contain_text("Receiving data")


PAGES = (
    "/", DEMO, f"{DEMO}?period=day&metric=bounce_rate", FILTERED, f"{DEMO}/details/pages", f"{DEMO}/status",
    f"{DEMO}/install", f"{DEMO}/settings", "/sites/new", "/empty.example", "/empty.example/install", "/nothing.example",
    "/account", "/account/two-factor", "/users", "/changes", "/alerts", f"{DEMO}/reports", f"{DEMO}/alerts",
    f"{DEMO}/people", f"{DEMO}/data", f"{DEMO}/changes",
    "/empty.example/data",
    "/invitation/none", f"{DEMO}/goals", f"{DEMO}/segments", f"{DEMO}/details/events?events=properties",
    f"{DEMO}?f=is,event:goal,Purchase&events=properties&sources=utm_medium", "/empty.example/goals",
    "/empty.example/details/events", f"{DEMO}/consent", f"{DEMO}/consent?period=7d", "/empty.example/consent",
    f"{DEMO}/install?banner=none&variant=astro", f"{DEMO}/install?banner=cookiebot&variant=shopify",
    f"{DEMO}?metric=total_revenue&currency=SEK&pages=entry", f"{DEMO}/details/sources",
)  # fmt: skip
OUTSIDE = ("/login", "/demo", "/demo/shop", "/demo/workshops", "/demo/about")


def everywhere(page: Page, demo: Served) -> Iterator[str]:
    """Visit every page, those for strangers with the cookies gone."""
    for path in PAGES:
        page.goto(demo.url + path)
        yield path
    page.context.clear_cookies()
    for path in OUTSIDE:
        page.goto(demo.url + path)
        yield path


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_nothing(new_person: NewPerson, demo: Served, scheme: Any, width: int) -> None:
    """Contrast, names, roles, landmarks and order: axe-core's rules hold on every page, in both colour schemes."""
    person = new_person(color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce")
    page = signed_in(person, demo)
    axe = AXE.read_text()
    found: dict[str, list[str]] = {}
    for path in everywhere(page, demo):
        page.evaluate(axe)
        violations = page.evaluate("axe.run(document).then((report) => report.violations)")
        found |= {f"{path} {each['id']}": [node["html"][:200] for node in each["nodes"]] for each in violations}
    assert found == {}


def test_no_page_is_wider_than_a_small_phone(new_person: NewPerson, demo: Served) -> None:
    """At 320 px, which is also 1280 px at four times the size, nothing has to be scrolled sideways."""
    page = signed_in(new_person(viewport={"width": 320, "height": 640}), demo)
    wide = [path for path in everywhere(page, demo) if page.evaluate("document.documentElement.scrollWidth") > 320]
    assert wide == []


def test_no_page_asks_elsewhere_or_breaks_its_policy(person: BrowserContext, demo: Served) -> None:
    """Every request goes to this server, the console stays silent, and the browser keeps nothing of the figures."""
    hosts: set[str] = set()
    said: list[str] = []

    def note_request(request: Request) -> None:
        if not request.url.startswith("data:"):
            hosts.add(urlsplit(request.url).netloc)

    def note_console(message: ConsoleMessage) -> None:
        if not any(expected in message.text for expected in ("404 (Not Found)", "410 (Gone)")):
            said.append(message.text)

    person.on("request", note_request)
    person.on("console", note_console)
    person.on("weberror", lambda error: said.append(str(error.error)))
    page = signed_in(person, demo)
    for _ in everywhere(page, demo):
        page.wait_for_load_state("networkidle")
        kept = page.evaluate("[...Object.keys(localStorage), ...Object.keys(sessionStorage)]")
        # The present page's address, for the time that the tab is open.
        assert set(kept) <= {"htmx-current-path-for-history"}
    assert hosts == {urlsplit(demo.url).netloc}
    assert said == []


def test_signing_out_elsewhere_ends_an_open_page(person: BrowserContext, demo: Served) -> None:
    """A page that refreshes itself after the session has ended leads to the sign-in page, not into its middle."""
    page = signed_in(person, demo)
    page.wait_for_load_state("networkidle")
    person.clear_cookies()
    page.locator("#figure-visits").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert httpx.URL(page.url).path == "/login"
