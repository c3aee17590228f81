"""Pages and states that `bench.screenshots` takes pictures of, and what has to be there before they can be seen."""

from __future__ import annotations

import datetime
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import httpx
import pyotp
from playwright.sync_api import Page

from dashboard.server.sockets import Server
from tests.mail_server import MailServer

ROOT = Path(__file__).resolve().parent.parent
# A headless browser names itself in its user agent, and is then a bot to the demonstration's banner.
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36"
PASSWORD = "for pictures only"  # noqa: S105 # a server that lives for a minute
MOST = 45  # sites: two pages of their list
DEMO = "/demo.localhost"
NEW = "/shop.example"
INSIDE = {
    "sites": "/",
    "sites-sorted": "/?q=shop-1&sort=name",
    "sites-none": "/?q=nothing",
    "site": DEMO,
    "site-today": f"{DEMO}?period=day",
    "site-year": f"{DEMO}?period=12mo&compare=year&bucket=week",
    "site-filtered": f"{DEMO}?period=7d&metric=pageviews&f=is,visit:source,Google&f=is_not,visit:country,SE",
    "site-map": f"{DEMO}?countries=map",
    "site-tabs": f"{DEMO}?sources=channels&pages=exit&technology=sizes&events=properties",
    "site-campaigns": f"{DEMO}?sources=campaigns&pages=entry&technology=systems&events=events",
    "realtime": f"{DEMO}/realtime",
    "details": f"{DEMO}/details/pages",
    "details-sources": f"{DEMO}/details/sources?period=7d",
    "funnels": f"{DEMO}/funnels",
    "journeys": f"{DEMO}/journeys",
    "journeys-page": f"{DEMO}/journeys/page?page=/demo/shop",
    "retention": f"{DEMO}/retention",
    "goals": f"{DEMO}/goals",
    "segments": f"{DEMO}/segments",
    "consent": f"{DEMO}/consent",
    "status": f"{DEMO}/status",
    "settings": f"{DEMO}/settings",
    "figures": f"{DEMO}/data",
    "people": f"{DEMO}/people",
    "sharing": f"{DEMO}/sharing",
    "alerts": f"{DEMO}/alerts",
    "reports": f"{DEMO}/reports",
    "imports": f"{DEMO}/imports",
    "changes": f"{DEMO}/changes",
    "tag": f"{NEW}/install",
    "tag-wordpress": f"{NEW}/install?variant=wordpress&banner=complianz",
    "tag-no-banner": f"{NEW}/install?banner=none",
    "empty": NEW,
    "empty-details": f"{NEW}/details/pages",
    "empty-funnels": f"{NEW}/funnels",
    "empty-goals": f"{NEW}/goals",
    "empty-journeys": f"{NEW}/journeys",
    "empty-realtime": f"{NEW}/realtime",
    "empty-retention": f"{NEW}/retention",
    "empty-consent": f"{NEW}/consent",
    "empty-status": f"{NEW}/status",
    "empty-segments": f"{NEW}/segments",
    "empty-sharing": f"{NEW}/sharing",
    "empty-alerts": f"{NEW}/alerts",
    "empty-reports": f"{NEW}/reports",
    "empty-imports": f"{NEW}/imports",
    "add-a-site": "/sites/new",
    "account": "/account",
    "two-factor": "/account/two-factor",
    "passkeys": "/account/passkeys",
    "users": "/users",
    "all-changes": "/changes",
    "installation-alerts": "/alerts",
    "not-found": "/nothing.example",
    "bad-request": f"{DEMO}?fd=visit:source&fo=is&fv={'x' * 3000}",
}
OUTSIDE = {
    "sign-in": "/login",
    "privacy": "/privacy/demo.localhost",
    "used-link": "/invitation/used",
    "demo": "/demo",
    "demo-shop": "/demo/shop",
    "demo-workshops": "/demo/workshops",
    "demo-about": "/demo/about",
}


class State(NamedTuple):
    """A page after somebody has done something on it."""

    path: str
    act: Callable[[Page], None]


def _pressed(selector: str) -> Callable[[Page], None]:
    """Something opened, or a button pressed."""
    return lambda page: page.locator(selector).first.click()


def _typed(values: dict[str, str], button: str) -> Callable[[Page], None]:
    """A form filled in and sent."""

    def act(page: Page) -> None:
        for selector, value in values.items():
            field = page.locator(selector)
            if field.evaluate("each => each.tagName") == "SELECT":
                field.select_option(value)
            else:
                field.fill(value)
        page.locator(button).first.click()

    return act


def _funnel(page: Page) -> None:
    page.locator("#name").fill("To the cart")
    page.locator("#match-1").fill("/demo/shop/*")
    page.locator("#match-2").fill("/demo/cart")
    page.wait_for_timeout(1500)


def _help(page: Page) -> None:
    page.locator("#figure-bounce_rate, .figure").nth(4).hover()


def _checked(page: Page) -> None:
    page.locator("#url").fill(page.evaluate("location.origin") + "/demo")
    page.locator("form.look button").click()
    page.locator(".found").wait_for()


