"""Classification of public addresses, to which a server may connect on a user's request."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from collector.core.setting_values import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
# Within what is global: protocol assignments with Teredo, 6to4, documentation (IANA special-purpose registry).
_SPECIAL_V6 = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
# Beside what the library knows: protocol assignments, relays of 6to4 and of AMT, AS112, dummy and discard addresses.
_SPECIAL_V4 = tuple(
    map(
        ipaddress.IPv4Network,
        ("192.88.99.0/24", "192.52.193.0/24", "192.31.196.0/24", "192.175.48.0/24", "192.0.0.0/24"),
    )
)
# Where clouds tell a machine its secrets, and other services of theirs for machines within: public by their numbers.
_CLOUD = tuple(
    map(
        ipaddress.ip_network,
        (
            "169.254.0.0/16",  # Amazon, Google, Azure, DigitalOcean, Oracle and most others
            "168.63.129.16/32",  # Azure's WireServer
            "192.0.0.192/32",  # Oracle
            "100.100.100.200/32",  # Alibaba
            "fd00:ec2::/32",  # Amazon over IPv6
            "fd20:ce::254/128",  # Google over IPv6
            "fd00:42::42/128",  # Scaleway
        ),
    )
)
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")


def is_outside(address: Address) -> bool:
    """Whether it is a public unicast address. Forms that carry an IPv4 address in an IPv6 one never are: mapped and
    compatible, NAT64, 6to4, Teredo, ISATAP; nor are private, shared, loopback, link-local, multicast, reserved, and
    those of clouds' services for their own machines."""
    if is_within(address, _CLOUD):
        return False
    if isinstance(address, ipaddress.IPv4Address):
        special = any(address in network for network in _SPECIAL_V4)
        return address.is_global and not address.is_multicast and not address.is_reserved and not special
    # Whatever prefix a network translates by (RFC 6052, 2.2): the last 32 bits are the IPv4 address.
    if is_within(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF), _CLOUD):
        return False
    special = any(address in network for network in _SPECIAL_V6)
    # ISATAP (RFC 5214, 6.1): the interface's half is 0000:5efe or 0200:5efe and an IPv4 address.
    isatap = int(address) >> 32 & 0xFDFFFFFF == 0x00005EFE
    return address in _GLOBAL_V6 and address.is_global and not special and not isatap and address.scope_id is None


def is_within(address: Address, networks: Iterable[Network]) -> bool:
    """Whether the address belongs to one of these networks."""
    return any(address.version == network.version and address in network for network in networks)


def literal(host: str) -> Address | None:
    """The address that a host of a URL spells; None for a name.

    Raises `ValueError` for numbers in any other form than the plain one: decimal, octal, hexadecimal or shortened
    ones mean different addresses to different readers (WHATWG URL, 3.5: a host that ends in a number).
    """
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" in bare or _NUMBER.fullmatch(bare.removesuffix(".").rpartition(".")[2]):
        return ipaddress.ip_address(bare)
    return None
