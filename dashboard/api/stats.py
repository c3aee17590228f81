"""The Stats API: endpoints of both versions.

Every error is JSON and names the field: `{"error": "metrics: …", "errors": {"metrics": ["…"]}}`.
"""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from collector.sites.model import Site
from collector.sites.registry import Sites
from dashboard.analytics.client_disconnect import while_connected
from dashboard.analytics.current_visitors import current_visitors
from dashboard.analytics.errors import QueryError
from dashboard.analytics.filters import check_bounds, parse_filters
from dashboard.analytics.goal_filters import check_names
from dashboard.analytics.period import Period
from dashboard.analytics.query import Query, Result
from dashboard.analytics.service import StatsService
from dashboard.api import stats_v1
from dashboard.api.auth import ApiError, json_answer
from dashboard.api.country_names import by_code
from dashboard.api.key_handlers import RouteHandler, answered
from dashboard.api.stats_v2 import read_dates, read_query
from dashboard.api.stats_v2_result import write_result
from dashboard.reports.comparison import same_length
from dashboard.reports.segment_filters import with_segments
from dashboard.reports.segments import Segment

MOST_BODY = 65_536  # bytes

Readable = Callable[[Request, str], Awaitable[Site]]
"""The site of a domain whose statistics the request may read. Raises `ApiError` for another."""

SegmentsOf = Callable[[Site], Sequence[Segment]]
"""The segments of a site that queries may name."""


class StatsApi:
    """Request handlers with their dependencies. `clock` gives Unix seconds."""

    def __init__(
        self,
        stats: StatsService,
        sites: Sites,
        readable: Readable,
        clock: Callable[[], float],
        segments: SegmentsOf,
    ) -> None:
        self.stats = stats
        self._sites = sites
        self._readable = readable
        self._clock = clock
        self._segments = segments

    async def query(self, request: Request) -> Any:
        """`POST /api/v2/query`."""
        body = await read_body(request)
        domain = body.get("site_id")
        if not isinstance(domain, str) or not domain:
            raise QueryError("site_id", "expected a site's domain")
        site = await self._site(request, domain)
        first_day = await self._first_day(site, body.get("date_range") == "all")
        filters = body.get("filters") or []
        check_bounds(filters)
        expanded = with_segments(filters, self._segments(site))
        expanded = await by_code(expanded, partial(self.stats.matching, site.domain))
        # By the name that it has now, whichever the key knows.
        body = body | {"filters": expanded, "site_id": site.domain}
        asked = read_query(body, site.timezone, self._now(), first_day).at_site(site.former_timezones)
        asked = replace(asked, filters=filters)
        check_names(asked.query.filters, site.goals)
        queries = [asked.query, *([asked.compared] if asked.compared else [])]
        result, *compared = await while_connected(request, self.stats.run(queries))
        return write_result(asked, result, compared[0] if compared else None)

    async def selection(self, request: Request, domain: str, given: Mapping[str, Any]) -> tuple[Site, Query]:
        """The site of a request that may read it, and `selected`."""
        site = await self._site(request, domain)
        return site, await self.selected(site, given)

    async def selected(self, site: Site, given: Mapping[str, Any]) -> Query:
        """The dates and filters of a body (`date_range`, `filters`) as a query of visits.

        Raises `QueryError` for what cannot be read.
        """
        first_day = await self._first_day(site, given.get("date_range") == "all")
        period = read_dates(given.get("date_range", "30d"), site.timezone, self._now(), first_day)
        filters = given.get("filters") or []
        check_bounds(filters)
        expanded = await by_code(
            with_segments(filters, self._segments(site)), partial(self.stats.matching, site.domain)
        )
        tree = parse_filters(expanded)
        check_names(tree, site.goals)
        return Query(site.domain, ("visits",), period.at_site(site.former_timezones), filters=tree)

    async def current(self, request: Request) -> Any:
        """`GET /api/v1/stats/realtime/visitors`."""
        site = await self._site(request, request.query_params.get("site_id", ""))
        return await current_visitors(self.stats, site.domain, site.timezone)

    async def aggregate(self, request: Request) -> Any:
        """`GET /api/v1/stats/aggregate`."""
        site, period = await self._asked(request, "aggregate")
        query = stats_v1.read_aggregate(site.domain, request.query_params, period)
        check_names(query.filters, site.goals)
        compare = request.query_params.get("compare")
        if compare not in (None, "previous_period"):
            raise QueryError("compare", "expected previous_period")
        before = same_length(period, period.previous(), self._clock())
        queries = [query, *([replace(query, period=before)] if compare else [])]
        result, *compared = await while_connected(request, self.stats.run(queries))
        return stats_v1.write_aggregate(result, compared[0] if compared else None)

    async def timeseries(self, request: Request) -> Any:
        """`GET /api/v1/stats/timeseries`."""
        site, period = await self._asked(request, "timeseries")
        query = stats_v1.read_timeseries(site.domain, request.query_params, period)
        return stats_v1.write_timeseries(query, await self._one(request, site, query))

    async def breakdown(self, request: Request) -> Any:
        """`GET /api/v1/stats/breakdown`."""
        site, period = await self._asked(request, "breakdown")
        query = stats_v1.read_breakdown(site.domain, request.query_params, period)
        return stats_v1.write_breakdown(await self._one(request, site, query))

    async def _one(self, request: Request, site: Site, query: Query) -> Result:
        check_names(query.filters, site.goals)
        return (await while_connected(request, self.stats.run([query])))[0]

    async def _asked(self, request: Request, endpoint: str) -> tuple[Site, Period]:
        given = request.query_params
        site = await self._site(request, given.get("site_id", ""))
        stats_v1.check_parameters(endpoint, given.multi_items())
        first_day = await self._first_day(site, given.get("period") == "all")
        period = stats_v1.read_period(given, site.timezone, self._now(), first_day)
        return site, period.at_site(site.former_timezones)

    async def _site(self, request: Request, domain: str) -> Site:
        return await self._readable(request, self._sites.name_of(domain))

    async def _first_day(self, site: Site, wanted: bool) -> datetime.date | None:
        return await self.stats.first_day(site.domain) if wanted else None

    def _now(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self._clock(), datetime.UTC)


def routes(
    *,
    stats: StatsService,
    sites: Sites,
    readable: Readable,
    clock: Callable[[], float],
    segments: SegmentsOf = lambda _: (),
) -> list[Route]:
    """The routes of the Stats API."""
    return routes_of(StatsApi(stats, sites, readable, clock, segments))


def routes_of(api: StatsApi) -> list[Route]:
    """The routes of these handlers."""
    return [
        Route("/api/v2/query", _route(api.query), methods=["POST"]),
        Route("/api/v1/stats/realtime/visitors", _route(api.current), methods=["GET"]),
        Route("/api/v1/stats/aggregate", _route(api.aggregate), methods=["GET"]),
        Route("/api/v1/stats/timeseries", _route(api.timeseries), methods=["GET"]),
        Route("/api/v1/stats/breakdown", _route(api.breakdown), methods=["GET"]),
    ]


def _route(handler: Callable[[Request], Awaitable[Any]]) -> RouteHandler:
    async def as_json(request: Request) -> Response:
        return json_answer(await handler(request))

    return answered(as_json)


async def read_body(request: Request) -> dict[str, Any]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BODY:
            raise ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body", f"expected at most {MOST_BODY} bytes")
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise QueryError("body", "expected JSON") from None
    if not isinstance(found, dict):
        raise QueryError("body", "expected a JSON object")
    return found
