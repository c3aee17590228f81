"""Sharing and installing as people do it: a link for a stranger, a frame in a page, a tag on a new site."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser import people
from tests.browser.accessibility import shortcomings, show
from tests.browser.conftest import NewPerson
from tests.length import long
from tests.served import DEADLINE, Served, served, until
from tests.website import Website, website

DEMO = "/demo.localhost"
WORD = "open the quiet door"
PATIENCE = DEADLINE * 1000
"""Milliseconds for what another process does."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with generated visits and an empty site, that may look at websites on this machine."""
    directory = tmp_path_factory.mktemp("sharing")
    with served(directory, "demo", "--events", "3000", "--days", "9", TYST_VERIFY_NETWORKS="127.0.0.0/8") as server:
        server.add_site("empty.example")
        yield server


@pytest.fixture
def site() -> Iterator[Website]:
    """Somebody's website."""
    with website() as running:
        yield running


def signed_in(person: BrowserContext, demo: Served, path: str) -> Page:
    """A tab of the admin's at that page."""
    return people.signed_in(person, demo.url, path)


def make(page: Page, name: str, **fields: str) -> str:
    """Create a link by the form; its address as it is shown."""
    page.get_by_label("Name", exact=True).fill(name)
    for label, text in fields.items():
        page.get_by_label(label.replace("_", " ")).fill(text)
    page.get_by_role("button", name="Create link").click()
    expect(page.get_by_text(f"The link “{name}” is ready")).to_be_visible()
    return page.get_by_label(f"Link of {name}").inner_text()


