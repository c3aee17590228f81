"""Two people for the browser tests: a visitor whose every request to Tyst is noted, and an owner at the dashboard."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec
from playwright.sync_api import BrowserContext, Page, Request, Response

from tests.served import DEADLINE, PASSWORD, until


@dataclass
class Visitor:
    """One tab. `tyst` is the server's address; requests to it are noted by path, beacons also by content."""

    context: BrowserContext
    tyst: str
    fence: str = "/fence"
    """A path of the page's own server that answers anybody."""
    page: Page = field(init=False)
    paths: list[str] = field(default_factory=list)
    beacons: list[dict[str, Any]] = field(default_factory=list)
    withdrawals: list[dict[str, Any]] = field(default_factory=list)
    """What took back what was sent, by content."""
    answers: list[tuple[int, str | None]] = field(default_factory=list)
    withdrawn: int = 0
    """How many of them were answered."""
    answered: float = 0.0
    """When the last beacon was answered, by the monotonic clock."""

    def __post_init__(self) -> None:
        self.context.on("request", self._note_request)
        self.context.on("response", self._note_response)
        self.page = self.context.new_page()
        # Timers of the pages fire only in `settle`, so that nothing is sent because a test is slow.
        now = time.time()
        self.page.clock.install(time=now)
        # By then installing it is over, however slow the machine is.
        self.page.clock.pause_at(now + 10)

    def settle(self, seconds: float = DEADLINE) -> None:
        """Give the snippet every chance to send: its timers fire, and what it sent is answered.

        The page then makes two round trips of its own. What the snippet had to send went out before them.
        """
        self.page.clock.run_for(1_100)
        for _ in range(2):
            self._round_trip()
        until("an answer to each beacon", self._answered, seconds)

    def take(self) -> list[tuple[str, str, str | None]]:
        """Beacons since the last time: name, page, evidence of consent. After everything was given a chance."""
        self.settle()
        taken, self.beacons = self.beacons, []
        assert self.answers == [(202, None)] * len(taken), "each is accepted, and none is dropped"
        self.answers.clear()
        return [(beacon["n"], urlsplit(beacon["u"]).path, beacon.get("c")) for beacon in taken]

    def _round_trip(self) -> None:
        self.page.evaluate("(fence) => fetch(fence).then((answer) => answer.text())", self.fence)

    def _answered(self) -> bool:
        if len(self.answers) < len(self.beacons) or self.withdrawn < len(self.withdrawals):
            self._round_trip()
        return len(self.answers) == len(self.beacons) and self.withdrawn == len(self.withdrawals)

    def _note_request(self, request: Request) -> None:
        if request.url.startswith(self.tyst):
            self.paths.append(urlsplit(request.url).path)
        noted = self._of(request)
        if noted is not None:
            noted.append(msgspec.json.decode(request.post_data or "{}", type=dict[str, Any]))

    def _note_response(self, response: Response) -> None:
        noted = self._of(response.request)
        if noted is self.beacons:
            self.answered = time.monotonic()
            self.answers.append((response.status, response.headers.get("x-tyst-dropped")))
        elif noted is self.withdrawals:
            self.withdrawn += response.status == 202

    def _of(self, request: Request) -> list[dict[str, Any]] | None:
        """Where a request belongs: among the beacons, the withdrawals, or nowhere."""
        lists = {"POST": self.beacons, "DELETE": self.withdrawals}
        return lists.get(request.method) if urlsplit(request.url).path == "/api/event" else None


_signed_in: dict[str, list[Any]] = {}
"""Cookies of the admin's, by server."""


def signed_in(person: BrowserContext, tyst: str, path: str) -> Page:
    """The admin's tab at that page. The first at a server fills in the form; whoever comes later has the cookies of
    then, for as long as they are good."""
    owner = Owner(person, tyst)
    person.add_cookies(_signed_in.get(tyst, []))
    owner.page.goto(tyst + path)
    if urlsplit(owner.page.url).path == "/login":
        owner.sign_in(path)
        _signed_in[tyst] = [*person.cookies(tyst)]
    return owner.page


@dataclass
class Owner:
    """Reads the dashboard at `tyst`."""

    context: BrowserContext
    tyst: str
    page: Page = field(init=False)

    def __post_init__(self) -> None:
        self.page = self.context.new_page()

    def sign_in(self, path: str = "/", password: str = PASSWORD) -> None:
        """Open a page, be asked to sign in, do so, and arrive there."""
        self.page.goto(self.tyst + path)
        assert urlsplit(self.page.url).path == "/login"
        self.page.get_by_label("User name").fill("admin")
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(self.tyst + path)

    def figure(self, name: str) -> str:
        """One of the figures on top of a site's page, by its name."""
        figure = self.page.locator(".figure", has=self.page.locator(".name", has_text=name)).first
        return figure.locator("strong").inner_text()

    def rows(self, panel: str) -> dict[str, list[str]]:
        """A panel's rows: label to the texts of its columns."""
        table = self.page.get_by_role("region", name=panel).locator("tbody tr")
        cells = [[cell.strip() for cell in row.locator("th, td").all_inner_texts()] for row in table.all()]
        return {first: rest for first, *rest in cells}
