"""Concurrency limit of API requests by account: responses occupy memory until they are read."""

from __future__ import annotations

import contextlib
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from collector.core.request_slots import RequestSlots

OF_ACCOUNT: Final = 4

_HELD = "key slot"


class KeySlots:
    """Slots by account; a key without an account has slots of its own."""

    def __init__(self) -> None:
        self._slots = RequestSlots(OF_ACCOUNT)

    async def acquire(self, scope: Scope, account: str) -> bool:
        """Wait for a slot, which `KeySlotRelease` releases after the response; returns whether the request had to wait.
        Raises `TooManyRequests`."""
        held: contextlib.AsyncExitStack | None = scope.get("state", {}).pop(_HELD, None)
        # A request may be authenticated more than once.
        return held is not None and await held.enter_async_context(self._slots.of(account))


class KeySlotRelease:
    """Middleware that releases the slot of a request once its response is sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        async with contextlib.AsyncExitStack() as held:
            await self._app({**scope, "state": {**scope.get("state", {}), _HELD: held}}, receive, send)
