"""`tyst lists`: download of the operator's host lists. Nothing is downloaded otherwise."""

from __future__ import annotations

import os
import re
import tempfile
import time
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import httpx
import typer

from collector.core.environment import give_to_owner
from collector.core.errors import TystError
from collector.core.settings import read_settings
from collector.enrichment.host_lists import SPAM_FILE, listed_hosts
from dashboard.cli.commands.output import Json, print_result

app = typer.Typer(no_args_is_help=True, help="Lists in the data directory, such as hosts known for referrer spam.")

MOST_BYTES = 4_000_000
MOST_SECONDS = 30.0
# A page that says sorry, or asks to sign in, is no list.
MOST_UNREADABLE = 0.05

_HOST = re.compile(
    r"(?=.{4,253}\Z)(?:[\w\u00a1-\uffff](?:[\w\u00a1-\uffff-]{0,61}[\w\u00a1-\uffff])?\.)+[\w\u00a1-\uffff-]{2,63}"
)


class ListRefused(TystError):
    """A list could not be downloaded or is invalid; the previous list is unchanged."""


@app.command()
def update(
    url: Annotated[
        str | None,
        typer.Argument(help="Where the list is, one host a line; else TYST_SPAM_LIST_URL.", show_default=False),
    ] = None,
    allow_http: Annotated[
        bool, typer.Option("--allow-http", metavar="", help="Take http from this machine itself.")
    ] = False,
    json: Json = False,
) -> None:
    """Download a list of referrer spam hosts; the running server applies it within half a minute."""
    settings = read_settings(os.environ)
    if not settings.data_dir.is_dir():
        raise ListRefused(f"{settings.data_dir} is not there. Start Tyst once, or set TYST_DATA_DIR.")
    address = url or settings.spam_list_url
    hosts = check_hosts(fetch(address, allow_http=allow_http))
    path = settings.data_dir / SPAM_FILE
    before = listed_hosts(path.read_text("utf-8", "replace")) if path.is_file() else frozenset()
    write(path, hosts)
    give_to_owner(settings.data_dir)
    counts = {"hosts": len(hosts), "added": len(hosts - before), "removed": len(before - hosts)}
    print_result(
        counts | {"file": str(path)},
        f"{counts['hosts']:,} hosts, {counts['added']:,} of them new and {counts['removed']:,} gone: {path}",
        json=json,
    )


def fetch(url: str, *, allow_http: bool = False) -> str:
    """The text at `url`. Raises `ListRefused` for what is not https, too long, too slow or not there."""
    _check_address(url, allow_http=allow_http)
    deadline = time.monotonic() + MOST_SECONDS
    text = bytearray()
    try:
        with httpx.stream("GET", url, timeout=MOST_SECONDS / 3, headers={"User-Agent": "Tyst"}) as answer:
            if answer.status_code != httpx.codes.OK:
                moved = f"; it has moved to {answer.headers['location']}" if "location" in answer.headers else ""
                raise ListRefused(f"{url} answered {answer.status_code}{moved}")
            for part in answer.iter_bytes():
                text += part
                if len(text) > MOST_BYTES:
                    raise ListRefused(f"{url} is longer than {MOST_BYTES:,} bytes")
                if time.monotonic() > deadline:
                    raise ListRefused(f"{url} takes longer than {MOST_SECONDS:g} seconds")
    except httpx.HTTPError as error:
        raise ListRefused(f"{url} cannot be fetched ({type(error).__name__})") from None
    return text.decode("utf-8", "replace")


def check_hosts(text: str) -> frozenset[str]:
    """The hosts of a list. Raises `ListRefused` when there are none, or too much that is no host."""
    lines = listed_hosts(text)
    hosts = frozenset(line for line in lines if _HOST.fullmatch(line) and not line.endswith("-"))
    if not hosts or len(lines) - len(hosts) > MOST_UNREADABLE * len(lines):
        raise ListRefused("what was fetched is no list of hosts, one a line; nothing has changed")
    return hosts


def write(path: Path, hosts: frozenset[str]) -> None:
    """Replace the list atomically."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", delete=False, encoding="utf-8") as file:
        file.write("".join(f"{host}\n" for host in sorted(hosts)))
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)


def _check_address(url: str, *, allow_http: bool) -> None:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ListRefused(f"{url!r} is no address") from None
    if parts.scheme == "https" and parts.hostname:
        return
    if not (allow_http and parts.scheme == "http" and _is_this_machine(parts.hostname or "")):
        raise ListRefused(f"{url!r}: expected an address that begins with https://")


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
