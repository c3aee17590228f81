"""A site: its settings, and what is valid in them."""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

from collector.core.errors import RecordError
from collector.core.text import has_hidden
from collector.core.timezones import FormerZone, Zone
from collector.core.wildcards import LONGEST_PATTERN, MOST_STARS, is_bounded
from collector.sites.goals import Goal, checked_goals
from collector.sites.hostnames import ascii_host, host_entry, is_shared_suffix

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
    """Evidence of consent counts only with a receipt that the collector issued (`consent_receipts`)."""
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
    """Path patterns whose stars are replaced by `:hidden` before a path is kept (`url_policy`)."""
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
    def host(self) -> str:
        """Its name as browsers spell hosts: in ASCII, such as `xn--rkor-loa.example` for `räkor.example`."""
        return ascii_host(self.domain) or self.domain

    @property
    def names(self) -> frozenset[str]:
        """What it is and was called, as browsers spell hosts."""
        return frozenset({self.host, *map(ascii_host, self.aliases)})

    @property
    def hash_name(self) -> str:
        """The name that is hashed into visitor ids; unique for each site."""
        return self.id


def checked(site: Site) -> Site:
    """The site, validated. Raises `RecordError` naming the invalid field."""
    domain = site.domain.strip().lower().removeprefix("https://").removeprefix("http://").strip("/")
    # Beacons are counted under the name without it.
    while domain.startswith("www."):
        domain = domain.removeprefix("www.")
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
    hostnames = tuple(dict.fromkeys(host_entry(host) or host for host in site.hostnames))
    for host in hostnames:
        if host.startswith("*.") and is_shared_suffix(ascii_host(host[2:])):
            raise RecordError(
                "hostnames",
                "{name} would include other people’s sites; expected your own domain, such as *.example.com",
                name=host,
            )
    for name in ("controller", "contact", "hosting"):
        if len(getattr(site, name)) > LONGEST_TEXT or has_hidden(getattr(site, name)):
            raise RecordError(name, "expected one line of at most {count} characters", count=LONGEST_TEXT)
    if len(site.former_timezones) > MOST_ZONES:
        raise RecordError("timezone", "expected at most {count} changes of the time zone", count=MOST_ZONES)
    aliases = tuple(dict.fromkeys(name for name in site.aliases if name != domain))
    if len(aliases) > MOST_ALIASES:
        raise RecordError("domain", "expected at most {count} former names; release some first", count=MOST_ALIASES)
    return msgspec.structs.replace(
        site,
        domain=domain,
        hostnames=hostnames,
        excluded_countries=tuple(country.strip().upper() for country in site.excluded_countries),
        query_keys=tuple(key.strip().lower() for key in site.query_keys),
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
MOST_PATTERNS = 50
MOST_ZONES: Final = 50
"""Former time zones, by which the hours of past days are counted."""
MOST_ALIASES: Final = 50
"""Former names of a site."""
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
        "alerts",
        "language",
        "unsubscribe",
    }
)
