"""Serialisation of response header fields, and the security headers of responses other than pages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

Header = tuple[bytes, bytes]
"""Name in lower case, and value."""

SANDBOX_POLICY: Final = b"default-src 'none'; sandbox"
"""Content-Security-Policy of responses other than pages: no script runs if a browser displays one."""

DATA_HEADERS: Final[tuple[Header, ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", SANDBOX_POLICY),
)
"""On every response that is not a page."""

# RFC 9110, 5.1 and 5.6.2: a name is a token.
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# RFC 9110, 5.5: CR, LF and NUL end or corrupt a field; other controls have no meaning in one.
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class HeaderError(ValueError):
    """An invalid header field. The message does not contain its value."""


def encode_headers(headers: Iterable[Header]) -> bytes:
    """Serialise header fields, each with CRLF. Raises `HeaderError`."""
    parts: list[bytes] = []
    for name, value in headers:
        if not _NAME.fullmatch(name):
            raise HeaderError("a response header has an invalid name")
        if _FORBIDDEN.search(value):
            raise HeaderError(f"the response header {name.decode()} has a control character in its value")
        parts += (name, b": ", value, b"\r\n")
    return b"".join(parts)
