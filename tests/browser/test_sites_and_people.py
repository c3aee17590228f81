"""Sites and people, walked through in a browser: settings, invitations, roles, deletions, renaming, one's account."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import violations
from tests.browser.conftest import NewPerson
from tests.browser.people import Owner
from tests.length import long
from tests.served import Served, served

DEMO = "/demo.localhost"
EMPTY = "/empty.example"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a few days of generated visits, and one site that nobody has visited."""
    with served(tmp_path_factory.mktemp("people"), "demo", "--events", "2000", "--days", "4") as server:
        server.add_site("empty.example", timezone="Europe/Stockholm")
        yield server


def signed_in(new_person: NewPerson, demo: Served, path: str, **options: object) -> Page:
    """A tab of the admin's, in a browser of its own."""
    owner = Owner(new_person(**options), demo.url)
    owner.sign_in(path)
    return owner.page


@pytest.mark.parametrize("site", [EMPTY, DEMO], ids=["empty", "demo"])
def test_settings_are_saved_section_by_section(new_person: NewPerson, demo: Served, site: str) -> None:
    """Each form says that it saved, or what to mend beside the field; the list of changes has it all."""
    page = signed_in(new_person, demo, f"{site}/settings")
    page.get_by_label("Keep events for").select_option("13 months")
    page.locator("#keeping").get_by_role("button", name="Save").click()
    expect(page.locator("#keeping [role=status]")).to_contain_text("Saved")
    page.get_by_label("Excluded countries").fill("Sverige")
    page.locator("#counting").get_by_role("button", name="Save").click()
    expect(page.locator("#excluded_countries-problem")).to_contain_text("two letters")
    expect(page.get_by_label("Excluded countries")).to_have_value("Sverige")
    page.get_by_label("Excluded countries").fill("aq")
    page.locator("#counting").get_by_role("button", name="Save").click()
    expect(page.get_by_label("Excluded countries")).to_have_value("AQ")
    page.get_by_role("link", name="Changes", exact=True).first.click()
    expect(page.locator(".log tr").first).to_contain_text("Excluded countries changed")
    expect(page.locator(".log")).to_contain_text("395")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_an_address_is_tried_on_patterns(new_person: NewPerson, demo: Served, scripts: bool) -> None:
    """What is typed shows what becomes of it at once, by the Enter key too; it is in no address of the page, and
    axe-core finds nothing on the answer."""
    # A pattern of its own: what the other case has saved stays.
    part = "order" if scripts else "bill"
    page = signed_in(new_person, demo, f"{EMPTY}/settings", java_script_enabled=scripts)
    page.get_by_label("Parts of paths to hide").fill(f"/{part}/*")
    tried = page.get_by_label("Test a URL")
    tried.fill(f"https://empty.example/{part}/ada?x=1")
    tried.press("Enter")
    expect(page.locator("#becomes")).to_contain_text(f"/{part}/:hidden")
    expect(page.locator("#becomes")).to_contain_text("not saved yet")
    expect(page.locator("#addresses")).to_be_in_viewport()
    assert "ada" not in page.url
    expect(tried).to_have_value(f"https://empty.example/{part}/ada?x=1")
    if scripts:
        assert violations(page) == {}
    page.get_by_label("Parts of paths to hide").fill(f"/{part}")
    page.get_by_role("button", name="Test").click()
    expect(page.locator("#hidden_paths-problem")).to_contain_text(f"/{part}: enter a pattern")
    page.get_by_label("Parts of paths to hide").fill(f"/{part}/*")
    page.locator("#addresses").get_by_role("button", name="Save").click()
    expect(page.locator("#addresses [role=status]")).to_contain_text("Saved")
    expect(page.get_by_label("Parts of paths to hide")).to_have_value(f"/{part}/*")


def test_another_site_is_two_clicks_away(new_person: NewPerson, demo: Served) -> None:
    """From the name of the open one, on a phone, too; Escape closes the menu, and axe-core finds nothing in it."""
    page = signed_in(new_person, demo, f"{EMPTY}/status", viewport={"width": 390, "height": 844})
    menu = page.get_by_label("Switch site")
    menu.click()
    site = page.get_by_role("navigation", name="Other sites").get_by_role("link", name="demo.localhost")
    expect(site).to_be_in_viewport(ratio=1)
    assert violations(page) == {}
    page.keyboard.press("Escape")
    expect(site).to_be_hidden()
    menu.click()
    site.click()
    expect(page.get_by_role("heading", name="demo.localhost")).to_be_visible()


