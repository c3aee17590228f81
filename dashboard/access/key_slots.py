"""Limit on the requests with API keys of one account that are answered at a time: what they are answered with lies in
memory until it is read.
"""

from __future__ import annotations

import contextlib
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from collector.server.request_slots import RequestSlots

OF_ACCOUNT: Final = 4

_HELD = "key slot"


class KeySlots:
    """Slots by account; a key of none has its own."""

    def __init__(self) -> None:
        self._slots = RequestSlots(OF_ACCOUNT)

    async def acquire(self, scope: Scope, account: str) -> bool:
        """Wait for the request's turn, and say whether that took any time; its slot is given back once it is answered.
        Raises `TooManyRequests`."""
        held: contextlib.AsyncExitStack | None = scope.get("state", {}).pop(_HELD, None)
        # A request may be asked for its key more than once.
        return held is not None and await held.enter_async_context(self._slots.of(account))


class KeySlotRelease:
    """Middleware: give back the slot of a request once its response is sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        async with contextlib.AsyncExitStack() as held:
            await self._app({**scope, "state": {**scope.get("state", {}), _HELD: held}}, receive, send)
