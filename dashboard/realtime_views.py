"""A site's present: the page of its last half hour, and the stream of events that keeps pages up to date."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from collector.sites import Site
from dashboard import formats
from dashboard.charts import Bar, bars, share
from dashboard.chips import Chip, dimension_title
from dashboard.choice import Choice, read_choice
from dashboard.context import Dashboard, visible_site
from dashboard.dimensions import find_dimension
from dashboard.event_stream import BEAT, RETRY, EventStream, event
from dashboard.guests import placed
from dashboard.labels import label
from dashboard.panels import TABS
from dashboard.present import PARTS, Group, Present
from dashboard.protect import OTHER
from dashboard.realtime import HEARTBEAT_SECONDS, Frame, Hub, TooManyListeners
from dashboard.spans import DEFAULT_SPAN, Span
from dashboard.users import User
from dashboard.wording import N_, _, language

LIFETIME_SECONDS: Final = 60.0
"""A stream ends after so long; the browser asks for a new one, and whether it may is looked at again."""

TITLES: Final = {"source": N_("Sources"), "page": N_("Pages"), "country": N_("Countries")}


@dataclass(frozen=True, slots=True)
class Line:
    """One row: `href` filters today's figures by it, "" where that is not possible."""

    label: str
    href: str
    text: str
    bar: float


@dataclass(frozen=True, slots=True)
class LivePanel:
    """One breakdown of the last half hour."""

    name: str
    title: str
    heading: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Minute:
    """One bar of the chart: minutes ago, pageviews."""

    ago: int
    count: int
    bar: Bar


@dataclass(frozen=True, slots=True)
class Live:
    """What the page shows of the present."""

    present: Present
    minutes: tuple[Minute, ...]
    panels: tuple[LivePanel, ...]


async def show_realtime(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/realtime`: the last half hour."""
    site = visible_site(dashboard, request, user)
    choice = _choice(site, request, user)
    live = build_live(await dashboard.store.present(site.domain), choice)
    return dashboard.pages.html("realtime.html", site=site, user=user, choice=choice, live=live)


async def stream(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/realtime/stream`: an event whenever the present has changed; with `only=changes` without its figures."""
    site = visible_site(dashboard, request, user)
    choice = _choice(site, request, user)
    spoken, plain = language(), request.query_params.get("only") == "changes"

    def figures(present: Present) -> bytes:
        live = build_live(present, choice)
        return event("present", dashboard.pages.text("_live.html", site=site, choice=choice, live=live))

    def text(frame: Frame) -> bytes:
        present = frame.present
        if present is None:
            return event("away", "")
        if plain:
            return event("changed", present.now)
        return frame.text((spoken, choice.href()), lambda: figures(present))

    async def parts() -> AsyncIterator[bytes]:
        try:
            async with dashboard.hubs.listening(site.domain) as hub:
                yield RETRY
                async for part in told(hub, text):
                    yield part
        except TooManyListeners:
            return

    if dashboard.hubs.full:
        raise HTTPException(503, headers={"retry-after": "10"})
    return EventStream(parts)


async def told(
    hub: Hub, text: Callable[[Frame], bytes], beat: float = HEARTBEAT_SECONDS, lifetime: float = LIFETIME_SECONDS
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


def build_live(present: Present, choice: Choice) -> Live:
    """Lay the present out; `choice` is the view that links lead from."""
    counts = [count for _start, count in present.minutes]
    last = len(counts) - 1
    today = choice.to_span(Span(period="day"))
    parts = zip(PARTS.items(), (present.sources, present.pages, present.countries), strict=True)
    return Live(
        present=present,
        minutes=tuple(Minute(last - place, counts[place], bar) for place, bar in enumerate(bars(counts))),
        panels=tuple(
            LivePanel(name, _(TITLES[name]), dimension_title(dimension), tuple(_lines(today, dimension, groups)))
            for (name, dimension), groups in parts
        ),
    )


def _lines(choice: Choice, dimension: str, groups: tuple[Group, ...]) -> list[Line]:
    most = max((group.visitors for group in groups), default=0)
    return [_line(choice, dimension, group, most) for group in groups]


def _line(choice: Choice, dimension: str, group: Group, most: int) -> Line:
    folded = group.value == OTHER
    value = find_dimension(dimension).label(group.value)
    return Line(
        label=_("Small groups together") if folded else label(dimension, value),
        href="" if folded else choice.filtered(Chip("is", dimension, value)).href(),
        text=formats.compact(group.visitors),
        bar=share(group.visitors, most),
    )


def _choice(site: Site, request: Request, user: User) -> Choice:
    """The view that the page belongs to, without its dates: these are the last half hour."""
    return placed(read_choice(site.domain, request.query_params, TABS), user).to_span(DEFAULT_SPAN).only(())
