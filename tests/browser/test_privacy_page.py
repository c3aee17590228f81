"""A visitor uses the page in a browser: with script and without, on a wide and a narrow window, by keyboard."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from dashboard.compliance.visitor_privacy_texts import page_texts
from tests.browser.conftest import USER_AGENT, NewPerson
from tests.served import Served, served

SV = page_texts("sv")


@pytest.fixture
def pause() -> Iterator[None]:
    """Erasures of one network come at most once a second, those of two tests as well."""
    yield
    time.sleep(1.1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with one site."""
    with served(tmp_path_factory.mktemp("privacy"), TYST_FLUSH_SECONDS="0.05") as running:
        running.add_site("example.com", timezone="Europe/Stockholm")
        running.add_site("site.localhost")
        yield running


def counted(server: Served, path: str) -> None:
    """The person's browser was counted on a page."""
    beacon = {"n": "pageview", "u": f"https://example.com{path}", "d": "example.com", "c": "granted"}
    answer = server.http.post("/api/event", content=json.dumps(beacon), headers={"user-agent": USER_AGENT})
    assert answer.status_code == 202


def opened(page: Page, server: Served) -> Page:
    page.goto(f"{server.url}/privacy/example.com?lang=sv")
    return page


@pytest.mark.usefixtures("pause")
@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
def test_a_visitor_sees_takes_along_and_erases(
    server: Served, new_person: NewPerson, tmp_path: Path, script: bool
) -> None:
    """The same with and without script: what is held, both files, and then nothing."""
    counted(server, "/bara-jag")
    page = opened(new_person(java_script_enabled=script).new_page(), server)
    expect(page.locator("main")).to_contain_text("/bara-jag")
    for name, part in ((SV["as_json"], '"page":"/bara-jag"'), (SV["as_csv"], ';"/bara-jag";')):
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        assert part in path.read_text()
    page.get_by_role("button", name=SV["erase"]).click()
    expect(page.get_by_role("status")).to_contain_text(SV["erased"])
    expect(page.locator("main")).to_contain_text(SV["held_none"])
    expect(page.locator("main")).not_to_contain_text("/bara-jag")


@pytest.mark.usefixtures("pause")
def test_the_switch_is_remembered(server: Served, new_person: NewPerson) -> None:
    """A choice is one cookie, and nothing else is stored."""
    person = new_person()
    page = opened(person.new_page(), server)
    expect(page.locator("main")).to_contain_text(SV["choice_none"])
    page.get_by_role("button", name=SV["deny"]).click()
    expect(page.locator("main")).to_contain_text(SV["choice_denied"])
    assert [(cookie["name"], cookie["value"]) for cookie in person.cookies()] == [("tyst_consent", "denied.own")]
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0


@pytest.mark.usefixtures("pause")
@pytest.mark.parametrize("host", ["www.site.localhost", "site.localhost", "stats.site.localhost"])
def test_a_no_at_one_host_of_the_site_is_read_at_all_of_them(server: Served, person: BrowserContext, host: str) -> None:
    """In place of the yes that they share, and of one that this host has for itself."""
    url = server.url.replace("127.0.0.1", host)
    for domain in (".site.localhost", host):
        person.add_cookies([{"name": "tyst_consent", "value": "granted", "path": "/", "domain": domain}])
    page = person.new_page()
    page.goto(f"{url}/privacy/site.localhost?lang=sv")
    page.get_by_role("button", name=SV["deny"]).click()
    expect(page.get_by_role("status")).to_contain_text(SV["withdrawn"])
    for other in ("site.localhost", "www.site.localhost", "shop.site.localhost"):
        cookies = person.cookies(server.url.replace("127.0.0.1", other))
        assert [(cookie["name"], cookie["value"]) for cookie in cookies] == [("tyst_consent", "denied.own")]


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_breaks_no_policy(server: Served, new_person: NewPerson, width: int, scheme: str) -> None:
    """Nothing sticks out, the console is silent, every button can be reached by keyboard and is large enough."""
    counted(server, "/en-sida/med-ett-mycket-langt-namn-som-maste-brytas-nagonstans-i-en-smal-ruta")
    person = new_person(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, said = person.new_page(), list[str]()
    page.on("console", lambda message: said.append(message.text))
    opened(page, server)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert said == []
    for button in page.get_by_role("button").all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 32
        button.focus()
        assert button.evaluate("element => element === document.activeElement")
