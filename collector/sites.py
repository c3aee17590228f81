"""The sites that may be measured, held in memory for the hot path and in ClickHouse for good."""

from __future__ import annotations

import re
from typing import Literal

import anyio.to_thread
import msgspec

from collector.day import Zone
from collector.exceptions import RecordError
from collector.goals import Goal as Goal  # part of a site
from collector.goals import checked_goals
from collector.records import Records

Policy = Literal["required", "limited", "exempt"]
POLICIES: tuple[Policy, ...] = ("required", "limited", "exempt")

# 25 months: the longest that the audience-measurement exemption of the CNIL allows for raw data.
DEFAULT_RETENTION_DAYS = 760

# A host name, internationalised ones included; it is also one segment of the dashboard's addresses.
_DOMAIN = re.compile(r"(?=.{1,253}\Z)[\w¡-\U0010ffff](?:[-\w.¡-\U0010ffff]*[\w¡-\U0010ffff])?\Z")


def is_hiding(pattern: str) -> bool:
    """Whether a pattern hides something, and can be read."""
    segments = pattern.split("/")
    stars = any("*" in segment for segment in segments)
    return (
        pattern.startswith("/")
        and len(pattern) <= LONGEST_TEXT
        and stars
        and not any("**" in segment for segment in segments[:-1])
        and ("**" not in segments[-1] or segments[-1] == "**")
    )


class Site(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the owner has chosen for one site."""

    domain: str
    """Its name in beacons and in the dashboard's addresses, lower case."""
    timezone: str = "UTC"
    """IANA name; days begin and end by it."""
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
    salted_as: str = ""
    """The alias under which its visitors are told apart, so that a rename splits nobody's day; empty is its name."""
    created: int = 0
    """Unix seconds."""

    @property
    def hash_name(self) -> str:
        """What stands for the site in its visitors' ids. No two sites have the same."""
        return self.salted_as or self.domain


def checked(site: Site) -> Site:
    """The site as it may be stored. Raises `RecordError` naming the field that must be mended."""
    domain = site.domain.strip().lower().removeprefix("https://").removeprefix("http://").strip("/")
    if not _DOMAIN.match(domain):
        raise RecordError("domain", "expected a name such as example.com")
    if domain in RESERVED:
        raise RecordError("domain", "{name} is an address of Tyst itself; choose another name", name=domain)
    try:
        Zone(site.timezone)
    except ValueError:
        raise RecordError(
            "timezone", "{name!r} is no IANA time zone, such as Europe/Stockholm", name=site.timezone
        ) from None
    if site.consent not in POLICIES:
        raise RecordError("consent", "expected one of {choices}", choices=", ".join(POLICIES))
    if not 1 <= site.retention_days <= 36_500:
        raise RecordError("retention_days", "expected 1 to 36500 days")
    if not 1 <= site.min_visitors <= 1_000:
        raise RecordError("min_visitors", "expected 1 to 1000")
    if site.rate_limit is not None and site.rate_limit < 0:
        raise RecordError("rate_limit", "expected 0 or more beacons a second")
    if len(site.hidden_paths) > MOST_PATTERNS or not all(map(is_hiding, site.hidden_paths)):
        raise RecordError(
            "hidden_paths",
            "expected at most {count} patterns such as /patients/*/notes or /private/**; ** stands last",
            count=MOST_PATTERNS,
        )
    for name in ("controller", "contact", "hosting"):
        if len(getattr(site, name)) > LONGEST_TEXT or not getattr(site, name).isprintable():
            raise RecordError(name, "expected one line of at most {count} characters", count=LONGEST_TEXT)
    aliases = tuple(dict.fromkeys(name for name in site.aliases if name != domain))
    return msgspec.structs.replace(
        site,
        domain=domain,
        goals=checked_goals(site.goals),
        aliases=aliases,
        # Once an alias is let go, another site may take the name: their visitors must not have ids in common.
        salted_as=site.salted_as if site.salted_as in aliases else "",
    )


LONGEST_TEXT = 300
MOST_PATTERNS = 50

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


class Sites:
    """All sites. Reading is from memory; changes go to ClickHouse first."""

    def __init__(self, records: Records[Site]) -> None:
        self._records = records
        self._sites: dict[str, Site] = {}
        self._zones: dict[str, Zone] = {}
        self._aliases: dict[str, str] = {}
        self.busy: frozenset[str] = frozenset()
        """Names whose figures are being removed or moved: they cannot be taken meanwhile."""

    def get(self, domain: str) -> Site | None:
        """The site of that domain, or None. In memory: this is the hot path."""
        return self._sites.get(domain)

    def measured(self, domain: str) -> Site | None:
        """The site that beacons for this name are counted for: its own, or the one that had it before."""
        return self._sites.get(domain) or self._sites.get(self._aliases.get(domain, ""))

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
        self._keep(self._records.all())

    def must_be_free(self, domain: str, *, but: Site | None = None) -> None:
        """Raises `RecordError` where a site has that name, had it before (except `but`), or is leaving it."""
        if domain in self._sites:
            raise RecordError("domain", "{name} is registered already", name=domain)
        former = self.measured(domain)
        if former is not None and (but is None or former.domain != but.domain):
            raise RecordError(
                "domain", "{name} is a former name of {site}; let it go there first", name=domain, site=former.domain
            )
        if domain in self.busy:
            raise RecordError("domain", "figures of {name} are still being deleted; try again in a minute", name=domain)

    async def add(self, site: Site) -> Site:
        """Register a site. Raises `RecordError` when it is not valid or is there already."""
        site = checked(site)
        self.must_be_free(site.domain)
        return await self.change(site)

    async def change(self, site: Site) -> Site:
        """Store a site's new settings. Raises `RecordError` when they are not valid."""
        site = checked(site)
        await anyio.to_thread.run_sync(self._records.put, site.domain, site)
        self._keep({**self._sites, site.domain: site})
        return site

    async def remove(self, domain: str) -> None:
        """Forget a site; its events stay until its data is deleted. Raises `RecordError` if it is unknown."""
        if domain not in self._sites:
            raise RecordError("domain", "{name} is not registered", name=domain)
        await anyio.to_thread.run_sync(self.remove_now, domain)

    def remove_now(self, domain: str) -> None:
        """The same for whoever knows that it is there; blocking."""
        self._records.delete(domain)
        self._keep({name: site for name, site in self._sites.items() if name != domain})

    def rename_now(self, site: Site, new: str) -> Site:
        """Give a site another name; beacons of the old one go on to count as its own. Blocking."""
        aliases = tuple(name for name in (*site.aliases, site.domain) if name != new)
        hash_name = site.hash_name
        renamed = checked(
            msgspec.structs.replace(site, domain=new, aliases=aliases, salted_as=hash_name if hash_name != new else "")
        )
        self._records.put(new, renamed)
        self._records.delete(site.domain)
        others = {name: other for name, other in self._sites.items() if name != site.domain}
        self._keep({**others, new: renamed})
        return renamed

    def _keep(self, sites: dict[str, Site]) -> None:
        self._aliases = {alias: site.domain for site in sites.values() for alias in site.aliases}
        self._sites = sites
