"""View model of the consent page: how many pageviews came with which consent.

Pageviews are counted with consent, under exempt measurement, or as anonymous counts that know neither visitor nor
country.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from collector.sites.model import Site
from dashboard.analytics.dimensions import ANONYMOUS
from dashboard.analytics.filters import Compare, Filter, Not
from dashboard.analytics.period import Period
from dashboard.analytics.query import OTHER, Query, Result
from dashboard.i18n import formatting
from dashboard.i18n.translations import _, plural
from dashboard.reports.annotations import Annotation
from dashboard.reports.consent_splits import Split, by_country, by_name, by_source, ranked, total_split
from dashboard.reports.date_range import DateRange
from dashboard.reports.labels import label
from dashboard.reports.stacked_chart import StackedChart, line_path, stacked_chart
from dashboard.reports.time_buckets import TimeBucket, time_buckets

NO_CONSENT: Final = (ANONYMOUS, "exempt")
"""Kinds of evidence that are no answer of the visitor: an anonymous count, and exempt measurement."""
WITHOUT: Final[Filter] = Compare("is", "visit:consent", NO_CONSENT)
WITH: Final[Filter] = Not(WITHOUT)
EXEMPT: Final[Filter] = Compare("is", "visit:consent", ("exempt",))
COUNTED_ANONYMOUSLY: Final[Filter] = Compare("is", "visit:consent", (ANONYMOUS,))
"""Anonymous counts; together with `EXEMPT` the same as `WITHOUT`."""

MOST_ROWS: Final = 5_000
COLOURS: Final = 6
"""Series that have a colour of their own; all further ones share the last."""
MOST_KINDS: Final = COLOURS - 1
"""Kinds of consent that are told apart, as anybody may send any; all further ones are `OTHERS`."""
OTHERS: Final = ""
_LABELS: Final = 5
"""Labels on the chart's axis of time, at most."""


@dataclass(frozen=True, slots=True)
class Interval:
    """One interval of the chart: its split, and its pageviews by the names of the series."""

    moment: TimeBucket
    split: Split
    values: tuple[int, ...]
    spoken: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """One segment of the bars: its kind of evidence, "" for several; its title, and the number of its colour;
    `without` says that it is no consent."""

    kind: str
    title: str
    colour: int
    without: bool = False


@dataclass(frozen=True, slots=True)
class PolicyOutcome:
    """What a policy would show of the same pageviews; "" where that is unknown under the policy in force."""

    policy: str
    current: bool
    pageviews: str
    visits: str


@dataclass(frozen=True, slots=True)
class ConsentReport:
    """Everything on the page. `known` says whether coverage can be known under the policy in force."""

    total: Split
    before: Split | None
    known: bool
    series: tuple[Series, ...]
    intervals: tuple[Interval, ...]
    chart: StackedChart
    coverage_line: str
    labels: tuple[str, ...]
    pages: tuple[Split, ...]
    sources: tuple[Split, ...]
    countries: tuple[Split, ...]
    policies: tuple[PolicyOutcome, ...]

    @property
    def compared(self) -> bool:
        """Whether the period before has anything to compare with."""
        return self.before is not None and (not self.before.told or self.before.size > 0)

    @property
    def change(self) -> formatting.Change | None:
        """How coverage moved since the period before, in percentage points."""
        if self.before is None or self.before.ratio is None or self.total.ratio is None or not self.known:
            return None
        return formatting.change("consent_rate", round(100 * self.total.ratio), round(100 * self.before.ratio))


def consent_queries(site: Site, dates: DateRange) -> list[Query]:
    """What `build_consent_report` needs answered, in order."""
    period, before = dates.period, dates.compared
    time = f"time:{period.bucket}"

    def asked(
        *dimensions: str, filters: Filter | None = None, metric: str = "pageviews", span: Period = period
    ) -> Query:
        order = () if dimensions[:1] == (time,) else ((metric, "desc"),)
        return Query(site.domain, (metric,), span, dimensions, filters, order, MOST_ROWS)

    return [
        asked(filters=WITH),
        asked(filters=WITHOUT),
        asked(time),
        asked(time, filters=WITH),
        asked(time, filters=WITHOUT),
        asked(time, "visit:consent", filters=WITH),
        asked(time, "visit:consent", filters=WITHOUT),
        asked("event:page"),
        asked("event:page", filters=WITH),
        asked("event:page", filters=WITHOUT),
        asked("visit:source", filters=WITH, metric="visits"),
        asked("visit:referrer", filters=WITHOUT),
        asked("visit:country", filters=WITH),
        asked("visit:country", filters=EXEMPT),
        asked(filters=COUNTED_ANONYMOUSLY),
        *(asked(filters=each, span=before) for each in (None, WITH, WITHOUT) if before),
    ]


