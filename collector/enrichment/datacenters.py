"""Data center detection: whether an address is in a list of networks that the operator provides.

Automated browsers run in data centers, but so do VPN exits, company proxies and cloud desktops. The file is reloaded
when it changes; addresses are not stored. No list is shipped, since such networks change weekly and the packages
that contained them are unmaintained.

Two line formats are supported and may be mixed; `#` begins a comment:

    192.0.2.0/24                                a network, or a single address
    192.0.2.0,192.0.2.255,16509,"Amazon..."     first and last address and the number of the autonomous system, with
                                                commas or tabs (the files of `@ip-location-db/asn`, of iptoasn.com)

Ranges in the second format count if their autonomous system is listed in `files/hosting_networks.txt`.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from collector.core.errors import SettingError

log = logging.getLogger(__name__)

HOSTING_FILE = Path(__file__).resolve().parents[1] / "files" / "hosting_networks.txt"

Range = tuple[int, int]
"""First and last address as numbers: of IPv4 all 32 bits, of IPv6 the upper 64, a household's network."""


class AddressRanges:
    """Set of addresses as sorted disjoint ranges: 8 bytes for each of IPv4, 16 for each of IPv6."""

    def __init__(self, v4: Iterable[Range] = (), v6: Iterable[Range] = ()) -> None:
        self._v4 = _packed("I", v4)
        self._v6 = _packed("Q", v6)

    def __len__(self) -> int:
        return len(self._v4[0]) + len(self._v6[0])

    def __contains__(self, address: str) -> bool:
        """Whether a range contains `address`; False for an invalid one."""
        try:
            version, number = _number_of(address.partition("%")[0])
        except ValueError:
            return False
        first, last = self._v4 if version == 4 else self._v6
        at = bisect_right(first, number)
        return at > 0 and number <= last[at - 1]


_MAPPED = bytes(10) + b"\xff\xff"


def _number_of(address: str) -> tuple[int, int]:
    """IP version and number of an address; mapped IPv4 is IPv4. Raises `ValueError` for what is no address."""
    try:
        if ":" not in address:
            return 4, int.from_bytes(socket.inet_pton(socket.AF_INET, address))
        packed = socket.inet_pton(socket.AF_INET6, address)
    except OSError:
        raise ValueError("no address") from None
    if packed.startswith(_MAPPED):
        return 4, int.from_bytes(packed[12:])
    return 6, int.from_bytes(packed[:8])


def _packed(kind: Literal["I", "Q"], ranges: Iterable[Range]) -> tuple[array[int], array[int]]:
    """First and last addresses of the ranges, those that overlap or touch as one."""
    first, last = array(kind), array(kind)
    for begins, ends in sorted(ranges):
        if last and begins <= last[-1] + 1:
            last[-1] = max(last[-1], ends)
        else:
            first.append(begins)
            last.append(ends)
    return first, last


class DatacenterNetworks:
    """The networks of a file; without one there are none. Raises `SettingError` when it cannot be used at start."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._stamp = (0, 0)
        self._ranges = AddressRanges()
        if path is not None:
            try:
                self._read(path)
            except OSError as error:
                raise SettingError("TYST_DATACENTER_FILE", str(path), f"cannot be read ({error.strerror})") from None
            if not len(self):
                raise SettingError("TYST_DATACENTER_FILE", str(path), "has no line with a data center's network")

    def __len__(self) -> int:
        return len(self._ranges)

    def covers(self, address: str) -> bool:
        """Whether `address` belongs to a data center."""
        return address in self._ranges

    def refresh(self) -> None:
        """Reload the file if it has changed; if it cannot be read, the current networks stay in use. Blocking."""
        if self._path is None:
            return
        try:
            status = self._path.stat()
            if (status.st_mtime_ns, status.st_size) != self._stamp:
                self._read(self._path)
        except OSError as error:
            log.warning("the data center list could not be read", extra={"reason": error.strerror})

    def _read(self, path: Path) -> None:
        status = path.stat()
        with path.open(encoding="utf-8", errors="replace") as lines:
            ranges, unread = read_ranges(lines)
        self._stamp = (status.st_mtime_ns, status.st_size)
        if len(ranges):
            self._ranges = ranges
        log.info("data center list loaded", extra={"ranges": len(ranges), "unread_lines": unread})


def read_ranges(lines: Iterable[str], hosting: frozenset[str] | None = None) -> tuple[AddressRanges, int]:
    """The ranges that the lines name, and how many lines could not be read.

    `hosting` are the numbers of autonomous systems that count; by default those of `files/hosting_networks.txt`.
    """
    hosting = hosting_networks() if hosting is None else hosting
    v4: list[Range] = []
    v6: list[Range] = []
    unread = 0
    for line in lines:
        fields = line.split("\t" if "\t" in line else ",", 3)
        if len(fields) > 2:
            if fields[2].strip(' "').upper().removeprefix("AS") not in hosting:
                continue
        else:
            fields = [field.strip() for field in line.partition("#")[0].split(",")]
            if fields == [""]:
                continue
        try:
            version, found = _range(fields)
        except ValueError:
            unread += 1
            continue
        (v4 if version == 4 else v6).append(found)
    return AddressRanges(v4, v6), unread


def _range(fields: list[str]) -> tuple[int, Range]:
    """IP version and range of a line's fields. Raises `ValueError` for what is none."""
    if len(fields) == 1:
        network = ipaddress.ip_network(fields[0], strict=False)
        fields = [str(network.network_address), str(network.broadcast_address)]
    (version, begins), (other, ends) = (_number_of(field.strip(' "\n')) for field in fields[:2])
    if version != other or begins > ends:
        raise ValueError("the range ends before it begins")
    return version, (begins, ends)


def hosting_networks() -> frozenset[str]:
    """Numbers of the autonomous systems of hosting companies, as text."""
    return frozenset(_numbers(HOSTING_FILE.read_text("utf-8")))


def _numbers(text: str) -> Iterator[str]:
    for line in text.splitlines():
        number = line.partition("#")[0].strip()
        if number:
            yield number
