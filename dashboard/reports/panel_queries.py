"""The queries behind panels and headline metrics, and the tabs that are open."""

from __future__ import annotations

from collections.abc import Sequence

from dashboard.analytics.period import Period
from dashboard.analytics.property_keys import property_keys
from dashboard.analytics.query import Query, Result
from dashboard.analytics.service import StatsService
from dashboard.i18n.formatting import Value
from dashboard.reports.filter_params import chosen_filter
from dashboard.reports.panels import PANELS, Panel, Tab, property_tab, tab_under, tab_without_revenue
from dashboard.reports.view_state import ViewState

TOTALS = ("visitors", "visits", "pageviews", "bounce_rate", "visit_duration")


async def open_tabs(
    stats: StatsService, state: ViewState, period: Period, panels: Sequence[Panel] = PANELS
) -> list[Tab]:
    """The open tab of each panel, as it is under the choice's filters."""
    tabs = [tab_under(panel.tab(state.tab(panel.name)), state.chips) for panel in panels]
    if not await stats.currencies(state.domain):
        tabs = list(map(tab_without_revenue, tabs))
    if not any(tab.empty for tab in tabs):
        return tabs
    keys = tuple(await property_keys(stats, state.domain, period, chosen_filter(state.chips)))
    return [property_tab(tab, state.chips, keys, state.key) if tab.empty else tab for tab in tabs]


def query(
    state: ViewState,
    period: Period,
    metrics: tuple[str, ...],
    dimensions: tuple[str, ...] = (),
    limit: int = 1,
    offset: int = 0,
) -> Query:
    """A question under the choice's filters; rows by value have the largest first, rows by time the earliest."""
    timed = bool(dimensions) and dimensions[0].startswith("time:")
    return Query(
        site=state.domain,
        metrics=metrics,
        period=period,
        dimensions=dimensions,
        filters=chosen_filter(state.chips),
        # Rows of the same count need an order of their own, or pages of rows would overlap.
        order_by=() if timed or not dimensions else ((metrics[0], "desc"), (dimensions[0], "asc")),
        limit=limit,
        offset=offset,
    )


def columns_of(tab: Tab, *, wide: bool = False) -> tuple[str, ...]:
    """The metrics that the tab has columns for: all where there is room."""
    return tab.all_columns if wide else (*tab.columns, *tab.optional)


def metrics_of(tab: Tab, *, wide: bool = False) -> tuple[str, ...]:
    """The metrics to query for the tab."""
    return tuple(dict.fromkeys((*columns_of(tab, wide=wide), *((tab.share,) if tab.share else ()))))


def rows_query(state: ViewState, period: Period, tab: Tab, rows: int) -> Query:
    """The question behind a tab, for so many rows that can be shown."""
    if tab.empty:
        return query(state, period, TOTALS)
    # A few more than are shown: hidden values take places too.
    limit = rows + len(tab.hidden) + (not tab.nothing)
    return query(state, period, metrics_of(tab), (tab.dimension,), limit)


def totals(result: Result) -> Sequence[Value]:
    """The metrics of a question without dimensions."""
    return result.rows[0].metrics if result.rows else (None,) * len(result.metrics)
