"""Consent withdrawal: erases what earlier consent allowed to be stored, and revokes its receipts.

A no comes as a `DELETE` from the snippet when a choice is taken back, and as a beacon or a cookie that says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import anyio.to_thread
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.core.errors import SpoolUnavailable
from collector.erasure.subject_access import Requester, SubjectAccess
from collector.ingest.context import BeaconRequest
from collector.ingest.payload import Beacon
from collector.ingest.rate_limit import RateLimit
from collector.privacy.consent import NOES
from collector.privacy.consent_receipts import Receipts
from collector.privacy.receipt_revocations import Revocations
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.storage.client import plain_reason

MOST = 5
"""A second, of one address; each is written to the disk, and may rewrite a part of a table."""
GATHER_SECONDS: Final = 1.0
"""Between two inserts of what is revoked. ClickHouse merges each into one part with all before it, and has that on its
disk for minutes after the next."""


def says_no(request: BeaconRequest) -> bool:
    """Whether a beacon, or the cookie beside it, refuses in so many words."""
    return request.beacon.refuses or request.signals.cookie in NOES


class GroupedStore:
    """Coalesces calls of `store`, which blocks and stores all that waits: at most one in `seconds`, for all callers."""

    def __init__(self, store: Callable[[], None], seconds: float = GATHER_SECONDS) -> None:
        self._store = store
        self._seconds = seconds
        self._next: asyncio.Task[None] | None = None
        self._after = 0.0

    async def stored(self) -> None:
        """Wait until what waits now is stored. Raises what `store` raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._run())
            # Nobody may be waiting any more.
            self._next.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        await asyncio.shield(self._next)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._after - loop.time())
        # What comes from here on waits for the one after.
        self._next, self._after = None, loop.time() + self._seconds
        await anyio.to_thread.run_sync(self._store)


class ConsentWithdrawals:
    """Carries out consent withdrawals."""

    def __init__(
        self, sites: Sites, subject_access: SubjectAccess, receipts: Receipts, revocations: Revocations
    ) -> None:
        self._sites = sites
        self._privacy = subject_access
        self._receipts = receipts
        self._revocations = revocations
        self._storing = GroupedStore(revocations.store)
        self._rate = RateLimit(MOST)

    def wait(self, request: BeaconRequest) -> int:
        """Seconds that who says no has to wait, where too much would be erased from one address; or 0."""
        receipts = request.beacon.receipt
        if not receipts and not self._sites_to_erase(request):
            return 0
        # Each site is looked through, and each receipt that is revoked is kept for two days.
        return self._rate.wait(request.network, None, max(len(request.beacon.domains), receipts.count(",") + 1))

    async def carry_out(self, request: BeaconRequest) -> None:
        """Erase the browser's stored events, durably queued when this returns, and revoke its receipts.

        Raises `SpoolUnavailable` when the disk does not take the promise, or ClickHouse not what is taken back.
        """
        if request.beacon.receipt:
            await self._revoke(request.beacon)
        sites = self._sites_to_erase(request)
        if sites:
            await self._privacy.withdraw(sites, Requester(request.address, request.user_agent))

    def _sites_to_erase(self, request: BeaconRequest) -> list[Site]:
        """The beacon's sites; of a cookie those that may hold something about the browser, as it comes with every page.

        A cookie is not sent from the pages of other sites (`SameSite=Lax`). What a beacon claims may be, so that
        nothing that can be observed may depend on what is held.
        """
        sites = self._sites_of(request.beacon)
        if request.beacon.refuses:
            return sites
        browser = Requester(request.address, request.user_agent)
        return [site for site in sites if self._privacy.may_hold(site, browser)]

    def _sites_of(self, beacon: Beacon) -> list[Site]:
        sites = map(self._sites.measured, beacon.domains)
        return [site for site in sites if site is not None]

    async def _revoke(self, beacon: Beacon) -> None:
        """Whoever has these receipts has no consent any more, here and in every other process."""
        today = self._revocations.today()
        found = [
            receipt
            for site in self._sites_of(beacon)
            for receipt in self._receipts.read_all(beacon.receipt, site.domain, today)
        ]
        for receipt in found:
            self._revocations.note(receipt)
        try:
            if found:
                await self._storing.stored()
        except (ClickHouseError, OSError) as error:
            raise SpoolUnavailable(plain_reason(error)) from None