def test_a_stranger_reads_what_was_shared(new_person: NewPerson, demo: Served) -> None:
    """The link is copied, now or later; behind it everything filters, in place and below the link, until revoked."""
    page = signed_in(new_person(), demo, f"{DEMO}/sharing")
    link = make(page, "For the board")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{demo.url}{DEMO}/sharing")
    page.get_by_role("button", name="Copy the link For the board").click()
    expect(page.locator("[data-copied]").first).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == link
    stranger = new_person().new_page()
    stranger.goto(f"{link}?period=7d")
    row = stranger.locator(".rows tbody th a").first
    label = row.inner_text()
    row.click()
    expect(stranger.locator(".chip").first).to_contain_text(label)
    expect(stranger).to_have_url(re.compile(re.escape(link) + r"\?.*f=is,"))
    stranger.reload()
    expect(stranger.locator(".chip").first).to_contain_text(label)
    stranger.goto(f"{link}/details/pages")
    stranger.locator(".rows tbody th a").first.click()
    expect(stranger).to_have_url(re.compile(re.escape(link)))
    stranger.goto(demo.url + DEMO)
    expect(stranger.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto(f"{demo.url}{DEMO}/sharing")
    expect(page.locator(".shares")).to_contain_text("Last used today")
    page.get_by_role("button", name="Revoke the link For the board").click()
    expect(page.get_by_text("No shared links yet.")).to_be_visible()
    stranger.goto(link)
    expect(stranger.get_by_role("heading", name="Page not found")).to_be_visible()


def test_a_password_is_asked_for_once(new_person: NewPerson, demo: Served) -> None:
    """And leads to the very view that was asked for."""
    page = signed_in(new_person(), demo, "/empty.example/sharing")
    link = make(page, "With a password", Password=WORD)
    stranger = new_person().new_page()
    stranger.goto(f"{link}?period=7d")
    stranger.get_by_label("Password").fill("something else")
    stranger.get_by_role("button", name="Open").click()
    expect(stranger.get_by_role("alert")).to_contain_text("Incorrect password")
    stranger.get_by_label("Password").fill(WORD)
    stranger.get_by_role("button", name="Open").click()
    expect(stranger).to_have_url(f"{link}?period=7d")
    expect(stranger.get_by_role("heading", name="empty.example")).to_be_visible()
    stranger.goto(link)
    expect(stranger.get_by_label("Password")).to_have_count(0)


@long
def test_a_frame_shows_the_figures_where_it_may(new_person: NewPerson, demo: Served, site: Website) -> None:
    """In the pages of the named origin, in the wanted colours, without a cookie; in those of another it stays empty."""
    page = signed_in(new_person(), demo, f"{DEMO}/sharing")
    link = make(page, "In our intranet", Sites_that_may_embed_it=site.url)
    frame = page.get_by_label("Always dark", exact=True).inner_text()
    site.page("/", f"<!doctype html><title>Intranet</title><h1>Ours</h1>{frame}")
    reader = new_person()
    inside = reader.new_page()
    inside.goto(f"{site.url}/")
    embedded = inside.frame_locator("iframe")
    expect(embedded.locator("#figure-visitors")).to_be_visible(timeout=PATIENCE)
    expect(embedded.locator("header")).to_have_count(0)
    expect(embedded.locator("html")).to_have_css("color-scheme", "dark")
    content = "() => document.body.offsetHeight"
    for width in (1280, 480):
        inside.set_viewport_size({"width": width, "height": 800})
        until(
            "a frame as high as what is in it",
            lambda: inside.locator("iframe").get_attribute("height") == str(embedded.locator("html").evaluate(content)),
        )
    embedded.locator("#figure-visits").click()
    expect(embedded.locator("#figure-visits[aria-current]")).to_be_visible(timeout=PATIENCE)
    assert "embed=true" in embedded.locator("html").evaluate("() => location.href")
    assert reader.cookies() == []
    inside.goto(f"{site.url.replace('127.0.0.1', 'localhost')}/")
    expect(inside.get_by_role("heading", name="Ours")).to_be_visible()
    expect(inside.frame_locator("iframe").locator("#figure-visitors")).to_have_count(0)
    papers = {}
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme, theme in itertools.product(schemes, ("auto", "light", "dark")):
        inside.emulate_media(color_scheme=scheme)
        inside.goto(f"{link}?embed=true&theme={theme}", wait_until="domcontentloaded")
        papers[scheme, theme] = inside.evaluate("getComputedStyle(document.body).backgroundColor")
    light, dark = papers["light", "auto"], papers["dark", "auto"]
    assert light != dark
    assert (papers["light", "light"], papers["dark", "light"]) == (light, light)
    assert (papers["light", "dark"], papers["dark", "dark"]) == (dark, dark)


def test_a_public_dashboard_needs_no_account(new_person: NewPerson, demo: Served) -> None:
    """Visited or still empty, anybody reads it, and nothing else."""
    for domain in ("demo.localhost", "empty.example"):
        demo.api("PUT", f"/api/v1/sites/{domain}", {"public": True})
    stranger = new_person().new_page()
    stranger.goto(demo.url + DEMO)
    expect(stranger.locator("#figure-visitors")).to_be_visible()
    stranger.goto(f"{demo.url}/empty.example")
    expect(stranger.get_by_text("No data yet")).to_be_visible()
    expect(stranger.get_by_role("link", name="Install the tag")).to_have_count(0)
    stranger.get_by_role("link", name="Sign in").click()
    expect(stranger.get_by_role("heading", name="Sign in")).to_be_visible()
    for domain in ("demo.localhost", "empty.example"):
        demo.api("PUT", f"/api/v1/sites/{domain}", {"public": False})


@pytest.mark.parametrize("variant", ["HTML", "Google Tag Manager"])
def test_a_newcomer_sees_the_first_event(new_person: NewPerson, demo: Served, site: Website, variant: str) -> None:
    """From the form to the tag, to what the check says of a page, to the first beacon: not kept, then kept."""
    name = f"new{len(variant)}.localhost"
    page = signed_in(new_person(), demo, "/sites/new")
    page.get_by_label("Domain").fill(name)
    page.get_by_role("button", name="Add the site").click()
    expect(page.locator("#receiving")).to_contain_text(f"Waiting for data from {name}")
    page.get_by_role("link", name=variant, exact=True).click()
    site.page("/", "<!doctype html><title>New</title><h1>New</h1>")
    page.get_by_label("Page", exact=True).fill(f"{site.url}/")
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.locator(".found .failed")).to_contain_text("The page has no tag.", timeout=PATIENCE)
    code = page.locator("#tag").inner_text()
    site.page("/", f"<!doctype html><head><title>New</title>{code}</head><h1>New</h1>")
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.locator(".found .failed")).to_have_count(0, timeout=PATIENCE)
    expect(page.locator(".found")).to_contain_text(f"It counts for {name}.")
    visitor = new_person().new_page()
    beacon = {"n": "pageview", "u": f"https://{name}/", "d": name}
    demo.send(str(beacon).replace("'", '"'))
    expect(page.locator("#receiving")).to_contain_text("no consent (1)", timeout=PATIENCE)
    expect(page.locator("#receiving")).to_contain_text("Accept the banner in that tab")
    visitor.goto(f"{site.url}/")
    visitor.evaluate("tyst.consent('granted')")
    expect(page.locator("#receiving")).to_contain_text("Receiving data", timeout=PATIENCE)
    expect(page.locator("#receiving")).to_contain_text("recorded")


