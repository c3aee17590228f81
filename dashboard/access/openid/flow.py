"""The cookie of a sign-in by OpenID Connect that is under way: state, nonce and code verifier."""

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

COOKIE: Final = "tyst_openid"
GOOD_FOR: Final = 600
"""Seconds."""


class Flow(msgspec.Struct, frozen=True, array_like=True):
    """One sign-in under way."""

    state: str
    nonce: str
    verifier: str
    at: int
    """Unix seconds."""
    target: str
    """Where to go after signing in."""
    connects: str = ""
    """Name of the account to bind the identity to, for somebody who is signed in; empty for a sign-in."""


class Flows:
    """Begins flows, and finds them again. `clock` gives Unix seconds."""

    def __init__(self, keys: Secrets, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._serializer = URLSafeSerializer(keys, salt="tyst.openid", signer_kwargs={"digest_method": hashlib.sha256})

    def begin(self, target: str, connects: str = "") -> Flow:
        """A new flow, with 256 random bits of each kind."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return Flow(state, nonce, verifier, int(self._clock()), target, connects)

    def remember(self, request: Request, response: Response, flow: Flow) -> None:
        """Put it into the browser."""
        value = str(self._serializer.dumps(msgspec.to_builtins(flow)))
        set_cookie(request.scope, response, COOKIE, value, max_age=GOOD_FOR)

    def read(self, request: Request, state: str) -> Flow | None:
        """The browser's flow, if it is the one that `state` names and began within ten minutes."""
        try:
            flow = msgspec.convert(self._serializer.loads(read_cookie(request.scope, COOKIE)), Flow)
        except (BadData, msgspec.ValidationError, ValueError):
            return None
        same = secrets.compare_digest(flow.state.encode(), state.encode())
        return flow if same and self._clock() <= flow.at + GOOD_FOR else None

    def forget(self, request: Request, response: Response) -> None:
        """A flow ends with the first answer to it."""
        delete_cookie(request.scope, response, COOKIE)


def challenge_of(verifier: str) -> str:
    """The S256 challenge of a code verifier (RFC 7636, 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
