"""The wire contract, over HTTP and into ClickHouse: case by case what Plausible's collector does, or what Tyst does.

The cases are in `tests/contract.py` and `tests/differences.py`.
"""

from __future__ import annotations

import datetime
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import pytest

from collector.core.settings import read_settings
from collector.enrichment.host_lists import SPAM_FILE
from collector.ingest.event import COLUMNS
from collector.server.collector import Collector
from collector.server.routes import routes
from collector.sites.model import Site
from collector.storage.client import ClickHouse
from dashboard.analytics.period import parse_period
from dashboard.analytics.query import Query
from dashboard.analytics.service import StatsService
from dashboard.analytics.small_counts import Protection
from dashboard.server.app import Tyst
from tests.collector.spool.test_spool import Clock
from tests.contract import CHROME, SAME, Row, Send
from tests.differences import DIFFERENT
from tests.mmdb import write_mmdb

ROOT = Path(__file__).resolve().parents[2]
NOON = 1_772_366_400
DAY = 86_400

KNOWN = """
    A1 A2 A3 A4 A5 A6 A7 A9 A10 A11 A12 A13 A14 A15 A18 A19 A20 A21 A22 A23 A24 A25
    B1 B2 B3 B5 B6 B7 B9 B10 B11 B12 B14 B15 B16 B18 B19 B20
    C1 C2 C3 C4 C5 C8 C9 C10 C12 C13 C15 C16 C17 C18 C19 C20 C21 C22 C23 C24 C25
    D1 D2 D3 D5 D6 D7 D8 D9 D11 D13 D14 D15 D16 D17
    E1 E2 E3 E4 E6 E7 E8 E10 E11 E12 E13 E14
    F1 F2 F3 F4 F5 F6 F8 F9 F10 F11
    G1 G2 G3 G5 G6 G7 G8 G10 G11 G12
    H1 H2 H3 H4 H6 H8 H9 H10 H11
    I1 I2 I3 I4 I5 I7 I8 I11 I12 I13 I14 I15
    J1 J2 J3 J4 J5
    K1 K2 K3 K4
"""
"""Every case in which it is known what Plausible's collector does."""

COUNTRIES = {
    "216.160.83.56/32": "US",
    "2001:218::/32": "JP",
    "2.125.160.216/32": "GB",
    "198.51.100.1/32": "ZZ",
    "198.51.100.2/32": "XX",
    "198.51.100.3/32": "T1",
}
PATIENCE = 30.0
"""Seconds, for an answer that depends on the real clock."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case: the answers, when those that were kept were sent, the rows, and the exit pages."""

    answers: list[httpx.Response]
    kept_at: list[int]
    stored: list[dict[str, Any]]
    exits: list[str]


