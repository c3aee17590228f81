"""The cookie of a challenge that a passkey is to answer."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable
from typing import Final

import msgspec
from itsdangerous import BadData, URLSafeSerializer
from starlette.requests import Request
from starlette.responses import Response

from collector.core.app_secret import Secrets
from dashboard.access.cookies import delete_cookie, read_cookie, set_cookie

COOKIE: Final = "tyst_passkey"
GOOD_FOR: Final = 300
"""Seconds."""


class Challenge(msgspec.Struct, frozen=True, array_like=True):
    """One challenge: 256 random bits."""

    text: str
    """In base64url."""
    at: int
    """Unix milliseconds."""
    user: str = ""
    """The account that a passkey is to be added to; empty for a sign-in."""
    name: str = ""
    """What that passkey is to be called."""

    @property
    def value(self) -> bytes:
        """What is signed."""
        return base64.urlsafe_b64decode(f"{self.text}=")


class Challenges:
    """Makes challenges, and finds them again in the browser that asked. `clock` gives Unix seconds."""

    def __init__(self, keys: Secrets, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._serializer = URLSafeSerializer(keys, salt="tyst.passkey", signer_kwargs={"digest_method": hashlib.sha256})

    def new(self, user: str = "", name: str = "") -> Challenge:
        """A new one."""
        return Challenge(secrets.token_urlsafe(32), int(self._clock() * 1000), user, name)

    def remember(self, request: Request, response: Response, challenge: Challenge) -> None:
        """Put it into the browser."""
        value = str(self._serializer.dumps(msgspec.to_builtins(challenge)))
        set_cookie(request.scope, response, COOKIE, value, max_age=GOOD_FOR)

    def read(self, request: Request, user: str = "") -> Challenge | None:
        """The browser's, if it was made for that within five minutes."""
        try:
            found = msgspec.convert(self._serializer.loads(read_cookie(request.scope, COOKIE)), Challenge)
        except (BadData, msgspec.ValidationError, ValueError):
            return None
        return found if found.user == user and self._clock() <= found.at / 1000 + GOOD_FOR else None

    def forget(self, request: Request, response: Response) -> None:
        """A challenge ends with the first answer to it."""
        delete_cookie(request.scope, response, COOKIE)
