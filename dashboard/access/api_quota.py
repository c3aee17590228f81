"""Hourly request quota of API keys, and the response fields that report it.

Fields of answers: `RateLimit-Policy` and `RateLimit` of the IETF draft draft-ietf-httpapi-ratelimit-headers, and
`Retry-After` (RFC 9110, 10.2.3) of those that are refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from collector.core.rate_limits import RequestRates

MOST_KEYS = 10_000
"""Keys remembered at once; the one not heard of for longest is forgotten first."""

_STATE = "quota"


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """One request's place in its key's quota. Times are in seconds."""

    limit: int
    remaining: int
    reset: int
    """Until the whole quota is there again."""
    wait: int
    """Until the next request would pass; 0 lets this one pass."""

    @property
    def headers(self) -> dict[str, str]:
        """The response fields that report the quota."""
        fields = {
            "RateLimit-Policy": f'"key";q={self.limit};w=3600',
            "RateLimit": f'"key";r={self.remaining};t={self.reset}',
        }
        return fields | ({"Retry-After": str(self.wait)} if self.wait else {})


class ApiQuota:
    """Requests an hour for each key, in memory, and as many at once; 0 is off."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rates = RequestRates(seconds=3600, most_keys=MOST_KEYS)

    def spend(self, key: str) -> QuotaUse | None:
        """Count one request of a key; None without a limit."""
        return QuotaUse(self._limit, *self._rates.spend(key, self._limit)) if self._limit else None


def note(scope: Scope, taken: QuotaUse) -> None:
    """Remember for the answer what was taken."""
    scope.setdefault("state", {})[_STATE] = taken


class QuotaFields:
    """Middleware: answers to requests with a key say how much of its quota is left."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # The server's own state is one for all requests; what is noted is this one's.
        scope["state"] = dict(scope.get("state", {}))

        async def told(message: Message) -> None:
            taken: QuotaUse | None = scope["state"].get(_STATE)
            if message["type"] == "http.response.start" and taken is not None:
                MutableHeaders(scope=message).update(taken.headers)
            await send(message)

        await self._app(scope, receive, told)
