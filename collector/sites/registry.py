"""The site registry: in memory for the hot path, stored in ClickHouse."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Final, Literal

import anyio.to_thread
import msgspec

from collector.core.errors import RecordError, RecordGone, RecordTaken
from collector.core.text import has_hidden
from collector.core.timezones import FormerZone, Zone
from collector.core.wildcards import LONGEST_PATTERN, MOST_STARS, is_bounded
from collector.sites.goals import Goal as Goal  # part of a site
from collector.sites.goals import checked_goals
from collector.sites.hostnames import ascii_host, is_loopback, is_shared_suffix, unicode_host
from collector.storage.document_lock import DocumentLock
from collector.storage.documents import CachedDocumentTable, DocumentTable

Policy = Literal["required", "limited", "exempt"]
Datacenter = Literal["off", "mark", "drop"]
DATACENTER_MODES: tuple[Datacenter, ...] = ("off", "mark", "drop")

POLICIES: tuple[Policy, ...] = ("required", "limited", "exempt")

# 25 months: the longest that the audience-measurement exemption of the CNIL allows for raw data.
DEFAULT_RETENTION_DAYS = 760

# A host name, internationalised ones included; it is also one segment of the dashboard's addresses.
_DOMAIN = re.compile(r"(?=.{1,253}\Z)[\w¡-\U0010ffff](?:[-\w.¡-\U0010ffff]*[\w¡-\U0010ffff])?\Z")

# Files beside the time zones that no other installation need have, and whose clocks may be others there: the machine's
# own zone, and zones with leap seconds.
_SYSTEM_ZONE = re.compile(r"(localtime|posixrules|Factory)\Z|(right|posix)/", re.IGNORECASE)


def is_hiding(pattern: str) -> bool:
    """Whether a pattern hides something, and can be read."""
    segments = pattern.split("/")
    stars = any("*" in segment for segment in segments)
    return (
        pattern.startswith("/")
        and is_bounded(pattern)
        and stars
        and not any("**" in segment for segment in segments[:-1])
        and ("**" not in segments[-1] or segments[-1] == "**")
    )


class Site(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Settings of one site."""

    domain: str
    """Its name in beacons and in the dashboard's addresses, lower case. It may change, and be another's later."""
    id: str = ""
    """Its own for good, drawn at random when it is added: rights, keys, links and visitors' ids go by it. A site of a
    release without ids has the name it had at the time, which no other can get as its id."""
    timezone: str = "UTC"
    """IANA name; days begin and end by it."""
    former_timezones: tuple[FormerZone, ...] = ()
    """Time zones that it had before, oldest first: days of then keep the borders that they had."""
    consent: Policy = "required"
    """`required`: nothing without consent. `limited`: an identifier-free count. `exempt`: all unless refused."""
    receipts: bool = False
    """Evidence of consent counts only with a receipt that the collector issued; see `collector.receipts`."""
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
    hidden_paths: tuple[str, ...] = ()
    """Path patterns whose stars are replaced by `:hidden` before a path is kept; see `collector.hygiene`."""
    datacenter: Datacenter = "off"
    """Visits from data centers: `mark` them, `drop` them, or `off`, treat them as all others."""
    rate_limit: int | None = None
    """Beacons a second from one address, in place of the setting `TYST_RATE_LIMIT`; 0 is off."""
    controller: str = ""
    """Who answers for the statistics, as the privacy notice names them."""
    contact: str = ""
    """Where visitors may write to."""
    hosting: str = ""
    """Where the server stands and who runs it, as the privacy notice says."""
    goals: tuple[Goal, ...] = ()
    """What its visitors should do; empty is every custom event seen."""
    strict: bool = False
    """Small counts are protected in every breakdown, unfiltered ones included."""
    public: bool = False
    """Whether anybody may read its figures, without signing in."""
    aliases: tuple[str, ...] = ()
    """Names it had before: their beacons count here, until the owner lets them go."""
    created: int = 0
    """Unix seconds."""

    def __post_init__(self) -> None:
        if not self.id:
            msgspec.structs.force_setattr(self, "id", self.domain)

    @property
    def hash_name(self) -> str:
        """The name that is hashed into visitor ids; unique for each site."""
        return self.id


