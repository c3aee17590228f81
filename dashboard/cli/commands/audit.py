"""`tyst audit`: search the running installation for data that must not be stored, or assess it by CNIL's conditions."""

from __future__ import annotations

import contextlib
import ipaddress
import json as json_
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx
import msgspec
import typer

from collector.core.errors import TystError
from dashboard.cli.commands.output import Json, console, print_json, print_table, say
from dashboard.cli.http_client import Client, connect
from dashboard.compliance.leak_search import (
    UNREADABLE,
    EncodedNeedle,
    SearchReport,
    forms_joined,
    forms_of_address,
    forms_of_text,
    search_files,
)

PATIENCE = 60.0  # seconds for a beacon to reach ClickHouse
SEARCH_SECONDS = 3600.0  # every byte of every file is looked at, some hundred megabytes a minute
LISTED = 12

NOT_LOOKED_AT = """\
Not looked at: logs and backups kept elsewhere (name them with --path), the proxy in front, other machines, memory."""


class AuditFailed(TystError):
    """The planted visit could not be sent or did not arrive; the text says why."""


def audit(
    cnil: Annotated[
        bool, typer.Option("--cnil", metavar="", help="Assess each site by the conditions of CNIL's exemption.")
    ] = False,
    paths: Annotated[
        list[Path] | None,
        typer.Option(
            "--path",
            metavar="PATH",
            exists=True,
            help="Also look into this file or directory, such as a log. Again for more.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Send a made-up address and user agent through the running server, then search all stored data for them.

    Status 1 when something is found, or, with --cnil, when a condition fails.
    """
    with connect(timeout=SEARCH_SECONDS) as client:
        if cnil:
            _assess(client, json=json)
        else:
            _search(client, paths or [], json=json)


def _assess(client: Client, *, json: bool) -> None:
    assessed = client.get("audit")
    if json:
        print_json(assessed)
    else:
        for each in assessed["sites"]:
            say(f"\n{each['site']}")
            rows = [[one["name"], MARKS[one["state"]], one["shown"]] for one in each["conditions"]]
            print_table(["Condition", "", "Shown by"], rows, empty="")
        say(f"\n{assessed['disclaimer']}")
    if any(one["state"] == "fail" for each in assessed["sites"] for one in each["conditions"]):
        raise typer.Exit(1)


MARKS = {"pass": "pass", "fail": "FAIL", "yours": "yours"}


def _search(client: Client, paths: list[Path], *, json: bool) -> None:
    with _throw_away_site(client) as domain:
        canary = PlantedVisit(client.url, domain)
        try:
            canary.sing()
            _wait_until_stored(client)
            forms = list(canary.forms())
            # First: a ClickHouse server that logs its statements logs those that search the tables, too.
            also = search_files(paths, forms)
            answer = client.post("audit", "search", body={"forms": msgspec.to_builtins(forms)})
        finally:
            canary.leave()
    searched = msgspec.convert(answer, SearchReport)
    found = [*searched.found, *also.found]
    places = [*searched.places, *also.places]
    if json:
        print_json({"found": found, "places": msgspec.to_builtins(places), "forms": len(forms)})
    else:
        _report(searched, also, len(forms), canary)
    if found:
        raise typer.Exit(1)


def _report(report: SearchReport, also: SearchReport, forms: int, canary: PlantedVisit) -> None:
    places = [*report.places, *also.places]
    files = [place for place in places if place.unit == "bytes"]
    tables = [place for place in places if place.unit == "rows"]
    say(f"Sent as {', '.join(canary.addresses)} with a made-up browser; looked for it in {forms} forms.\n")
    say(f"Files: {len(files)}, {sum(place.size for place in files):,} bytes")
    for place in sorted(files, key=lambda place: -place.size)[:LISTED]:
        say(f"  {place.size:>14,}  {place.name}")
    if len(files) > LISTED:
        say(f"  {'':>14}  … all of them with --json")
    say(f"Tables: {len(tables)}, {sum(place.size for place in tables):,} rows, every column, uncompressed")
    for place in tables:
        say(f"  {place.size:>14,}  {place.name}")
    for place in places:
        if place.unit == UNREADABLE:
            say(f"Could not be read, so not searched: {place.name}")
    say(f"\n{NOT_LOOKED_AT}\n")
    found = [*report.found, *also.found]
    if not found:
        say("Nothing was found.")
        return
    for line in found:
        console(error=True).print(f"FOUND {line}", markup=False)


class PlantedVisit:
    """A made-up visitor: addresses, a user agent and actions."""

    def __init__(self, url: str, domain: str) -> None:
        self._url = url
        self._domain = domain
        word = f"Kanarie{secrets.token_hex(6)}"
        self._word = word
        self._user_agent = (
            f"Mozilla/5.0 (X11; Linux x86_64; {word}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 "
            "Safari/537.36"
        )
        # Networks that are kept for examples (RFC 2544, RFC 3849), so that nobody's real address is used.
        four = ipaddress.IPv4Address(int(ipaddress.IPv4Address("198.18.0.0")) + secrets.randbelow(2**17))
        six = ipaddress.IPv6Address((0x20010DB8 << 96) + secrets.randbits(96))
        self._told = [str(four), str(six)]
        self._from = self._loopback()
        self.addresses = [*([self._from] if self._from else []), *self._told]

    def _loopback(self) -> str:
        """Any address of the loopback network may be connected from, where the server is on this machine."""
        host = urlsplit(self._url).hostname or ""
        if host != "localhost" and not host.startswith("127."):
            return ""
        return f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(200) + 20}.{secrets.randbelow(200) + 20}"

    def forms(self) -> Iterator[EncodedNeedle]:
        """Every encoding that is searched for."""
        for address in self.addresses:
            yield from forms_of_address(address)
            yield from forms_joined(f"{address} with user agent", address, self._user_agent)
        for text in (self._user_agent, self._word):
            yield from forms_of_text("user agent", text)

    def sing(self) -> None:
        """Send beacons in each way in which an address can be transmitted. Raises `AuditFailed`."""
        for headers in self._headers():
            with self._browser(headers) as browser:
                body = {"n": "pageview", "u": f"https://{self._domain}/", "d": self._domain, "c": "granted"}
                answer = _known(browser, json_.dumps(body))
                dropped = answer.headers.get("x-tyst-dropped", "")
                if answer.status_code != 202 or dropped:
                    raise AuditFailed(f"the canary's beacon was not kept: {answer.status_code} {dropped}")
                for path in (f"/privacy/{self._domain}", f"/api/me?d={self._domain}", "/nowhere", "/metrics"):
                    browser.get(path)

    def leave(self) -> None:
        """Have erased what was sent."""
        for headers in self._headers():
            with contextlib.suppress(httpx.HTTPError), self._browser(headers) as browser:
                deadline = time.monotonic() + PATIENCE
                while time.monotonic() < deadline:
                    if browser.delete(f"/api/me?d={self._domain}").status_code != 429:
                        break
                    time.sleep(0.5)

    def _headers(self) -> Iterator[dict[str, str]]:
        yield {}
        for told in self._told:
            yield {"X-Forwarded-For": told}

    def _browser(self, headers: dict[str, str]) -> httpx.Client:
        transport = httpx.HTTPTransport(local_address=self._from or None)
        given = {**headers, "User-Agent": self._user_agent}
        return httpx.Client(base_url=self._url, transport=transport, headers=given, timeout=30, trust_env=False)


def _known(browser: httpx.Client, body: str) -> httpx.Response:
    """The answer to a beacon; where there are several workers, the one that is reached may not know the site yet."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = browser.post("/api/event", content=body)
        if answer.headers.get("x-tyst-dropped") != "unknown_site" or time.monotonic() > deadline:
            return answer
        time.sleep(0.2)


@contextlib.contextmanager
def _throw_away_site(client: Client) -> Iterator[str]:
    domain = f"audit-{secrets.token_hex(4)}.invalid"
    client.post("sites", body={"domain": domain, "consent": "exempt", "retention_days": 1})
    try:
        yield domain
    finally:
        client.delete("sites", domain)


def _wait_until_stored(client: Client) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        state: dict[str, Any] = client.fetch("/readyz").json()
        if state["spool_rows"] == 0:
            return
        time.sleep(0.1)
    # What waits in the spool is searched there.
