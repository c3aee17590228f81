"""Trouble watch: tells operators when the spool, the disk or the database of this process needs attention.

It sends at once, past the outbox: what has to be told may be that nothing can be stored.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import anyio.to_thread

from dashboard.notifications.alert_sender import AlertSender
from dashboard.notifications.channels import INSTALLATION, Channel, Channels
from dashboard.notifications.errors import DeliveryError

log = logging.getLogger(__name__)

CHECK_SECONDS: Final = 60.0
LASTING_SECONDS: Final = 120.0
"""What is over sooner needs nobody."""
QUIET_SECONDS: Final = 6 * 3_600.0
"""Pause before the same is told again."""


class TroubleWatch:
    """`problems` gives sentences in English, blocking; `clock` gives Unix seconds."""

    def __init__(
        self,
        problems: Callable[[], tuple[str, ...]],
        channels: Channels,
        sender: AlertSender,
        clock: Callable[[], float],
    ) -> None:
        self._problems = problems
        self._channels = channels
        self._sender = sender
        self._clock = clock
        self._since: float | None = None
        self._told = -QUIET_SECONDS

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            try:
                await self.check()
            except Exception:  # one failed check must not end the watch
                log.exception("the trouble watch failed and will retry")
            await asyncio.sleep(CHECK_SECONDS)

    async def check(self) -> None:
        """Tell every channel of the installation where something is wrong for some minutes."""
        problems, now = await anyio.to_thread.run_sync(self._problems), self._clock()
        if not problems:
            self._since = None
            return
        self._since = now if self._since is None else self._since
        if now < self._since + LASTING_SECONDS or now < self._told + QUIET_SECONDS:
            return
        self._told = now
        for channel in self._channels.of(INSTALLATION):
            await self._tell(channel, problems)

    async def _tell(self, channel: Channel, problems: tuple[str, ...]) -> None:
        try:
            await self._sender.trouble(channel, problems)(None)
        except DeliveryError as error:
            log.warning("an operator could not be told", extra={"channel": channel.id, "reason": str(error)})
