"""Pictures of every page of the running program, light and dark, at a desk and on a phone.

    python -m bench.screenshots [DIRECTORY [LANGUAGE [NAME...]]]

into dist/screenshots and in English unless told otherwise; with names only those pictures that begin so, where * stands
for anything, as in `site*-light-1280`.

The README's own go to docs/screenshots, in English only.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import msgspec
from playwright.sync_api import Browser, BrowserContext, Error, Page, sync_playwright

from bench import pictured, pictured_mails
from dashboard.access.recent_authentication import RECENT_SECONDS
from dashboard.server.sockets import Server, read_server_info
from tests.mail_server import MailServer, mail_server
from tests.webhook_receiver import webhook_receiver

ROOT = Path(__file__).resolve().parent.parent
README_PICTURES = ROOT / "docs/screenshots"
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-blink-features=AutomationControlled",
]
DEADLINE = 180.0
HISTORY = ("--events", "150000", "--days", "62")
"""Enough to compare months."""
SCHEMES = ("light", "dark")
WIDTHS = {1280: 900, 390: 844}


def main() -> None:
    """Start the demonstration, take every picture, stop it."""
    if any(each.startswith("-") for each in sys.argv[1:]):
        raise SystemExit(__doc__)
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist/screenshots")
    language = sys.argv[2] if len(sys.argv) > 2 else "en"
    album = Album(directory, sys.argv[3:])
    README_PICTURES.mkdir(parents=True, exist_ok=True)
    with (
        mail_server() as mails,
        webhook_receiver() as hook,
        running(*HISTORY, **_settings(mails)) as started,
        sync_playwright() as playwright,
    ):
        # Passkeys belong to a name, not to an address.
        server = msgspec.structs.replace(started, url=started.url.replace("127.0.0.1", "localhost"))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        with opened(browser, "light", 1280, 900) as person:
            page, since = signed_in(person, server.url), time.monotonic()
            links, inside = pictured.prepared(server, page, mails, hook.url, language)
            cookies = person.cookies()
        for scheme in SCHEMES:
            for width, height in WIDTHS.items():
                album.suffix = f"{scheme}-{width}"
                with opened(browser, scheme, width, height, language=language) as person:
                    _take_all(person, server.url, pictured.OUTSIDE | links, pictured.INSIDE | inside, album)
                if width == 1280:
                    with opened(browser, scheme, 794, 1123, language=language) as person:
                        _take_print(person, server.url, album)
            if language == "en" and not album.wanted:
                with opened(browser, scheme, 1280, 1060, scale=1.5) as person:
                    page = signed_in(person, server.url)
                    _show(page, f"{server.url}{pictured.DEMO}")
                    page.screenshot(path=README_PICTURES / f"dashboard{'' if scheme == 'light' else '-dark'}.png")
        if album.wants_any("mail"):
            with opened(browser, "light", 1280, 900, language=language) as person:
                sent = [*pictured_mails.mails(signed_in(person, server.url), server.url, mails, language)]
            sent += [pictured_mails.as_mail("mail-alert", each) for each in mails.to("anna@example.com")[-1:]]
            _take_mails(browser, sent, album)
        album.suffix = "light-1280"
        with opened(browser, "light", 1280, 900, language=language) as person:
            _take_second_factor(person, server.url, album)
        if album.wants_any("confirmation"):
            time.sleep(max(since + RECENT_SECONDS + 1 - time.monotonic(), 0))
            _take_confirmation(browser, server.url, cookies, language, album)
        browser.close()
    print(f"{len(list(directory.glob('*.png')))} pictures in {directory}, the README's in {README_PICTURES}")


class Album:
    """A directory for pictures, of those whose names begin as wanted; all, where nothing is."""

    def __init__(self, directory: Path, wanted: Sequence[str] = ()) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.wanted, self.suffix = directory, tuple(wanted), ""

    def wants(self, name: str) -> bool:
        """Whether that picture is asked for."""
        return not self.wanted or any(fnmatch(f"{name}-{self.suffix}", f"{each}*") for each in self.wanted)

    def wants_any(self, name: str) -> bool:
        """Whether that picture is asked for in any form."""
        return not self.wanted or any(each.startswith(name) for each in self.wanted)

    def take(self, name: str, page: Page) -> None:
        """The whole page; of a menu what is in the window."""
        if self.wants(name):
            whole = not name.startswith(pictured.MENUS)
            page.screenshot(path=self.directory / f"{name}-{self.suffix}.png", full_page=whole)


def _settings(mails: MailServer) -> dict[str, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    provider = {
        "TYST_OIDC_ISSUER": "https://login.example.com",
        "TYST_OIDC_CLIENT_ID": "tyst",
        "TYST_OIDC_NAME": "Example",
    }
    address = {"TYST_PORT": str(port), "TYST_PUBLIC_URL": f"http://localhost:{port}"}
    near = dict.fromkeys(("TYST_VERIFY_NETWORKS", "TYST_WEBHOOK_NETWORKS"), "127.0.0.0/8,::1/128")
    return mails.settings() | provider | address | near


@contextlib.contextmanager
def running(*options: str, **settings: str) -> Iterator[Server]:
    """`tyst demo` with these options on a free port, in a directory of its own."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TYST_")}
        environment |= {"TYST_DATA_DIR": folder, "TYST_PORT": "0", "TYST_ADMIN_PASSWORD": pictured.PASSWORD} | settings
        process = subprocess.Popen(
            [Path(sys.executable).with_name("tyst"), "demo", *options],
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        try:
            yield _until(lambda: read_server_info(Path(folder)))
        finally:
            process.terminate()
            process.wait(DEADLINE)


def _until(probe: Callable[[], Server | None]) -> Server:
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        found = probe()
        if found:
            return found
        time.sleep(0.05)
    raise SystemExit(f"tyst demo was not ready within {DEADLINE:g} s")


@contextlib.contextmanager
def opened(
    browser: Browser, scheme: str, width: int, height: int, scale: float = 1, language: str = "en"
) -> Iterator[BrowserContext]:
    """A fresh profile in a window of that size."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
        device_scale_factor=scale,
        user_agent=pictured.USER_AGENT,
        timezone_id="Europe/Stockholm",
        locale=language,
    )
    context.set_default_timeout(10_000)
    yield context
    context.close()


def _take_all(person: BrowserContext, url: str, outside: dict[str, str], inside: dict[str, str], album: Album) -> None:
    _take_pages(person.new_page(), url, outside, pictured.OUTSIDE_STATES, album)
    _take_pages(signed_in(person, url), url, inside, pictured.STATES, album)


def _take_pages(page: Page, url: str, pages: dict[str, str], states: dict[str, pictured.State], album: Album) -> None:
    for name, path in pages.items():
        if album.wants(name):
            _show(page, url + path)
            album.take(name, page)
    for name, state in states.items():
        if album.wants(name):
            _show(page, url + state.path)
            try:
                state.act(page)
                page.wait_for_timeout(600)
            except Error as error:
                print(f"{name}: {error}")
            album.take(name, page)


def _take_print(person: BrowserContext, url: str, album: Album) -> None:
    """The sheet that a printer gets."""
    page = signed_in(person, url)
    page.emulate_media(media="print")
    for name, path in (("print-site", pictured.DEMO), ("print-consent", f"{pictured.DEMO}/consent")):
        if album.wants(name):
            _show(page, url + path)
            album.take(name, page)


def _take_second_factor(person: BrowserContext, url: str, album: Album) -> None:
    """Setting up an authenticator app, the code that is asked for then, and what a viewer may not see."""
    page = signed_in(person, url, "otto")
    for name, path in (("sites-few", "/"), ("site-viewer", pictured.DEMO), ("no-access", f"{pictured.DEMO}/settings")):
        _show(page, url + path)
        album.take(name, page)
    pictured.with_authenticator(page, url, album.take)
    person.clear_cookies()
    page.goto(f"{url}/login")
    _give_password(page, "otto")
    page.wait_for_url(f"{url}/login/code")
    page.locator("summary").click()
    album.take("sign-in-code", page)


def _take_confirmation(browser: Browser, url: str, cookies: Sequence[Any], language: str, album: Album) -> None:
    """What somebody is asked who signed in a while ago."""
    for scheme in SCHEMES:
        for width, height in WIDTHS.items():
            album.suffix = f"{scheme}-{width}"
            if album.wants("confirmation"):
                with opened(browser, scheme, width, height, language=language) as person:
                    person.add_cookies(cookies)
                    page = person.new_page()
                    pictured.confirmation(page, url)
                    album.take("confirmation", page)


def _take_mails(browser: Browser, sent: Sequence[pictured_mails.Mail], album: Album) -> None:
    """Each mail as a wide and a narrow mail program shows it, and the text of one without HTML beside the pictures."""
    for scheme in SCHEMES:
        for width in (640, 390):
            album.suffix = f"{scheme}-{width}"
            with opened(browser, scheme, width, 800) as person:
                page = person.new_page()
                for mail in sent:
                    page.set_content(mail.html)
                    album.take(mail.name, page)
    for mail in sent:
        (album.directory / f"{mail.name}.txt").write_text(mail.text)


def signed_in(person: BrowserContext, url: str, name: str = "admin") -> Page:
    """A tab of somebody's."""
    page = person.new_page()
    page.goto(f"{url}/login")
    _give_password(page, name)
    page.wait_for_url(f"{url}/")
    return page


def _give_password(page: Page, name: str) -> None:
    page.locator("[name=name]").fill(name)
    page.locator("[name=password]").fill(pictured.PASSWORD)
    page.keyboard.press("Enter")


def _show(page: Page, url: str) -> None:
    page.goto(url)
    # Pages that show what goes on now keep a stream open: they are never without a request under way.
    page.wait_for_timeout(600)
    # What is further down than the window has its icons only once it comes near.
    page.evaluate("document.querySelectorAll('img[loading=lazy]').forEach((each) => { each.loading = 'eager' })")
    page.wait_for_timeout(100)


if __name__ == "__main__":
    main()