def checked(site: Site) -> Site:
    """The site, validated. Raises `RecordError` naming the invalid field."""
    domain = site.domain.strip().lower().removeprefix("https://").removeprefix("http://").strip("/")
    if not _DOMAIN.match(domain) or has_hidden(domain):
        raise RecordError("domain", "expected a name such as example.com")
    if domain in RESERVED:
        raise RecordError("domain", "{name} is an address of Tyst itself; choose another name", name=domain)
    if not _is_time_zone(site.timezone):
        raise RecordError("timezone", "{name!r} is not an IANA time zone such as Europe/Stockholm", name=site.timezone)
    if site.consent not in POLICIES:
        raise RecordError("consent", "expected one of {choices}", choices=", ".join(POLICIES))
    if site.datacenter not in DATACENTER_MODES:
        raise RecordError("datacenter", "expected one of {choices}", choices=", ".join(DATACENTER_MODES))
    if not 1 <= site.retention_days <= 36_500:
        raise RecordError("retention_days", "expected 1 to 36500 days")
    if not 1 <= site.min_visitors <= 1_000:
        raise RecordError("min_visitors", "expected 1 to 1000")
    if site.rate_limit is not None and not 0 <= site.rate_limit <= MAX_RATE:
        raise RecordError("rate_limit", "expected 0 to {most} beacons a second", most=MAX_RATE)
    if len(site.hidden_paths) > MOST_PATTERNS or not all(map(is_hiding, site.hidden_paths)):
        raise RecordError(
            "hidden_paths",
            "expected at most {count} patterns such as /patients/*/notes or /private/**; ** stands last",
            count=MOST_PATTERNS,
        )
    if len(site.excluded_paths) > MOST_EXCLUDED or not all(map(is_bounded, site.excluded_paths)):
        raise RecordError(
            "excluded_paths",
            "expected at most {count} patterns of at most {length} characters, such as /admin/**, with at most {stars} "
            "stars each",
            count=MOST_EXCLUDED,
            length=LONGEST_PATTERN,
            stars=MOST_STARS,
        )
    for name in ("hostnames", "excluded_countries", "query_keys"):
        if len(getattr(site, name)) > MOST_EXCLUDED or any(len(each) > LONGEST_TEXT for each in getattr(site, name)):
            raise RecordError(
                name,
                "expected at most {count} entries of at most {length} characters each",
                count=MOST_EXCLUDED,
                length=LONGEST_TEXT,
            )
    for host in site.hostnames:
        if host.startswith("*.") and is_shared_suffix(ascii_host(host[2:])):
            raise RecordError(
                "hostnames",
                "{name} would include other people’s sites; expected your own domain, such as *.example.com",
                name=host,
            )
    for name in ("controller", "contact", "hosting"):
        if len(getattr(site, name)) > LONGEST_TEXT or has_hidden(getattr(site, name)):
            raise RecordError(name, "expected one line of at most {count} characters", count=LONGEST_TEXT)
    aliases = tuple(dict.fromkeys(name for name in site.aliases if name != domain))
    return msgspec.structs.replace(
        site,
        domain=domain,
        goals=checked_goals(site.goals),
        aliases=aliases,
    )


def _is_time_zone(timezone: str) -> bool:
    if _SYSTEM_ZONE.match(timezone):
        return False
    try:
        Zone(timezone)
    except ValueError:
        return False
    return True


LONGEST_TEXT = 300
MAX_RATE: Final = 1_000_000
"""Beacons a second, as of `TYST_RATE_LIMIT`."""
ID_BYTES: Final = 8
MOST_PATTERNS = 50
MOST_EXCLUDED = 200

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
        "account",
        "changes",
        "invitation",
        "password",
    }
)

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
            after = self._with_former_zone(newest, checked(change(newest)))
            return msgspec.structs.replace(after, id=newest.id, domain=newest.domain)

        return await anyio.to_thread.run_sync(self._records.update, site.domain, changed)

    async def change(self, site: Site) -> Site:
        """Replace a site's settings. Raises `RecordError` if they are invalid."""
        site = self._with_former_zone(self.get(site.domain), checked(site))
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
