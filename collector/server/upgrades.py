"""Requests that ask for another protocol, such as HTTP/2 (`Upgrade: h2c`), are answered as if they did not (RFC 9110,
7.8).

The parser takes all that follows the header fields of such a request for another protocol: its body would be lost. So
the request is parsed once more, without the fields by which it asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_ASKING: Final = frozenset({b"upgrade", b"http2-settings"})


class UpgradeProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP protocol with requests to upgrade answered in HTTP/1.1."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._first_line = b""
        """Of the request that asks, while it does."""

    def parse(self, data: bytes) -> bool:
        """Parse what has come; returns whether a request in it asked for another protocol. Raises what the parser
        does where it is no HTTP."""
        asked = False
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as found:
                asked = True
                if not self._first_line:
                    return asked
                head = b"".join([self._first_line, *self._kept_fields(), b"\r\n"])
                self._first_line = b""
                # The one before may take the connection for closed.
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
                data = head + data[found.args[0] :]
            else:
                return asked

    def on_headers_complete(self) -> None:
        method = self.parser.get_method()
        # What follows CONNECT is another protocol whatever its fields say.
        if self.parser.should_upgrade() and method != b"CONNECT":
            self._first_line = b"%b %b HTTP/%b\r\n" % (method, self.url, self.parser.get_http_version().encode())
            return
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self._first_line:
            super().on_message_complete()

    def _kept_fields(self) -> Iterator[bytes]:
        for name, value in self.headers:
            kept = value
            if name == b"connection":
                options = [option.strip() for option in value.split(b",")]
                kept = b", ".join(option for option in options if option.lower() not in _ASKING)
            if name not in _ASKING and (kept or name != b"connection"):
                yield b"%b: %b\r\n" % (name, kept)
