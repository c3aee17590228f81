"""Funnels over the API: list, save, delete, and results."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from collector.core.errors import RecordError, RecordGone
from collector.sites.registry import Site, Sites
from dashboard.access.api_keys import ApiKey, ApiKeys
from dashboard.access.audit_log import AuditLog
from dashboard.analytics.client_disconnect import while_connected
from dashboard.analytics.errors import QueryError, QueryTooLarge
from dashboard.analytics.filters import FunnelOrder, FunnelWindow, check_bounds, parse_filters
from dashboard.analytics.funnels import Funnel, FunnelStep, path_of
from dashboard.analytics.funnels_service import FunnelQuery, FunnelResult, FunnelRow, run_funnels, share
from dashboard.analytics.goal_filters import check_names
from dashboard.analytics.period import Period
from dashboard.analytics.query import marked_value
from dashboard.analytics.service import StatsService
from dashboard.api.auth import ApiError, bearer, json_answer, refused
from dashboard.api.request_bodies import read_as, read_fields
from dashboard.api.stats_v2 import read_dates
from dashboard.i18n.translations import N_
from dashboard.reports.comparison import same_length
from dashboard.reports.funnels import Funnels, described

PARAMETERS = ("date_range", "filters", "dimension", "compare")
UNITS: Mapping[FunnelWindow, str] = {"visit": "visits", "day": "visitors"}

FunnelHandler = Callable[[Request, ApiKey], Awaitable[Response]]


class NewFunnel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that saves a funnel; with an `id` it takes the place of the one that has it."""

    name: str
    steps: tuple[FunnelStep, ...]
    order: FunnelOrder = "sequential"
    window: FunnelWindow = "visit"
    id: str = ""


class FunnelsApi:
    """The handlers, with what they need. `who` names a key in the list of changes; `clock` gives Unix seconds."""

    def __init__(
        self,
        funnels: Funnels,
        stats: StatsService,
        sites: Sites,
        keys: ApiKeys,
        audit_log: AuditLog,
        who: Callable[[ApiKey], str],
        clock: Callable[[], float],
    ) -> None:
        self._funnels = funnels
        self._stats = stats
        self._sites = sites
        self._keys = keys
        self._changes = audit_log
        self._who = who
        self._clock = clock

    async def list_funnels(self, request: Request, key: ApiKey) -> Response:
        """`GET /api/v1/sites/DOMAIN/funnels`."""
        site = self._site(request, key.may_read)
        return json_answer({"funnels": [shown_funnel(each) for each in self._funnels.of(site)]})

    async def save_funnel(self, request: Request, key: ApiKey) -> Response:
        """`POST /api/v1/sites/DOMAIN/funnels`: a new one, or in the place of the one whose `id` is given."""
        site = self._site(request, key.may_manage)
        new = read_as(await read_fields(request), NewFunnel)
        funnel = Funnel(name=new.name, steps=new.steps, order=new.order, window=new.window)
        if not new.id:
            saved = await self._funnels.add(site, funnel)
            await self._changes.note(self._who(key), site.domain, N_("Funnel added"), "", described(saved))
            return json_answer(shown_funnel(saved), HTTPStatus.CREATED)
        old = self._known(site, new.id)
        _, saved = await self._funnels.change(site, old.id, funnel)
        await self._changes.note(self._who(key), site.domain, N_("Funnel changed"), described(old), described(saved))
        return json_answer(shown_funnel(saved))

    async def delete_funnel(self, request: Request, key: ApiKey) -> Response:
        """`DELETE /api/v1/sites/DOMAIN/funnels/ID`."""
        site = self._site(request, key.may_manage)
        funnel = self._known(site, request.path_params["funnel"])
        await self._funnels.remove(funnel)
        await self._changes.note(self._who(key), site.domain, N_("Funnel deleted"), described(funnel), "")
        return json_answer({"deleted": True})

    async def get_results(self, request: Request, key: ApiKey) -> Response:
        """`GET /api/v1/sites/DOMAIN/funnels/ID`: its counts over `date_range` (30d), under `filters` (JSON, as in
        queries), by `dimension`, compared with the previous period where `compare` is `previous_period`."""
        site = self._site(request, key.may_read)
        funnel = self._known(site, request.path_params["funnel"])
        given = request.query_params
        for name in given:
            if name not in PARAMETERS:
                raise QueryError(name[:80], f"expected one of {', '.join(PARAMETERS)}")
        period = await self._period(site, given.get("date_range", "30d"))
        asked = self._asked(site, funnel, period, given)
        queries = [asked]
        if given.get("compare"):
            if given["compare"] != "previous_period":
                raise QueryError("compare", "expected previous_period")
            before = same_length(period, period.previous(), self._clock()).at_site(site.former_timezones)
            queries.append(replace(asked, period=before))
        results = await while_connected(request, run_funnels(self._stats, queries))
        answer = {"funnel": shown_funnel(funnel), **_results(results[0])}
        return json_answer(answer | ({"comparison": _results(results[1])} if len(results) > 1 else {}))

    def _asked(self, site: Site, funnel: Funnel, period: Period, given: Mapping[str, str]) -> FunnelQuery:
        try:
            filters = msgspec.json.decode(given.get("filters") or "[]")
        except (msgspec.DecodeError, RecursionError):
            raise QueryError("filters", "expected JSON") from None
        check_bounds(filters)
        tree = parse_filters(filters)
        check_names(tree, site.goals)
        path = path_of(funnel, site.goals)
        return FunnelQuery(site.domain, path, period, tree, given.get("dimension", ""))

    async def _period(self, site: Site, text: str) -> Period:
        now = datetime.datetime.fromtimestamp(self._clock(), datetime.UTC)
        first_day = await self._stats.first_day(site.domain) if text == "all" else None
        period = read_dates(text.split(",") if "," in text else text, site.timezone, now, first_day)
        if not period.whole_dates:
            raise QueryError("date_range", "expected whole dates: a name such as 30d, or two dates and a comma")
        return period.at_site(site.former_timezones)

    def _site(self, request: Request, may: Callable[[Site], bool]) -> Site:
        domain = self._sites.name_of(request.path_params["domain"])
        site = self._sites.get(domain)
        if site is None or not may(site):
            raise ApiError(HTTPStatus.NOT_FOUND, "domain", f"{domain} is not registered, or not for this key")
        return site

    def _known(self, site: Site, id_: str) -> Funnel:
        funnel = self._funnels.get(site, id_)
        if funnel is None:
            raise ApiError(HTTPStatus.NOT_FOUND, "funnel", "this site has no such funnel")
        return funnel

    def guarded(self, handler: FunnelHandler) -> Callable[[Request], Awaitable[Response]]:
        """The handler behind its key, with its errors as JSON."""

        async def answer(request: Request) -> Response:
            try:
                return await handler(request, await bearer(self._keys, request))
            except ApiError as error:
                return refused(error)
            except RecordGone as error:
                return refused(ApiError(HTTPStatus.CONFLICT, error.field, error.reason))
            except RecordError as error:
                return refused(ApiError(HTTPStatus.BAD_REQUEST, error.field, error.reason))
            except QueryError as error:
                return refused(ApiError(HTTPStatus.BAD_REQUEST, error.field, error.expected))
            except QueryTooLarge as error:
                return refused(ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "date_range", str(error)))
            except ClientDisconnect:
                return Response(status_code=499)

        return answer


