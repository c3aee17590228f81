"""Responses to errors: JSON below `/api/`, an error page elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from collector.storage.client import plain_reason
from collector.storage.disk_guard import is_disk_full
from dashboard.access.passwords import HashingBusy
from dashboard.analytics.errors import QueryError, QueryTooLarge, QueueFull, classified
from dashboard.api.auth import explained
from dashboard.web.app_context import Dashboard
from dashboard.web.templating import error_page

log = logging.getLogger(__name__)


def error_handlers(dashboard: Dashboard) -> Mapping[Any, Callable[[Request, Exception], Awaitable[Response]]]:
    """What the application answers in place of a page: for `Starlette(exception_handlers=...)`."""

    async def explain(request: Request, error: Exception) -> Response:
        if isinstance(error, OperationalError):
            log.warning("ClickHouse is not responding to a page request", extra={"reason": plain_reason(error)})
            error = HTTPException(503, headers={"retry-after": "5"})
        elif isinstance(error, DatabaseError | OSError) and is_disk_full(error):
            log.warning("a request could not be answered: a disk is full", extra={"reason": plain_reason(error)})
            error = HTTPException(507)
        elif isinstance(error, HashingBusy | QueueFull):
            error = HTTPException(503, headers={"retry-after": str(error.retry_after)})
        elif isinstance(error, QueryError):
            error = HTTPException(400)
        elif isinstance(error, QueryTooLarge):
            error = HTTPException(422)
        status = error.status_code if isinstance(error, HTTPException) else 500
        headers = error.headers if isinstance(error, HTTPException) else None
        if request.url.path.startswith("/api/"):
            return explained(HTTPStatus(status), headers)
        return error_page(dashboard.pages, status, headers, user=dashboard.sessions.user(request))

    async def explain_storage(request: Request, error: Exception) -> Response:
        known = classified(error) if isinstance(error, DatabaseError) else None
        if isinstance(known, OperationalError):
            return await explain(request, known)
        # All else is an error of the program: it goes on to be logged, and comes back as a 500.
        if not is_disk_full(error):
            raise error
        return await explain(request, error)

    handled = (HTTPException, OperationalError, HashingBusy, QueueFull, QueryError, QueryTooLarge, 500)
    return {**dict.fromkeys(handled, explain), **dict.fromkeys((DatabaseError, OSError), explain_storage)}
