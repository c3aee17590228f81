"""The sites that may be measured, held in memory for the hot path and in ClickHouse for good."""

from __future__ import annotations

import re
from typing import Literal

import anyio.to_thread
import msgspec

from collector.day import Zone
from collector.exceptions import RecordError
from collector.records import Records

Policy = Literal["required", "limited", "exempt"]
POLICIES: tuple[Policy, ...] = ("required", "limited", "exempt")

# 25 months: the longest that the audience-measurement exemption of the CNIL allows for raw data.
DEFAULT_RETENTION_DAYS = 760

# A host name, internationalised ones included; it is also one segment of the dashboard's addresses.
_DOMAIN = re.compile(r"(?=.{1,253}\Z)[\w¡-\U0010ffff](?:[-\w.¡-\U0010ffff]*[\w¡-\U0010ffff])?\Z")


class Site(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the owner has chosen for one site."""

    domain: str
    """Its name in beacons and in the dashboard's addresses, lower case."""
    timezone: str = "UTC"
    """IANA name; days begin and end by it."""
    consent: Policy = "required"
    """`required`: nothing without consent. `limited`: an identifier-free count. `exempt`: all unless refused."""
    retention_days: int = DEFAULT_RETENTION_DAYS
    """Raw events are deleted after this many days; daily sums stay."""
    min_visitors: int = 3
    """In filtered breakdowns, values with fewer visitors are folded into one row. 1 turns it off."""
    hostnames: tuple[str, ...] = ()
    """Hosts whose pages count; empty means any. A leading `*.` takes every subdomain."""
    excluded_paths: tuple[str, ...] = ()
    """Path patterns that never count: `*` within a segment, `**` across segments."""
    excluded_countries: tuple[str, ...] = ()
    """ISO 3166-1 alpha-2 codes that never count."""
    query_keys: tuple[str, ...] = ()
    """Keys of the query that are kept as part of the page, such as `page`; by default none is."""
    rate_limit: int | None = None
    """Beacons a second from one address, in place of the setting `TYST_RATE_LIMIT`; 0 is off."""
    controller: str = ""
    """Who answers for the statistics, as the privacy notice names them."""
    contact: str = ""
    """Where visitors may write to."""
    hosting: str = ""
    """Where the server stands and who runs it, as the privacy notice says."""
    created: int = 0
    """Unix seconds."""


def checked(site: Site) -> Site:
    """The site as it may be stored. Raises `RecordError` naming the field that must be mended."""
    domain = site.domain.strip().lower().removeprefix("https://").removeprefix("http://").strip("/")
    if not _DOMAIN.match(domain):
        raise RecordError("domain", "expected a name such as example.com")
    if domain in RESERVED:
        raise RecordError("domain", f"{domain} is an address of Tyst itself; choose another name")
    try:
        Zone(site.timezone)
    except ValueError as error:
        raise RecordError("timezone", str(error)) from None
    if site.consent not in POLICIES:
        raise RecordError("consent", f"expected one of {', '.join(POLICIES)}")
    if not 1 <= site.retention_days <= 36_500:
        raise RecordError("retention_days", "expected 1 to 36500 days")
    if not 1 <= site.min_visitors <= 1_000:
        raise RecordError("min_visitors", "expected 1 to 1000")
    if site.rate_limit is not None and site.rate_limit < 0:
        raise RecordError("rate_limit", "expected 0 or more beacons a second")
    for name in ("controller", "contact", "hosting"):
        if len(getattr(site, name)) > LONGEST_TEXT or not getattr(site, name).isprintable():
            raise RecordError(name, f"expected one line of at most {LONGEST_TEXT} characters")
    return msgspec.structs.replace(site, domain=domain)


LONGEST_TEXT = 300

# First parts of the addresses that the server itself answers.
RESERVED = frozenset(
    {
        "api",
        "js",
        "login",
        "logout",
        "sites",
        "share",
        "privacy",
        "static",
        "demo",
        "healthz",
        "readyz",
        "metrics",
        "settings",
        "users",
    }
)


class Sites:
    """All sites. Reading is from memory; changes go to ClickHouse first."""

    def __init__(self, records: Records[Site]) -> None:
        self._records = records
        self._sites: dict[str, Site] = {}
        self._zones: dict[str, Zone] = {}

    def get(self, domain: str) -> Site | None:
        """The site of that domain, or None. In memory: this is the hot path."""
        return self._sites.get(domain)

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
        self._sites = self._records.all()

    async def add(self, site: Site) -> Site:
        """Register a site. Raises `RecordError` when it is not valid or is there already."""
        site = checked(site)
        if site.domain in self._sites:
            raise RecordError("domain", f"{site.domain} is registered already")
        return await self.change(site)

    async def change(self, site: Site) -> Site:
        """Store a site's new settings. Raises `RecordError` when they are not valid."""
        site = checked(site)
        await anyio.to_thread.run_sync(self._records.put, site.domain, site)
        self._sites[site.domain] = site
        return site

    async def remove(self, domain: str) -> None:
        """Forget a site; its events stay until its data is deleted. Raises `RecordError` if it is unknown."""
        if domain not in self._sites:
            raise RecordError("domain", f"{domain} is not registered")
        await anyio.to_thread.run_sync(self._records.delete, domain)
        del self._sites[domain]
