"""Versions of a site's privacy notice: a new one whenever a change of settings changes its statements.

They are one record, and all of them are on a public page: beyond `MOST_BYTES` the oldest go.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Final

import anyio.to_thread
import msgspec

from collector.sites.model import Site
from collector.storage.documents import DocumentTable
from dashboard.compliance.privacy_notice import NoticeVersion, facts_of

MOST_BYTES: Final = 32_768
"""Of the versions of a site that are kept: more than a hundred, where its settings are as short as they usually are."""


class History(msgspec.Struct, frozen=True):
    """The versions of one site's notice, oldest first."""

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
        number = editions[-1].number + 1 if editions else 1
        editions = _newest((*editions, NoticeVersion(number, int(self._clock()), facts)))
        self._records.store(site.id, History(editions))
        return editions


def _newest(editions: Sequence[NoticeVersion]) -> tuple[NoticeVersion, ...]:
    """Those that fit into `MOST_BYTES`; the last two in any case, which say what has changed."""
    sizes = itertools.accumulate(len(msgspec.json.encode(each)) for each in reversed(editions))
    fitting = sum(size <= MOST_BYTES for size in sizes)
    return tuple(editions[-max(2, fitting) :])
