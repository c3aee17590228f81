"""Errors of deliveries."""

from __future__ import annotations

from collector.core.errors import TystError


class DeliveryError(TystError):
    """Something was not delivered. `permanent` says that trying again is of no use. The text holds no address."""

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        super().__init__(reason)
        self.permanent = permanent
