"""Limit on what somebody has sent at once: trials of reports and alerts, invitations, and links for new passwords."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dashboard.access.login_throttle import LoginThrottle
from dashboard.notifications.errors import DeliveryError

TO_RECIPIENT: Final = 5
"""Sent to one recipient in a quarter of an hour, whoever asks for them and of whichever site."""
OF_SITE: Final = 20
"""Sent for one site in the same time."""


class TooManyTrials(DeliveryError):
    """One more than anybody needs; `wait` is the seconds until the next."""

    def __init__(self, wait: int) -> None:
        super().__init__(f"too much was sent; try again in {wait} s")
        self.wait = wait


class TrialLimit:
    """Counts by recipient and by site. In memory, of hashes; `clock` gives Unix seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._recipients = LoginThrottle(clock, per_name=TO_RECIPIENT, per_network=TO_RECIPIENT)
        self._sites = LoginThrottle(clock, per_name=OF_SITE, per_network=OF_SITE)

    def count(self, recipient: str, site_id: str) -> None:
        """Note one to an address. Raises `TooManyTrials`."""
        counted = ((self._recipients, recipient.lower()), (self._sites, site_id))
        wait = max(throttle.wait("", value) for throttle, value in counted)
        if wait:
            raise TooManyTrials(wait)
        for throttle, value in counted:
            throttle.count("", value)
