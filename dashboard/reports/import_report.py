"""The report of an import in words: why rows are left out, and what to know of the figures."""

from __future__ import annotations

from typing import Final

from dashboard.i18n.translations import N_

REASONS: Final[dict[str, str]] = {
    "own_figures": N_("The day already has its own data, which is kept"),
    "day_not_over": N_("The day is not over yet"),
    "unreadable": N_("The row cannot be read"),
    "date": N_("The date is not valid"),
    "bot": N_("A bot"),
    "static": N_("An asset, not a page"),
    "method": N_("A request other than GET"),
    "status": N_("A redirect or an error"),
    "other_host": N_("Another site"),
    "automatic": N_("Sent automatically, not an event"),
    "not_counted": N_("Neither a pageview nor an event"),
    "repeated": N_("Another of the files has the same row"),
    "same_figures": N_("The same figures are in another table or file"),
    "no_event": N_("Properties or revenue of an event that is in none of the files"),
    "total": N_("A total of other rows"),
    "no_date": N_("A table without dates"),
    "other_file": N_("An unsupported file within the zip file"),
    "gpc": N_("Refused by Global Privacy Control"),
    "dnt": N_("Refused by Do Not Track"),
    "excluded": N_("Excluded by the site’s settings"),
    "spam_referrer": N_("A spam referrer"),
    "datacenter": N_("A data center"),
    "prefetch": N_("Prefetched, not seen by anyone"),
}
"""Why rows are left out."""

NOTES: Final[dict[str, str]] = {
    "visitors_added": N_(
        "A visitor who came from two sources, or with two browsers, on the same day is in both rows of "
        "the export. Daily totals are exact; a single source or event may show a few visitors too many."
    ),
    "regions_not_kept": N_("Regions and cities are finer than the country, and are not kept."),
    "versions_cut": N_("Only the major versions of browsers and systems are kept."),
    "no_user_agents": N_(
        "The log has no user agents. Bots cannot be detected, so only pageviews are counted, including those of bots."
    ),
    "no_totals": N_("The files have no table of totals. Totals are calculated from the other tables."),
    "zone": N_(
        "Dates are in the time zone that was set in the product that exported the file. They are kept, "
        "even if this site uses another time zone."
    ),
    "properties_not_kept": N_("Properties of events are not kept."),
    "no_devices": N_(
        "The table has no browsers, devices or countries; those are in the sessions table. Join the two to import them."
    ),
    "first_views": N_(
        "The export counts the sessions that saw a page for the first time, and has neither visitors nor "
        "visits. These counts are imported as pageviews without a visit. The CSV export has individual "
        "pageviews."
    ),
    "utc_days": N_("The file counts browsers, systems, countries and screens by UTC day, and these days are kept."),
    "columns_not_kept": N_("Some columns of the file are not imported."),
    "session_identity": N_(
        "The file has no visitors, only sessions of up to eight hours. Someone who came in the morning "
        "and in the evening counts as two visitors."
    ),
    "monthly_identity": N_(
        "The other product counts a visitor once a month; Tyst counts visitors once a day. The sum of "
        "the days is therefore higher."
    ),
    "logs_have_addresses": N_(
        "Access logs contain IP addresses. They are used while reading and never stored. Whether you may "
        "use your logs for statistics depends on the law that applies to you."
    ),
}
"""What the owner should know."""
