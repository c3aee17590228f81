"""The visitor's address, in memory only: whom a connection comes from, believing only trusted proxies.

A forwarding header is text that anybody can write. It counts only where the connection itself comes from a
trusted proxy, and then from the right: each hop is believed about the one before it as long as it is itself
trusted, so the answer is the last address that a trusted proxy saw. Names: `X-Forwarded-For`, else `Forwarded`
(RFC 7239), else `CF-Connecting-IP`. The first two grow by one entry per hop; the third is a single value that
a proxy may pass through unread, so it is believed only where the others say nothing usable.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from collector.settings import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

FORWARDING_HEADERS = frozenset({b"x-forwarded-for", b"forwarded", b"cf-connecting-ip"})

_MOST_HOPS = 50

# RFC 7239 section 4: a value is a token or a quoted string; commas and semicolons inside quotes do not separate.
_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;,\s"]*))\s*(?=;|$)', re.IGNORECASE)


class Proxies:
    """The networks whose forwarding headers are believed, as numbers: every beacon is held against them."""

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        self._masks = [(each.version, int(each.netmask), int(each.network_address)) for each in networks]
        self._last = ("", "")

    def __bool__(self) -> bool:
        return bool(self._masks)

    def spelt(self, peer: str) -> str:
        """The one spelling of a peer's address, where that is in one of the networks; else empty."""
        known, text = self._last
        if known == peer:
            return text
        hop = _read_hop(peer)
        if hop is None or not self.trust(hop):
            return ""
        # Most of the time there is one proxy, and all come through it.
        self._last = (peer, hop.text)
        return hop.text

    def trust(self, hop: Hop) -> bool:
        """Whether the address is in one of the networks."""
        version, number, _ = hop
        for kind, mask, base in self._masks:  # noqa: SIM110 # a generator takes twice as long, for every beacon
            if kind == version and number & mask == base:
                return True
        return False


class Hop(NamedTuple):
    """An address that was read: version, number, and its one spelling."""

    version: int
    number: int
    text: str


def client_address(peer: str, headers: Sequence[tuple[bytes, bytes]], trusted: Proxies) -> str:
    """The address the beacon comes from: `peer` (the socket's), or what trusted proxies say of it.

    `headers` are ASGI pairs with lower-case names. Ports, brackets and mapped IPv4 forms are taken off what
    headers say; what is no address there is ignored. Never raises.
    """
    if not trusted:
        return peer
    proxy = trusted.spelt(peer)
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


def _read_hop(text: str) -> Hop | None:
    packed = _packed(text)
    if packed is not None:
        return Hop(4, int.from_bytes(packed), text)
    address = parse_address(text)
    return Hop(address.version, int(address), str(address)) if address is not None else None


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


def _walk(chain: Iterator[str], trusted: Proxies) -> Hop | None:
    """The first address from the right that is no trusted proxy; of trusted ones alone, the farthest.

    What cannot be read ends the walk: nobody vouches for what stands to the left of it.
    """
    farthest = None
    for text in islice(chain, _MOST_HOPS):
        hop = _read_hop(text)
        if hop is None or not hop.number:
            break
        farthest = hop
        if not trusted.trust(hop):
            break
    return farthest


def _listed(values: list[str]) -> Iterator[str]:
    """Entries of a comma-separated header, from the right; blank ones are left out."""
    entries = ",".join(values).rsplit(",", _MOST_HOPS) if len(values) > 1 or "," in values[0] else values
    return filter(None, map(str.strip, reversed(entries)))


def _standard(values: list[str]) -> Iterator[str]:
    """The `for` of each element of `Forwarded` (RFC 7239), from the right; empty where an element has none."""
    for value in reversed(values):
        for element in reversed(_ELEMENT.findall(value)):
            if element.strip():
                match = _FOR.search(element.strip())
                yield (re.sub(r"\\(.)", r"\1", match[1]) if match[1] is not None else match[2]) if match else ""


@lru_cache(maxsize=1024)
def parse_address(text: str) -> Address | None:
    """An address as headers and sockets write it, with or without port, brackets, quotes and zone; else None.

    A mapped IPv4 address is the IPv4 address.
    """
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