def build_consent_report(
    site: Site, dates: DateRange, results: Sequence[Result], notes: Sequence[Annotation], now: float
) -> ConsentReport:
    """Lay out the answers to `consent_queries`."""
    all_with, all_without, *times = results[:7]
    pages, with_page, without_page, sources, referrers, countries, exempt_countries, anonymous = results[7:15]
    total = total_split(times[0], all_with, all_without)
    moments = [moment for moment in time_buckets(dates.period, now) if not moment.future]
    # Of few people in all who consented, any group that is not split would be theirs.
    hidden = all_with.hidden or all_without.hidden
    splits = by_name(*times[:3], hidden=hidden)
    # Small groups of each half are folded by themselves, as the split tells each half.
    by_kind = _by_kind(*times[3:])
    kinds = _kinds(by_kind.values())
    intervals = tuple(
        _interval(moment, splits.get(moment.key, Split(moment.key, 0, 0, 0)), by_kind.get(moment.key, {}), kinds, notes)
        for moment in moments
    )
    of_pages = ranked(by_name(pages, with_page, without_page, hidden=hidden).values())
    return ConsentReport(
        total=total,
        before=total_split(results[15], *results[16:]) if len(results) > 15 else None,
        known=site.consent == "limited" and bool(total.without),
        series=_series(kinds, undivided=any(each.values[-1] for each in intervals)),
        intervals=intervals,
        chart=stacked_chart([each.values for each in intervals]),
        coverage_line=line_path([each.split.ratio if each.split.without else None for each in intervals]),
        labels=_axis_labels(moments),
        pages=of_pages,
        sources=ranked(by_source(sources, referrers)),
        # Exempt pageviews of all countries, taken from all without consent, leave the anonymous ones.
        countries=ranked(by_country(countries, Result((), ()) if anonymous.hidden else exempt_countries)),
        policies=_outcomes(site, total),
    )


def _by_kind(*halves: Result) -> dict[str, dict[str, int]]:
    """Pageviews of each interval by kind of evidence, as far as they may be told."""
    found: dict[str, dict[str, int]] = {}
    for row in chain.from_iterable(half.rows for half in halves):
        time, kind = row.dimensions
        if kind != OTHER and not row.hidden:
            found.setdefault(time, {})[kind] = int(row.metrics[0] or 0)
    return found


def _kinds(intervals: Iterable[Mapping[str, int]]) -> tuple[str, ...]:
    """Kinds of evidence, the most frequent first, then all further ones together, and those that are no consent."""
    counts: Counter[str] = Counter()
    for each in intervals:
        counts.update(each)
    given = sorted(counts.keys() - set(NO_CONSENT), key=lambda kind: (-counts[kind], kind))
    further = (OTHERS,) if len(given) > MOST_KINDS else ()
    return (*given[:MOST_KINDS], *further, *(kind for kind in NO_CONSENT if kind in counts))


def _series(kinds: Sequence[str], *, undivided: bool) -> tuple[Series, ...]:
    """A series for each kind of evidence, and one for what is `undivided`."""
    given = [
        Series(
            kind,
            label("visit:consent", kind) if kind else _("Other banners"),
            min(index, COLOURS - 1),
            without=kind in NO_CONSENT,
        )
        for index, kind in enumerate(kinds)
    ]
    return (*given, *([Series(OTHERS, _("Not split, for privacy"), COLOURS)] if undivided else []))


def _interval(
    moment: TimeBucket, split: Split, counts: Mapping[str, int], kinds: Sequence[str], notes: Sequence[Annotation]
) -> Interval:
    """The interval by kinds of evidence; one that is not split into consent and none is not split at all."""
    told: Counter[str] = Counter()
    for kind, count in counts.items() if split.told else ():
        told[kind if kind in kinds else OTHERS] += count
    values = [told[kind] for kind in kinds]
    values.append(max(0, split.size - sum(values)))
    spoken = plural("{count} pageview", "{count} pageviews", split.size).format(count=formatting.number(split.size))
    if split.told and split.without:
        spoken = _("{pageviews}, {share} with consent").format(pageviews=spoken, share=split.share)
    noted = tuple(note.text for note in notes if moment.first <= note.day <= moment.last)
    return Interval(moment, split, tuple(values), f"{moment.long}: {spoken}", noted)


def _axis_labels(moments: Sequence[TimeBucket]) -> tuple[str, ...]:
    """A label for each interval, empty where there is no room."""
    every = -(-len(moments) // _LABELS) or 1
    return tuple(moment.label if index % every == 0 else "" for index, moment in enumerate(moments))


def _outcomes(site: Site, total: Split) -> tuple[PolicyOutcome, ...]:
    """What each policy would show of the period, as far as the policy in force lets it be known."""
    consent, everyone = _("Of visitors who agreed"), _("Of everyone who has not refused")
    visits = {"required": consent, "limited": consent, "exempt": everyone}
    counts = dict.fromkeys(visits, "")
    if total.consented is not None and total.without is not None:
        counts |= _counted(site, total.consented, total.consented + total.without)
    return tuple(PolicyOutcome(policy, policy == site.consent, counts[policy], visits[policy]) for policy in visits)


def _counted(site: Site, yes: int, both: int) -> dict[str, str]:
    """Pageviews that each policy would count. Those of visitors who refused are in no count of the policy `exempt`, and
    under `limited` nothing tells them from those who have not answered."""
    consented, every = formatting.number(yes), formatting.number(both)
    if site.consent == "limited":
        return {
            "required": consented,
            "limited": every,
            "exempt": _("{few} to {many}").format(few=consented, many=every),
        }
    if site.consent == "exempt":
        return {"required": consented, "limited": _("At least {count}").format(count=every), "exempt": every}
    return {"required": every}
