"""The mails that `bench.screenshots` takes pictures of: each is asked for on a page, and comes from the mail server."""

from __future__ import annotations

from collections.abc import Iterator
from email.message import EmailMessage
from typing import NamedTuple

from playwright.sync_api import Page

from tests.mail_server import MailServer
from tests.served import until

SITE = "/demo.localhost"
EMPTY = "/shop.example"


class Mail(NamedTuple):
    """A mail as it came: its name in the album, what a mail program shows, and what one without HTML does."""

    name: str
    html: str
    text: str


def mails(page: Page, url: str, server: MailServer, language: str) -> Iterator[Mail]:
    """Have every kind of mail sent to an address of its own, in that language."""
    for name, path, frequency in (
        ("mail-weekly", SITE, "weekly"),
        ("mail-monthly", SITE, "monthly"),
        ("mail-empty", EMPTY, "weekly"),
    ):
        address = f"{name}@example.com"
        page.goto(f"{url}{path}/reports")
        page.locator("#address").fill(address)
        page.locator("#frequency").select_option(frequency)
        page.locator("#report-language").select_option(language)
        page.locator("form:has(#address) button").click()
        page.locator(f"li:has-text('{address}') button").first.click()
        yield _mail(name, server, address)
    page.goto(f"{url}{SITE}/alerts")
    page.locator("#target").fill("mail-alert-test@example.com")
    page.locator("form:has(#target) select[name=language]").select_option(language)
    page.locator("form:has(#target) button").click()
    page.locator("li:has-text('mail-alert-test@example.com') button").first.click()
    yield _mail("mail-alert-test", server, "mail-alert-test@example.com")
    page.goto(f"{url}{SITE}/people")
    page.locator("#note").fill("Bo")
    page.locator("#address").fill("mail-invitation@example.com")
    page.locator("form:has(#note) button").click()
    yield _mail("mail-invitation", server, "mail-invitation@example.com")
    page.goto(f"{url}/users")
    row = page.locator("li:has-text('vera')")
    row.locator("input[name=address]").fill("mail-password@example.com")
    row.locator("form:has(input[name=address]) button").click()
    yield _mail("mail-password", server, "mail-password@example.com")


def _mail(name: str, server: MailServer, address: str) -> Mail:
    return as_mail(name, until(f"a mail to {address}", lambda: server.to(address))[-1])


def as_mail(name: str, message: EmailMessage) -> Mail:
    """Both parts of a message, with what is on top of it."""
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    text = f"Subject: {message['Subject']}\nFrom: {message['From']}\n\n{plain.get_content() if plain else ''}"
    return Mail(name, str(html.get_content()) if html else "", text.replace("\r\n", "\n"))