def _sharing(page: Page) -> None:
    page.locator("#name").fill("Board")
    page.locator("#password").fill("short")
    page.locator("form:has(#ancestors) button").click()


def _unsaved(page: Page) -> None:
    page.locator("#excluded_paths").fill("admin")
    page.locator("form:has(#excluded_paths) button[type=submit]").last.click()


def _note(page: Page) -> None:
    page.locator("#add-note summary").click()
    page.locator("#add-note button").scroll_into_view_if_needed()


MENUS: Final = ("menu-", "shortcuts", "metric-help", "note")
"""Beginnings of the names of states that are above their page."""
STATES: Final[dict[str, State]] = {
    "menu-period": State(DEMO, _pressed("#period summary")),
    "menu-compare": State(DEMO, _pressed("#compare summary")),
    "menu-filter": State(DEMO, _pressed("#add-filter summary")),
    "menu-segment": State(f"{DEMO}?f=is,visit:source,Google", _pressed("#saved summary")),
    "menu-chip": State(f"{DEMO}?f=is,visit:source,Bing", _pressed("#chip-1 summary")),
    "menu-account": State(DEMO, _pressed(".account-menu summary")),
    "menu-sites": State(DEMO, _pressed(".site-menu summary")),
    "menu-download": State(DEMO, _pressed("#download summary")),
    "shortcuts": State(DEMO, lambda page: page.keyboard.press("?")),
    "metric-help": State(DEMO, _help),
    "note": State(DEMO, _note),
    "chart-table": State(f"{DEMO}?period=7d", _pressed("#chart-summary")),
    "funnel-form": State(f"{DEMO}/funnels/edit", _funnel),
    "funnel-refused": State(f"{DEMO}/funnels/edit", _pressed(".acts button[value=save]")),
    "settings-refused": State(f"{DEMO}/settings", _unsaved),
    "settings-tried": State(
        f"{DEMO}/settings", _typed({"#tried": "https://example.com/a/1234567890?page=2&id=5"}, "button[name=try]")
    ),
    "figures-counted": State(
        f"{DEMO}/data",
        _typed(
            {
                "#first": str(datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=3)),
                "#last": str(datetime.datetime.now(datetime.UTC).date()),
                "#field": "page",
                "#value": "/demo/*",
            },
            "button[value=preview]",
        ),
    ),
    "passkeys-create": State(
        "/account/passkeys", _typed({"#name": "Phone", "#password": PASSWORD}, "button[value=begin]")
    ),
    "passkeys-remove": State("/account/passkeys", _pressed(".entries a.bad")),
    "sharing-refused": State(f"{DEMO}/sharing", _sharing),
    "tag-checked": State(f"{DEMO}/install", _checked),
}  # fmt: skip
"""A test of a form's errors, or what a menu has in it."""
OUTSIDE_STATES: Final = {
    "sign-in-refused": State("/login", _typed({"[name=name]": "nobody", "#password": "nothing"}, ".button.whole"))
}


