"""Revenue in view models: one amount a currency, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dashboard.analytics.query import Result, Row
from dashboard.i18n import formatting
from dashboard.i18n.formatting import Value
from dashboard.i18n.translations import N_, _

REVENUE_MEASURES: Final = {
    "total_revenue": N_("Revenue"),
    "average_revenue": N_("Average order"),
}
"""Metrics of revenue and their titles. A site that never had revenue has none of them."""


@dataclass(frozen=True, slots=True)
class RevenueTotal:
    """One metric of revenue in one currency, with its value in the period before."""

    metric: str
    currency: str
    title: str
    now: Value
    before: Value


def is_revenue(metric: str) -> bool:
    """Whether a metric is an amount of money."""
    return metric in REVENUE_MEASURES


def without_revenue(metrics: Sequence[str]) -> tuple[str, ...]:
    """The metrics that a site without revenue has."""
    return tuple(metric for metric in metrics if not is_revenue(metric))


def has_cents(rows: Iterable[Row], metric: str) -> bool:
    """Whether a column of a metric of revenue has decimals: all of its cells have as many."""
    return formatting.has_cents(each.metric(metric) for row in rows for each in row.revenue)


def revenue_text(row: Row, metric: str, *, cents: bool) -> str:
    """The cell of a metric of revenue: a line for each currency."""
    lines = [formatting.money(each.metric(metric), each.currency, cents=cents) for each in row.revenue]
    return "\n".join(lines) or formatting.NOTHING


def revenue_title(metric: str, currency: str, *, alone: bool) -> str:
    """The name of a metric in one currency, which is said where there are several."""
    title = _(REVENUE_MEASURES[metric])
    return title if alone else _("{metric} ({currency})").format(metric=title, currency=currency)


def revenue_totals(now: Result, before: Result | None) -> tuple[RevenueTotal, ...]:
    """Each metric in each currency of the period, from the totals of both periods."""
    amounts = _by_currency(now)
    earlier = _by_currency(before) if before is not None else {}
    return tuple(
        RevenueTotal(
            metric,
            currency,
            revenue_title(metric, currency, alone=len(amounts) == 1),
            amounts[currency][metric],
            earlier.get(currency, {}).get(metric),
        )
        for currency in amounts
        for metric in REVENUE_MEASURES
    )


def currency_of_chart(now: Result, currency: str) -> str:
    """The currency that the chart is in: the chosen one, else the first of the totals, else none."""
    known = list(_by_currency(now))
    return currency if currency in known else next(iter(known), "")


def revenue_by_time(result: Result, metric: str, currency: str) -> Mapping[str, Value]:
    """The amount of each interval by its label. What a protected view does not tell is unknown, not zero."""
    absent = None if result.protected or metric != "total_revenue" else 0
    return {row.dimensions[0]: None if row.hidden else amount_in(row, metric, currency, absent) for row in result.rows}


def amount_in(row: Row, metric: str, currency: str, absent: Value = None) -> Value:
    """A metric of a row's revenue in one currency; `absent` where it has none that is told."""
    return next((each.metric(metric) for each in row.revenue if each.currency == currency), absent)


def revenue_columns(metrics: Iterable[str], currencies: Sequence[str]) -> tuple[str, ...]:
    """The columns of a file: each metric of revenue in each currency, such as `total_revenue_EUR`."""
    return tuple(f"{metric}_{currency}" for metric in filter(is_revenue, metrics) for currency in currencies)


def revenue_cells(row: Row, metrics: Iterable[str], currencies: Sequence[str]) -> tuple[Value, ...]:
    """The cells of `revenue_columns`, empty where the row has no revenue in a currency, or none that is told."""
    return tuple(amount_in(row, metric, currency) for metric in filter(is_revenue, metrics) for currency in currencies)


def _by_currency(result: Result) -> dict[str, dict[str, Value]]:
    if not result.rows:
        return {}
    return {
        each.currency: {metric: each.metric(metric) for metric in REVENUE_MEASURES} for each in result.rows[0].revenue
    }
