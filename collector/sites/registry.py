"""The site registry: in memory for the hot path, stored in ClickHouse."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Final

import anyio.to_thread
import msgspec

from collector.core.errors import RecordError, RecordGone, RecordTaken
from collector.core.timezones import FormerZone, Zone
from collector.sites.hostnames import ascii_host, is_loopback, unicode_host
from collector.sites.model import Site, checked
from collector.storage.document_lock import DocumentLock
from collector.storage.documents import CachedDocumentTable, DocumentTable

ID_BYTES: Final = 8

RESERVED_IN_API = frozenset({"goals"})
"""What stands in the API's addresses where a site's name would. A site of an earlier release may be called so."""


class Sites:
    """The registry of all sites. Reads are from memory; changes are written to ClickHouse first."""

    def __init__(self, records: DocumentTable[Site], clock: Callable[[], float] = time.time) -> None:
        """`clock` gives Unix seconds."""
        self._records = CachedDocumentTable(records, self._index)
        self._clock = clock
        self._zones: dict[str, Zone] = {}
        self._index({})
        self.busy: frozenset[str] = frozenset()
        """Names whose figures are being removed or moved: they cannot be taken meanwhile."""

    def get(self, domain: str) -> Site | None:
        """The site of that domain, or None. In memory: this is the hot path."""
        return self._sites.get(domain)

    def by_id(self, id_: str) -> Site | None:
        """The site of that id, whatever its name is now, or None."""
        return self._by_id.get(id_)

    @property
    def domains(self) -> Mapping[str, str]:
        """The names that sites have now, by id."""
        return {id_: site.domain for id_, site in self._by_id.items()}

    def measured(self, domain: str) -> Site | None:
        """The site that beacons for this name are counted for, in whichever form it is spelt: the one that is called
        so, or the one that was."""
        site = self._sites.get(domain) or self._sites.get(self._spellings.get(domain, ""))
        if site is not None or domain.isascii():
            return site
        return self._sites.get(self._spellings.get(ascii_host(domain), ""))

    def name_of(self, domain: str) -> str:
        """The name of the site that `domain` spells in Unicode or in ASCII; `domain` itself where there is none."""
        if domain in self._sites:
            return domain
        name = self._spellings.get(ascii_host(domain), "")
        return name if name in self._sites else domain

    def names(self, domain: str) -> tuple[str, ...]:
        """All names of the site that has or had this one, and this one."""
        site = self.measured(domain)
        return (domain,) if site is None else tuple(dict.fromkeys((domain, site.domain, *site.aliases)))

    def own_hosts(self, site: Site) -> frozenset[str]:
        """Hosts, in ASCII, at or under which pages are the site's own."""
        return self._own_hosts.get(site.domain, frozenset())

    def is_local(self, site: Site, hostname: str) -> bool:
        """Whether pages on the visitor's own machine (`localhost`, `127.0.0.1`) are the site's: its name says so, or
        it lists that host."""
        own = self.own_hosts(site)
        return hostname in own or any(map(is_loopback, own))

    def all(self) -> list[Site]:
        """Every site, by domain."""
        return [self._sites[domain] for domain in sorted(self._sites)]

    def zone(self, site: Site) -> Zone:
        """The site's time zone; sites share one object per zone."""
        zone = self._zones.get(site.timezone)
        if zone is None:
            zone = self._zones[site.timezone] = Zone(site.timezone)
        return zone

    def refresh(self) -> None:
        """Read every site from ClickHouse. Blocking."""
        self._records.refresh()

    @property
    def lock(self) -> DocumentLock:
        """Held while sites are added, changed or removed."""
        return self._records.lock

    def must_be_free(self, domain: str, *, but: Site | None = None) -> None:
        """Raises `RecordError` where a site has that name, had it before (except `but`), or is leaving it."""
        former = self.measured(domain)
        if domain in self._sites or (
            former is not None and (but is None or former.id != but.id) and self.name_of(domain) != domain
        ):
            raise RecordError("domain", "{name} is already registered", name=domain)
        if former is not None and (but is None or former.id != but.id):
            raise RecordError(
                "domain", "{name} is a former name of {site}; release it there first", name=domain, site=former.domain
            )
        if domain in RESERVED_IN_API:
            raise RecordError("domain", "{name} is an address of Tyst itself; choose another name", name=domain)
        if domain in self.busy:
            raise RecordError("domain", "data of {name} is still being deleted; try again in a minute", name=domain)

    async def add(self, site: Site) -> Site:
        """Register a site under an id of its own, and under the Unicode form of its name. Raises `RecordError` when it
        is not valid or is there already."""
        site = checked(site)
        site = msgspec.structs.replace(site, domain=unicode_host(site.domain), id=secrets.token_hex(ID_BYTES))
        try:
            await anyio.to_thread.run_sync(
                self._records.create, site.domain, site, lambda _: self.must_be_free(site.domain)
            )
        except RecordTaken:
            raise RecordError("domain", "{name} is already registered", name=site.domain) from None
        return site

    async def update(self, site: Site, change: Callable[[Site], Site]) -> tuple[Site, Site]:
        """Store what `change` makes of the site as it is now; returns it before and after.

        Raises `RecordError` when the result is not valid, and `RecordGone` when the site was deleted or renamed
        meanwhile, even if another has its name.
        """

        def changed(newest: Site) -> Site:
            if newest.id != site.id:
                raise RecordGone
            after = checked(self._with_former_zone(newest, change(newest)))
            return msgspec.structs.replace(after, id=newest.id, domain=newest.domain)

        return await anyio.to_thread.run_sync(self._records.update, site.domain, changed)

    async def change(self, site: Site) -> Site:
        """Replace a site's settings. Raises `RecordError` if they are invalid."""
        site = checked(self._with_former_zone(self.get(site.domain), site))
        await anyio.to_thread.run_sync(self._records.put, site.domain, site)
        return site

    def _with_former_zone(self, before: Site | None, after: Site) -> Site:
        """A changed site, with the time zone that it has had so far among its former ones where that changes."""
        if before is None or before.timezone == after.timezone:
            return after
        former = (*before.former_timezones, FormerZone(int(self._clock()), before.timezone))
        return msgspec.structs.replace(after, former_timezones=former)

    async def remove(self, domain: str) -> None:
        """Forget a site; its events stay until its data is deleted. Raises `RecordError` if it is unknown."""
        if domain not in self._sites:
            raise RecordError("domain", "{name} is not registered", name=domain)
        await anyio.to_thread.run_sync(self.remove_now, domain)

    def remove_now(self, domain: str) -> None:
        """Likewise, for existing sites; blocking."""
        self._records.delete(domain)

    def rename_now(self, site: Site, new: str) -> Site:
        """Give a site another name; beacons of the old one go on to count as its own. Blocking."""

        def renamed(newest: Site) -> Site:
            aliases = tuple(name for name in (*newest.aliases, newest.domain) if name != new)
            return checked(msgspec.structs.replace(newest, domain=new, aliases=aliases))

        return self._records.move(site.domain, new, renamed)

    def _index(self, sites: Mapping[str, Site]) -> None:
        former = {name: site.domain for site in sites.values() for name in site.aliases}
        present = {name: name for name in sites}
        names = former | present
        self._spellings = {ascii_host(name): domain for name, domain in names.items()} | former
        self._own_hosts = {name: own_hosts(site) for name, site in sites.items()}
        self._by_id = {site.id: site for site in sites.values()}
        self._sites = sites


def own_hosts(site: Site) -> frozenset[str]:
    """Hosts, in ASCII, that a site is called, was called, and lists."""
    names = (site.domain, *site.aliases, *(name.removeprefix("*.") for name in site.hostnames))
    return frozenset(ascii_host(name).removeprefix("www.") for name in names) - {""}
