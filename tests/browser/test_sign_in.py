"""Signing in as people do it in a browser: with an authenticator app, with a recovery code, and by a provider."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest
from playwright.sync_api import Page, expect

from dashboard.access.authenticator import STEP_SECONDS
from dashboard.access.openid.sign_in import CALLBACK
from tests.browser.accessibility import violations
from tests.browser.conftest import NewPerson
from tests.browser.people import Owner
from tests.length import long
from tests.openid_providers import CLIENT, SECRET, real_provider
from tests.served import PASSWORD, Served, served


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with its administrator."""
    with served(tmp_path_factory.mktemp("sign-in")) as started:
        yield started


def add_user(server: Served, name: str) -> None:
    """Somebody who may sign in."""
    server.api("POST", "/api/v1/users", {"name": name, "password": PASSWORD})


def give_password(page: Page, server: Served, name: str) -> None:
    """The first step."""
    page.goto(f"{server.url}/login")
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def app_code(key: str, ahead: int = 0) -> str:
    """What an app shows now, or a step later."""
    return pyotp.TOTP(key).generate_otp(int(time.time()) // STEP_SECONDS + ahead)


@long
@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_an_app_is_set_up_and_asked_for(new_person: NewPerson, server: Served, scripts: bool) -> None:
    """From the account page to the next sign-in, by its code, and by a recovery code; axe-core finds nothing."""
    name = "ida" if scripts else "olle"
    add_user(server, name)
    page = new_person(java_script_enabled=scripts).new_page()
    give_password(page, server, name)
    page.goto(f"{server.url}/account")
    page.get_by_role("link", name="Set up").click()
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    key = page.locator("#key").inner_text().replace(" ", "")
    page.get_by_label("Code", exact=True).fill("000000")
    page.get_by_role("button", name="Turn on").click()
    expect(page.locator("#code-problem")).to_contain_text("Incorrect code")
    assert page.locator("#key").inner_text().replace(" ", "") == key
    page.get_by_label("Code", exact=True).fill(app_code(key))
    page.get_by_role("button", name="Turn on").click()
    codes = page.locator("#recovery-codes").inner_text().split()
    assert len(codes) == 10
    if scripts:
        assert violations(page) == {}
    page.get_by_role("link", name="I have saved them").click()

    again = new_person(java_script_enabled=scripts).new_page()
    give_password(again, server, name)
    expect(again).to_have_url(f"{server.url}/login/code")
    if scripts:
        assert violations(again) == {}
    again.get_by_label("Code", exact=True).fill(app_code(key, 1))
    again.get_by_role("button", name="Sign in", exact=True).click()
    expect(again).to_have_url(f"{server.url}/")
    again.goto(f"{server.url}/account")
    expect(again.locator("#browsers")).to_contain_text("password and code")

    lost = new_person(java_script_enabled=scripts).new_page()
    give_password(lost, server, name)
    lost.get_by_text("Use a recovery code").click()
    lost.get_by_label("Recovery code").fill(codes[3])
    lost.get_by_role("button", name="Sign in with a recovery code").click()
    expect(lost).to_have_url(f"{server.url}/")
    lost.goto(f"{server.url}/account/two-factor")
    lost.get_by_label("Password").fill(PASSWORD)
    lost.get_by_label("Code", exact=True).fill(codes[4])
    lost.get_by_role("button", name="Turn off").click()
    expect(lost.get_by_role("status").first).to_contain_text("is off")


def test_signing_out_everywhere(new_person: NewPerson, server: Served) -> None:
    """The other browser, and this one, are asked to sign in."""
    people = [Owner(new_person(), server.url) for _ in range(2)]
    for each in people:
        each.sign_in("/account")
    people[0].page.get_by_role("button", name="Sign out everywhere", exact=True).click()
    for each in people:
        each.page.goto(f"{server.url}/account")
        expect(each.page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_passkey_is_added_and_signs_in(new_person: NewPerson, tmp_path: Path) -> None:
    """By the button, and by what the browser suggests for the field of the name; axe-core finds nothing."""
    port = free_port()
    url = f"http://localhost:{port}"
    with served(tmp_path, TYST_PORT=str(port), TYST_PUBLIC_URL=url):
        page = new_person().new_page()
        devtools = page.context.new_cdp_session(page)
        devtools.send("WebAuthn.enable")
        options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
        options |= {"isUserVerified": True, "automaticPresenceSimulation": True}
        authenticator = devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"]

        def touch(enabled: bool) -> None:
            touched = {"authenticatorId": authenticator, "enabled": enabled}
            devtools.send("WebAuthn.setAutomaticPresenceSimulation", touched)

        def sign_out() -> None:
            page.context.clear_cookies()
            page.goto(f"{url}/login?next=/account")

        sign_out()
        page.get_by_label("User name").fill("admin")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.get_by_role("link", name="Add a passkey").click()
        page.get_by_label("Name").fill("Laptop")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Add a passkey").click()
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("status")).to_contain_text("was added")
        expect(page.get_by_text("never used")).to_be_visible()
        assert violations(page) == {}

        touch(False)
        sign_out()
        assert violations(page) == {}
        touch(True)
        page.get_by_role("button", name="Sign in with a passkey").click()
        expect(page).to_have_url(f"{url}/account")
        expect(page.locator("#browsers")).to_contain_text("· passkey")
        sign_out()
        expect(page).to_have_url(f"{url}/account")


def test_signing_in_by_a_provider(new_person: NewPerson, tmp_path: Path) -> None:
    """A click, the provider's own page, and back as a new account; or connected to one that exists. axe-core finds
    nothing."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with real_provider(f"{url}{CALLBACK}") as provider:
        given = {"ISSUER": provider.issuer, "CLIENT_ID": CLIENT, "CLIENT_SECRET": SECRET, "NAME": "Example"}
        settings = {f"TYST_OIDC_{name}": text for name, text in given.items()}
        with served(tmp_path, TYST_PORT=str(port), TYST_PUBLIC_URL=url, **settings) as server:
            page = new_person().new_page()
            page.goto(f"{server.url}/account")
            assert violations(page) == {}
            page.get_by_role("link", name="Sign in with Example").click()
            page.get_by_label("Name").fill("bob")
            page.get_by_role("button", name="Continue").click()
            expect(page).to_have_url(f"{server.url}/account")
            expect(page.locator("#browsers")).to_contain_text("single sign-on")
            expect(page.get_by_text("Your account has no password here.")).to_be_visible()
            assert violations(page) == {}

            owner = Owner(new_person(), server.url)
            owner.sign_in("/account")
            owner.page.get_by_role("link", name="Connect", exact=True).click()
            owner.page.get_by_label("Name").fill("ada")
            owner.page.get_by_role("button", name="Continue").click()
            expect(owner.page.get_by_role("status").first).to_contain_text("is connected")
            expect(owner.page.get_by_role("button", name="Disconnect")).to_be_visible()

            refused = new_person(java_script_enabled=False).new_page()
            refused.goto(f"{server.url}/login")
            refused.get_by_role("link", name="Sign in with Example").click()
            refused.get_by_role("button", name="Refuse").click()
            expect(refused.get_by_role("alert")).to_contain_text("did not sign you in")


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
