"""The client's IP address, held in memory only, through trusted proxies only.

A forwarding header is text that anybody can write. It counts only where the connection itself comes from a
trusted proxy, and then from the right: each hop is believed about the one before it as long as it is itself
trusted, so the answer is the last address that a trusted proxy saw. Names: `X-Forwarded-For`, else `Forwarded`
(RFC 7239), else `CF-Connecting-IP`. The first two grow by one entry per hop; the third is a single value that
a proxy may pass through unread, so it is believed only where the others say nothing usable.

Only the last `LONGEST_CHAIN` characters of a field and the last hops are read, each in one linear pass: what a visitor
wrote into the field stands to the left of what the proxies appended.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from collector.core.setting_values import SiteNetwork
from collector.sites.hostnames import ascii_host

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

FORWARDING_HEADERS = frozenset({b"x-forwarded-for", b"forwarded", b"cf-connecting-ip"})

LONGEST_CHAIN = 4_096
"""Characters of a forwarding field that are read, from its end."""
_MAX_HOPS = 50
_LONGEST_ADDRESS = 100
"""Characters of an address with brackets, zone and port; what is longer is none."""


class TrustedProxies:
    """Networks whose forwarding header fields are trusted, as numbers.

    Each is a site's domain and a network, as the setting `TYST_TRUSTED_PROXIES` has them; without a domain the proxy
    speaks for every site.
    """

    def __init__(self, networks: Iterable[SiteNetwork] = ()) -> None:
        listed = list(networks)
        self._masks = [(each.version, int(each.netmask), int(each.network_address)) for _, each in listed]
        self._bound = [(ascii_host(site), each) for site, each in listed if site]
        self._unbound = [each for site, each in listed if not site]
        self._last = ("", "")

    def __bool__(self) -> bool:
        return bool(self._masks)

    def sites_of(self, peer: str) -> frozenset[str] | None:
        """The sites, in ASCII, that the proxy at this address may speak for; None is every site, also for no proxy."""
        if not self._bound:
            return None
        address = parse_address(peer)
        if address is None or any(address in network for network in self._unbound):
            return None
        return frozenset(site for site, network in self._bound if address in network) or None

    def trusts(self, peer: str) -> bool:
        """Whether what this address says of its clients is believed."""
        return bool(self._masks) and bool(self.canonical_if_trusted(peer))

    def canonical_if_trusted(self, peer: str) -> str:
        """The one spelling of a peer's address, where that is in one of the networks; else empty."""
        known, text = self._last
        if known == peer:
            return text
        hop = _read_ip(peer)
        if hop is None or not self.trust(hop):
            return ""
        # Most of the time there is one proxy, and all come through it.
        self._last = (peer, hop.text)
        return hop.text

    def trust(self, hop: ParsedIp) -> bool:
        """Whether the address is in one of the networks."""
        version, number, _ = hop
        for kind, mask, base in self._masks:  # noqa: SIM110 # a generator takes twice as long, for every beacon
            if kind == version and number & mask == base:
                return True
        return False


class ParsedIp(NamedTuple):
    """A parsed IP address: version, number and canonical text."""

    version: int
    number: int
    text: str


def client_address(peer: str, headers: Sequence[tuple[bytes, bytes]], trusted: TrustedProxies) -> str:
    """The client's address: `peer` (the socket's), or the one that trusted proxies report.

    `headers` are ASGI pairs with lower-case names. Ports, brackets and mapped IPv4 forms are taken off what
    headers say; what is no address there is ignored. Never raises.
    """
    if not trusted:
        return peer
    proxy = trusted.canonical_if_trusted(peer)
    if not proxy:
        return peer
    if len(headers) == 1 and headers[0][0] == b"x-forwarded-for":
        # As most proxies have it: one address, which is the answer whether it is itself trusted or not.
        said = headers[0][1].decode("latin-1")
        packed = _packed(said)
        if packed is not None and any(packed):
            return said
    forwarded, standard, cloudflare = _forwarding(headers)
    for values, entries in ((forwarded, _listed), (standard, _standard), (cloudflare[-1:], _listed)):
        found = _walk(entries(values), trusted) if values else None
        if found is not None:
            return found.text
    return proxy


def network_of(address: str) -> str:
    """The network that one household shares: IPv4 as it is, of IPv6 the /64, mapped IPv4 unmapped; else empty."""
    return address if _packed(address) is not None else _other_network_of(address)


@lru_cache(maxsize=1024)
def _other_network_of(address: str) -> str:
    """The cache is bounded and in memory, like the connections whose addresses it holds."""
    parsed = parse_address(address)
    if parsed is None:
        return ""
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))


def _packed(text: str) -> bytes | None:
    """The four bytes of an IPv4 address in its one spelling; None of anything else. The system's own parser takes a
    tenth of the time of Python's."""
    try:
        return socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):
        return None


