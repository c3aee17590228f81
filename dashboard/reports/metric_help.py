"""What each metric counts, in plain words; docs/metrics.md has the definitions."""

from __future__ import annotations

from typing import Final

from dashboard.i18n.translations import N_, _

HELP: Final = {
    "visitors": N_(
        "Browsers that came, each counted once a day. Who comes back on another day counts again: the visitors of "
        "30 days are the sum of the daily visitors."
    ),
    "visits": N_(
        "Series of pageviews and events of one visitor. A visit ends after 30 minutes without activity, and at "
        "midnight."
    ),
    "pageviews": N_("Pages that were opened, reloads included."),
    "views_per_visit": N_("Pageviews divided by visits."),
    "bounce_rate": N_("Visits that ended after their first pageview or event, in percent of visits."),
    "visit_duration": N_("Time from the first event of a visit to its last, on average."),
    "events": N_("Pageviews and custom events together."),
    "conversion_rate": N_("Visitors who reached the goal, in percent of the visitors without the goal filter."),
    "group_conversion_rate": N_("Visitors of the row who reached the goal, in percent of the visitors of the row."),
    "time_on_page": N_("Time that the page was visible, on average over the visits that measured it."),
    "scroll_depth": N_("How far down visitors scrolled, in percent of the page, on average."),
    "current_visitors": N_("Visitors with a pageview or event in the last 5 minutes."),
}


def metric_help(metric: str) -> str:
    """The explanation in the reader's language; "" where the name says it all."""
    return _(HELP[metric]) if metric in HELP else ""
