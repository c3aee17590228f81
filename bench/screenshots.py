"""Pictures of every page of the running program, light and dark, at a desk and on a phone.

    python -m bench.screenshots [DIRECTORY [LANGUAGE]]     (dist/screenshots and en unless told otherwise)

The README's own go to docs/screenshots, in English only.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from dashboard.server.sockets import Server, read_server_info

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
# A headless browser names itself in its user agent, and is then a bot to the demonstration's banner.
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36"
PASSWORD = "for pictures only"  # noqa: S105 # a server that lives for a minute
DEADLINE = 180.0

DEMO = "/demo.localhost"
HISTORY = ("--events", "150000", "--days", "62")
"""Enough to compare months."""
NEW = "/shop.example"
INSIDE = {
    "sites": "/",
    "site": DEMO,
    "site-today": f"{DEMO}?period=day",
    "site-year": f"{DEMO}?period=12mo&compare=year&bucket=week",
    "site-filtered": f"{DEMO}?period=7d&metric=pageviews&f=is,visit:source,Google&f=is_not,visit:country,SE",
    "site-map": f"{DEMO}?countries=map",
    "realtime": f"{DEMO}/realtime",
    "details": f"{DEMO}/details/pages",
    "funnels": f"{DEMO}/funnels",
    "funnel-form": f"{DEMO}/funnels/edit",
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
    "tag-wordpress": f"{NEW}/install?variant=wordpress",
    "empty": NEW,
    "empty-goals": f"{NEW}/goals",
    "empty-realtime": f"{NEW}/realtime",
    "add-a-site": "/sites/new",
    "account": "/account",
    "two-factor": "/account/two-factor",
    "users": "/users",
    "all-changes": "/changes",
    "installation-alerts": "/alerts",
    "not-found": "/nothing.example",
}
OUTSIDE = {"sign-in": "/login", "privacy": "/privacy/demo.localhost", "demo": "/demo", "demo-shop": "/demo/shop",
           "demo-workshops": "/demo/workshops", "demo-about": "/demo/about"}  # fmt: skip
SCHEMES = ("light", "dark")
WIDTHS = {1280: 900, 390: 844}


def main() -> None:
    """Start the demonstration, take every picture, stop it."""
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist/screenshots")
    language = sys.argv[2] if len(sys.argv) > 2 else "en"
    directory.mkdir(parents=True, exist_ok=True)
    README_PICTURES.mkdir(parents=True, exist_ok=True)
    with running(*HISTORY) as server, sync_playwright() as playwright:
        _add_site(server)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        with opened(browser, "light", 1280, 900) as person:
            page = _signed_in(person, server.url)
            outside = OUTSIDE | _links(page, server.url)
            page.goto(f"{server.url}{DEMO}/funnels")
            inside = INSIDE | {"funnel": page.locator(".record h3 a").get_attribute("href") or ""}
        for scheme in SCHEMES:
            for width, height in WIDTHS.items():
                with opened(browser, scheme, width, height, language=language) as person:
                    _take_all(person, server.url, outside, inside, directory, f"{scheme}-{width}")
            if language != "en":
                continue
            with opened(browser, scheme, 1280, 1060, scale=1.5) as person:
                page = _signed_in(person, server.url)
                _show(page, f"{server.url}{DEMO}")
                page.screenshot(path=README_PICTURES / f"dashboard{'' if scheme == 'light' else '-dark'}.png")
        browser.close()
    print(f"{len(list(directory.glob('*.png')))} pictures in {directory}, the README's in {README_PICTURES}")


@contextlib.contextmanager
def running(*options: str) -> Iterator[Server]:
    """`tyst demo` with these options on a free port, in a directory of its own."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TYST_")}
        environment |= {"TYST_DATA_DIR": folder, "TYST_PORT": "0", "TYST_ADMIN_PASSWORD": PASSWORD}
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


def _add_site(server: Server) -> None:
    site = {"domain": NEW.strip("/"), "timezone": "Europe/Stockholm"}
    user = {"name": "vera", "password": PASSWORD, "role": "viewer", "sites": [DEMO.strip("/")]}
    key = {"Authorization": f"Bearer {server.key}"}
    for what, given in (("sites", site), ("users", user)):
        httpx.post(f"{server.url}/api/v1/{what}", json=given, headers=key, trust_env=False).raise_for_status()


def _links(page: Page, url: str) -> dict[str, str]:
    """Write a note, and make the links by which guests and newcomers come in: what they open, by name."""
    page.goto(f"{url}{DEMO}")
    page.locator("#add-note summary").click()
    page.locator("#new-note-date").fill(str(datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=9)))
    page.locator("#new-note-text").fill("The winter fair opened")
    page.locator("#add-note button").click()
    page.locator(".notes li").wait_for()
    links = {}
    for name, whom, password in (("shared", "The board", ""), ("share-door", "Our accountant", PASSWORD)):
        page.goto(f"{url}{DEMO}/sharing")
        page.locator("#name").fill(whom)
        page.locator("#password").fill(password)
        page.get_by_role("button", name="Create link").click()
        links[name] = page.get_by_label(f"Link of {whom}").inner_text().removeprefix(url)
    page.goto(f"{url}{DEMO}/people")
    page.get_by_label("Name", exact=True).fill("Ida")
    page.get_by_role("button", name="Create link").click()
    links["invitation"] = page.locator("#made-link").inner_text().removeprefix(url)
    page.goto(f"{url}/users")
    page.get_by_role("button", name="New password for vera").click()
    links["new-password"] = page.locator("#made-link").inner_text().removeprefix(url)
    return links


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
        user_agent=USER_AGENT,
        timezone_id="Europe/Stockholm",
        locale=language,
    )
    yield context
    context.close()


def _take_all(
    person: BrowserContext, url: str, outside: dict[str, str], inside: dict[str, str], directory: Path, suffix: str
) -> None:
    page = person.new_page()
    for name, path in outside.items():
        _show(page, url + path)
        page.screenshot(path=directory / f"{name}-{suffix}.png", full_page=True)
    page = _signed_in(person, url)
    for name, path in inside.items():
        _show(page, url + path)
        page.screenshot(path=directory / f"{name}-{suffix}.png", full_page=True)


def _signed_in(person: BrowserContext, url: str) -> Page:
    page = person.new_page()
    page.goto(f"{url}/login")
    page.locator("[name=name]").fill("admin")
    page.locator("[name=password]").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}/")
    return page


def _show(page: Page, url: str) -> None:
    page.goto(url)
    # Pages that show what goes on now keep a stream open: they are never without a request under way.
    page.wait_for_timeout(600)


if __name__ == "__main__":
    main()
