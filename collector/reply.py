"""Answers to beacons: as values, so that the way that one came need not be known where it is judged."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from starlette.types import Send

Header = tuple[bytes, bytes]
Reply = tuple[int, bytes, list[Header]]
"""Status, body and headers."""
Answer = Callable[[Reply], None]
"""Called once, on the event loop that the beacon came on."""

# Any page may send beacons, and may read why one was dropped. `*` never goes with credentials.
CORS: list[Header] = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"X-Tyst-Dropped, X-Tyst-Receipt, Retry-After"),
]
TEXT: Header = (b"content-type", b"text/plain; charset=utf-8")


def error_reply(status: int, field: str, reason: str, retry: int | None = None, *, dropped: str = "") -> Reply:
    """An error as JSON that names the field; `retry` is after how many seconds to try again."""
    body = msgspec.json.encode({"errors": {field: [reason]}})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *CORS]
    if retry is not None:
        headers.append((b"retry-after", str(retry).encode()))
    if dropped:
        headers.append((b"x-tyst-dropped", dropped.encode()))
    if status in (408, 413):
        # The rest of such a body is not read.
        headers.append((b"connection", b"close"))
    return status, body, headers


async def send_reply(send: Send, reply: Reply) -> None:
    """Answer as ASGI has it."""
    status, body, headers = reply
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