def test_somebody_is_invited_and_promoted_and_removed(new_person: NewPerson, demo: Served) -> None:
    """The link goes to another browser, makes an account there, and is over; what changes holds at once."""
    page = signed_in(new_person, demo, f"{EMPTY}/people")
    page.get_by_label("Name", exact=True).fill("Ida")
    page.get_by_role("button", name="Create link").click()
    link = page.locator("#made-link").inner_text()
    guest = new_person().new_page()
    guest.goto(link)
    guest.get_by_label("Choose a user name").fill("ida")
    guest.get_by_label("Choose a password").fill("a quiet password")
    guest.get_by_role("button", name="Create account").click()
    expect(guest.get_by_role("heading", name="empty.example")).to_be_visible()
    expect(guest.get_by_role("link", name="Settings")).to_have_count(0)
    stranger = new_person().new_page()
    stranger.goto(link)
    expect(stranger.get_by_role("heading", name="This link is no longer valid")).to_be_visible()
    page.goto(f"{demo.url}{EMPTY}/people")
    page.get_by_label("Role of ida", exact=True).select_option("Owner")
    page.get_by_role("button", name="Change the role of ida").click()
    guest.reload()
    guest.get_by_role("link", name="Settings").click()
    expect(guest.get_by_role("heading", name="General")).to_be_visible()
    page.get_by_role("button", name="Remove ida").click()
    expect(page.locator(".entries", has_text="ida")).to_have_count(0)
    guest.goto(demo.url)
    expect(guest.get_by_role("heading", name="No sites yet")).to_be_visible()


def test_ones_account_from_a_lost_password_to_a_lost_browser(new_person: NewPerson, demo: Served) -> None:
    """An administrator makes the link; a new password signs the other browsers out; each can be ended from another."""
    admin = signed_in(new_person, demo, "/users")
    admin.get_by_label("Name", exact=True).fill("Otto")
    admin.get_by_role("button", name="Create link").click()
    page = new_person().new_page()
    page.goto(admin.locator("#made-link").inner_text())
    page.get_by_label("Choose a user name").fill("otto")
    page.get_by_label("Choose a password").fill("a quiet password")
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_role("heading", name="No sites yet")).to_be_visible()
    admin.goto(f"{demo.url}/users")
    admin.get_by_role("button", name="Reset password of otto").click()
    other = new_person().new_page()
    other.goto(admin.locator("#made-link").inner_text())
    other.get_by_label("New password").fill("a second password")
    other.get_by_role("button", name="Set password and sign in").click()
    page.goto(f"{demo.url}/account")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_label("User name").fill("otto")
    page.get_by_label("Password").fill("a second password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#browsers li")).to_have_count(2)
    expect(page.locator("#browsers")).to_contain_text("Chrome on Linux")
    page.get_by_role("button", name=re.compile("^Sign out Chrome on Linux")).click()
    expect(page.locator("#browsers li")).to_have_count(1)
    other.goto(f"{demo.url}/account")
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()


@long
def test_figures_are_deleted_and_a_site_renamed_and_removed(new_person: NewPerson, demo: Served) -> None:
    """A preview says how much; what is in hand is shown until it is done; the last word is typed."""
    page = signed_in(new_person, demo, f"{DEMO}/data", timezone_id="Europe/Stockholm")
    page.get_by_label("From").fill("2020-01-01")
    page.get_by_label("Value", exact=True).fill("/demo/shop**")
    page.get_by_role("button", name="Count events").click()
    button = page.get_by_role("button", name=re.compile(r"^Delete [\d,]+ events?$"))
    expect(page.locator("#some")).to_contain_text("past their retention")
    button.click()
    expect(page.locator("#tasks li")).not_to_have_count(0)
    expect(page.locator("#tasks .pulse")).to_have_count(0)
    page.get_by_role("button", name="Count events").scroll_into_view_if_needed()
    page.get_by_label("From").fill("2020-01-01")
    page.get_by_label("Value", exact=True).fill("/demo/shop**")
    page.get_by_role("button", name="Count events").click()
    expect(page.locator("#some [role=status]")).to_contain_text("0 events")
    page.get_by_label("New name").fill("renamed.example")
    page.get_by_role("button", name="Rename", exact=True).click()
    expect(page.get_by_role("heading", name="renamed.example")).to_be_visible()
    expect(page.locator("#tasks li")).not_to_have_count(0)
    expect(page.locator("#tasks .pulse")).to_have_count(0)
    beacon = {"n": "pageview", "u": "http://demo.localhost/demo/late", "d": "demo.localhost", "c": "granted"}
    answer = demo.http.post("/api/event", json=beacon)
    assert (answer.status_code, answer.headers.get("x-tyst-dropped")) == (202, None)
    page.goto(f"{demo.url}/renamed.example?period=7d")
    expect(page.locator("#figure-visitors strong")).not_to_have_text("0")
    page.goto(f"{demo.url}/renamed.example/data")
    page.locator("#confirm").fill("demo.localhost")
    page.get_by_role("button", name="Delete renamed.example").click()
    expect(page.locator("#confirm-problem")).to_contain_text("Type renamed.example")
    page.locator("#confirm").fill("renamed.example")
    page.get_by_role("button", name="Delete renamed.example").click()
    expect(page.get_by_role("heading", name="Sites")).to_be_visible()
    expect(page.get_by_text("renamed.example")).to_have_count(0)
    page.goto(f"{demo.url}/changes")
    for what in ("Site deleted", "Site renamed", "Data deleted"):
        expect(page.locator(".log", has_text=what)).to_have_count(1)