@pytest.fixture(scope="module")
def outcomes(embedded_engine: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Every case, once through one running collector."""
    directory = tmp_path_factory.mktemp("contract")
    write_mmdb(directory / "country.mmdb", {net: {"country": {"iso_code": code}} for net, code in COUNTRIES.items()})
    (directory / SPAM_FILE).parent.mkdir()
    (directory / SPAM_FILE).write_text("1-best-seo.com\n")
    return anyio.run(_run_all, directory, ClickHouse(dsn=embedded_engine, database="contract"))


async def _run_all(directory: Path, clickhouse: ClickHouse) -> dict[str, Outcome]:
    clock = Clock(NOON)
    settings = read_settings(
        {
            "TYST_DATA_DIR": str(directory),
            "TYST_TRUSTED_PROXIES": "127.0.0.1",
            "TYST_GEOIP_DB": str(directory / "country.mmdb"),
            "TYST_EXCLUDED_ADDRESSES": "j4.test=127.7.7.7",
            "TYST_RATE_LIMIT": "0",
        }
    )
    collector = Collector(settings, clickhouse=clickhouse, clock=clock)
    await collector.start()
    transport = httpx.ASGITransport(app=Tyst(collector, routes=routes(collector)))
    answers, kept_at, days = {}, {}, {}
    async with httpx.AsyncClient(transport=transport, base_url="http://stats.test") as client:
        for number, (name, row) in enumerate((SAME | DIFFERENT).items()):
            clock.now = NOON + number * DAY
            days[name] = datetime.datetime.fromtimestamp(clock.now, datetime.UTC)
            if not row.domain:
                await collector.sites.change(Site(domain=f"{name.lower()}.test", consent="exempt", **row.site))
            answers[name], kept_at[name] = await _send_all(collector, client, clock, name, row)
    collector.spool.seal()
    while collector.spool.stats().rows:  # noqa: ASYNC110 # emptied by threads, which set no event
        await anyio.sleep(0.005)
    stored = _stored(collector)
    store = StatsService(
        lambda options: clickhouse.client(readonly=True, settings=options),
        protection=lambda _: Protection(min_visitors=1),
        workers=1,
    )
    exits = {name: await _exits(store, name, days[name]) for name, row in SAME.items() if row.exits}
    store.close()
    await collector.stop()
    return {
        name: Outcome(
            answers[name], kept_at[name], stored.get(row.domain or f"{name.lower()}.test", []), exits.get(name, [])
        )
        for name, row in (SAME | DIFFERENT).items()
    }


async def _send_all(
    collector: Collector, client: httpx.AsyncClient, clock: Clock, name: str, row: Row
) -> tuple[list[httpx.Response], list[int]]:
    answers, kept_at = [], []
    for send in row.sends:
        clock.now += send.after
        collector.salt_rotation.rotate()
        answer = await _send(client, name, send)
        deadline = time.monotonic() + PATIENCE
        while send.status == 429 and answer.status_code != 429 and time.monotonic() < deadline:
            # On a slow machine a second may have passed, and the limit lets one through.
            kept_at.append(int(clock.now))
            answer = await _send(client, name, send)
        answers.append(answer)
        if answer.status_code == 202 and "x-tyst-dropped" not in answer.headers:
            kept_at.append(int(clock.now))
    return answers, kept_at


async def _send(client: httpx.AsyncClient, name: str, send: Send) -> httpx.Response:
    keys = {"n": "pageview", "u": "http://example.com/", "d": f"{name.lower()}.test"} | send.keys
    body = msgspec.json.encode({key: value for key, value in keys.items() if value is not None or key == "r"})
    headers = {
        "user-agent": CHROME,
        "content-type": "text/plain",
        "x-forwarded-for": f"89.160.20.{send.person}",
        **send.headers,
    }
    if send.method == "GET":
        return await client.get(send.path, headers=headers)
    return await client.post(send.path, content=body if send.raw is None else send.raw, headers=headers)


def _stored(collector: Collector) -> dict[str, list[dict[str, Any]]]:
    """The rows of each site, in order of time."""
    columns = ", ".join("toUnixTimestamp(ts)" if column == "ts" else column for column in COLUMNS)
    rows = collector.client.query(f"SELECT {columns} FROM events ORDER BY ts").result_rows  # noqa: S608 # our columns
    found: dict[str, list[dict[str, Any]]] = {}
    for values in rows:
        row = dict(zip(COLUMNS, values, strict=True))
        found.setdefault(row["site"], []).append(row)
    return found


async def _exits(store: StatsService, name: str, now: datetime.datetime) -> list[str]:
    query = Query(
        site=f"{name.lower()}.test",
        metrics=("visits",),
        period=parse_period("day", "UTC", now),
        dimensions=("visit:exit_page",),
    )
    (result,) = await store.run([query])
    return [row.dimensions[0] for row in result.rows]


def check(row: Row, outcome: Outcome) -> None:
    """Every answer, every row stored, and nothing else."""
    for send, answer in zip(row.sends, outcome.answers, strict=True):
        assert answer.status_code == send.status
        assert answer.headers.get("x-tyst-dropped") == send.dropped
        assert answer.headers.get("x-tyst-trimmed") == send.trimmed
        if send.status == 202:
            assert answer.text == "ok"
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        if send.errors is not None:
            assert answer.json() == {"errors": send.errors}
    expected = row.stored
    if any(send.status == 429 for send in row.sends):
        expected = tuple({} for _ in outcome.kept_at)
    shown = [{name: found[name] for name in columns} for columns, found in zip(expected, outcome.stored, strict=True)]
    assert shown == list(expected)
    assert [found["ts"] for found in outcome.stored] == outcome.kept_at
    for column in row.equal:
        assert len({found[column] for found in outcome.stored}) == 1
    for column in row.unequal:
        assert len({found[column] for found in outcome.stored}) == len(outcome.stored)
    if row.exits is not None:
        assert outcome.exits == list(row.exits)


@pytest.mark.parametrize("name", SAME)
def test_as_plausible(outcomes: dict[str, Outcome], name: str) -> None:
    """Answered and stored the way that Plausible's collector does, at the second of the server's clock."""
    check(SAME[name], outcomes[name])


@pytest.mark.parametrize("name", DIFFERENT)
def test_otherwise(outcomes: dict[str, Outcome], name: str) -> None:
    """Where Tyst has rules of its own, it follows them."""
    check(DIFFERENT[name], outcomes[name])


def test_every_known_case_is_in_one_of_the_tables() -> None:
    """In one, and not in both; each row of either sends something unless there is nothing to send."""
    assert sorted([*SAME, *DIFFERENT]) == sorted(KNOWN.split())
    assert all(row.sends and not row.reason for row in SAME.values())
    assert {name for name, row in DIFFERENT.items() if not row.sends} == {"J3", "J5"}


def test_no_answer_is_a_fault_or_tells_an_address(outcomes: dict[str, Outcome]) -> None:
    """Whatever is sent: no 5xx, and no address in any answer."""
    for outcome in outcomes.values():
        for answer in outcome.answers:
            assert answer.status_code < 500
            assert not re.search(r"89\.160|216\.160|2001:", answer.text + str(answer.headers))


def test_what_differs_is_documented() -> None:
    """docs/plausible.md lists every case that differs, with its reason, and no other; the README leads there."""
    page = (ROOT / "docs" / "plausible.md").read_text()
    listed = dict(re.findall(r"^\| ([A-K]\d+) \| (.+) \|$", page, flags=re.MULTILINE))
    assert listed == {name: row.reason for name, row in DIFFERENT.items()}
    assert "(docs/plausible.md)" in (ROOT / "README.md").read_text()
