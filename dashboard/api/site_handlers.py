"""Handlers of parts of one site's API: its key, its site, and errors as JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from collector.core.errors import RecordError, RecordGone
from collector.sites.registry import Site, Sites
from dashboard.access.api_keys import ApiKey, ApiKeys
from dashboard.api.auth import ApiError, bearer, refused
from dashboard.notifications.errors import DeliveryError

KeyHandler = Callable[[Request, ApiKey], Awaitable[Response]]
SiteHandler = Callable[[Request, ApiKey, Site], Awaitable[Response]]


def managing(keys: ApiKeys, sites: Sites, handler: SiteHandler) -> Callable[[Request], Awaitable[Response]]:
    """The handler behind a key that may manage the site of the address."""

    async def for_site(request: Request, key: ApiKey) -> Response:
        domain = sites.name_of(request.path_params["domain"])
        site = sites.get(domain)
        if site is None or not key.may_manage(site):
            raise ApiError(HTTPStatus.NOT_FOUND, "domain", f"{domain} is not registered, or not for this key")
        return await handler(request, key, site)

    return answering(keys, for_site)


def answering(keys: ApiKeys, handler: KeyHandler) -> Callable[[Request], Awaitable[Response]]:
    """The handler behind a key, with its errors as JSON."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request, await bearer(keys, request))
        except ApiError as error:
            return refused(error)
        except RecordGone as error:
            return refused(ApiError(HTTPStatus.NOT_FOUND, error.field, error.reason))
        except RecordError as error:
            status = HTTPStatus.NOT_FOUND if error.field == "id" else HTTPStatus.BAD_REQUEST
            return refused(ApiError(status, error.field, error.reason))
        except DeliveryError as error:
            return refused(ApiError(HTTPStatus.BAD_GATEWAY, "delivery", str(error)))

    return answer
