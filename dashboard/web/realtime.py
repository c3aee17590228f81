"""Realtime page, and the event stream that updates pages."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from collector.sites.model import Site
from dashboard.access.guests import is_guest
from dashboard.access.users import User
from dashboard.analytics.dimensions import find_dimension
from dashboard.analytics.query import OTHER
from dashboard.i18n import formatting
from dashboard.i18n.translations import N_, _, language
from dashboard.reports.date_range import DEFAULT_SPAN, DateRangeParams, read_dates
from dashboard.reports.filter_params import FilterParam, dimension_title
from dashboard.reports.labels import label
from dashboard.reports.panels import TABS
from dashboard.reports.realtime_figures import BREAKDOWNS, Realtime, RealtimeGroup, realtime_figures
from dashboard.reports.realtime_hub import HEARTBEAT_SECONDS, RealtimeChannel, RealtimeSnapshot, TooManyListeners
from dashboard.reports.site_report import Report, build_report
from dashboard.reports.svg import Bar, axis, bars, share
from dashboard.reports.view_state import ViewState, read_choice, with_base_url
from dashboard.web.app_context import Dashboard, network_of_request, stats_for, visible_site
from dashboard.web.event_stream import BEAT, RETRY, EventStream, event
from dashboard.web.templating import fragment_asked

LIFETIME_SECONDS: Final = 60.0
"""A stream ends after so long; the browser asks for a new one, and whether it may is looked at again."""

_ANY_BASE: Final = "/share/-any-share-link-"
"""Stands for `/share/TOKEN` in texts that readers of several shared links get; no token is as short."""

TITLES: Final = {"source": N_("Sources"), "page": N_("Pages"), "country": N_("Countries")}


@dataclass(frozen=True, slots=True)
class RealtimeRow:
    """One row: `href` filters today's figures by it, "" where that is not possible."""

    label: str
    href: str
    text: str
    bar: float
    value: str
    folded: bool
    """Whether it stands for small groups together."""


@dataclass(frozen=True, slots=True)
class LivePanel:
    """One breakdown of the last half hour."""

    name: str
    title: str
    heading: str
    dimension: str
    lines: tuple[RealtimeRow, ...]


@dataclass(frozen=True, slots=True)
class Minute:
    """One bar of the chart: minutes ago, pageviews."""

    ago: int
    count: int
    bar: Bar


@dataclass(frozen=True, slots=True)
class Live:
    """View model of the realtime page."""

    present: Realtime
    axis: tuple[int, int, int]
    minutes: tuple[Minute, ...]
    panels: tuple[LivePanel, ...]


