"""How long a connection may take to say what it wants, and how much it may say in doing so."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10.0
"""From connecting, or the first byte of a later request, to the end of its header fields."""
MOST_HEAD = 64 * 1024
"""Bytes of a request's header fields; one read of the socket may come on top."""


class PatientProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, which by itself waits for ever for a request that was begun, and keeps header fields
    without end. Here such a connection is closed: ten thousand of them cannot stay for nothing (slow loris).

    How long and large a body may be is up to who reads it.
    """

    head_seconds = HEAD_SECONDS

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._patience: asyncio.TimerHandle | None = None
        self._in_head = False
        self._head_size = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self.calm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Nearly every request is whole in one read, and never comes further.
        if self._in_head and not self.transport.is_closing():
            self._head_size += len(data)
            if self._head_size > MOST_HEAD:
                self.transport.close()
            elif self._patience is None:
                self._wait()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.begun()

    def on_headers_complete(self) -> None:
        self.calm()
        super().on_headers_complete()

    def begun(self) -> None:
        """The header fields of a request begin."""
        self._in_head = True

    def calm(self) -> None:
        """The header fields are whole."""
        self._in_head, self._head_size = False, 0
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _wait(self) -> None:
        self._patience = self.loop.call_later(self.head_seconds, self.transport.close)
