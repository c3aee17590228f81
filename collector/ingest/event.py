"""The stored event: exactly the columns of the table `events`.

There is no field for an address or a user agent: what must not be stored has nowhere to be stored.
"""

from __future__ import annotations

import datetime
from decimal import Decimal

import msgspec

NO_DECIMAL = Decimal(0)


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False, kw_only=True):
    """One row of `events`; field order is column order.

    An event of the identifier-free lane (policy `limited`, no consent) has `visitor` and `visit` 0 and carries
    only site, day, ts (the minute), name, hostname, page, referrer (host only) and device.
    """

    site: str
    """The site's domain, as registered."""
    day: datetime.date
    """The site-local date of `ts`."""
    ts: int
    """Server clock, whole Unix seconds; without consent whole minutes."""
    visitor: int
    """64-bit keyed hash under that day's salt; 0 without consent."""
    visit: int
    """The visit's id within its visitor: the Unix second it began; 0 without consent."""
    name: str
    """`pageview`, `engagement`, or a custom event's name."""
    consent: str
    """Kind of evidence it was collected under: granted, cookie, tcf, gcm, a banner's name, exempt, or none."""
    hostname: str = ""
    """Host of the page, without `www.`; `(none)` where the URL had none."""
    page: str = ""
    """Cleaned path of the page, with the fragment in hash mode."""
    entry_page: str = ""
    """Cleaned path of the visit's first pageview; empty before it."""
    referrer: str = ""
    """Host and path that referred the visit; no query."""
    source: str = ""
    """Display name of where the visit came from; empty is direct."""
    channel: str = ""
    """Acquisition channel of the visit."""
    utm_source: str = ""
    utm_medium: str = ""
    utm_campaign: str = ""
    utm_content: str = ""
    utm_term: str = ""
    click_id: str = ""
    """Name (never the value) of the click identifier in the visit's first URL."""
    country: str = ""
    """ISO 3166-1 alpha-2, upper case; empty when unknown."""
    browser: str = ""
    browser_version: str = ""
    """Major version."""
    os: str = ""
    os_version: str = ""
    """Major version."""
    device: str = ""
    """desktop, mobile, tablet, tv, or empty."""
    size: str = ""
    """Class of the viewport's width: xs, sm, md, lg, xl, or empty."""
    visits: int = 0
    """+1 on the first event of a visit, so that a sum counts visits."""
    bounces: int = 0
    """+1 on the first event of a visit, -1 on the one that ends the bounce."""
    seconds: int = 0
    """Seconds since the visit's previous event; a sum is the visits' duration."""
    engaged: int = 0
    """Milliseconds that the page was visible and focused (engagement events)."""
    scroll: int = 0
    """Scroll depth in percent, 0 to 100 (engagement events)."""
    props: dict[str, str] = {}
    """Custom properties."""
    revenue: Decimal = NO_DECIMAL
    """Amount in `currency`, three decimals."""
    currency: str = ""
    """ISO 4217, upper case; empty without revenue."""
    expires: datetime.date
    """The first day on which the site's retention no longer covers this row."""
    seq: int = 0
    """Position within the visit: 1, 2, 3, ... in order of arrival; 0 outside a visit, and in rows of earlier releases.

    This and what follows is last, so that spooled rows of earlier releases lack nothing but their end."""
    datacenter: bool = False
    """The address was a data center's, for a site that marks those; false for anonymous counts."""


COLUMNS: tuple[str, ...] = Event.__struct_fields__
"""Names of the columns of `events`, in order."""
