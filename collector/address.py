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
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice

from collector.settings import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_MOST_HOPS = 50

# RFC 7239 section 4: a value is a token or a quoted string; commas and semicolons inside quotes do not separate.
_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;,\s"]*))\s*(?=;|$)', re.IGNORECASE)


def client_address(peer: str, headers: Iterable[tuple[bytes, bytes]], trusted: tuple[Network, ...]) -> str:
    """The address the beacon comes from: `peer` (the socket's), or what trusted proxies say of it.

    `headers` are ASGI pairs with lower-case names. Ports, brackets and mapped IPv4 forms are taken off what
    headers say; what is no address there is ignored. Never raises.
    """
    if not trusted:
        return peer
    address = parse_address(peer)
    if address is None or not _is_trusted(address, trusted):
        return peer
    forwarded, standard, cloudflare = _forwarding(headers)
    for values, entries in ((forwarded, _listed), (standard, _standard), (cloudflare[-1:], _listed)):
        found = _walk(entries(values), trusted) if values else None
        if found is not None:
            return str(found)
    return str(address)


@lru_cache(maxsize=1024)
def network_of(address: str) -> str:
    """The network that one household shares: IPv4 as it is, of IPv6 the /64, mapped IPv4 unmapped; else empty.

    The cache is bounded and in memory, like the connections whose addresses it holds.
    """
    parsed = parse_address(address)
    if parsed is None:
        return ""
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))


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


def _walk(chain: Iterator[str], trusted: tuple[Network, ...]) -> Address | None:
    """The first address from the right that is no trusted proxy; of trusted ones alone, the farthest.

    What cannot be read ends the walk: nobody vouches for what stands to the left of it.
    """
    farthest = None
    for text in islice(chain, _MOST_HOPS):
        address = parse_address(text)
        if address is None or not int(address):
            break
        farthest = address
        if not _is_trusted(address, trusted):
            break
    return farthest


def _listed(values: list[str]) -> Iterator[str]:
    """Entries of a comma-separated header, from the right; blank ones are left out."""
    for value in reversed(values):
        for entry in reversed(value.split(",")):
            if entry.strip():
                yield entry


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
    try:
        # Most are plain IPv4, and the system's own parser takes a tenth of the time.
        return ipaddress.IPv4Address(socket.inet_pton(socket.AF_INET, text))
    except (OSError, ValueError):
        pass
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


def _is_trusted(address: Address, trusted: tuple[Network, ...]) -> bool:
    # What `address in network` does, without the objects that it makes: this is the hot path.
    version, number = address.version, int(address)
    for network in trusted:
        if network.version == version and number & int(network.netmask) == int(network.network_address):
            return True
    return False
