"""Bearer authentication, and JSON error responses that name the field."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from collector.core.request_slots import RETRY_SECONDS, TooManyRequests
from collector.sites.model import Site
from collector.sites.registry import Sites
from dashboard.access.api_keys import ADMIN, ApiKey, ApiKeys, TooManyKeys
from dashboard.access.api_quota import note
from dashboard.analytics.fair_queue import set_reader


class ApiError(Exception):
    """An answer other than success: its status, the field that it is about, why, and the seconds to wait, or 0."""

    def __init__(self, status: HTTPStatus, field: str, reason: str, wait: int = 0) -> None:
        super().__init__(f"{field}: {reason}")
        self.status = status
        self.field = field
        self.reason = reason
        self.wait = wait


async def bearer(keys: ApiKeys, request: Request) -> ApiKey:
    """The key that a request shows. Raises `ApiError` without one that is good, for one with no quota left, and for
    one that may be unknown from a network that has sent too many of those."""
    shown = _bearer_token(request)
    try:
        key = _require_valid(await keys.authenticate(shown, request.scope))
    except TooManyKeys as error:
        reason = f"too many unknown keys came from this network; try again in {error.wait} s"
        raise ApiError(HTTPStatus.TOO_MANY_REQUESTS, "authorization", reason, error.wait) from None
    # The key of the data directory is the operator's own.
    taken = None if key is ADMIN else keys.quota.spend(key.id)
    if taken is not None:
        note(request.scope, taken)
        if taken.wait:
            reason = f"expected at most {taken.limit} requests an hour with this key; try again in {taken.wait} s"
            raise ApiError(HTTPStatus.TOO_MANY_REQUESTS, "authorization", reason)
    account = key.user or key.id
    set_reader(account)
    if key is ADMIN:
        return key
    try:
        waited = await keys.slots.acquire(request.scope, account)
    except TooManyRequests:
        reason = "too many requests of this account wait already; try again in a few seconds"
        raise ApiError(HTTPStatus.TOO_MANY_REQUESTS, "authorization", reason, RETRY_SECONDS) from None
    # Requests may wait for minutes, in which the key is revoked.
    return await recheck_key(keys, request) if waited else key


async def recheck_key(keys: ApiKeys, request: Request) -> ApiKey:
    """Authenticate a request's key again, after it has waited. Raises `ApiError` for one that was revoked meanwhile."""
    return _require_valid(await keys.check(_bearer_token(request)))


def _bearer_token(request: Request) -> str:
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not shown.strip():
        raise ApiError(HTTPStatus.UNAUTHORIZED, "authorization", "expected `Authorization: Bearer KEY`")
    return shown.strip()


def _require_valid(key: ApiKey | None) -> ApiKey:
    if key is None:
        raise ApiError(HTTPStatus.UNAUTHORIZED, "authorization", "this key is unknown or revoked, or has expired")
    return key


def readers(keys: ApiKeys, sites: Sites) -> Callable[[Request, str], Awaitable[Site]]:
    """The site of a domain whose statistics a request may read; what is returned raises `ApiError` for another."""

    async def readable(request: Request, domain: str) -> Site:
        key = await bearer(keys, request)
        site = sites.get(domain)
        if site is None or not key.may_read(site):
            raise ApiError(HTTPStatus.NOT_FOUND, "site_id", f"{domain} is not registered, or not for this key")
        return site

    return readable


def refused(error: ApiError) -> Response:
    """The error as an answer."""
    response = json_answer({"error": str(error), "errors": {error.field: [error.reason]}}, error.status)
    if error.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    if error.wait:
        response.headers["Retry-After"] = str(error.wait)
    return response


def explained(status: HTTPStatus, headers: Mapping[str, str] | None = None) -> Response:
    """An answer to what is no question of the API at all, such as another method or address."""
    response = refused(ApiError(status, "request", status.phrase.lower()))
    response.headers.update(headers or {})
    return response


def json_answer(body: Any, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """A value as JSON that nobody else may keep."""
    headers = {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")
