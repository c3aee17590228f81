"""Reports and alerts as people set them up in a browser, and as their mails look."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import violations
from tests.browser.conftest import NewPerson
from tests.mail_server import MailServer, free_port, mail_server
from tests.served import PASSWORD, Served, served

SITE = "site.test"


@pytest.fixture(scope="module")
def mail() -> Iterator[MailServer]:
    """A mail server."""
    with mail_server() as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, mail: MailServer) -> Iterator[Served]:
    """A server that can send mail, with one site."""
    port = str(free_port())
    settings = mail.settings("Tyst <stats@tyst.test>") | {
        "TYST_PUBLIC_URL": f"http://127.0.0.1:{port}", "TYST_PORT": port,
    }  # fmt: skip
    with served(tmp_path_factory.mktemp("mail"), **settings) as running:
        running.add_site(SITE)
        yield running


def signed_in(new_person: NewPerson, server: Served, path: str) -> Page:
    page: Page = new_person().new_page()
    page.goto(f"{server.url}/login")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{server.url}/")
    page.goto(server.url + path)
    return page


def html_of(message: EmailMessage) -> str:
    part = message.get_body(("html",))
    assert part is not None
    return str(part.get_content())


def test_somebody_is_subscribed_and_unsubscribes(new_person: NewPerson, server: Served, mail: MailServer) -> None:
    """A report arrives, its link leads to a page with a button, and only the button ends it."""
    page = signed_in(new_person, server, f"/{SITE}/reports")
    page.get_by_label("E-mail address").fill("anna@example.com")
    page.locator("#report-language").select_option("sv")
    page.get_by_role("button", name="Add recipient").click()
    expect(page.get_by_text("The recipient was added.")).to_be_visible()
    assert violations(page) == {}
    page.get_by_role("button", name="Send a test now: anna@example.com").click()
    expect(page.get_by_text("The report was accepted by the mail server.")).to_be_visible()
    (message,) = mail.to("anna@example.com")
    assert "veckorapport" in message["Subject"]
    link = re.search(r'href="([^"]+/unsubscribe/[^"]+)"', html_of(message))
    assert link
    stranger = new_person(locale="en-GB").new_page()
    stranger.goto(link[1])
    assert violations(stranger) == {}
    page.reload()
    expect(page.get_by_text("anna@example.com")).to_be_visible()
    stranger.get_by_role("button", name="Unsubscribe").click()
    expect(stranger.get_by_text("You are unsubscribed")).to_be_visible()
    page.reload()
    expect(page.get_by_text("No recipients yet.")).to_be_visible()


def test_an_alert_is_set_up(new_person: NewPerson, server: Served, mail: MailServer) -> None:
    """With a channel that was tried out; axe-core finds nothing."""
    page = signed_in(new_person, server, f"/{SITE}/alerts")
    page.get_by_label("Address").fill("bo@example.com")
    page.get_by_role("button", name="Add channel").click()
    page.get_by_role("button", name="Send a test now: bo@example.com").click()
    expect(page.get_by_text("The test was sent.")).to_be_visible()
    assert [message["Subject"] for message in mail.to("bo@example.com")] == ["A test from Tyst"]
    page.get_by_label("Condition").select_option("silence")
    page.get_by_label("Threshold").fill("6")
    page.get_by_role("button", name="Add alert").click()
    expect(page.get_by_text("no data for 6 hours")).to_be_visible()
    assert violations(page) == {}


@pytest.mark.parametrize("width", [600, 320])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_a_mail_fits_and_fetches_nothing(
    new_person: NewPerson, server: Served, mail: MailServer, tmp_path: Path, width: int, colours: str
) -> None:
    """At the width of a phone and of a mail program, in both colours: nothing sticks out, and text can be read."""
    recipient = f"reader{width}{colours}@example.com"
    base = f"/api/v1/sites/{SITE}/reports"
    made = server.api("POST", base, {"address": recipient, "frequency": "monthly"})
    server.send(f'{{"n":"pageview","u":"https://{SITE}/","d":"{SITE}","c":"granted"}}')
    server.api("POST", f"{base}/{made['id']}/send", {})
    (message,) = mail.to(recipient)
    file = tmp_path / "mail.html"
    file.write_text(html_of(message))
    page = new_person(viewport={"width": width, "height": 900}, color_scheme=colours).new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    assert asked == [file.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == {}
