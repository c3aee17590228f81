"""The dashboard in Swedish, as a browser shows it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import fits, violations
from tests.browser.conftest import NewPerson
from tests.length import long
from tests.served import PASSWORD, Served, served

DEMO = "/demo.localhost"
PAGES = (
    "/", DEMO, f"{DEMO}?period=day&metric=visit_duration", f"{DEMO}?period=7d&f=is_not,visit:country,SE",
    f"{DEMO}?events=properties&countries=map", f"{DEMO}/details/pages", f"{DEMO}/realtime", f"{DEMO}/consent",
    f"{DEMO}/goals", f"{DEMO}/status", f"{DEMO}/install", f"{DEMO}/sharing", f"{DEMO}/settings", f"{DEMO}/people",
    f"{DEMO}/data", f"{DEMO}/changes", f"{DEMO}/reports", f"{DEMO}/alerts", "/alerts",
    f"{DEMO}/segments", "/sites/new", "/account", "/account/two-factor", "/account/passkeys", "/users",
    "/nothing.example",
    "/privacy/demo.localhost",
)  # fmt: skip

POLISH = """msgid ""
msgstr ""
"Content-Type: text/plain; charset=utf-8\\n"

msgid "Password"
msgstr "Hasło"
"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with two weeks of generated visits, and a language of its operator's."""
    directory = tmp_path_factory.mktemp("languages")
    (directory / "data/languages").mkdir(parents=True)
    (directory / "data/languages/pl.po").write_text(POLISH)
    with served(directory, "demo", "--events", "4000", "--days", "14") as server:
        yield server


def swede(new_person: NewPerson, demo: Served, path: str = "/", **options: Any) -> Page:
    """A page opened by somebody whose browser asks for Swedish, who signs in."""
    page = new_person(locale="sv-SE", reduced_motion="reduce", **options).new_page()
    page.goto(demo.url + path)
    page.get_by_label("Användarnamn").fill("admin")
    page.get_by_label("Lösenord").fill(PASSWORD)
    page.get_by_role("button", name="Logga in").click()
    page.wait_for_url(demo.url + path)
    return page


@long
def test_the_language_is_the_browsers_until_another_is_chosen(new_person: NewPerson, demo: Served) -> None:
    """Swedish to begin with; a click at the foot of a page gives the same page in English, and it stays so."""
    page = swede(new_person, demo, f"{DEMO}?period=7d&f=is_not,visit:country,DE")
    expect(page.locator("html")).to_have_attribute("lang", "sv")
    expect(page.get_by_role("heading", name="Källor")).to_be_visible()
    expect(page.locator(".chip").first).to_contain_text("Land är inte Tyskland")
    expect(page.get_by_role("button", name="Svenska")).to_have_attribute("aria-current", "true")
    page.get_by_role("button", name="English").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page).to_have_url(re.compile(r"\?period=7d&f=is_not,visit:country,DE$"))
    expect(page.locator(".chip").first).to_contain_text("Country is not Germany")
    page.reload()
    expect(page.get_by_role("heading", name="Sources")).to_be_visible()
    page.get_by_role("button", name="Svenska").click()
    expect(page.get_by_role("heading", name="Källor")).to_be_visible()


def test_what_scripts_say_is_swedish(new_person: NewPerson, demo: Served) -> None:
    """The chart reads its values out in Swedish, a part that is replaced stays Swedish, and a copied tag says so."""
    page = swede(new_person, demo, f"{DEMO}?period=7d&metric=visit_duration")
    plot = page.locator("[data-plot]")
    expect(plot).to_have_attribute("aria-label", re.compile("^Besökstid. Vänster och höger piltangent"))
    plot.focus()
    page.keyboard.press("Home")
    expect(page.locator("[data-reading]")).to_have_text(
        re.compile(r"\d+ (jan|feb|mars|apr|maj|juni?|juli?|aug|sep|okt|nov|dec)")
    )
    expect(page.locator("[data-reading]")).to_have_text(re.compile(r"\d\d s\b"))
    page.locator("#figure-visits").click()
    expect(page.locator("#figure-visits[aria-current]")).to_contain_text("Besök")
    page.goto(f"{demo.url}{DEMO}/install")
    page.context.grant_permissions(["clipboard-write"])
    page.get_by_role("button", name="Kopiera").first.click()
    expect(page.locator("[data-copied]").first).to_have_text("Kopierat")


@long
def test_swedish_words_fit_and_are_accessible(new_person: NewPerson, demo: Served) -> None:
    """At 320 px nothing has to be scrolled sideways, and axe-core finds nothing."""
    page = swede(new_person, demo, viewport={"width": 320, "height": 640})
    found: dict[str, list[str]] = {}
    for path in PAGES:
        page.goto(demo.url + path)
        if not fits(page):
            found[path] = ["too wide"]
        found |= violations(page)
    assert found == {}


@long
def test_swedish_tabs_stand_beside_the_name_of_their_panel(new_person: NewPerson, demo: Served) -> None:
    """On one line with it."""
    page = swede(new_person, demo, DEMO, viewport={"width": 1280, "height": 900})
    apart = page.locator(".panel-head:has(.tabs)").evaluate_all(
        "heads => heads.map((head) => head.querySelector('.tabs').offsetTop - head.querySelector('h2').offsetTop)"
    )
    assert len(apart) == 5
    assert max(apart) < 10


def test_an_operator_adds_a_language_by_one_file(new_person: NewPerson, demo: Served) -> None:
    """A catalogue in the data directory is spoken and offered; what it lacks is said in English."""
    page = new_person(locale="pl-PL").new_page()
    page.goto(f"{demo.url}/login")
    expect(page.locator("html")).to_have_attribute("lang", "pl")
    expect(page.get_by_label("Hasło")).to_be_visible()
    expect(page.get_by_label("User name")).to_be_visible()
    expect(page.locator(".languages button")).to_have_text(["English", "Svenska", "Polski"])
