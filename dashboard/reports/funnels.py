"""Saved funnels of sites."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

import anyio.to_thread
import msgspec

from collector.core.errors import RecordError
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.storage.documents import DocumentTable
from collector.storage.site_records import SiteRecords
from dashboard.analytics.funnels import Funnel, checked_funnel

MOST_OF_SITE = 50


class Funnels(SiteRecords[Funnel]):
    """All funnels. Reading is from memory; changes go to ClickHouse first. `clock` gives Unix seconds."""

    def __init__(self, records: DocumentTable[Funnel], clock: Callable[[], float]) -> None:
        super().__init__(records)
        self._clock = clock

    def of(self, site: Site) -> list[Funnel]:
        """The site's funnels, by name."""
        return sorted(self._of_site(site.id), key=lambda each: (each.name.casefold(), each.id))

    def get(self, site: Site, id_: str) -> Funnel | None:
        """The site's funnel of that id."""
        return self._find(site.id, id_)

    def named(self, site: Site) -> dict[str, Funnel]:
        """The site's funnels by name, as filters name them."""
        return {each.name: each for each in self.of(site)}

    async def add(self, site: Site, funnel: Funnel) -> Funnel:
        """Save a new funnel. Raises `RecordError` naming the invalid field."""
        new = msgspec.structs.replace(
            checked_funnel(funnel, site.goals), id=secrets.token_hex(8), site=site.id, created=int(self._clock())
        )

        def may_add(funnels: Mapping[str, Funnel]) -> None:
            if sum(each.site == site.id for each in funnels.values()) >= MOST_OF_SITE:
                raise RecordError("name", "a site can have {count} funnels; delete some first", count=MOST_OF_SITE)
            _must_be_free(funnels, new)

        await anyio.to_thread.run_sync(self._records.create, new.id, new, may_add)
        return new

    async def change(self, site: Site, id_: str, funnel: Funnel) -> tuple[Funnel, Funnel]:
        """Put a funnel in the place of the one of that id; returns both. Raises `RecordError`."""
        wanted = checked_funnel(funnel, site.goals)

        def changed(newest: Funnel) -> Funnel:
            after = msgspec.structs.replace(wanted, id=newest.id, site=newest.site, created=newest.created)
            _must_be_free(self._records.values, after)
            return after

        return await self._update(site.id, id_, changed)


def funnels_of(funnels: Funnels, sites: Sites) -> Callable[[str], Mapping[str, Funnel]]:
    """Each site's funnels by name; an unknown site has none."""

    def defined(domain: str) -> Mapping[str, Funnel]:
        site = sites.get(domain)
        return {} if site is None else funnels.named(site)

    return defined


def described(funnel: Funnel) -> str:
    """A funnel in the list of changes."""
    steps = " → ".join(step.label for step in funnel.steps)
    return f"{funnel.name}: {steps} ({funnel.order}, {funnel.window})"


def _must_be_free(funnels: Mapping[str, Funnel], funnel: Funnel) -> None:
    """Raises `RecordError` where another funnel of the site has the name."""
    for other in funnels.values():
        if other.site == funnel.site and other.id != funnel.id and other.name.casefold() == funnel.name.casefold():
            raise RecordError("name", "a funnel named {name} already exists", name=other.name)
