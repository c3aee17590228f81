"""The visitors' API: `/api/me` returns or erases the stored events of the browser that makes the request.

It needs no account. Requests from pages of other origins are refused, and responses have no CORS header: the site's own
pages could otherwise learn which visitor did what.
"""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable
from typing import Final

import anyio.to_thread
import msgspec
from clickhouse_connect.driver.exceptions import ClickHouseError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from collector.core.errors import SpoolUnavailable
from collector.erasure.subject_access import Requester, as_count, as_csv, as_json
from collector.sites.model import Site
from dashboard.access.csrf import same_origin
from dashboard.reports.csv_export import csv_writer
from dashboard.web.visitor_requests import VisitorRequests
from dashboard.web.visitor_responses import PacedResponse, file_response, json_response

_FOREIGN: Final = "a visitor's data is not for the pages of other origins"
_UNAVAILABLE: Final = "the database or its disk is not responding; try again later"

Handler = Callable[[Request], Awaitable[Response]]


def routes(visitors: VisitorRequests) -> list[Route]:
    """Routes of the API."""

    async def read(request: Request) -> Response:
        """`GET /api/me?d=SITE`: this browser's stored events as JSON or CSV, or only their number where other user
        agents of its network have read theirs."""
        site, requester = _resolve(visitors, request, visitors.wait_to_read)
        with await visitors.slot(requester) as slot:
            export = await visitors.subject_access.held(site, requester)
            if not visitors.may_disclose(requester, export):
                return file_response(as_count(export), "application/json", f"{site.domain}.json", request)
            day = datetime.datetime.fromtimestamp(export.linkable_until, datetime.UTC).date()
            name = f"{site.domain}-{day.isoformat()}"
            # In a thread: thousands of events take seconds.
            if _wants_csv(request):
                table = await anyio.to_thread.run_sync(as_csv, export, csv_writer(request))
                response = file_response(table, "text/csv", f"{name}.csv", request)
            else:
                document = await anyio.to_thread.run_sync(as_json, export)
                response = file_response(document, "application/json", f"{name}.json", request)
            return PacedResponse(response, slot.pop_all().close)

    async def erase(request: Request) -> Response:
        """`DELETE /api/me?d=SITE`: 200 when all events are erased, 202 when the erasure is recorded and continues."""
        site, requester = _resolve(visitors, request, visitors.wait_to_erase)
        report = await visitors.subject_access.erase(site, requester)
        return json_response(200 if report.complete else 202, msgspec.to_builtins(report))

    return [
        Route("/api/me", _guarded(read), methods=["GET"]),
        Route("/api/me", _guarded(erase), methods=["DELETE"]),
    ]


def _guarded(handler: Handler) -> Handler:
    """The handler, closed to other origins, with errors as JSON."""

    async def guarded(request: Request) -> Response:
        if not same_origin(request.headers):
            return json_response(403, {"errors": {"request": [_FOREIGN]}})
        try:
            return await handler(request)
        except HTTPException as error:
            return json_response(error.status_code, {"errors": {"request": [error.detail]}}, error.headers)
        except (ClickHouseError, SpoolUnavailable, OSError):
            return json_response(503, {"errors": {"request": [_UNAVAILABLE]}}, {"Retry-After": "5"})

    return guarded


def _resolve(
    visitors: VisitorRequests, request: Request, wait_to: Callable[[Requester], int]
) -> tuple[Site, Requester]:
    """The site and the browser of a request. Raises 404 and 429."""
    site = visitors.site(request, request.query_params.get("d", ""))
    requester = visitors.requester(request)
    wait = wait_to(requester)
    if wait:
        raise HTTPException(429, "too many requests from this network", {"Retry-After": str(wait)})
    return site, requester


def _wants_csv(request: Request) -> bool:
    wanted = request.query_params.get("format")
    return wanted == "csv" or (wanted is None and "text/csv" in request.headers.get("accept", ""))
