"""The pixel of pages without JavaScript: its query as a beacon, and its responses."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Scope

from collector.server.responses import TEXT, response

PIXEL_PATH: Final = "/api/event.gif"
PIXEL: Final = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
"""One transparent pixel."""
PIXEL_SENT: Final = response(
    200,
    PIXEL,
    (b"content-type", b"image/gif"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"cross-origin"),
)
NO_SUCH_PIXEL_METHOD: Final = response(405, b"GET the pixel here\n", TEXT, (b"allow", b"GET"))
MAX_PIXEL_FIELDS: Final = 50


def pixel_beacon(scope: Scope) -> bytes:
    """The beacon that the query of a request is. Raises `ValueError` for too many parameters."""
    try:
        given = dict(parse_qsl(scope["query_string"].decode("latin-1"), max_num_fields=MAX_PIXEL_FIELDS))
    except ValueError:
        raise ValueError(f"should have at most {MAX_PIXEL_FIELDS} query parameters") from None
    referer = next((value for name, value in scope["headers"] if name == b"referer"), b"")
    beacon = {"n": given.get("n", "pageview"), "u": given.get("u", referer.decode("latin-1"))}
    return msgspec.json.encode(beacon | {key: given[key] for key in ("d", "r") if key in given})