def prepared(
    server: Server, page: Page, mails: MailServer, hook: str, language: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Add what a site in use has, with a webhook at `hook`, and alerts in that language: pages of guests by name, and
    more pages inside."""
    _add_sites(server)
    links = _links(page, server.url)
    _add_passkey(page, server.url)
    _add_alerts(page, server.url, hook, language)
    links["unsubscribe"] = _unsubscribe(page, server.url, mails)
    _import(page, server.url)
    page.goto(f"{server.url}{DEMO}/funnels")
    funnel = page.locator(".record h3 a").get_attribute("href") or ""
    inside = {
        "funnel": f"{funnel}?by=visit:source",
        "funnel-edit": f"{DEMO}/funnels/edit?funnel={funnel.rpartition('/')[2]}",
    }
    return links, inside


def _api(server: Server, what: str, given: dict[str, object]) -> None:
    key = {"Authorization": f"Bearer {server.key}"}
    httpx.post(f"{server.url}/api/v1/{what}", json=given, headers=key, trust_env=False).raise_for_status()


def _add_sites(server: Server) -> None:
    _api(server, "sites", {"domain": NEW.strip("/"), "timezone": "Europe/Stockholm"})
    for number in range(1, MOST):
        _api(server, "sites", {"domain": f"shop-{number}.example"})
    for name in ("vera", "otto"):
        _api(server, "users", {"name": name, "password": PASSWORD, "role": "viewer", "sites": [DEMO.strip("/")]})


def _links(page: Page, url: str) -> dict[str, str]:
    """Write a note, and make the links by which guests and newcomers come in: what they open, by name."""
    page.goto(f"{url}{DEMO}")
    page.locator("#add-note summary").click()
    page.locator("#new-note-date").fill(str(datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=9)))
    page.locator("#new-note-text").fill("The winter fair opened")
    page.locator("#add-note button").click()
    page.locator(".notes li").wait_for()
    page.goto(f"{url}{DEMO}?f=is,visit:source,Google")
    page.locator("#saved summary").click()
    page.locator("#segment-name").fill("From Google")
    page.get_by_role("button", name="Save segment").click()
    links = {}
    for name, whom, password in (("shared", "The board", ""), ("share-door", "Our accountant", PASSWORD)):
        page.goto(f"{url}{DEMO}/sharing")
        page.locator("#name").fill(whom)
        page.locator("#password").fill(password)
        page.get_by_role("button", name="Create link").click()
        links[name] = page.get_by_label(f"Link of {whom}").inner_text().removeprefix(url)
    links["embed"] = f"{links['shared']}?embed=true"
    page.goto(f"{url}{DEMO}/people")
    page.get_by_label("Name", exact=True).fill("Ida")
    page.get_by_role("button", name="Create link").click()
    links["invitation"] = page.locator("#made-link").inner_text().removeprefix(url)
    page.goto(f"{url}/users")
    page.get_by_role("button", name="Reset password of vera").click()
    links["new-password"] = page.locator("#made-link").inner_text().removeprefix(url)
    return links


def _add_passkey(page: Page, url: str) -> None:
    """From an authenticator in software that the browser has."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    options |= {"isUserVerified": True, "automaticPresenceSimulation": True}
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    page.goto(f"{url}/account/passkeys")
    page.locator("#name").fill("Laptop")
    page.locator("#password").fill(PASSWORD)
    page.locator("button[value=begin]").click()
    page.locator("[data-passkey] button").click()
    page.locator(".entries").wait_for()


def _add_alerts(page: Page, url: str, hook: str, language: str) -> None:
    """Two alerts, of which one is sent at once: by mail, to a webhook, and to one that nobody answers at."""
    page.goto(f"{url}{DEMO}/alerts")
    for kind, threshold in (("spike", "3"), ("silence", "")):
        page.locator("#kind").select_option(kind)
        page.locator("#threshold").fill(threshold)
        page.get_by_role("button", name="Add alert").click()
    elsewhere = "https://hooks.example.com/tyst/abc"
    for shape, target in (("mail", "anna@example.com"), ("standard", hook), ("slack", elsewhere)):
        page.locator("#shape").select_option(shape)
        page.locator("#target").fill(target)
        page.locator("#channel-language").select_option(language)
        page.get_by_role("button", name="Add channel").click()
    page.get_by_role("button", name="Send a test now: anna@example.com").click()
    sent = page.locator("section:has(#deliveries-title) .badge", has_text="Sent")
    deadline = time.monotonic() + 180
    while sent.count() < 2 and time.monotonic() < deadline:
        visit = {"n": "pageview", "u": f"http:/{DEMO}/demo", "d": DEMO.strip("/"), "c": "granted"}
        for version in ("141", "142", "143"):
            browser = {"User-Agent": USER_AGENT.replace("143", version)}
            httpx.post(f"{url}/api/event", json=visit, headers=browser, trust_env=False)
        page.wait_for_timeout(5_000)
        page.goto(f"{url}{DEMO}/alerts")


def _unsubscribe(page: Page, url: str, mails: MailServer) -> str:
    """Have a report sent: the link to be sent no more."""
    page.goto(f"{url}{DEMO}/reports")
    page.locator("#address").fill("board@example.com")
    page.get_by_role("button", name="Add recipient").click()
    page.get_by_role("button", name="Send a test now: board@example.com").click()
    deadline = time.monotonic() + 30
    while not mails.to("board@example.com") and time.monotonic() < deadline:
        page.wait_for_timeout(200)
    text = mails.to("board@example.com")[0].get_body(("plain",))
    found = re.search(r"/unsubscribe/[^\s>)]+", text.get_content() if text else "")
    return found[0] if found else ""


def _import(page: Page, url: str) -> None:
    """One import that is done, and one to be confirmed."""
    files = ROOT / "tests/fixtures/imports"
    page.goto(f"{url}{DEMO}/imports")
    page.locator("#file").set_input_files(files / "plausible/example_com_20260115.zip")
    page.get_by_role("button", name="Check the files").click()
    page.get_by_role("button", name=re.compile(r"Import \d+ day")).click()
    page.locator(".entries li").first.wait_for()
    page.locator("#file").set_input_files(files / "umami/website_event.csv")
    page.get_by_role("button", name="Check the files").click()
    page.locator(".import-check").wait_for()


def confirmation(page: Page, url: str) -> None:
    """What is asked before a key is made, as the sign-in was a while ago."""
    page.goto(f"{url}/account")
    page.locator("#key_name").fill("Monthly report")
    page.locator("form:has(#key_name) button[type=submit]").click()
    page.locator("#confirm_password").wait_for()


def with_authenticator(page: Page, url: str, taken: Callable[[str, Page], None]) -> None:
    """Set up two-factor authentication as a new user would, and sign in by it: `taken` is given each page."""
    page.goto(f"{url}/account/two-factor")
    taken("two-factor", page)
    key = page.locator("#key").inner_text().replace(" ", "")
    page.locator("#code").fill(pyotp.TOTP(key).now())
    page.locator("form:has(#code) button").first.click()
    page.locator("#recovery-codes").wait_for()
    taken("two-factor-codes", page)
    page.goto(f"{url}/account/two-factor")
    taken("two-factor-on", page)
