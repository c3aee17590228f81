"""Limit on messages that a user has sent at once: trials of reports and alerts, invitations, and password links."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from collector.core.rate_limits import AttemptLimit
from dashboard.notifications.errors import DeliveryError

WINDOW: Final = 15 * 60
TO_RECIPIENT: Final = 5
"""Messages to one recipient in a quarter of an hour, from all senders and sites."""
OF_SITE: Final = 20
"""Messages of one site in the same time."""


class TooManyTrials(DeliveryError):
    """The limit is reached; `wait` is the seconds until the next message may be sent."""

    def __init__(self, wait: int) -> None:
        super().__init__(f"too much was sent; try again in {wait} s")
        self.wait = wait


class TrialLimit:
    """Limits by recipient and by site. `clock` gives Unix seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._recipients = AttemptLimit(clock, TO_RECIPIENT, WINDOW)
        self._sites = AttemptLimit(clock, OF_SITE, WINDOW)

    def count(self, recipient: str, site_id: str) -> None:
        """Count a message to an address. Raises `TooManyTrials`."""
        counted = ((self._recipients, recipient.lower()), (self._sites, site_id))
        wait = max(limit.wait(key) for limit, key in counted)
        if wait:
            raise TooManyTrials(wait)
        for limit, key in counted:
            limit.count(key)
