"""Nothing that a client sends comes back in a response: hostile values both ways, compared byte by byte."""

from __future__ import annotations

import asyncio
import datetime
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from collector.server.collector import Collector
from collector.server.responses import BeaconResponse, response
from collector.sites.model import Site
from collector.storage.client import ClickHouse
from dashboard.server.app import Tyst
from tests.collector.server.test_event_endpoint import settings_for
from tests.collector.server.test_fast_path import Slow, listening, request

pytestmark = pytest.mark.anyio

Served = tuple[int, Collector]

PAGEVIEW = {"n": "pageview", "u": "https://site.test/a", "d": "site.test", "c": "granted"}
EVIL = "X-Evil: 1"
# What may stand in the place of any text: ends of lines, of fields and of responses, and what parsers skip.
HOSTILE = (
    f"\r\n{EVIL}",
    f"=\r\n{EVIL}",
    f"==\r\n\r\n<script>{EVIL}</script>",
    f"\n{EVIL}",
    f"\r{EVIL}",
    f"\0{EVIL}",
    f"\u010a\u010d{EVIL}",
    f"\\r\\n{EVIL}",
    f"%0d%0a{EVIL}",
    f"\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n{EVIL}\r\n\r\n",
)
# What differs between two responses of the same kind: the moment, and the number of a new receipt.
VARIABLE = re.compile(rb"(?im)^(date|x-tyst-receipt): [^\r\n]*")


@pytest.fixture
async def served(tmp_path: Path, clickhouse: ClickHouse) -> AsyncIterator[Served]:
    """A collector at a port, with a site that requires receipts."""
    collector = Collector(settings_for(tmp_path, TYST_RATE_LIMIT="0"), clickhouse=clickhouse)
    await collector.sites.change(Site(domain="site.test", receipts=True))
    await collector.start()
    async with listening(Tyst(collector)) as (port, _):
        yield port, collector
    await collector.stop()


async def raw(port: int, sent: bytes) -> bytes:
    """All that comes back on a connection which the client ends."""
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        found = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", found)
        assert length
        found += await reader.readexactly(int(length[1]))
        writer.write(b"GET / HTTP/9.9\r\n\r\n")  # ends the connection: what else was there to read comes first
        rest = await reader.read()
        writer.close()
    assert rest.startswith(b"HTTP/1.1 400"), "one request, one response"
    return found


async def both_ways(port: int, body: bytes, headers: dict[str, str]) -> bytes:
    """The response by the fast path, which the ordinary one gives too but for the date and a receipt's number."""
    fast = await raw(port, request(body, headers))
    ordinary = await raw(port, request(body, headers, chunked=True))
    assert VARIABLE.sub(rb"\1", fast) == VARIABLE.sub(rb"\1", ordinary)
    for found in (fast, ordinary):
        assert b"x-evil" not in found.lower()
        assert b"x-content-type-options: nosniff" in found
        assert b"content-security-policy: default-src 'none'; sandbox\r\n" in found
    return fast


@pytest.mark.parametrize("tail", HOSTILE)
async def test_a_receipt_with_a_tail_is_none(served: Served, tail: str) -> None:
    """What base64 ignores behind the padding does not come back, and the receipt does not count."""
    port, collector = served
    receipt = collector.receipts.issue("site.test", "granted", datetime.datetime.now(datetime.UTC).date())
    good = await both_ways(port, json.dumps({**PAGEVIEW, "k": receipt}).encode(), {})
    assert f"x-tyst-receipt: {receipt}\r\n".encode() in good
    for hostile in (receipt + tail, tail + receipt, f"{receipt},{tail}", f"{tail},{receipt}"):
        found = await both_ways(port, json.dumps({**PAGEVIEW, "k": hostile}).encode(), {})
        counted = receipt in hostile.split(",")
        assert (f"x-tyst-receipt: {receipt}\r\n".encode() in found) == counted
        assert (b"x-tyst-dropped: consent" in found) != counted


@pytest.mark.parametrize("key", ["n", "u", "d", "r", "c", "k", "q", "z", "v", "w", "p", "$", "x"])
async def test_no_value_of_a_beacon_comes_back(served: Served, key: str) -> None:
    """Whichever key it is under, and whatever becomes of the beacon."""
    port, _ = served
    for hostile in HOSTILE:
        given: list[Any] = [hostile, PAGEVIEW.get(key, "") + hostile, [hostile], {hostile: hostile}]
        for value in given:
            await both_ways(port, json.dumps({**PAGEVIEW, key: value}).encode(), {})


@pytest.mark.parametrize("name", ["Cookie", "User-Agent", "Origin", "Referer", "Accept-Language", "X-Forwarded-For"])
async def test_no_header_field_comes_back(served: Served, name: str) -> None:
    """As far as one can hold such a value at all."""
    port, _ = served
    for value in (f"tyst_consent={EVIL}", f'"{EVIL}"', f"{EVIL}\\r\\n", f"%0d%0a{EVIL}"):
        await both_ways(port, json.dumps(PAGEVIEW).encode(), {name: value})


async def test_the_fast_path_sends_constants_alone() -> None:
    """A response that is none of them is sent by the server, which sends nothing of one that would be split."""
    evil = response(202, b"ok", (b"x-tyst-receipt", f"a\r\n{EVIL}".encode()))
    async with listening(_Answering(evil)) as (port, _), asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(b"{}"))
        assert await reader.read() == b""
        writer.close()
    plain = response(202, b"ok", (b"x-tyst-receipt", b"a"))
    async with listening(_Answering(plain)) as (port, _), asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(request(b"{}"))
            assert b"x-tyst-receipt: a\r\n" in await reader.readuntil(b"\r\n\r\nok")
        writer.close()


class _Answering(Slow):
    """An application whose endpoint gives this response."""

    def __init__(self, given: BeaconResponse) -> None:
        super().__init__()
        self._given = given

    def enqueue_beacon(self, _: Any, __: bytes, answer: Any) -> None:
        answer(self._given)
