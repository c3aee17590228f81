"""What each metric counts, in plain words; docs/metrics.md has the definitions."""

from __future__ import annotations

from typing import Final

from dashboard.i18n.translations import N_, _

HELP: Final = {
    "visitors": N_(
        "Each day’s unique visitors, added up. Someone who returns on another day counts again, as nobody is "
        "recognized from one day to the next. In lists a visitor counts in each row that applies: rows can add up to "
        "more."
    ),
    "visits": N_(
        "A series of pageviews and events by one visitor. A visit ends after 30 minutes of inactivity, and at midnight."
    ),
    "pageviews": N_("Pages opened, including reloads."),
    "views_per_visit": N_("Pageviews that belong to a visit, divided by visits."),
    "bounce_rate": N_("Percentage of visits that ended after their first pageview or event."),
    "visit_duration": N_("Average time from the first event of a visit to its last."),
    "events": N_("All pageviews and custom events together."),
    "conversion_rate": N_("Percentage of visitors, without the goal filter, who completed the goal."),
    "group_conversion_rate": N_("Percentage of the row’s visitors who completed the goal."),
    "time_on_page": N_("Average time that the page was visible, over the visits in which it was measured."),
    "scroll_depth": N_("Average percentage of the page that visitors scrolled."),
    "returning_visitors": N_(
        "Visitors with two or more visits on the same day. Someone who returns on another day is not recognized."
    ),
    "returning_rate": N_("Returning visitors as a percentage of visitors."),
    "exit_rate": N_("Visits that ended on the page, as a percentage of its pageviews."),
    "total_revenue": N_("Sum of all amounts in this currency. Nothing is converted."),
    "average_revenue": N_("Revenue divided by the events with revenue."),
    "current_visitors": N_("Visitors with a pageview or event in the last 5 minutes."),
}


def metric_help(metric: str) -> str:
    """The explanation in the reader's language; "" where the name says it all."""
    return _(HELP[metric]) if metric in HELP else ""
