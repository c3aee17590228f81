"""The dashboard in a real browser: by keyboard, without JavaScript, on a phone, and as assistive technology sees it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect

from tests.browser import people
from tests.browser.accessibility import fits, forms, show, violations
from tests.browser.conftest import USER_AGENT, NewPerson
from tests.served import DEADLINE, Served, served

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
    return people.signed_in(person, demo.url, path)


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
    "/account", "/account/two-factor", "/account/passkeys", "/users", "/changes", "/alerts",
    f"{DEMO}/reports", f"{DEMO}/alerts",
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


class Tour(NamedTuple):
    """What one visit to every page came to."""

    violations: dict[str, dict[str, list[str]]]
    """By the colour scheme."""
    wide: list[str]
    """Pages that are wider than a small phone."""
    hosts: set[str]
    """Where requests went."""
    said: list[str]
    """What the console was told."""
    kept: set[str]
    """Names of what the browser stores."""


@pytest.fixture(scope="module")
def tour(browser: Browser, demo: Served) -> Iterator[Tour]:
    """Every page, opened once and then shown in both schemes and at three widths."""
    tour = Tour({"light": {}, "dark": {}}, [], set(), [], set())

    def note_request(request: Request) -> None:
        if not request.url.startswith("data:"):
            tour.hosts.add(urlsplit(request.url).netloc)

    def note_console(message: ConsoleMessage) -> None:
        if not any(expected in message.text for expected in ("404 (Not Found)", "410 (Gone)")):
            tour.said.append(message.text)

    with browser.new_context(user_agent=USER_AGENT) as person:
        person.set_default_timeout(DEADLINE * 1000)
        person.on("request", note_request)
        person.on("console", note_console)
        person.on("weberror", lambda error: tour.said.append(str(error.error)))
        page = signed_in(person, demo)
        for path in everywhere(page, demo):
            page.wait_for_load_state("networkidle")
            tour.kept.update(page.evaluate("[...Object.keys(localStorage), ...Object.keys(sessionStorage)]"))
            for scheme, width in forms(page):
                show(page, scheme, width)
                tour.violations[scheme].update(violations(page))
            show(page, "light", 320)
            if not fits(page):
                tour.wide.append(path)
            show(page, "light", 1280)
        yield tour


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(tour: Tour, scheme: str) -> None:
    """Contrast, names, roles, landmarks and order: axe-core's rules hold on every page, in light on a desk and in dark
    on a phone."""
    assert tour.violations[scheme] == {}


def test_no_page_is_wider_than_a_small_phone(tour: Tour) -> None:
    """At 320 px, which is also 1280 px at four times the size, nothing has to be scrolled sideways."""
    assert tour.wide == []


def test_no_page_asks_elsewhere_or_breaks_its_policy(tour: Tour, demo: Served) -> None:
    """Every request goes to this server, the console stays silent, and the browser keeps nothing of the figures."""
    # The present page's address, for the time that the tab is open.
    assert tour.kept <= {"htmx-current-path-for-history"}
    assert tour.hosts == {urlsplit(demo.url).netloc}
    assert tour.said == []


def test_signing_out_elsewhere_ends_an_open_page(person: BrowserContext, demo: Served) -> None:
    """A page that refreshes itself after the session has ended leads to the sign-in page, not into its middle."""
    page = signed_in(person, demo)
    page.wait_for_load_state("networkidle")
    person.clear_cookies()
    # Where it has not refreshed itself already.
    page.evaluate("document.getElementById('figure-visits')?.click()")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert httpx.URL(page.url).path == "/login"
