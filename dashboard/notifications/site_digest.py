"""View model of a report mail: what a guest's page of the site shows of the same dates, in short."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from collector.sites.model import Site
from dashboard.analytics.query import Query, Result
from dashboard.analytics.service import StatsService
from dashboard.i18n import formatting
from dashboard.i18n.formatting import Change, Value
from dashboard.i18n.translations import _, plural
from dashboard.notifications.report_dates import ReportDates
from dashboard.reports.breakdown import Breakdown, breakdown
from dashboard.reports.chart import Point
from dashboard.reports.consent_coverage import WITH, WITHOUT
from dashboard.reports.consent_splits import total_split
from dashboard.reports.date_range import DateRange, read_dates
from dashboard.reports.labels import consent_text
from dashboard.reports.overview import Overview, build_overview, overview_queries
from dashboard.reports.panel_queries import open_tabs, rows_query
from dashboard.reports.panels import panel_named
from dashboard.reports.view_state import ViewState

ROWS: Final = 5
"""Rows of each list."""
CHART_HEIGHT: Final = 72
"""Pixels of the tallest bar."""
TEXT_WIDTH: Final = 24
"""Characters of the longest bar of the text part."""
_LABELLED: Final = 10
"""Up to so many bars each has its own label and number."""


@dataclass(frozen=True, slots=True)
class DigestFigure:
    """A headline metric with its change."""

    title: str
    text: str
    change: Change | None


@dataclass(frozen=True, slots=True)
class DayBar:
    """One day of the chart: `height` in pixels, `drawn` for the text part; `label` is "" where there is no room."""

    label: str
    long: str
    text: str
    height: int
    drawn: str


@dataclass(frozen=True, slots=True)
class DigestRow:
    """A row of a list; `bar` is its length in percent of the first."""

    label: str
    text: str
    share: str
    bar: int


@dataclass(frozen=True, slots=True)
class DigestList:
    """The largest of something. `hidden` says that there are too few visitors to show any."""

    title: str
    heading: str
    rows: tuple[DigestRow, ...]
    hidden: bool


@dataclass(frozen=True, slots=True)
class Digest:
    """A site's figures of the dates of one report."""

    domain: str
    dates: str
    compared: str
    figures: tuple[DigestFigure, ...]
    chart_title: str
    bars: tuple[DayBar, ...]
    lists: tuple[DigestList, ...]
    consent: str
    hidden: str
    """Why there are no figures; "" where there are."""
    notes: tuple[str, ...]
    href: str
    """The dashboard's page of the same dates, below the server's address."""

    @property
    def labelled(self) -> bool:
        """Whether each bar has its number."""
        return len(self.bars) <= _LABELLED

    @property
    def peak(self) -> DayBar:
        """The tallest bar."""
        return max(self.bars, key=lambda bar: bar.height)

    @property
    def empty(self) -> bool:
        """Whether nothing was counted."""
        return not self.hidden and not any(bar.height for bar in self.bars)


async def build_digest(stats: StatsService, site: Site, dates: ReportDates, now: float) -> Digest:
    """Ask for the figures as a guest would and lay them out in the language that is spoken. `now` is a Unix second."""
    guest = stats.as_guest()
    state = ViewState(site.domain, dates.params)
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    shown = read_dates(dates.params, site.timezone, moment, None).at_site(site.former_timezones)
    panels = [panel for name in ("pages", "sources", "events") if (panel := panel_named(name))]
    tabs = await open_tabs(guest, state, shown.period, panels)
    asked = overview_queries(state, shown, with_revenue=bool(await guest.currencies(site.domain)))
    rows = [rows_query(state, shown.period, tab, ROWS) for tab in tabs]
    consent = _consent_queries(site, shown)
    results = await guest.run([*asked, *rows, *consent])
    overview = build_overview(state, shown, results[: len(asked)], (), now)
    parts = results[len(asked) : len(asked) + len(rows)]
    lists = (
        _list(breakdown(state, panel, tab, part, overview.whole, rows=ROWS))
        for panel, tab, part in zip(panels, tabs, parts, strict=True)
    )
    return Digest(
        domain=site.domain,
        dates=formatting.dates(shown.period.first, shown.period.last),
        compared=formatting.dates(shown.before.first, shown.before.last) if shown.before and overview.compared else "",
        figures=tuple(DigestFigure(_plain(each.title), each.text, each.change) for each in overview.figures),
        chart_title=overview.chart.title,
        bars=_bars(overview.chart.points),
        lists=tuple(each for each in lists if each.rows or each.hidden),
        consent=_consent(site, results[len(asked) + len(rows) :]),
        hidden=_few(site) if overview.hidden else "",
        notes=tuple(_notes(overview)),
        href=state.href(),
    )


def _plain(title: str) -> str:
    """A title without the soft hyphens that it has for narrow columns."""
    return title.replace("\N{SOFT HYPHEN}", "")


def _few(site: Site) -> str:
    count = site.min_visitors
    return plural("Hidden: fewer than {count} visitor", "Hidden: fewer than {count} visitors", count).format(
        count=count
    )


def _list(found: Breakdown) -> DigestList:
    return DigestList(
        title=found.title.partition(": ")[2],
        heading=found.columns[0].title,
        rows=tuple(DigestRow(line.label, line.texts[0], line.percent, round(line.bar)) for line in found.lines),
        hidden=found.hidden,
    )


def _bars(points: Sequence[Point]) -> tuple[DayBar, ...]:
    most = max((point.value or 0 for point in points), default=0)
    labelled = len(points) <= _LABELLED
    return tuple(
        DayBar(
            # Of a month each seventh day, from its first.
            label=formatting.short_weekday(point.first) if labelled else "" if index % 7 else str(point.first.day),
            long=f"{formatting.short_weekday(point.first)} {point.label}",
            text=point.text,
            height=_length(point.value, most, CHART_HEIGHT),
            drawn="█" * _length(point.value, most, TEXT_WIDTH),
        )
        for index, point in enumerate(points)
    )


def _length(value: Value, most: float, longest: int) -> int:
    """A length to scale; what is not nothing can be seen."""
    return max(1, round(longest * value / most)) if value and most else 0


def _consent_queries(site: Site, shown: DateRange) -> list[Query]:
    """What `_consent` needs answered; nothing where the policy lets nothing be known."""
    if site.consent == "required":
        return []
    return [Query(site.domain, ("pageviews",), shown.period, (), filters, (), 1) for filters in (None, WITH, WITHOUT)]


def _consent(site: Site, results: Sequence[Result]) -> str:
    """How many of the pageviews came with consent, in a sentence."""
    if site.consent == "required":
        return _("Only visitors who agreed are counted.")
    split = total_split(*results)
    if not split.told:
        return _("Consent coverage is hidden: too few visitors.")
    if not split.without or not split.consented:
        return ""
    if site.consent == "exempt":
        return _("{share} of pageviews came with consent, the rest under exempt measurement.").format(share=split.share)
    return consent_text(split.share)


def _notes(overview: Overview) -> Iterator[str]:
    if overview.rounded_to:
        yield _("Counts are rounded to multiples of {count}, to protect visitors.").format(count=overview.rounded_to)
    days = overview.imported.included
    if days:
        text = plural("{count} of these days was imported.", "{count} of these days were imported.", days)
        yield text.format(count=days)
