"""Installation status of a site: received and dropped events, with advice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from collector.core.metrics import Counters, Reason
from collector.server.drop_statistics import Dropped
from collector.sites.registry import Site
from dashboard.i18n.translations import _
from dashboard.reports.drop_reasons import MEANINGS


@dataclass(frozen=True, slots=True)
class DroppedCount:
    """Beacons dropped today for one reason."""

    reason: str
    text: str
    count: int
    advice: str


@dataclass(frozen=True, slots=True)
class InstallationStatus:
    """Installation status of a site that waits for its first event."""

    arrived: bool
    """Whether anything was ever kept."""
    kept: int
    """Events kept since the server started."""
    losses: tuple[DroppedCount, ...]
    strangers: int
    """Beacons since the start that name a site which is not registered here."""

    @property
    def version(self) -> str:
        """The same for the same arrivals."""
        return hashlib.blake2b(repr(self).encode(), digest_size=9).hexdigest()


def arrivals_of(site: Site, counters: Counters, dropped: Iterable[Dropped], *, known: bool) -> InstallationStatus:
    """The site's received events; `known` says whether it has events from before the server started."""
    kept = counters.accepted(site.domain)
    today: dict[str, int] = {}
    for each in dropped:
        today[each.reason] = today.get(each.reason, 0) + each.today
    losses = [
        DroppedCount(reason, _(MEANINGS[reason][0]), today[reason], advice_for(reason, site))
        for reason in MEANINGS
        if today.get(reason)
    ]
    return InstallationStatus(
        arrived=known or kept > 0,
        kept=kept,
        losses=tuple(sorted(losses, key=lambda loss: -loss.count)),
        strangers=counters.drops("").get("unknown_site", 0),
    )


def advice_for(reason: Reason, site: Site) -> str:
    """Advice on a drop, for an owner who tests the tag."""
    if reason == "consent":
        return _(
            "Accept the banner in that tab. If you have, the tag does not know of it: choose your banner above, or "
            'let the page call tyst.consent("granted").'
        )
    if reason == "dnt":
        return _(
            "This browser refuses on principle, which always holds. Firefox sends Do Not Track by itself in private "
            "windows and with strict tracking protection: try it in an ordinary window, with standard protection."
        )
    if reason == "gpc":
        return _("This browser refuses on principle, which always holds. Try it with one that does not.")
    if reason == "bot":
        return _("Open the page in an ordinary browser; monitors, previews and remote-controlled browsers are bots.")
    if reason == "prefetch":
        return _("Open the page itself: so far it was only fetched ahead of time.")
    if reason == "excluded":
        return _(
            "This page, host, country or address is left out: see the settings of {site}, and TYST_EXCLUDED_ADDRESSES. "
            "Pages on localhost count when it is one of the site's hosts."
        ).format(site=site.domain)
    if reason == "spam_referrer":
        return _("Open the page directly, not from the page that links to it: that one is known for faked visits.")
    if reason == "datacenter":
        return _("Your address is a data center's: turn off the VPN or proxy, or let {site} mark such visits.").format(
            site=site.domain
        )
    if reason == "rate":
        return _("Wait a few seconds; the settings have the limit.")
    return _('On the tag, data-domain must be exactly "{site}".').format(site=site.domain)
