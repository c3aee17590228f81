"""Installation status of a site: received and dropped events, with advice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from collector.core.metrics import Counters, Reason
from collector.server.drop_statistics import Dropped
from collector.sites.model import Site
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
    kept = counters.accepted(site.id)
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
            "This browser sends Do Not Track, which is always a refusal. Firefox does so by default in "
            "private windows and with strict tracking protection: try a regular window with standard "
            "protection."
        )
    if reason == "gpc":
        return _("This browser sends Global Privacy Control, which is always a refusal. Try another browser.")
    if reason == "bot":
        return _(
            "Open the page in a regular browser; monitoring services, link previews and automated browsers "
            "count as bots."
        )
    if reason == "prefetch":
        return _("Open the page itself: so far it was only prefetched.")
    if reason == "excluded":
        return _(
            "This page, hostname, country or IP address is excluded: see the settings of {site}, and "
            "TYST_EXCLUDED_ADDRESSES. Pages on localhost count if it is one of the site’s hostnames."
        ).format(site=site.domain)
    if reason == "spam_referrer":
        return _(
            "Open the page directly, not from the page that links to it: that page is a known source of fake visits."
        )
    if reason == "datacenter":
        return _(
            "Your IP address belongs to a data center: turn off the VPN or proxy, or set {site} to mark "
            "such visits instead."
        ).format(site=site.domain)
    if reason == "rate":
        return _("Wait a few seconds. The limit is in the settings.")
    return _('The tag’s data-domain must be exactly "{site}".').format(site=site.host)
