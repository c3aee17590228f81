"""One client process of the fault harness: `python client.py PORT PREFIX LOG PAUSE [NETWORK]`. Standard library only.

Each connection is a visitor: it claims an address of its own in `X-Forwarded-For`, or where there is a NETWORK, such as
127.0.7, comes from one of it. It sends beacons, each with a path and a `q` of its own, and does what the snippet does:
a beacon that is not acknowledged is sent again, with the same `q`, a few times, and after each it pauses for so many
seconds. What became of each is a line of LOG:

    + /prefix/17        acknowledged, perhaps with the collector of which the proxy says that it had it
    ? /prefix/18        sent, and never acknowledged

SIGTERM ends it, once every beacon under way has its line.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from pathlib import Path

CONNECTIONS = 8
TRIES = 8
ANSWER_SECONDS = 20
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


class Sender:
    """One connection, made anew when it was lost."""

    def __init__(self, port: int, address: str) -> None:
        self._port = port
        self._from = (address, 0) if address else None
        self.collector = ""
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def acknowledged(self, request: bytes) -> bool:
        """Send until it is acknowledged, or the tries are used up."""
        for attempt in range(TRIES):
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    status, retry_after = await self._ask(request)
            except (OSError, EOFError, asyncio.IncompleteReadError, TimeoutError, ValueError):
                await self._hang_up()
                status, retry_after = 0, 0.0
            if status == 202:
                return True
            if status == 400:
                raise SystemExit("a beacon was malformed")
            # The server's wish is honoured up to a second, so that a short outage is seen by many tries.
            await asyncio.sleep(min(1.0, retry_after or 0.05 * 2**attempt) * random.uniform(0.8, 1.2))  # noqa: S311
        return False

    async def _ask(self, request: bytes) -> tuple[int, float]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, local_addr=self._from)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        await reader.readexactly(int(_header(head, "content-length") or 0))
        self.collector = _header(head, "x-collector").replace(" ", "")
        return int(head.split()[1]), float(_header(head, "retry-after") or 0)

    async def _hang_up(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


def _header(head: str, name: str) -> str:
    for line in head.split("\r\n"):
        if line.startswith(f"{name}:"):
            return line.partition(":")[2].strip()
    return ""


async def main(port: int, prefix: str, log: Path, pause: float, network: str = "") -> None:
    """Send until told to stop."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    with log.open("a", buffering=1) as lines:

        async def send(connection: int) -> None:
            sender = Sender(port, f"{network}.{connection + 1}" if network else "")
            claimed = "" if network else f"x-forwarded-for: 192.0.2.{connection}\r\n"
            number = 0
            while not stop.is_set():
                number += 1
                path = f"/{prefix}/{connection}-{number}"
                body = json.dumps({"n": "pageview", "u": f"https://site.test{path}", "d": "site.test", "q": path})
                request = (
                    f"POST /api/event HTTP/1.1\r\nhost: site.test\r\nuser-agent: {USER_AGENT}\r\n"
                    f"{claimed}content-length: {len(body)}\r\n\r\n{body}"
                ).encode()
                mark = "+" if await sender.acknowledged(request) else "?"
                lines.write(f"{mark} {path} {sender.collector}".rstrip() + "\n")
                await asyncio.sleep(pause)

        await asyncio.gather(*(send(connection) for connection in range(CONNECTIONS)))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), float(sys.argv[4]), *sys.argv[5:]))
