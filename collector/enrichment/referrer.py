"""Attribution of a visit: referring page, display name of the source, and kind of source."""

from __future__ import annotations

from collections.abc import Collection
from types import MappingProxyType

import msgspec

from collector.enrichment.channels import PAID_SEARCH_CLICKS, AttributionSignals, channel_of
from collector.enrichment.referrer_sources import ALIASES, APART, KINDS, SIGN_IN
from collector.enrichment.urls import NO_TAGS, Page, read_referrer
from collector.sites.hostnames import is_at_or_under


class Referral(msgspec.Struct, frozen=True):
    """Attribution of a visit: referring page, source and channel. A direct visit has the channel only."""

    referrer: str
    """Host and path of the referring page."""
    source: str
    """Display name of the source, or the referring host."""
    channel: str
    medium: str
    """`utm_medium`, or the name of an advertisement's click identifier in brackets: `(gclid)`."""


def read_origin(referrer: str, page: Page, own_hosts: Collection[str] = ()) -> Referral:
    """Return the origin of a visit that begins with `page`. The page's tags win over the `referrer`.

    A referrer at or under one of `own_hosts` (in ASCII), or the page's own host, is no origin; nor is one where people
    sign in, who come back from there.
    """
    host, path = read_referrer(referrer, own_hosts)
    if is_own(host, page.hostname, own_hosts) or _find(host) == _SIGN_IN:
        host = path = ""
    tags = page.tags
    if tags == NO_TAGS:
        source = name_of_host(host)
        return Referral(host + path, source, _UNTAGGED[_KIND_OF.get(source, "") if source else None], "")
    source = name_of_tag(tags.source) if tags.source else name_of_host(host)
    medium = tags.medium
    if not medium and PAID_SEARCH_CLICKS.get(tags.click_id) == source:
        medium = f"({tags.click_id})"
    clues = AttributionSignals(source.lower(), kind_of(source), medium.lower(), tags.campaign.lower(), tags.click_id)
    return Referral(host + path, source, channel_of(clues), medium)


def is_own(host: str, page_host: str, own_hosts: Collection[str]) -> bool:
    """Whether a referring host belongs to the site of a page: at or under the page's host or one of the site's."""
    return host == page_host or host.endswith("." + page_host) or is_at_or_under(host, own_hosts)


def is_spam(referrer_host: str, spam: frozenset[str]) -> bool:
    """Whether a referring host, or a domain above it, is on the operator's list (without `www.`)."""
    return any(host in spam for host in _upwards(referrer_host.removeprefix("www.")))


def name_of_host(host: str) -> str:
    """Return the display name of the source at `host`; the host itself when it is not known."""
    name = _find(host)
    return name if name and name != _SIGN_IN else host


def _find(host: str) -> str:
    """The name that the table has for `host`: of the longest host that fits, or empty. `_SIGN_IN` is none."""
    host = host.removeprefix("www.")
    ending = _country_ending(host)
    part, table = host, _ALONE
    while part:
        name = table.get(part)
        if name is None and ending:
            name = table.get(part[:-ending] + ".*")
        if name is not None:
            return name
        if table is _ALONE:
            table = _HOSTS
        else:
            part = part.partition(".")[2]
    return ""


def name_of_tag(tag: str) -> str:
    """Return the display name for a `utm_source`: a name in any case, an alias, a known host, or the text itself."""
    folded = tag.casefold().strip()
    name = _NAMES.get(folded)
    if name:
        return name
    if "." in folded:
        known = _find(folded)
        return known if known in _KIND_OF else tag
    return tag


def kind_of(source: str) -> str:
    """Return the kind of a source by its display name or a name close to it (`producthunt`), or an empty text."""
    return _KIND_OF.get(source) or _SQUEEZED.get(_squeeze(source), "")


def _upwards(host: str) -> list[str]:
    """`a.b.c` is asked for as `a.b.c`, then `b.c`, then `c`."""
    parts = [host]
    while "." in host:
        host = host.partition(".")[2]
        parts.append(host)
    return parts


def _country_ending(host: str) -> int:
    """Return how long the ending is that `.*` stands for: `.se`, `.co.uk`, `.com.tr`, `.com`; 0 for other endings."""
    if host.endswith(".com"):
        return 4
    if host[-3:-2] != ".":
        return 0
    if host.endswith(".co", 0, -3):
        return 6
    return 7 if host.endswith(".com", 0, -3) else 3


def _squeeze(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


# Without tags the channel follows from the kind of source alone, by the same rules; None is no source.
_UNTAGGED: MappingProxyType[str | None, str] = MappingProxyType(
    {kind: channel_of(AttributionSignals(source="host.example", kind=kind)) for kind in ("", *KINDS)}
    | {None: channel_of(AttributionSignals())}
)
_KIND_OF = MappingProxyType({name: kind for kind, table in KINDS.items() for name in table})
_SQUEEZED = MappingProxyType({_squeeze(name): kind for name, kind in _KIND_OF.items()})
# What `_find` says of a host where people sign in: no source is called so.
_SIGN_IN = "\0"
# Hosts of search engines stand for themselves alone, all others for what is below them, too.
_ALONE = MappingProxyType({host: name for name, hosts in KINDS["search"].items() for host in hosts if host[:2] != "*."})
_HOSTS = MappingProxyType(
    {host[2:]: name for name, hosts in KINDS["search"].items() for host in hosts if host[:2] == "*."}
    | {host: name for kind in KINDS if kind != "search" for name, hosts in KINDS[kind].items() for host in hosts}
    | dict.fromkeys(APART, "")
    | dict.fromkeys(SIGN_IN, _SIGN_IN)
)
_NAMES = MappingProxyType(
    {name.casefold(): name for name in _KIND_OF}
    | {alias: name for name, aliases in ALIASES.items() for alias in aliases}
)
