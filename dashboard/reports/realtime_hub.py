"""Realtime updates: one query a second and site, shared by all listeners.

A hub begins with its first listener and ends with its last. Listeners hold the newest frame only, so that one who
reads slowly gets fewer of them and costs no memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Final

from dashboard.reports.realtime_figures import Realtime

log = logging.getLogger(__name__)

EVERY_SECONDS: Final = 1.0
HEARTBEAT_SECONDS: Final = 15.0
MAX_LISTENERS: Final = 2_000
MAX_LISTENERS_PER_SITE: Final = 500
MAX_LISTENERS_PER_NETWORK: Final = 100
"""As many dashboards as an office may have open behind one address; of IPv6 a /64 counts as one."""
GUEST_DIVISOR: Final = 2
"""Guests may use one half of each limit, so that members always find a place."""


class RealtimeSnapshot:
    """Realtime data at one moment; each text is rendered once, by the first listener who needs it.

    `present` is None while the database does not answer. What names a text comes from a closed set (languages, kinds of
    readers), never from an address: the work of a frame does not grow with the number of its listeners.
    """

    __slots__ = ("_texts", "number", "present")

    def __init__(self, number: int, present: Realtime | None) -> None:
        self.number = number
        self.present = present
        self._texts: dict[tuple[str, ...], bytes] = {}

    def text(self, key: tuple[str, ...], make: Callable[[], bytes]) -> bytes:
        """The text of that kind, such as a language."""
        found = self._texts.get(key)
        if found is None:
            found = self._texts[key] = make()
        return found


class RealtimeChannel:
    """Realtime updates of one site. `read` queries the database."""

    def __init__(self, read: Callable[[], Awaitable[Realtime]], every: float) -> None:
        self._read = read
        self._every = every
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self.frame: RealtimeSnapshot | None = None
        self.listeners = 0
        self.closed = False

    def enter(self) -> None:
        """One more listener."""
        self.listeners += 1
        if self._task is None:
            self._task = asyncio.create_task(self._keep_reading())

    async def leave(self) -> None:
        """One listener less; the last ends the asking."""
        self.listeners -= 1
        if self.listeners == 0 and self._task is not None:
            await self._end()

    async def close(self) -> None:
        """Let every listener go."""
        self.closed = True
        await self._end()
        async with self._changed:
            self._changed.notify_all()

    async def newer(self, than: int) -> RealtimeSnapshot | None:
        """The next frame after that number, at once when there is one; None when the hub has closed."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.closed or (self.frame is not None and self.frame.number > than))
        return None if self.closed else self.frame

    async def _end(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _keep_reading(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await self._show(await self._present())
            await asyncio.sleep(max(0.0, began + self._every - loop.time()))

    async def _present(self) -> Realtime | None:
        try:
            return await self._read()
        except Exception as error:  # noqa: BLE001 # whatever it is, listeners are told and it is asked again
            if self.frame is None or self.frame.present is not None:
                log.warning("realtime data could not be read", extra={"reason": type(error).__name__})
            return None

    async def _show(self, present: Realtime | None) -> None:
        if self.frame is not None and self.frame.present == present:
            return
        async with self._changed:
            self.frame = RealtimeSnapshot(self.frame.number + 1 if self.frame else 1, present)
            self._changed.notify_all()


class TooManyListeners(Exception):
    """The limit of listeners is reached: of the process, the site or the client's network."""


class RealtimeHub:
    """The hubs of all sites that somebody looks at, in one process. `read` gives the present of a site, for a guest or
    a member."""

    def __init__(self, read: Callable[[str, bool], Awaitable[Realtime]], *, every: float = EVERY_SECONDS) -> None:
        self._read = read
        self._every = every
        self._hubs: dict[tuple[str, bool], RealtimeChannel] = {}
        self._networks: Counter[tuple[str, bool]] = Counter()
        self._closed = False
        self._closing: asyncio.Task[None] | None = None

    @property
    def listeners(self) -> int:
        """How many listen at present."""
        return sum(hub.listeners for hub in self._hubs.values())

    def is_full(self, site: str, network: str, *, guest: bool = False) -> bool:
        """Whether there is no room for one more listener, guest or member, to that site from that network."""
        # Of guests the guests are counted, for members everybody.
        kinds = (True,) if guest else (True, False)
        part = GUEST_DIVISOR if guest else 1
        counted = {key: hub.listeners for key, hub in self._hubs.items() if key[1] in kinds}
        return (
            self._closed
            or sum(self._networks[network, kind] for kind in kinds) >= MAX_LISTENERS_PER_NETWORK // part
            or sum(counted.get((site, kind), 0) for kind in kinds) >= MAX_LISTENERS_PER_SITE // part
            or sum(counted.values()) >= MAX_LISTENERS // part
        )

    @contextlib.asynccontextmanager
    async def listening(self, site: str, network: str = "", *, guest: bool = False) -> AsyncIterator[RealtimeChannel]:
        """The site's hub, guests' or members', for as long as somebody in `network` listens. Raises
        `TooManyListeners`."""
        if self.is_full(site, network, guest=guest):
            raise TooManyListeners
        key = (site, guest)
        hub = self._hubs.get(key)
        if hub is None:
            hub = self._hubs[key] = RealtimeChannel(partial(self._read, site, guest), self._every)
        hub.enter()
        self._networks[network, guest] += 1
        try:
            yield hub
        finally:
            self._networks[network, guest] -= 1
            if not self._networks[network, guest]:
                del self._networks[network, guest]
            if hub.listeners == 1 and self._hubs.get(key) is hub:
                del self._hubs[key]
            await hub.leave()

    async def close(self) -> None:
        """Let every listener go, and take no new ones: the server stops."""
        self._closed = True
        for hub in [*self._hubs.values()]:
            await hub.close()

    def close_soon(self) -> None:
        """The same, from the running loop without waiting for it."""
        self._closing = asyncio.get_running_loop().create_task(self.close())