def _read_ip(text: str) -> ParsedIp | None:
    packed = _packed(text)
    if packed is not None:
        return ParsedIp(4, int.from_bytes(packed), text)
    address = parse_address(text)
    return ParsedIp(address.version, int(address), str(address)) if address is not None else None


def forwarded_scheme(peer: str, headers: Iterable[tuple[bytes, bytes]], trusted: TrustedProxies) -> str:
    """`https` or `http` as a trusted proxy received the request (`X-Forwarded-Proto`, else `Forwarded`); else empty.

    Of a list the last entry counts: it is that of the proxy which is itself trusted.
    """
    if not trusted.trusts(peer):
        return ""
    found = {name: value for name, value in headers if name in (b"x-forwarded-proto", b"forwarded")}
    said = found.get(b"x-forwarded-proto", b"")[-LONGEST_CHAIN:].decode("latin-1").rpartition(",")[2].strip().lower()
    if not said and b"forwarded" in found:
        last = next(_elements(found[b"forwarded"].decode("latin-1")), "")
        said = _parameters(last).get("proto", "").lower()
    return said if said in ("http", "https") else ""


def _forwarding(headers: Iterable[tuple[bytes, bytes]]) -> tuple[list[str], list[str], list[str]]:
    """Values of the three forwarding headers, each in order of arrival."""
    forwarded: list[str] = []
    standard: list[str] = []
    cloudflare: list[str] = []
    for name, value in headers:
        if name == b"x-forwarded-for":
            forwarded.append(value.decode("latin-1"))
        elif name == b"forwarded":
            standard.append(value.decode("latin-1"))
        elif name == b"cf-connecting-ip":
            cloudflare.append(value.decode("latin-1"))
    return forwarded, standard, cloudflare


def _walk(chain: Iterator[str], trusted: TrustedProxies) -> ParsedIp | None:
    """The first address from the right that is no trusted proxy; of trusted ones alone, the farthest.

    What cannot be read ends the walk: nobody vouches for what stands to the left of it.
    """
    farthest = None
    for text in islice(chain, _MAX_HOPS):
        hop = _read_ip(text)
        if hop is None or not hop.number:
            break
        farthest = hop
        if not trusted.trust(hop):
            break
    return farthest


def _listed(values: list[str]) -> Iterator[str]:
    """Entries of a comma-separated header, from the right; blank ones are left out."""
    text = values[0] if len(values) == 1 else ",".join(values)
    return filter(None, map(str.strip, reversed(text[-LONGEST_CHAIN:].rsplit(",", _MAX_HOPS))))


def _standard(values: list[str]) -> Iterator[str]:
    """The `for` of each element of `Forwarded` (RFC 7239), from the right; empty where an element has none."""
    for value in reversed(values):
        for element in _elements(value):
            if element:
                yield _parameters(element).get("for", "")


def _elements(value: str) -> Iterator[str]:
    """Elements of a `Forwarded` field (RFC 7239, 4), from the right, trimmed.

    Commas inside quoted strings do not separate. Read from the end, where the nearest proxy wrote, a quote that a
    visitor left open cannot swallow what follows it.
    """
    text = value[-LONGEST_CHAIN:]
    end, quoted, at = len(text), False, len(text)
    while at:
        at -= 1
        character = text[at]
        if character == '"':
            slashes = at
            while slashes and text[slashes - 1] == "\\":
                slashes -= 1
            if not quoted or (at - slashes) % 2 == 0:
                quoted = not quoted
            at = slashes
        elif character == "," and not quoted:
            yield text[at + 1 : end].strip()
            end = at
    yield text[:end].strip()


def _parameters(element: str) -> dict[str, str]:
    """Parameters of one element by lower-case name, unquoted; none where the element is malformed."""
    found: dict[str, str] = {}
    at, size = 0, len(element)
    while at < size:
        equals = element.find("=", at)
        if equals < 0:
            return {}
        name, at = element[at:equals].strip().lower(), equals + 1
        while at < size and element[at] in " \t":
            at += 1
        if at < size and element[at] == '"':
            parts, at = [], at + 1
            while at < size and element[at] != '"':
                at += element[at] == "\\"
                parts.append(element[at : at + 1])
                at += 1
            if at >= size:
                return {}
            value, end = "".join(parts), element.find(";", at)
            if element[at + 1 : end if end >= 0 else size].strip():
                return {}
        else:
            end = element.find(";", at)
            value = element[at : end if end >= 0 else size].strip()
        found.setdefault(name, value)
        at = end + 1 if end >= 0 else size
    return found


def parse_address(text: str) -> Address | None:
    """An address as headers and sockets write it, with or without port, brackets, quotes and zone; else None.

    A mapped IPv4 address is the IPv4 address.
    """
    return _parse_address(text) if len(text) <= _LONGEST_ADDRESS else None


@lru_cache(maxsize=1024)
def _parse_address(text: str) -> Address | None:
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
