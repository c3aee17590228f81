"""Rotation of the daily salts: which dates have one, and when it is destroyed."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable

from collector.core.clock_monitor import ClockMonitor
from collector.core.timezones import Zone
from collector.privacy.visitor_id import DailySalts
from collector.sites.model import Site
from collector.sites.registry import Sites

log = logging.getLogger(__name__)


class SaltRotation:
    """The dates that have a salt: from the earliest current date of a site until tomorrow at the last one.

    `clock` gives Unix seconds.
    """

    def __init__(
        self, sites: Sites, salts: DailySalts, clock_monitor: ClockMonitor, clock: Callable[[], float]
    ) -> None:
        self._sites = sites
        self._salts = salts
        self._clock_monitor = clock_monitor
        self._clock = clock
        self._last: tuple[datetime.date, datetime.date] | None = None

    def refresh(self) -> None:
        """Rotate if the dates have changed, as by a site in another time zone: several collectors must agree on a
        salt before one of its events comes to each. Blocking."""
        if self._last != (self.first_linkable(), self.last_linkable()):
            self.rotate()

    def rotate(self) -> None:
        """Create salts for every date of a site until tomorrow; destroy all older ones if the clock is trusted.
        Blocking."""
        first, last = self._last = self.first_linkable(), self.last_linkable()
        over = self._salts.rotate(first, last, destroy=self._clock_monitor.may_destroy_salts)
        for date in over:
            log.info("a day's salt was destroyed", extra={"date": date.isoformat()})

    def first_linkable(self) -> datetime.date:
        """The oldest date with a salt: the current date of some site."""
        return min(zone.date(self._clock()) for zone in self._zones())

    def last_linkable(self) -> datetime.date:
        """The latest date with a salt: the day after the latest current date of a site."""
        return max(zone.date(self._clock()) for zone in self._zones()) + datetime.timedelta(days=1)

    def linkable_until(self, date: datetime.date) -> int:
        """Unix second at which the date's salt is destroyed: the end of the date at the last site."""
        return max(zone.bounds(date)[1] for zone in self._zones())

    def _zones(self) -> list[Zone]:
        return [self._sites.zone(site) for site in self._sites.all()] or [self._sites.zone(Site(domain=""))]
