"""`tyst check`: health of the installation, with what to do about each problem."""

from __future__ import annotations

import email.utils
import logging
import os
import platform
import time
from collections.abc import Iterator
from typing import Annotated

import typer
from msgspec import convert, to_builtins
from rich.text import Text

from collector.core.errors import SettingError
from collector.core.settings import read_settings
from collector.ingest.cookies import has_cookie_fault
from dashboard.cli.commands.output import Json, console, print_json
from dashboard.cli.http_client import Client, Refused, ServerNotReached, connect
from dashboard.compliance.health_report import Check, Status, check_directory

# Beyond this, days and visits of the two clocks no longer agree.
CLOCK_SECONDS = 5.0

MARKS = {"ok": ("ok", "green"), "warning": ("look", "yellow"), "failed": ("FAILED", "bold red")}


Cluster = Annotated[
    bool,
    typer.Option(
        "--cluster",
        metavar="",
        help="Check the ClickHouse cluster instead, by inserts and an erasure in a scratch database on every node.",
    ),
]


def check(cluster: Cluster = False, json: Json = False) -> None:
    """Check the configuration and the running server, with advice on each problem. Status 1 if there is one."""
    checks = list(_of_cluster() if cluster else _checks())
    if json:
        print_json([to_builtins(each) for each in checks])
    else:
        for each in checks:
            _print(each)
    if any(each.state == "failed" for each in checks):
        raise typer.Exit(1)


def _checks() -> Iterator[Check]:
    try:
        settings = read_settings(os.environ)
    except SettingError as error:
        yield Check(name="settings", state="failed", found=str(error), advice=f"mend or unset {error.name}")
        return
    yield Check(name="settings", state="ok", found="every TYST_* variable can be used")
    yield check_interpreter(faulty=has_cookie_fault())
    try:
        client = connect()
    except ServerNotReached as error:
        if not os.environ.get("TYST_URL"):
            yield check_directory(settings.data_dir)
        found, _, advice = str(error).partition("\n")
        yield Check(name="server", state="failed", found=found, advice=advice)
        return
    with client:
        yield from _of_server(client)


def check_interpreter(*, faulty: bool) -> Check:
    """Whether this Python has the known fault of `http.cookies`; `faulty` says so."""
    release = f"Python {platform.python_version()}"
    if not faulty:
        return Check(name="interpreter", state="ok", found=release)
    return Check(
        name="interpreter",
        state="warning",
        found=f"{release} unquotes cookies in quadratic time (CVE-2024-7592)",
        advice="Tyst does not read cookies with it; update Python all the same: 3.11.10, 3.12.6, 3.13 or later",
    )


def _of_cluster() -> Iterator[Check]:
    settings = read_settings(os.environ)
    if not settings.clickhouse_cluster or settings.embedded:
        name = "TYST_CLICKHOUSE_DSN" if settings.embedded else "TYST_CLICKHOUSE_CLUSTER"
        problem = "set TYST_CLICKHOUSE_CLUSTER to the cluster's name in remote_servers, and TYST_CLICKHOUSE_DSN to"
        raise SettingError(name, os.environ.get(name, ""), f"{problem} its first node; see docs/scale.md")
    # Imported late: it brings the database engine, which no other check needs to wait for.
    from collector.storage.client import ClickHouse
    from dashboard.compliance.cluster_checks import check_cluster

    # What the driver logs is in the checks.
    logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())
    yield from check_cluster(ClickHouse.at(settings.database_dsn, cluster=settings.clickhouse_cluster))


def _of_server(client: Client) -> Iterator[Check]:
    try:
        health = client.fetch("/healthz")
    except ServerNotReached as error:
        yield Check(name="server", state="failed", found=str(error), advice="tyst serve")
        return
    yield Check(name="server", state="ok" if health.is_success else "failed", found=f"answers at {client.url}")
    yield _clock(health.headers.get("date"))
    yield _snippet(client)
    try:
        status = convert(client.get("status"), Status)
    except Refused as error:
        yield Check(name="key", state="failed", found=str(error), advice="set TYST_API_KEY to a key with all rights")
        return
    yield Check(name="version", state="ok", found=f"Tyst {status.version}, up {_duration(status.now - status.started)}")
    yield from status.checks


def _clock(date: str | None) -> Check:
    if date is None:
        return Check(name="clock", state="warning", found="the server does not say what time it is")
    away = abs(email.utils.parsedate_to_datetime(date).timestamp() - time.time())
    if away > CLOCK_SECONDS:
        return Check(
            name="clock",
            state="warning",
            found=f"the server's clock and this one are {away:.0f} s apart",
            advice="let both keep time by NTP: days and visits go by the server's",
        )
    return Check(name="clock", state="ok", found="the server's agrees with this one")


def _snippet(client: Client) -> Check:
    answer = client.fetch("/js/tyst.js")
    if answer.is_success and "javascript" in answer.headers.get("content-type", ""):
        return Check(name="snippet", state="ok", found=f"{client.url}/js/tyst.js, {len(answer.content):,} bytes")
    return Check(
        name="snippet",
        state="failed",
        found=f"{client.url}/js/tyst.js answers {answer.status_code}",
        advice="in a checkout, run: make build. Behind a proxy, let /js/ and /api/ through",
    )


def _duration(seconds: int) -> str:
    hours, minutes = divmod(seconds // 60, 60)
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if days else f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _print(each: Check) -> None:
    mark, style = MARKS[each.state]
    found, _, more = each.found.partition("\n")
    console().print(Text.assemble((f"{mark:<7}", style), f"{each.name:<16}", found))
    for line in [*more.splitlines(), *each.advice.splitlines()]:
        console().print(Text(f"{'':<23}{line}"))
