"""Who says no may have said yes before: what that left is erased, and its receipts are worth nothing any more.

A no comes as a `DELETE` from the snippet when a choice is taken back, and as a beacon or a cookie that says so.
"""

from __future__ import annotations

import anyio.to_thread
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.beacon import Beacon
from collector.clickhouse import plain_reason
from collector.consent import NOES
from collector.exceptions import SpoolUnavailable
from collector.pipeline import Arrival
from collector.privacy import Browser, Privacy
from collector.process import Collector
from collector.rate import RateLimit
from collector.sites import Site

MOST = 5
"""A second, of one address; each asks the database, and may rewrite a part of a table."""


def says_no(arrival: Arrival) -> bool:
    """Whether a beacon, or the cookie beside it, refuses."""
    return arrival.beacon.consent in NOES or arrival.signals.cookie in NOES


class Withdrawals:
    """Carries out the noes of one collector's visitors."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._privacy = Privacy(collector)
        self._rate = RateLimit(MOST)

    def wait(self, arrival: Arrival) -> int:
        """Seconds that who says no has to wait, where the database would be asked too often from one address; or 0."""
        asks = arrival.beacon.receipt or self._held_by(arrival)
        return self._rate.wait(arrival.network, None) if asks else 0

    async def carry_out(self, arrival: Arrival) -> None:
        """Erase what is held about the browser, promised on disk when this returns, and take back the receipts.

        Raises `SpoolUnavailable` when the disk does not take the promise, or ClickHouse not what is taken back.
        """
        for site in self._sites_of(arrival.beacon):
            await self._revoke(site, arrival.beacon.receipt)
        browser = Browser(arrival.address, arrival.user_agent)
        for site in self._held_by(arrival):
            await self._privacy.withdraw(site, browser)

    def _held_by(self, arrival: Arrival) -> list[Site]:
        """The beacon's sites that may hold something about a browser that says no."""
        browser = Browser(arrival.address, arrival.user_agent)
        return [site for site in self._sites_of(arrival.beacon) if self._privacy.may_hold(site, browser)]

    def _sites_of(self, beacon: Beacon) -> list[Site]:
        sites = map(self._collector.sites.measured, beacon.domains)
        return [site for site in sites if site is not None]

    async def _revoke(self, site: Site, receipts: str) -> None:
        """Whoever has these receipts has no consent any more, here and in every other process."""
        revocations = self._collector.revocations
        for text in receipts.split(",") if receipts else ():
            receipt = self._collector.receipts.read(text, site.domain, revocations.today())
            if receipt is not None:
                try:
                    await anyio.to_thread.run_sync(revocations.add, receipt)
                except (ClickHouseError, OSError) as error:
                    raise SpoolUnavailable(plain_reason(error)) from None
