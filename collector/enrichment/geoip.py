"""Country lookup, by the browser's time zone or by IP address. Nothing finer is determined.

Time zones come from the zone table of the package `tzdata`. Addresses are looked up in the registries' delegations
that the package `iptocc` carries, or in an operator's MMDB file instead. The time zone comes first, since an address
may be a VPN's; but browsers that protect their users give the same time zone for everybody. Where such a mask and the
address disagree, the address decides, and where that is a data center's, nothing does.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from pathlib import Path

import iptocc
import maxminddb

from collector.core.errors import SettingError

log = logging.getLogger(__name__)

# Kosovo has no code of its own in ISO 3166; XK is the user-assigned one that databases use.
USER_ASSIGNED = frozenset({"XK"})


MASKS = frozenset({"Atlantic/Reykjavik", "Iceland"})
"""Time zones with a country that browsers put in place of their own: Firefox with `privacy.resistFingerprinting` (Tor
Browser, Mullvad Browser, LibreWolf) has been in Reykjavik since version 128; before, in UTC, which has no country."""


def read_zones() -> dict[str, str]:
    """Map every name of a time zone to its country's code; zones without a country (`Etc/UTC`) are left out.

    A row of `zone.tab` wins over a link: `Europe/Oslo` is a link to Berlin and still in Norway. Old names
    (`Asia/Calcutta`) are links only and take the country of what they point at, through several links if need be.
    """
    countries = {zone: code for code, zone in _rows("zone.tab", 0, 2)}
    links = {old: new for mark, new, old in _link_lines() if mark == "L"}
    for old in links:
        name = old
        while name not in countries and name in links:
            name = links[name]
        if name in countries:
            countries.setdefault(old, countries[name])
    return countries


def read_codes() -> frozenset[str]:
    """Return the country codes that may be stored: ISO 3166-1 alpha-2, and Kosovo's."""
    return frozenset(code for code, _ in _rows("iso3166.tab", 0, 1)) | USER_ASSIGNED


def _lines(name: str) -> Iterable[str]:
    return (resources.files("tzdata") / "zoneinfo" / name).read_text("utf-8").splitlines()


def _rows(name: str, first: int, second: int) -> Iterable[tuple[str, str]]:
    for line in _lines(name):
        if line and not line.startswith("#"):
            fields = line.split("\t")
            yield fields[first], fields[second]


def _link_lines() -> Iterable[tuple[str, str, str]]:
    for line in _lines("tzdata.zi"):
        fields = line.split()
        if len(fields) == 3:
            yield fields[0], fields[1], fields[2]


class CountryDatabase:
    """An operator's MMDB file, reloaded when it changes.

    The file is looked at every `check_seconds` of `clock`, when a lookup is asked for. It is read into memory as a
    whole: a mapped file that is overwritten in place would take the process down with it. A new file that cannot
    be read leaves the old one in force and says so in the log.

    Raises `SettingError` when the file cannot be read at the start.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic, check_seconds: float = 60.0) -> None:
        self._path = path
        self._clock = clock
        self._check_seconds = check_seconds
        self._checked = clock()
        try:
            self._stamp = self._read_stamp()
            self._reader = self._open()
        except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
            raise SettingError("TYST_GEOIP_DB", str(path), f"cannot be read as an MMDB file ({error})") from None

    def find(self, address: str) -> str:
        """Return the code that the file has for `address`, unchecked; empty without one."""
        self._refresh()
        try:
            return _code_of(self._reader.get(address))
        except ValueError:  # no address, or an IPv6 address and a file of IPv4 networks
            return ""
        except maxminddb.InvalidDatabaseError:
            log.warning("%s is damaged: a country could not be looked up", self._path)
            return ""

    def _refresh(self) -> None:
        now = self._clock()
        if now - self._checked < self._check_seconds:
            return
        self._checked = now
        try:
            stamp = self._read_stamp()
            if stamp == self._stamp:
                return
            self._stamp = stamp
            self._reader = self._open()
            log.info("%s has changed and is in use", self._path)
        except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
            log.warning("%s has changed and cannot be read (%s); the one before stays in use", self._path, error)

    def _open(self) -> maxminddb.Reader:
        return maxminddb.open_database(self._path, maxminddb.MODE_MEMORY)

    def _read_stamp(self) -> tuple[int, int, int]:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino


def _code_of(record: object) -> str:
    """Find the code in a record: `country.iso_code`, else `country_code`, else `country` as text."""
    if not isinstance(record, Mapping):
        return ""
    country = record.get("country")
    code = country.get("iso_code") if isinstance(country, Mapping) else record.get("country_code", country)
    return code if isinstance(code, str) else ""


class CountryResolver:
    """Resolves a visitor's country. Its tables are read once, at construction.

    `database` is an operator's MMDB file, used for addresses in place of the built-in table; `clock` (seconds) and
    `check_seconds` say how often that file is looked at. Raises `SettingError` when it cannot be read.
    """

    def __init__(
        self,
        database: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        check_seconds: float = 60.0,
    ) -> None:
        self._zones = read_zones()
        self._codes = read_codes()
        self._database = CountryDatabase(database, clock, check_seconds) if database else None

    def read(self, zone: str, address: str, *, is_hosted: bool = False) -> str:
        """Return the ISO code for the IANA `zone`, else for the `address`, else an empty text.

        `is_hosted` says that the address is a data center's: somebody's exit, as a masked time zone is somebody's mask.
        """
        country = self._zones.get(zone, "")
        if country and zone not in MASKS:
            return country
        found = self._of_address(address)
        if not country or found == country:
            return found
        return "" if is_hosted else found or country

    def _of_address(self, address: str) -> str:
        plain = _unmapped(address)
        code = self._database.find(plain) if self._database else iptocc.country_code(plain)
        return code if code in self._codes else ""


def _unmapped(address: str) -> str:
    """Turn `::ffff:192.0.2.1`, however it is spelt, into the IPv4 address that it stands for."""
    if ":" not in address:
        return address
    try:
        mapped = ipaddress.IPv6Address(address).ipv4_mapped
    except ValueError:
        return address
    return str(mapped) if mapped else address
