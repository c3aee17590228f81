"""Recent authentication: whether who uses a session has proved lately who they are.

A browser that was left open may be used by others. What would let them stay, or keep its owner out, asks again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from itsdangerous import BadData, URLSafeSerializer
from starlette.requests import Request
from starlette.responses import Response

from collector.core.app_secret import Secrets
from dashboard.access.cookies import read_cookie, set_cookie
from dashboard.access.sessions import Sessions

COOKIE: Final = "tyst_confirmed"
RECENT_SECONDS: Final = 15 * 60


class RecentAuthentication:
    """Sessions that began or were confirmed within a quarter of an hour. `clock` gives Unix seconds.

    A confirmation is a signed cookie of its own, that names the session: it is good at every collector.
    """

    def __init__(self, sessions: Sessions, keys: Secrets, clock: Callable[[], float]) -> None:
        self._sessions = sessions
        self._clock = clock
        self._serializer = URLSafeSerializer(
            keys, salt="tyst.confirmed", signer_kwargs={"digest_method": hashlib.sha256}
        )

    def is_recent(self, request: Request) -> bool:
        """Whether the request's session is one of these. Of an account without a password nothing can be asked: how its
        user proves who they are is the provider's business."""
        found = self._sessions.current(request)
        if found is None:
            return False
        user, session = found
        return not user.password or self._clock() <= max(session.started, self._confirmed(request)) + RECENT_SECONDS

    def note(self, request: Request, response: Response) -> None:
        """The session was confirmed just now."""
        value = str(self._serializer.dumps([self._sessions.id(request), int(self._clock())]))
        set_cookie(request.scope, response, COOKIE, value, max_age=RECENT_SECONDS)

    def _confirmed(self, request: Request) -> int:
        """The Unix second at which the request's session was confirmed; 0 where it was not."""
        try:
            id_, at = self._serializer.loads(read_cookie(request.scope, COOKIE))
        except (BadData, ValueError, TypeError):
            return 0
        return at if id_ == self._sessions.id(request) and isinstance(at, int) else 0
