"""Client hints over HTTP: they name browser and system more exactly, and are nothing to know a visitor by."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.storage.client import ClickHouse
from tests.collector.server.test_event_endpoint import PAGEVIEW, serving, stored

pytestmark = pytest.mark.anyio

WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36"
)
BRAVE = {
    "sec-ch-ua": '"Brave";v="132", "Chromium";v="132", "Not_A Brand";v="24"',
    "sec-ch-ua-platform": '"Windows"',
    "sec-ch-ua-platform-version": '"15.0.0"',
    "sec-ch-ua-mobile": "?0",
}
MARKED = {"sec-ch-ua": '"Xyzzy4711";v="132"', "sec-ch-ua-platform": '"Xyzzy4711"', "sec-ch-ua-mobile": "Xyzzy4711"}
OVERLONG = {"sec-ch-ua": BRAVE["sec-ch-ua"].ljust(8_000)}


async def test_hints_say_more_and_identify_nobody(tmp_path: Path, clickhouse: ClickHouse) -> None:
    """With hints, without, with odd ones and with too long ones: the same visitor; no other word of them is kept."""
    async with serving(tmp_path, clickhouse) as running:
        for number, hints in enumerate(({}, BRAVE, MARKED, OVERLONG)):
            page = {**PAGEVIEW, "u": f"https://site.test/{number}"}
            answer = await running[1].post("/api/event", json=page, headers={"user-agent": WINDOWS, **hints})
            assert answer.status_code == 202
            # Nothing is asked for that a browser does not send by itself.
            assert "accept-ch" not in answer.headers
        assert len(await stored(running)) == 4
        rows = running[0].client.query("SELECT browser, browser_version, os, os_version FROM events ORDER BY page")
        plain = ("Chrome", "132", "Windows", "10")
        assert rows.result_rows == [plain, ("Brave", "132", "Windows", "11"), plain, plain]
        assert running[0].client.query("SELECT uniqExact(visitor), uniqExact(visit) FROM events").first_row == (1, 1)
