"""Excluded IP addresses, such as an office's: from the settings, held in memory only."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from itertools import chain

from collector.core.setting_values import Network, SiteNetwork
from collector.enrichment.client_ip import parse_address
from collector.sites.hostnames import ascii_host


class IpExclusions:
    """Excluded networks, of all sites or of one. Empty exclusions are false."""

    def __init__(self, excluded: tuple[SiteNetwork, ...] = ()) -> None:
        self._everywhere: list[Network] = []
        self._sites: dict[str, list[Network]] = {}
        for site, network in excluded:
            networks = self._sites.setdefault(ascii_host(site), []) if site else self._everywhere
            networks.append(_unmapped(network))

    def __bool__(self) -> bool:
        return bool(self._everywhere or self._sites)

    def covers(self, names: Collection[str], address: str) -> bool:
        """Whether beacons from `address` for the site of these `names`, in ASCII, are left out. What is no address is
        in no network."""
        networks = [*self._everywhere, *chain.from_iterable(self._sites.get(name, ()) for name in names)]
        parsed = parse_address(address) if networks else None
        return parsed is not None and any(
            parsed.version == network.version and parsed in network for network in networks
        )


def _unmapped(network: Network) -> Network:
    """A network of mapped IPv4 addresses (`::ffff:192.0.2.0/120`) as IPv4: that is how addresses are compared."""
    mapped = network.version == 6 and network.network_address.ipv4_mapped
    if not mapped or network.prefixlen < 96:
        return network
    return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
