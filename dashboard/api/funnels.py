"""Funnels over the API: list, save, delete, and results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from collector.sites.model import Site
from collector.sites.registry import Sites
from dashboard.access.api_keys import ApiKey, ApiKeys
from dashboard.access.audit_log import AuditLog
from dashboard.analytics.client_disconnect import while_connected
from dashboard.analytics.errors import QueryError
from dashboard.analytics.filters import FunnelOrder, FunnelWindow
from dashboard.analytics.funnels import Funnel, FunnelStep, path_of
from dashboard.analytics.funnels_service import FunnelQuery, FunnelResult, FunnelRow, run_funnels, share
from dashboard.analytics.query import marked_value
from dashboard.api.answer_meta import protection_meta
from dashboard.api.auth import ApiError, json_answer
from dashboard.api.key_handlers import KeyHandler, answering, key_name, site_of
from dashboard.api.request_bodies import read_as, read_fields
from dashboard.api.stats import StatsApi
from dashboard.i18n.translations import N_
from dashboard.reports.comparison import same_length
from dashboard.reports.funnels import Funnels, described

PARAMETERS = ("date_range", "filters", "dimension", "compare")
UNITS: Mapping[FunnelWindow, str] = {"visit": "visits", "day": "visitors"}


class NewFunnel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that saves a funnel; with an `id` it takes the place of the one that has it."""

    name: str
    steps: tuple[FunnelStep, ...]
    order: FunnelOrder = "sequential"
    window: FunnelWindow = "visit"
    id: str = ""


class FunnelsApi:
    """The handlers, with what they need. `clock` gives Unix seconds."""

    def __init__(
        self,
        funnels: Funnels,
        statistics: StatsApi,
        sites: Sites,
        audit_log: AuditLog,
        clock: Callable[[], float],
    ) -> None:
        self._funnels = funnels
        self._statistics = statistics
        self._sites = sites
        self._changes = audit_log
        self._clock = clock

    async def list_funnels(self, request: Request, key: ApiKey) -> Response:
        """`GET /api/v1/sites/DOMAIN/funnels`."""
        site = site_of(self._sites, request, key.may_read)
        return json_answer({"funnels": [shown_funnel(each) for each in self._funnels.of(site)]})

    async def save_funnel(self, request: Request, key: ApiKey) -> Response:
        """`POST /api/v1/sites/DOMAIN/funnels`: a new one, or in the place of the one whose `id` is given."""
        site = site_of(self._sites, request, key.may_manage)
        new = read_as(await read_fields(request), NewFunnel)
        funnel = Funnel(name=new.name, steps=new.steps, order=new.order, window=new.window)
        if not new.id:
            saved = await self._funnels.add(site, funnel)
            await self._changes.note(key_name(key), site.domain, N_("Funnel added"), "", described(saved))
            return json_answer(shown_funnel(saved), HTTPStatus.CREATED)
        old = self._known(site, new.id)
        _, saved = await self._funnels.change(site, old.id, funnel)
        await self._changes.note(key_name(key), site.domain, N_("Funnel changed"), described(old), described(saved))
        return json_answer(shown_funnel(saved))

    async def delete_funnel(self, request: Request, key: ApiKey) -> Response:
        """`DELETE /api/v1/sites/DOMAIN/funnels/ID`."""
        site = site_of(self._sites, request, key.may_manage)
        funnel = self._known(site, request.path_params["funnel"])
        await self._funnels.remove(funnel)
        await self._changes.note(key_name(key), site.domain, N_("Funnel deleted"), described(funnel), "")
        return json_answer({"deleted": True})

    async def get_results(self, request: Request, key: ApiKey) -> Response:
        """`GET /api/v1/sites/DOMAIN/funnels/ID`: its counts over `date_range` (30d), under `filters` (JSON, as in
        queries), by `dimension`, compared with the previous period where `compare` is `previous_period`."""
        site = site_of(self._sites, request, key.may_read)
        funnel = self._known(site, request.path_params["funnel"])
        given = request.query_params
        for name in given:
            if name not in PARAMETERS:
                raise QueryError(name[:80], f"expected one of {', '.join(PARAMETERS)}")
        asked = await self._asked(site, funnel, given)
        queries = [asked]
        if given.get("compare"):
            if given["compare"] != "previous_period":
                raise QueryError("compare", "expected previous_period")
            period = asked.period
            before = same_length(period, period.previous(), self._clock()).at_site(site.former_timezones)
            queries.append(replace(asked, period=before))
        results = await while_connected(request, run_funnels(self._statistics.stats, queries))
        answer = {"funnel": shown_funnel(funnel), **_results(results[0])}
        return json_answer(answer | ({"comparison": _results(results[1])} if len(results) > 1 else {}))

    async def _asked(self, site: Site, funnel: Funnel, given: Mapping[str, str]) -> FunnelQuery:
        try:
            filters = msgspec.json.decode(given.get("filters") or "[]")
        except (msgspec.DecodeError, RecursionError):
            raise QueryError("filters", "expected JSON") from None
        dates = given.get("date_range", "30d")
        query = await self._statistics.selected(
            site, {"date_range": dates.split(",") if "," in dates else dates, "filters": filters}
        )
        if not query.period.whole_dates:
            raise QueryError("date_range", "expected whole dates: a name such as 30d, or two dates and a comma")
        path = path_of(funnel, site.goals)
        return FunnelQuery(site.domain, path, query.period, query.filters, given.get("dimension", ""))

    def _known(self, site: Site, id_: str) -> Funnel:
        funnel = self._funnels.get(site, id_)
        if funnel is None:
            raise ApiError(HTTPStatus.NOT_FOUND, "funnel", "this site has no such funnel")
        return funnel


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
    meta = {"anonymous_events_left_out": result.anonymous, **protection_meta(result)}
    if any(each.units is None for each in result.steps):
        meta |= {"min_visitors": result.min_visitors}
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
    statistics: StatsApi,
    sites: Sites,
    keys: ApiKeys,
    audit_log: AuditLog,
    clock: Callable[[], float],
) -> Sequence[Route]:
    """The routes of funnels."""
    api = FunnelsApi(funnels, statistics, sites, audit_log, clock)
    base = "/api/v1/sites/{domain}/funnels"
    table: list[tuple[str, str, KeyHandler]] = [
        ("GET", base, api.list_funnels),
        ("POST", base, api.save_funnel),
        ("GET", f"{base}/{{funnel}}", api.get_results),
        ("DELETE", f"{base}/{{funnel}}", api.delete_funnel),
    ]
    return [Route(path, answering(keys, handler), methods=[method]) for method, path, handler in table]
