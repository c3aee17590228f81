"""A collector in a process of its own whose clock is moved: `python -m tests.held_salts DIRECTORY`.

It counts one visitor of 9 March 2041, and says the id that was stored. For each line that it is then sent it moves
its clock by a day, does its upkeep, and says the dates of the salts that it still has.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import anyio.to_thread

from collector.core.settings import read_settings
from collector.server.collector import Collector
from collector.server.event_endpoint import EventEndpoint
from collector.server.responses import BeaconResponse
from collector.sites.model import Site

NOON = 2_246_443_200
ADDRESS, USER_AGENT, SITE = "203.0.113.7", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Firefox/145.0", "site.test"


def say(what: object) -> None:
    """One line of JSON to whoever started this."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def run(directory: Path) -> None:
    """The whole of it."""
    now = [float(NOON)]
    settings = read_settings({"TYST_DATA_DIR": str(directory), "TYST_FLUSH_SECONDS": "0.05"})
    collector = Collector(settings, clock=lambda: now[0])
    await collector.sites.change(Site(domain=SITE))
    await collector.start()
    taken: asyncio.Future[BeaconResponse] = asyncio.get_running_loop().create_future()
    scope = {"headers": [(b"user-agent", USER_AGENT.encode())], "client": (ADDRESS, 4321)}
    beacon = b'{"n":"pageview","u":"https://site.test/a","d":"site.test","c":"granted"}'
    EventEndpoint(collector).enqueue_beacon(scope, beacon, taken.set_result)
    response = await taken
    assert response.status == 202
    assert b"x-tyst-dropped" not in dict(response.headers)
    collector.spool.seal()
    while collector.spool.stats().rows:  # noqa: ASYNC110 # emptied by threads, which set no event
        await asyncio.sleep(0.01)
    rows = (await anyio.to_thread.run_sync(collector.client.query, "SELECT visitor FROM events")).result_rows
    say({"visitor": rows[0][0]})
    while await anyio.to_thread.run_sync(sys.stdin.readline):
        now[0] += 86_400
        await anyio.to_thread.run_sync(collector.salt_rotation.rotate)
        say(sorted(path.name for path in (directory / "salts").iterdir()))
    await collector.stop()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1])))