async def show_realtime(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/realtime`: the last half hour, and today so far."""
    site = visible_site(dashboard, request, user)
    choice = _choice(site, request, user)
    values = {"site": site, "user": user, "choice": choice, "today": await _today(dashboard, site, choice, user)}
    if fragment_asked(request) == "today":
        return dashboard.pages.html("_today.html", **values)
    reader = stats_for(dashboard, user)
    present = await realtime_figures(reader, site.domain, site.timezone, site.former_timezones)
    live = build_live(present, choice)
    return dashboard.pages.html("realtime.html", live=live, **values)


async def _today(dashboard: Dashboard, site: Site, choice: ViewState, user: User) -> Report:
    """Today's report: the very figures that the site's page has, whole dates being exact where minutes are not."""
    state = choice.to_span(DateRangeParams(period="day", compare="none"))
    now = dashboard.clock()
    dates = read_dates(state.span, site.timezone, datetime.datetime.fromtimestamp(now, datetime.UTC), None)
    return await build_report(stats_for(dashboard, user), state, dates.at_site(site.former_timezones), (), now)


async def stream(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/realtime/stream`: an event whenever the present has changed; with `only=changes` without its figures."""
    site = visible_site(dashboard, request, user)
    choice, home = _stream_choice(site, user)
    spoken, plain = language(), request.query_params.get("only") == "changes"
    network = network_of_request(dashboard, request)

    def figures(present: Realtime) -> bytes:
        live = build_live(present, choice)
        return event("present", dashboard.pages.text("_live.html", site=site, choice=choice, live=live))

    def text(frame: RealtimeSnapshot) -> bytes:
        present = frame.present
        if present is None:
            return event("away", "")
        if plain:
            return event("changed", present.current_visitors)
        text = frame.text((spoken, choice.href()), lambda: figures(present))
        return text.replace(_ANY_BASE.encode(), home.encode()) if home else text

    async def parts() -> AsyncIterator[bytes]:
        try:
            async with dashboard.hubs.listening(site.domain, network, guest=is_guest(user)) as hub:
                yield RETRY
                async for part in encode_snapshot(hub, text):
                    if not _may_read_on(dashboard, request, user, site):
                        return
                    yield part
        except TooManyListeners:
            return

    if dashboard.hubs.is_full(site.domain, network, guest=is_guest(user)):
        raise HTTPException(503, headers={"retry-after": "10"})
    return EventStream(parts)


def _may_read_on(dashboard: Dashboard, request: Request, user: User, site: Site) -> bool:
    """Whether a stream's reader may still read the site: what is read by its name may be of the next one."""
    now = dashboard.sites.get(site.domain)
    if now is None or now.id != site.id:
        return False
    if not is_guest(user):
        current = dashboard.users.current(user)
        return current is not None and current.sees(now)
    token = request.path_params.get("token")
    return now.public if token is None else dashboard.shares.opened(token) is not None


async def encode_snapshot(
    hub: RealtimeChannel,
    text: Callable[[RealtimeSnapshot], bytes],
    beat: float = HEARTBEAT_SECONDS,
    lifetime: float = LIFETIME_SECONDS,
) -> AsyncIterator[bytes]:
    """The hub's frames as texts, with a beat where nothing happens, until the hub closes or the time is over."""
    loop = asyncio.get_running_loop()
    ends, seen = loop.time() + lifetime, 0
    while (left := ends - loop.time()) > 0:
        try:
            frame = await asyncio.wait_for(hub.newer(seen), min(beat, left))
        except TimeoutError:
            yield BEAT
            continue
        if frame is None:
            return
        seen = frame.number
        yield text(frame)


def build_live(present: Realtime, state: ViewState) -> Live:
    """Lay the present out; `state` is the view that links lead from."""
    counts = [count for _start, count in present.minutes]
    last = len(counts) - 1
    today = state.to_span(DateRangeParams(period="day"))
    marks = axis(counts)
    parts = zip(BREAKDOWNS.items(), (present.sources, present.pages, present.countries), strict=True)
    return Live(
        present=present,
        axis=marks,
        minutes=tuple(Minute(last - place, counts[place], bar) for place, bar in enumerate(bars(counts, top=marks[0]))),
        panels=tuple(
            LivePanel(
                name, _(TITLES[name]), dimension_title(dimension), dimension, tuple(_lines(today, dimension, groups))
            )
            for (name, dimension), groups in parts
        ),
    )


def _lines(state: ViewState, dimension: str, groups: tuple[RealtimeGroup, ...]) -> list[RealtimeRow]:
    most = max((group.visitors for group in groups), default=0)
    return [_line(state, dimension, group, most) for group in groups]


def _line(state: ViewState, dimension: str, group: RealtimeGroup, most: int) -> RealtimeRow:
    folded = group.value == OTHER
    value = find_dimension(dimension).label(group.value)
    return RealtimeRow(
        label=_("Other (grouped for privacy)") if folded else label(dimension, value),
        href="" if folded else state.filtered(FilterParam("is", dimension, value)).href(),
        text=formatting.compact(group.visitors),
        bar=share(group.visitors, most),
        value=value,
        folded=folded,
    )


def _choice(site: Site, request: Request, user: User) -> ViewState:
    """The view that the page belongs to, without its dates: these are the last half hour."""
    return with_base_url(read_choice(site.domain, request.query_params, TABS), user).to_span(DEFAULT_SPAN).only(())


def _stream_choice(site: Site, user: User) -> tuple[ViewState, str]:
    """The view of a stream, whatever else its address says, and the base of a guest's links, which is empty for others.

    The view's own links begin with `_ANY_BASE`, so that all shared links of a site share its texts.
    """
    choice = with_base_url(ViewState(site.domain), user)
    return (replace(choice, base=_ANY_BASE), choice.base) if choice.base else (choice, "")
