"""View model of a site's report."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.analytics.current_visitors import current_visitors
from dashboard.analytics.dimensions import ANONYMOUS
from dashboard.analytics.period import Period
from dashboard.analytics.query import OTHER, Result
from dashboard.analytics.service import StatsService
from dashboard.i18n import formatting
from dashboard.i18n.translations import _
from dashboard.reports.annotations import Annotation
from dashboard.reports.breakdown import ROWS, Breakdown, breakdown
from dashboard.reports.chart import Chart
from dashboard.reports.date_picker import PeriodMenu, build_menu
from dashboard.reports.date_range import DateRange
from dashboard.reports.filter_bar import FilterLink, filter_links
from dashboard.reports.labels import consent_text
from dashboard.reports.overview import Figure, Overview, build_overview, overview_queries
from dashboard.reports.panel_queries import open_tabs, rows_query
from dashboard.reports.panels import PANELS, Tab
from dashboard.reports.view_state import ViewState
from dashboard.reports.world import COUNTRIES, MAP


@dataclass(frozen=True, slots=True)
class Report:
    """A site page's figures, chart and panels for one choice."""

    choice: ViewState
    menu: PeriodMenu
    period: Period
    now_visitors: int
    overview: Overview
    breakdowns: tuple[Breakdown, ...]
    chips: tuple[FilterLink, ...]
    coverage: str = ""
    """What is counted without consent, and what only with it; "" where all is with it, or that may not be told."""
    consented: bool = False
    """Whether filters leave nothing that was counted without consent."""

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The figures on top."""
        return self.overview.figures

    @property
    def chart(self) -> Chart:
        """The chart under them."""
        return self.overview.chart

    @property
    def live(self) -> bool:
        """Whether the present is in the period, so that it is worth asking again."""
        return self.overview.live

    @property
    def empty(self) -> bool:
        """Whether nothing at all was counted."""
        return self.overview.empty

    @property
    def hidden(self) -> bool:
        """Whether the view has too few visitors to be shown."""
        return self.overview.hidden

    @property
    def rounded_to(self) -> int:
        """The multiple that every count is rounded to; 0 where counts are exact."""
        return self.overview.rounded_to

    @property
    def events_available_from(self) -> datetime.date | None:
        """The first date that still has events, where the view needs events of earlier ones."""
        return self.overview.events_available_from


async def build_report(
    stats: StatsService, state: ViewState, dates: DateRange, notes: Sequence[Annotation], now: float
) -> Report:
    """Ask for everything at once and lay it out. `notes` are those of the period; `now` is a Unix second."""
    period = dates.period
    tabs = await open_tabs(stats, state, period)
    asked = overview_queries(state, dates, with_revenue=bool(await stats.currencies(state.domain)))
    rows = (rows_query(state, period, tab, _rows(tab) + 1) for tab in tabs)
    results, now_visitors = await asyncio.gather(
        stats.run([*asked, *rows]), current_visitors(stats, state.domain, period.zone)
    )
    overview = build_overview(state, dates, results[: len(asked)], notes, now)
    return Report(
        choice=state,
        menu=build_menu(state, dates, compared=overview.compared),
        period=period,
        now_visitors=now_visitors,
        overview=overview,
        breakdowns=tuple(
            breakdown(state, panel, tab, part, overview.whole, rows=_rows(tab))
            for panel, tab, part in zip(PANELS, tabs, results[len(asked) :], strict=True)
        ),
        chips=filter_links(state),
        coverage=_coverage(tabs, results[len(asked) :]),
        consented=_consented(state, tabs, results[len(asked) :]),
    )


def _coverage(tabs: Sequence[Tab], parts: Sequence[Result]) -> str:
    """What is counted without consent, and what only with it, from the panel of kinds of evidence."""
    part = _by_consent(tabs, parts)
    counts = {row.dimensions[0]: row.metrics[0] or 0 for row in part.rows}
    if ANONYMOUS not in counts:
        return ""
    if part.protected:
        return _("Pageviews without consent are included: they belong to no visitor and no visit.")
    if not counts[ANONYMOUS]:
        return ""
    whole = sum(counts.values())
    share = formatting.percent(round(100 * (whole - counts[ANONYMOUS]) / whole))
    if "exempt" in counts:
        return _(
            "Of pageviews without a visit nothing else is counted: visitors, visits, custom events and revenue are "
            "known for the {share} of pageviews that came with consent or under exempt measurement."
        ).format(share=share)
    return consent_text(share)


def _consented(state: ViewState, tabs: Sequence[Tab], parts: Sequence[Result]) -> bool:
    """Whether filters leave nothing that was counted without consent, as far as that may be told."""
    part = _by_consent(tabs, parts)
    kinds = {row.dimensions[0] for row in part.rows}
    return bool(state.chips and kinds) and not kinds & {ANONYMOUS, OTHER} and len(part.rows) <= ROWS


def _by_consent(tabs: Sequence[Tab], parts: Sequence[Result]) -> Result:
    return next(part for tab, part in zip(tabs, parts, strict=True) if tab.dimension == "visit:consent")


def _rows(tab: Tab) -> int:
    """The rows to show: on a map, every country."""
    return COUNTRIES if tab.name == MAP else ROWS
