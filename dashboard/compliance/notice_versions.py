"""Versions of a site's privacy notice: a new one whenever a change of settings changes its statements."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio.to_thread
import msgspec

from collector.sites.model import Site
from collector.storage.documents import DocumentTable
from dashboard.compliance.privacy_notice import NoticeVersion, facts_of


class History(msgspec.Struct, frozen=True):
    """All versions of one site's notice, oldest first."""

    editions: tuple[NoticeVersion, ...]


class NoticeVersions:
    """Notice versions of all sites. `clock` gives Unix seconds."""

    def __init__(self, records: DocumentTable[History], clock: Callable[[], float]) -> None:
        self._records = records
        self._clock = clock

    async def of(self, site: Site) -> tuple[NoticeVersion, ...]:
        """The editions of the site's notice, the last being the one in force."""
        return await anyio.to_thread.run_sync(self._of, site)

    def note(self, sites: Sequence[Site]) -> None:
        """See that each site's notice in force is in its history. Blocking."""
        known = self._records.all()
        for site in sites:
            self._extended(site, known.get(site.id))

    def forget_site(self, site_id: str) -> None:
        """Delete the history of a deleted site. Blocking."""
        self._records.delete(site_id)

    def _of(self, site: Site) -> tuple[NoticeVersion, ...]:
        return self._extended(site, self._records.get(site.id))

    def _extended(self, site: Site, history: History | None) -> tuple[NoticeVersion, ...]:
        editions = history.editions if history is not None else ()
        facts = facts_of(site)
        if editions and editions[-1].facts == facts:
            return editions
        editions = (*editions, NoticeVersion(len(editions) + 1, int(self._clock()), facts))
        self._records.store(site.id, History(editions))
        return editions