def test_sharing_and_installing_work_without_javascript(new_person: NewPerson, demo: Served, site: Website) -> None:
    """Links and forms are enough."""
    page = signed_in(new_person(java_script_enabled=False), demo, "/empty.example/install")
    page.get_by_role("link", name="WordPress").click()
    page.get_by_label("Your consent banner").select_option(label="Klaro")
    page.get_by_role("button", name="Show the tag").click()
    expect(page.locator("#tag")).to_contain_text('data-cmp="klaro"')
    expect(page.get_by_role("link", name="WordPress")).to_have_attribute("aria-current", "true")
    page.get_by_label("Page", exact=True).fill(f"{site.url}/missing")
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.locator(".found")).to_contain_text("responded with status 404")
    page.goto(f"{demo.url}/empty.example/sharing")
    link = make(page, "Plain")
    stranger = new_person(java_script_enabled=False).new_page()
    stranger.goto(link)
    expect(stranger.get_by_text("No data yet")).to_be_visible()


@long
def test_axe_finds_nothing(new_person: NewPerson, demo: Served, site: Website) -> None:
    """On no page of sharing and installing, whatever it shows; and none is wider than a small phone."""
    page = signed_in(new_person(), demo, f"{DEMO}/sharing")
    found: dict[str, list[str]] = {}

    def look(each: Page) -> None:
        found.update(shortcomings(each, narrow=320))
        show(each, "light", 1280)

    link = make(page, "Embedded", Sites_that_may_embed_it=site.url)
    look(page)
    locked = make(page, "Locked", Password=WORD, Expires_on="2099-12-31")
    page.goto(f"{demo.url}{DEMO}/sharing")
    look(page)
    page.get_by_label("Name", exact=True).fill("Short")
    page.get_by_label("Password").fill("short")
    page.get_by_role("button", name="Create link").click()
    look(page)
    for query in (
        "",
        "?variant=wordpress&banner=klaro",
        "?variant=nextjs&banner=osano",
        "?variant=gtm&banner=google-consent-mode",
    ):
        page.goto(f"{demo.url}/empty.example/install{query}")
        look(page)
    tag = '<script data-domain="empty.example" src="/js/tyst.js"></script>'
    site.page("/", f"<script src=/klaro.js></script>{tag}")
    page.get_by_label("Page", exact=True).fill(f"{site.url}/")
    page.get_by_role("button", name="Check", exact=True).click()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the lines for Banner").click(timeout=PATIENCE)
    expect(page.locator("[data-copied]").first).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == (
        '<script defer data-domain="empty.example" data-cmp="klaro" src="/js/tyst.js"></script>'
    )
    look(page)
    site.page("/", '<script type="text/plain" src="/js/tyst.js"></script><script src=/klaro.js></script>')
    page.get_by_label("Page", exact=True).fill(f"{site.url}/")
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.locator(".found")).to_contain_text("has type=", timeout=PATIENCE)
    look(page)
    stranger = new_person().new_page()
    for address in (link, f"{link}?embed=true&theme=dark", f"{link}?embed=true&theme=light", locked):
        stranger.goto(address)
        look(stranger)
    assert found == {}
