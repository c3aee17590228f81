"""Responses to beacons as values, independent of the path a beacon took to the endpoint.

`CONSTANT_RESPONSES` is a closed set, built when this module is imported: nothing that a client sent is in any of
them. The fast path writes these and no others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final, get_args

import msgspec
from starlette.types import Send

from collector.core.metrics import Reason
from collector.core.response_headers import DATA_HEADERS, Header, encode_headers

RETRY_SECONDS: Final = 5
"""After which a beacon that could not be stored may be sent again."""

# Any page may send beacons, and may read why one was dropped. `*` never goes with credentials.
CORS: Final[tuple[Header, ...]] = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"X-Tyst-Dropped, X-Tyst-Trimmed, X-Tyst-Receipt, Retry-After"),
)
MAX_REQUESTED: Final = 1_000
"""Bytes of a preflight's list of headers that are named in its answer."""

# RFC 9110, section 5.1: the name of a field is a token; Fetch separates them by commas.
_FIELD_NAMES: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:, ?[!#$%&'*+.^_`|~0-9A-Za-z-]+)*+")
TEXT: Final[Header] = (b"content-type", b"text/plain; charset=utf-8")


@dataclass(frozen=True, slots=True, eq=False)
class BeaconResponse:
    """Status, body and header fields of a response. Compared by identity."""

    status: int
    body: bytes
    headers: tuple[Header, ...]

    def with_headers(self, *headers: Header) -> BeaconResponse:
        """The same with further header fields."""
        return replace(self, headers=(*self.headers, *headers))


ResponseCallback = Callable[[BeaconResponse], None]
"""Called once, on the event loop that the beacon came on."""


def response(status: int, body: bytes, *headers: Header) -> BeaconResponse:
    """A response with its length and the fields that every response to a beacon has."""
    length = () if status == 204 else ((b"content-length", str(len(body)).encode()),)
    return BeaconResponse(status, body, (*headers, *length, *CORS, *DATA_HEADERS))


def error_response(
    status: int, field: str, reason: str, retry_seconds: int | None = None, *, dropped: Reason | None = None
) -> BeaconResponse:
    """An error as JSON that names the field; `retry_seconds` is after how long to try again."""
    found = response(status, msgspec.json.encode({"errors": {field: [reason]}}), (b"content-type", b"application/json"))
    if retry_seconds is not None:
        found = found.with_headers((b"retry-after", str(retry_seconds).encode()))
    if dropped is not None:
        found = found.with_headers((b"x-tyst-dropped", dropped.encode()))
    if status in (408, 413):
        # The rest of such a body is not read.
        found = found.with_headers((b"connection", b"close"))
    return found


ACCEPTED: Final = response(202, b"ok", TEXT)
DROPPED: Final[dict[str, BeaconResponse]] = {
    reason: ACCEPTED.with_headers((b"x-tyst-dropped", reason.encode())) for reason in get_args(Reason)
}
"""By the one reason for which all of a beacon's events were dropped."""
FAILED: Final = error_response(500, "request", "cannot be answered; see the log")
UNAVAILABLE: Final = error_response(503, "request", "cannot be stored now; send it again later", RETRY_SECONDS)
LIMITED: Final = error_response(429, "request", "comes too often from one address", 1, dropped="rate")
"""By the rate limit, where a second is long enough to wait."""

CONSTANT_RESPONSES: Final = frozenset({ACCEPTED, *DROPPED.values(), FAILED, UNAVAILABLE, LIMITED})


def rate_limited(wait: int) -> BeaconResponse:
    """The rate-limit response; the sender has to wait for `wait` seconds."""
    if wait == 1:
        return LIMITED
    return error_response(429, "request", "comes too often from one address", wait, dropped="rate")


def dropped_response(good: BeaconResponse, reasons: Sequence[str]) -> BeaconResponse:
    """`good`, which acknowledges a beacon, with the reasons for which some of its events were dropped."""
    named = list(dict.fromkeys(reasons))
    if good is ACCEPTED and len(named) == 1:
        return DROPPED[named[0]]
    return good.with_headers((b"x-tyst-dropped", ", ".join(named).encode())) if named else good


def preflight_response(headers: Iterable[Header]) -> BeaconResponse:
    """The answer to a preflight (Fetch standard, section 3.2): any page may send beacons, with any header it likes.

    Error and performance monitoring adds headers to every request of a page. The requested names are echoed, for
    browsers without wildcard support, if they are a list of tokens; otherwise, or if the list is very long, the
    response has `*`. `Access-Control-Allow-Credentials` is not sent.
    """
    requested = next((value for name, value in headers if name == b"access-control-request-headers"), b"")
    is_list = len(requested) <= MAX_REQUESTED and _FIELD_NAMES.fullmatch(requested)
    return response(
        204,
        b"",
        (b"access-control-allow-methods", b"POST, DELETE"),
        (b"access-control-allow-headers", requested if is_list else b"Content-Type, *"),
        (b"access-control-max-age", b"86400"),
        (b"vary", b"Access-Control-Request-Headers"),
    )


def encode_response(found: BeaconResponse, server_headers: Iterable[Header]) -> bytes:
    """The response as HTTP/1.1 has it, the server's own header fields first."""
    line = f"HTTP/1.1 {found.status} {HTTPStatus(found.status).phrase}\r\n".encode()
    return line + encode_headers((*server_headers, *found.headers)) + b"\r\n" + found.body


async def send_response(send: Send, found: BeaconResponse) -> None:
    """Respond as ASGI has it."""
    await send({"type": "http.response.start", "status": found.status, "headers": list(found.headers)})
    await send({"type": "http.response.body", "body": found.body})
