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
from collections.abc import Iterable, Iterator
from functools import lru_cache

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
    for chain in (_listed(forwarded), _standard(standard), _listed(cloudflare[-1:])):
        found = _walk(chain, trusted)
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
    found: dict[bytes, list[str]] = {b"x-forwarded-for": [], b"forwarded": [], b"cf-connecting-ip": []}
    for name, value in headers:
        if name in found:
            found[name].append(value.decode("latin-1"))
    return found[b"x-forwarded-for"], found[b"forwarded"], found[b"cf-connecting-ip"]


def _walk(chain: Iterator[str], trusted: tuple[Network, ...]) -> Address | None:
    """The first address from the right that is no trusted proxy; of trusted ones alone, the farthest.

    What cannot be read ends the walk: nobody vouches for what stands to the left of it.
    """
    farthest = None
    for _, text in zip(range(_MOST_HOPS), chain, strict=False):
        address = parse_address(text)
        if address is None or address.is_unspecified:
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
    return any(address.version == network.version and address in network for network in trusted)
