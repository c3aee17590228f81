"""Why a passkey is not accepted."""

from __future__ import annotations

from collector.core.errors import TystError


class PasskeyRefused(TystError):
    """The passkey is not accepted. `reason` is for the log and names nobody."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CounterWentBack(PasskeyRefused):
    """The authenticator's counter is not beyond the one before, so that there may be two with one key."""

    def __init__(self, user: str, passkey: str) -> None:
        super().__init__("its counter went back")
        self.user = user
        self.passkey = passkey
