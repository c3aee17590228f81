"""Access by shared links: throttling of passwords, and the signed cookie set after a correct one."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import Final

from itsdangerous import BadData, URLSafeTimedSerializer
from starlette.requests import Request
from starlette.responses import Response

from collector.core.app_secret import Secrets
from dashboard.access.cookies import read_cookie, set_cookie
from dashboard.access.login_throttle import LoginThrottle
from dashboard.access.share_links import ShareLink

COOKIE: Final = "tyst_share"
LIFETIME: Final = 12 * 3600
"""Seconds that a password is remembered for."""


class ShareAccess:
    """Access of browsers to shared links with passwords. `keys` sign the cookies; `clock` gives seconds."""

    def __init__(self, keys: Secrets, clock: Callable[[], float]) -> None:
        self._serializer = URLSafeTimedSerializer(
            keys, salt="tyst.share", signer_kwargs={"digest_method": hashlib.sha256}
        )
        self.passwords = LoginThrottle(clock)
        """Passwords tried, by link and by network."""

    def open(self, request: Request, response: Response, share: ShareLink, path: str) -> None:
        """Remember in the browser that the password was right. The cookie is sent below `path` only."""
        value = str(self._serializer.dumps([share.id, _fingerprint(share)]))
        set_cookie(request.scope, response, COOKIE, value, max_age=LIFETIME, path=path)

    def is_open(self, request: Request, share: ShareLink) -> bool:
        """Whether the link needs no password, or this browser has given it."""
        if not share.password:
            return True
        try:
            id_, fingerprint = self._serializer.loads(
                read_cookie(request.scope, COOKIE, "below a path"), max_age=LIFETIME
            )
        except (BadData, ValueError, TypeError):
            return False
        return id_ == share.id and secrets.compare_digest(_fingerprint(share), str(fingerprint))


def _fingerprint(share: ShareLink) -> str:
    return hashlib.blake2b(share.password.encode(), digest_size=12, person=b"tyst.share").hexdigest()
