"""The cookie between both steps of signing in: the password was right, a code is still to come."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

import msgspec
from itsdangerous import BadData, URLSafeSerializer
from starlette.requests import Request
from starlette.responses import Response

from collector.core.app_secret import Secrets
from dashboard.access.cookies import delete_cookie, read_cookie, set_cookie
from dashboard.access.one_time_links import password_mark
from dashboard.access.users import User, Users

COOKIE: Final = "tyst_sign_in"
GOOD_FOR: Final = 600
"""Seconds."""


class PendingSignIn(msgspec.Struct, frozen=True, array_like=True):
    """What the cookie holds, signed."""

    user: str
    password_mark: str
    """Another password voids it."""
    at: int
    """Unix seconds."""
    target: str
    """Where to go after signing in."""


class PendingSignIns:
    """Writes and reads that cookie. It opens no page. `clock` gives Unix seconds."""

    def __init__(self, users: Users, keys: Secrets, clock: Callable[[], float]) -> None:
        self._users = users
        self._clock = clock
        self._serializer = URLSafeSerializer(keys, salt="tyst.sign-in", signer_kwargs={"digest_method": hashlib.sha256})

    def remember(self, request: Request, response: Response, user: User, target: str) -> None:
        """The user gave the right password."""
        pending = PendingSignIn(user.name, password_mark(user), int(self._clock()), target)
        value = str(self._serializer.dumps(msgspec.to_builtins(pending)))
        set_cookie(request.scope, response, COOKIE, value, max_age=GOOD_FOR)

    def read(self, request: Request) -> tuple[User, str] | None:
        """Whose second step is to come, and where to go then; None once ten minutes have passed."""
        try:
            pending = msgspec.convert(self._serializer.loads(read_cookie(request.scope, COOKIE)), PendingSignIn)
        except (BadData, msgspec.ValidationError, ValueError):
            return None
        user = self._users.get(pending.user)
        if user is None or password_mark(user) != pending.password_mark or self._clock() > pending.at + GOOD_FOR:
            return None
        return user, pending.target

    def forget(self, request: Request, response: Response) -> None:
        """Signed in, or given up."""
        delete_cookie(request.scope, response, COOKIE)
