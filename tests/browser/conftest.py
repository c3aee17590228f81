"""Chromium for every browser test: one browser a test process, one fresh profile a test.

It is the headless shell: the same engine without the windows of a desktop, which take most of the processor's time in
a short test. What only a whole Chromium does, such as keeping a page to go back to, is tested in one by `launch`.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, Playwright, expect, sync_playwright

from tests.browser.recorder import Recorder, Sent, recording
from tests.served import DEADLINE, Served

CHROMIUM = "/usr/bin/chromium"
SHELL = "/usr/bin/chromium-headless-shell"
ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Without this, navigator.webdriver is true, and the snippet takes the browser for a bot.
PERSON = "--disable-blink-features=AutomationControlled"
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36"

GPC = "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', { get: () => true })"
DNT = "Object.defineProperty(Navigator.prototype, 'doNotTrack', { get: () => '1' })"

WITHDRAWAL = ("DELETE", "", None)

MOST_SHOWN = 2_000
PEOPLE = pytest.StashKey[list[BrowserContext]]()
"""Profiles that a test has opened."""

_numbers = itertools.count(1)

NewPerson = Callable[..., BrowserContext]


def launch(playwright: Playwright, *arguments: str, executable: str = CHROMIUM, **options: Any) -> Browser:
    """A Chromium of one's own, for what the shared one cannot do."""
    return playwright.chromium.launch(executable_path=executable, args=[*ARGUMENTS, *arguments], **options)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """To what failed belongs what its tabs showed, and what its servers had to say."""
    report = yield
    if report.when == "call" and report.failed:
        for page in [page for person in item.stash.get(PEOPLE, []) for page in person.pages]:
            with contextlib.suppress(Error):
                shown = page.locator("body").inner_text(timeout=1_000)
                report.sections.append((f"shown at {page.url}", shown[:MOST_SHOWN]))
        for server in [value for value in item.funcargs.values() if isinstance(value, Served)]:
            report.sections.append((f"log of {server.url}", server.log()[-MOST_SHOWN:]))
    return report


@pytest.fixture(scope="session", autouse=True)
def patience() -> None:
    """A busy machine may take its time over a view; what has not come by then has gone wrong."""
    expect.set_options(timeout=DEADLINE * 1000)


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """Playwright, started once a test process."""
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """One Chromium a test process, which does not admit to being driven by a program."""
    with launch(playwright, PERSON, executable=SHELL) as launched:
        yield launched


@pytest.fixture
def new_person(browser: Browser, request: pytest.FixtureRequest) -> Iterator[NewPerson]:
    """Makes fresh profiles of people at a desktop; with `gpc` or `dnt` they refuse to be measured."""
    people = request.node.stash.setdefault(PEOPLE, [])
    with contextlib.ExitStack() as opened:

        def make(*, gpc: bool = False, dnt: bool = False, **options: Any) -> BrowserContext:
            headers = ({"Sec-GPC": "1"} if gpc else {}) | ({"DNT": "1"} if dnt else {})
            context = browser.new_context(
                **{"user_agent": USER_AGENT, "viewport": {"width": 1280, "height": 800}} | options,
                extra_http_headers=headers or None,
            )
            opened.callback(context.close)
            people.append(context)
            context.set_default_timeout(DEADLINE * 1000)
            for wanted, script in ((gpc, GPC), (dnt, DNT)):
                if wanted:
                    context.add_init_script(script)
            return context

        yield make


@pytest.fixture
def person(new_person: NewPerson) -> BrowserContext:
    """The fresh profile of a person at a desktop."""
    return new_person()


@pytest.fixture(scope="session")
def _recorder() -> Iterator[Recorder]:
    with recording() as recorder:
        yield recorder


@pytest.fixture
def recorder(_recorder: Recorder) -> Recorder:
    """The recording website, with the plainest page and nothing recorded."""
    _recorder.start_over(f"site{next(_numbers)}.test")
    return _recorder


class Visit:
    """One tab on the recording website, whose timers run only when the test says so."""

    def __init__(self, context: BrowserContext, recorder: Recorder) -> None:
        self.context = context
        self.recorder = recorder
        self.page: Page = context.new_page()
        now = time.time()
        self.page.clock.install(time=now)
        # A busy machine may take its time from the one to the other, and time cannot be paused in the past.
        self.page.clock.pause_at(now + 10)

    def go(self, path: str = "/") -> None:
        """Load a page."""
        self.page.goto(self.recorder.url + path)

    def do(self, script: str) -> Any:
        """Run a line of JavaScript in the page."""
        return self.page.evaluate(script)

    def pass_time(self, milliseconds: int) -> None:
        """Fire every timer of the next so many milliseconds."""
        self.page.clock.run_for(milliseconds)

    def pass_time_until_sent(self) -> tuple[Sent, float]:
        """Let time pass, second by second, until one beacon is sent; the beacon, and how many seconds passed."""
        before, deadline = self.do("Date.now()"), time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            self.pass_time(1_000)
            self.do("fetch('/fence').then((answer) => answer.text())")
            if sent := self.recorder.take():
                assert len(sent) == 1
                return sent[0], (self.do("Date.now()") - before) / 1000
        raise AssertionError("nothing was sent")

    def sent(self) -> list[Sent]:
        """Everything that was sent, after the snippet has had every chance to send more.

        Its timers fire, and then the page makes two round trips to the same server: what it had
        to send has gone out before them.
        """
        self.pass_time(1_000)
        for _ in range(2):
            self.do("fetch('/fence').then((answer) => answer.text())")
        return self.recorder.take()

    def events(self) -> list[tuple[str, str, str | None]]:
        """What was sent, as name, page and evidence; a withdrawal as `WITHDRAWAL`."""
        return [
            (sent.beacon["n"], sent.path, sent.beacon.get("c")) if sent.method == "POST" else WITHDRAWAL
            for sent in self.sent()
        ]


NewVisit = Callable[..., Visit]


@pytest.fixture
def new_visit(new_person: NewPerson, recorder: Recorder) -> NewVisit:
    """Makes visits by people of their own; takes what `new_person` takes."""
    return lambda **options: Visit(new_person(**options), recorder)


@pytest.fixture
def visit(new_visit: NewVisit) -> Visit:
    """A visit by a person who has said nothing yet."""
    return new_visit()
