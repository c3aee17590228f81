"""Handlers of the API behind a key: its right to the site of the address, and errors as JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from collector.core.errors import ImportRefused, RecordError, RecordGone
from collector.sites.model import Site
from collector.sites.registry import Sites
from dashboard.access.api_keys import ADMIN, ApiKey, ApiKeys
from dashboard.access.audit_log import COMMAND_LINE
from dashboard.analytics.errors import QueryError, QueryTooLarge
from dashboard.api.auth import ApiError, bearer, refused
from dashboard.notifications.errors import DeliveryError
from dashboard.notifications.trials import TooManyTrials

RouteHandler = Callable[[Request], Awaitable[Response]]
"""A handler as a route has it."""
KeyHandler = Callable[[Request, ApiKey], Awaitable[Response]]
SiteHandler = Callable[[Request, ApiKey, Site], Awaitable[Response]]
KnownError = ApiError | RecordError | ImportRefused | QueryError | QueryTooLarge | DeliveryError


def answering(keys: ApiKeys, handler: KeyHandler) -> RouteHandler:
    """The handler behind a key, with its errors as JSON."""

    async def with_key(request: Request) -> Response:
        return await handler(request, await bearer(keys, request))

    return answered(with_key)


def answered(handler: RouteHandler) -> RouteHandler:
    """The handler with its errors as JSON."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except (ApiError, RecordError, ImportRefused, QueryError, QueryTooLarge, DeliveryError) as error:
            return refused(_api_error(error))
        except ClientDisconnect:
            return Response(status_code=499)

    return answer


def operating(keys: ApiKeys, handler: KeyHandler) -> RouteHandler:
    """The handler behind a key that may manage every site."""

    async def for_operator(request: Request, key: ApiKey) -> Response:
        require_full_key(key)
        return await handler(request, key)

    return answering(keys, for_operator)


def managing(keys: ApiKeys, sites: Sites, handler: SiteHandler) -> RouteHandler:
    """The handler behind a key that may manage the site of the address."""

    async def for_site(request: Request, key: ApiKey) -> Response:
        return await handler(request, key, site_of(sites, request, key.may_manage))

    return answering(keys, for_site)


def site_of(sites: Sites, request: Request, may: Callable[[Site], bool]) -> Site:
    """The site of the address. Raises `ApiError` where there is none, or the key `may` not: keys do not list others'
    sites."""
    domain = sites.name_of(request.path_params["domain"])
    site = sites.get(domain)
    if site is None or not may(site):
        raise ApiError(HTTPStatus.NOT_FOUND, "domain", f"{domain} is not registered, or not for this key")
    return site


def id_of(sites: Sites, domain: str) -> str:
    """The id of a site that a body names. Raises `ApiError` where there is none."""
    site = sites.get(domain)
    if site is None:
        raise ApiError(HTTPStatus.BAD_REQUEST, "sites", f"{domain} is not registered")
    return site.id


def ids_of(sites: Sites, domains: Iterable[str]) -> tuple[str, ...]:
    """The ids of several."""
    return tuple(id_of(sites, domain) for domain in domains)


def require_full_key(key: ApiKey) -> None:
    """Raises `ApiError` unless the key may manage every site."""
    if not key.everything:
        raise ApiError(HTTPStatus.FORBIDDEN, "authorization", "this needs a key that may manage every site")


def key_name(key: ApiKey) -> str:
    """Whose key it is, in the audit log."""
    return COMMAND_LINE if key.id == ADMIN.id else f"key {key.id}{f' ({key.name})' if key.name else ''}"


def _api_error(error: KnownError) -> ApiError:
    match error:
        case ApiError():
            return error
        case RecordGone():
            return ApiError(HTTPStatus.CONFLICT, error.field, error.reason)
        case RecordError(field="id"):
            return ApiError(HTTPStatus.NOT_FOUND, error.field, error.reason)
        case RecordError() | ImportRefused():
            return ApiError(HTTPStatus.BAD_REQUEST, error.field, error.reason)
        case QueryError():
            return ApiError(HTTPStatus.BAD_REQUEST, error.field, error.expected)
        case QueryTooLarge():
            return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "date_range", str(error))
        case TooManyTrials():
            return ApiError(HTTPStatus.TOO_MANY_REQUESTS, "delivery", str(error), error.wait)
        case DeliveryError():
            return ApiError(HTTPStatus.BAD_GATEWAY, "delivery", str(error))