def shown_funnel(funnel: Funnel) -> dict[str, Any]:
    """A funnel, as JSON."""
    steps = [
        {
            "kind": each.kind,
            "match": each.match,
            "where": [msgspec.structs.asdict(condition) for condition in each.where],
        }
        for each in funnel.steps
    ]
    return {"id": funnel.id, "name": funnel.name, "steps": steps, "order": funnel.order, "window": funnel.window}


def _results(result: FunnelResult) -> dict[str, Any]:
    first = result.steps[0].units
    before = [None, *(each.units for each in result.steps)]
    meta: dict[str, Any] = {"anonymous_events_left_out": result.anonymous}
    if result.hidden:
        meta |= {"hidden": True}
    if any(each.units is None for each in result.steps):
        meta |= {"min_visitors": result.min_visitors}
    if result.rounded_to:
        meta |= {"rounded_to": result.rounded_to}
    if result.events_available_from:
        meta |= {"events_available_from": result.events_available_from}
    if result.imported_days_left_out:
        meta |= {"imported_days_left_out": result.imported_days_left_out}
    return {
        "unit": UNITS[result.window],
        "all": result.all,
        "conversion_rate": result.conversion,
        "steps": [
            {
                "count": each.units,
                "share_of_all": share(each.units, result.all),
                "share_of_first": share(each.units, first),
                "share_of_previous": share(each.units, previous),
                "left": each.left,
                "median_seconds": each.wait,
                "next_pages": [_next_page(row.value) | {"count": row.units} for row in each.after],
            }
            for each, previous in zip(result.steps, before, strict=False)
        ],
        "revenue": {each.currency: {"total": each.total, "average": each.average} for each in result.revenue},
        "rows": list(map(_row, result.rows)),
        "meta": meta,
    }


def _next_page(page: str) -> dict[str, Any]:
    return marked_value("page", page) if page else {"page": None}


def _row(row: FunnelRow) -> dict[str, Any]:
    return marked_value("value", row.value) | {
        "entered": row.units,
        "completed": row.done,
        "conversion_rate": share(row.done, row.units),
    }


def routes(
    funnels: Funnels,
    stats: StatsService,
    sites: Sites,
    keys: ApiKeys,
    audit_log: AuditLog,
    who: Callable[[ApiKey], str],
    clock: Callable[[], float],
) -> Sequence[Route]:
    """The routes of funnels."""
    api = FunnelsApi(funnels, stats, sites, keys, audit_log, who, clock)
    base = "/api/v1/sites/{domain}/funnels"
    return [
        Route(base, api.guarded(api.list_funnels), methods=["GET"]),
        Route(base, api.guarded(api.save_funnel), methods=["POST"]),
        Route(f"{base}/{{funnel}}", api.guarded(api.get_results), methods=["GET"]),
        Route(f"{base}/{{funnel}}", api.guarded(api.delete_funnel), methods=["DELETE"]),
    ]
