"""Why a sign-in by OpenID Connect is not accepted."""

from __future__ import annotations

from collector.core.errors import TystError


class OpenIdRefused(TystError):
    """The sign-in is not accepted. `reason` is for the log and names nobody; `text` says it to the person where there
    is something that they can do about it, and is translated where it is shown."""

    def __init__(self, reason: str, text: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.text = text
