"""Somebody's browser, Chromium or Firefox, on a website with a consent banner before a real collector."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

from playwright.sync_api import BrowserContext, Page

from tests.browser.banner_pages import BannerPage
from tests.browser.firefox import Tab
from tests.browser.recorder import Recorder
from tests.served import Served, until

FORGET = """void ['', ';domain=' + location.hostname].map((domain) => document.cookie.split('; ')
    .map((each) => each.split('=')[0]).filter((name) => name != 'tyst_consent')
    .map((name) => document.cookie = name + '=;path=/;max-age=0' + domain)), localStorage.clear()"""
"""What a browser does with a banner's memory when it has ended; our own cookie lives longer."""


class Reader(Protocol):
    """A tab of somebody's browser."""

    def go(self, url: str) -> None: ...
    def do(self, script: str) -> Any: ...
    def wait_for(self, selector: str) -> None: ...
    def click(self, selector: str) -> None: ...
    def another(self) -> Reader: ...
    def show(self) -> None: ...


class ChromiumTab:
    """A tab of Chromium."""

    def __init__(self, context: BrowserContext) -> None:
        self._page: Page = context.new_page()

    def go(self, url: str) -> None:
        """Load a page."""
        self._page.goto(url)

    def do(self, script: str) -> Any:
        """What a line of JavaScript comes to."""
        return self._page.evaluate(script)

    def wait_for(self, selector: str) -> None:
        """Until something is shown."""
        self._page.wait_for_selector(selector)

    def click(self, selector: str) -> None:
        """Click on it."""
        self._page.click(selector)

    def another(self) -> ChromiumTab:
        """A second tab of the same person."""
        return ChromiumTab(self._page.context)

    def show(self) -> None:
        """Bring it to the front."""
        self._page.bring_to_front()


class FirefoxTab:
    """A tab of Firefox, whose elements are clicked by script."""

    def __init__(self, tab: Tab) -> None:
        self._tab = tab

    def go(self, url: str) -> None:
        """Load a page."""
        self._tab.go(url)

    def do(self, script: str) -> Any:
        """What a line of JavaScript comes to."""
        return self._tab.do(f"({script})")

    def wait_for(self, selector: str) -> None:
        """Until it is there."""
        until(selector, lambda: self._tab.do(f"!!document.querySelector('{selector}')"))

    def click(self, selector: str) -> None:
        """Click on it."""
        self.wait_for(selector)
        self._tab.do(f"document.querySelector('{selector}').click()")

    def another(self) -> FirefoxTab:
        """A second tab of the same person."""
        return FirefoxTab(self._tab.another())

    def show(self) -> None:
        """Bring it to the front."""
        self._tab.show()


class Site:
    """The website with one banner on every page, and what the collector has stored of it."""

    names = itertools.count(1)

    def __init__(
        self, recorder: Recorder, tyst: Served, banner: BannerPage, *attributes: str, policy: str = ""
    ) -> None:
        self._recorder = recorder
        self._tyst = tyst
        self.domain = f"banner{next(self.names)}.test"
        recorder.domain = self.domain
        self._attributes = (f'data-consent="{policy}"', *attributes) if policy else attributes
        tyst.add_site(self.domain, hostnames=["*.localhost"], **({"consent": policy} if policy else {}))
        self.show(banner, banner.lines)

    def show(self, banner: BannerPage, head: str) -> None:
        """What every page consists of from now on."""
        self._recorder.page(
            " ".join([banner.attributes, *self._attributes]), head=head, src=f"{self._tyst.url}/js/tyst.js"
        )

    def go(self, reader: Reader, path: str) -> None:
        """Load a page, and have the tag ask its banner."""
        reader.go(self._recorder.url + path)
        self.settle(reader)

    def settle(self, reader: Reader) -> None:
        """Give the tag every chance to ask, which it does after a click, and to send, which it does before the rest."""
        reader.do(
            f"""(async () => {{
                document.documentElement.click()
                await new Promise((done) => setTimeout(done, 50))
                await fetch('/fence')
                await fetch('{self._tyst.url}/healthz', {{ mode: 'no-cors' }})
            }})()"""
        )

    def answer(self, reader: Reader, steps: Sequence[str]) -> None:
        """Say something to the banner."""
        for step in steps:
            if step.startswith("js: "):
                reader.do(f"void ({step.removeprefix('js: ')})")
            else:
                reader.click(step)
        self.settle(reader)

    def stored(self) -> dict[str, int]:
        """Pageviews by page."""
        self._tyst.drain()
        query = {"site_id": self.domain, "metrics": ["pageviews"], "date_range": "day", "dimensions": ["event:page"]}
        rows = self._tyst.api("POST", "/api/v2/query", query)["results"]
        return {row["dimensions"][0]: row["metrics"][0] for row in rows}

    def becomes(self, *pages: str) -> None:
        """Wait until exactly these pages are stored, each as often as it is named."""
        until(f"{pages} are stored", lambda: self.stored() == Counter(pages))

    def stays(self, reader: Reader, *pages: str) -> None:
        """See that exactly these pages are stored, after the tag had every chance to change that."""
        self.settle(reader)
        assert self.stored() == Counter(pages)
