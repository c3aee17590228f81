"""The visitor's country, from the time zone or the address."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from collector.core.errors import SettingError
from collector.enrichment.geoip import CountryResolver, read_codes, read_zones
from tests.mmdb import write_mmdb


@pytest.fixture(scope="module")
def countries() -> CountryResolver:
    """The built-in tables."""
    return CountryResolver()


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


ZONES = {
    "Europe/Stockholm": "SE",
    "Europe/Oslo": "NO",
    "Europe/Copenhagen": "DK",
    "Asia/Calcutta": "IN",
    "Asia/Kolkata": "IN",
    "Atlantic/Reykjavik": "IS",
    "US/Pacific": "US",
    "Europe/Kiev": "UA",
    "America/Buenos_Aires": "AR",
    "America/Argentina/Buenos_Aires": "AR",
    "Asia/Saigon": "VN",
    "GB": "GB",
    "Etc/UTC": "",
    "UTC": "",
    "Etc/GMT+5": "",
    "CST6CDT": "",
    "Mars/Olympus": "",
    "europe/oslo": "",
    "": "",
    "../../etc/passwd": "",
}


@pytest.mark.parametrize(("zone", "country"), ZONES.items())
def test_zone(countries: CountryResolver, zone: str, country: str) -> None:
    """A time zone, under its own or an old name, is in the country that its table says; others are in none."""
    assert countries.read(zone, "") == country


def test_all_zones() -> None:
    """Of the names of time zones all but those without a country (Etc/*, UTC, EST5EDT, ...) are known."""
    zones = read_zones()
    assert len(zones) >= 549
    assert set(zones.values()) <= read_codes()


ADDRESSES = {
    "8.8.8.8": "US",
    "2.125.160.216": "GB",
    "216.160.83.56": "US",
    "81.2.69.142": "GB",
    "89.160.20.128": "SE",
    "175.16.199.1": "CN",
    "193.0.6.139": "NL",
    "202.12.27.33": "JP",
    "41.190.2.1": "NG",
    "2001:218::1": "JP",
    "::ffff:8.8.8.8": "US",
    "::FFFF:0808:0808": "US",
    "10.0.0.1": "",
    "127.0.0.1": "",
    "::1": "",
    "fe80::1%eth0": "",
    "100.64.0.1": "",
    "no address": "",
    "8.8.8.8:443": "",
    "": "",
}


@pytest.mark.parametrize(("address", "country"), ADDRESSES.items())
def test_address(countries: CountryResolver, address: str, country: str) -> None:
    """Without a time zone the address decides; private, mapped and odd ones do no harm."""
    assert countries.read("", address) == country


# Time zone, address, whether that is a data center's; and the country.
MASKED = {
    "Firefox that resists fingerprinting, in Sweden": ("Atlantic/Reykjavik", "89.160.20.128", False, "SE"),
    "the same by the zone's old name": ("Iceland", "89.160.20.128", False, "SE"),
    "in Iceland": ("Atlantic/Reykjavik", "194.144.0.1", False, "IS"),
    "from an address that says nothing": ("Atlantic/Reykjavik", "10.0.0.1", False, "IS"),
    "from an exit of Tor": ("Atlantic/Reykjavik", "89.160.20.128", True, ""),
    "from Iceland's data center": ("Atlantic/Reykjavik", "194.144.0.1", True, "IS"),
    "older Firefox": ("UTC", "89.160.20.128", False, "SE"),
    "Greenwich": ("Etc/GMT", "89.160.20.128", False, "SE"),
    "an offset": ("Etc/GMT-1", "89.160.20.128", False, "SE"),
    "a VPN": ("Europe/Stockholm", "8.8.8.8", False, "SE"),
    "a VPN in a data center": ("Europe/Stockholm", "8.8.8.8", True, "SE"),
    "a zone that Iceland's shares its clock with": ("Africa/Abidjan", "89.160.20.128", False, "CI"),
}


@pytest.mark.parametrize(("zone", "address", "hosted", "country"), MASKED.values(), ids=MASKED)
def test_a_zone_that_is_a_mask(countries: CountryResolver, zone: str, address: str, hosted: bool, country: str) -> None:
    """Where time zone and address disagree, the one that is known to be a mask does not decide."""
    assert countries.read(zone, address, is_hosted=hosted) == country


def test_zone_before_address(countries: CountryResolver) -> None:
    """A time zone with a country wins over the address, one without leaves it to the address."""
    assert countries.read("Europe/Oslo", "8.8.8.8") == "NO"
    assert countries.read("Etc/UTC", "8.8.8.8") == "US"


RECORDS = {
    "country.iso_code": ({"country": {"iso_code": "SE", "names": {"en": "Sweden"}}}, "SE"),
    "country_code": ({"country_code": "NO"}, "NO"),
    "country": ({"country": "DK"}, "DK"),
    "Kosovo": ({"country": {"iso_code": "XK"}}, "XK"),
    "F9 ZZ": ({"country": {"iso_code": "ZZ"}}, ""),
    "F9 XX": ({"country": {"iso_code": "XX"}}, ""),
    "F9 T1": ({"country": {"iso_code": "T1"}}, ""),
    "a name": ({"country": "Sweden"}, ""),
    "a number": ({"country_code": 46}, ""),
    "another table": ({"city": {"names": {"en": "Umeå"}}}, ""),
    "a text": ("SE", ""),
}


@pytest.mark.parametrize(("record", "country"), RECORDS.values(), ids=RECORDS)
def test_database_record(tmp_path: Path, record: object, country: str) -> None:
    """Of an operator's file the country's code is used, in each of the shapes that such files have."""
    path = tmp_path / "country.mmdb"
    write_mmdb(path, {"198.51.100.0/24": record})  # type: ignore[dict-item]  # odd records are the point
    assert CountryResolver(path).read("", "198.51.100.7") == country


def test_database_addresses(tmp_path: Path) -> None:
    """An operator's file is asked in place of the built-in table, for both kinds of address."""
    path = tmp_path / "country.mmdb"
    write_mmdb(path, {"198.51.100.0/24": {"country_code": "SE"}, "2001:db8::/32": {"country_code": "NO"}})
    countries = CountryResolver(path)
    assert countries.read("", "198.51.100.7") == "SE"
    assert countries.read("", "::ffff:198.51.100.7") == "SE"
    assert countries.read("", "2001:db8::5") == "NO"
    assert countries.read("", "8.8.8.8") == ""
    assert countries.read("", "nonsense") == ""
    assert countries.read("Asia/Tokyo", "198.51.100.7") == "JP"


def test_database_of_one_kind(tmp_path: Path) -> None:
    """An IPv6 address is unknown to a file of IPv4 networks, not an error."""
    path = tmp_path / "country.mmdb"
    write_mmdb(path, {"198.51.100.0/24": {"country_code": "SE"}}, version=4)
    countries = CountryResolver(path)
    assert countries.read("", "198.51.100.7") == "SE"
    assert countries.read("", "2001:db8::5") == ""


def test_database_change_is_picked_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file put in the old one's place is in use once the time between two looks has passed, and not before."""
    caplog.set_level(logging.INFO)
    path, clock = tmp_path / "country.mmdb", Clock()
    write_mmdb(path, {"198.51.100.0/24": {"country_code": "SE"}})
    countries = CountryResolver(path, clock, check_seconds=60)
    new = tmp_path / "new.mmdb"
    write_mmdb(new, {"198.51.100.0/24": {"country_code": "FI"}})
    os.utime(new, ns=(1, 1))
    new.replace(path)
    clock.now = 59.9
    assert countries.read("", "198.51.100.7") == "SE"
    clock.now = 60.0
    assert countries.read("", "198.51.100.7") == "FI"
    assert "has changed and is in use" in caplog.text


@pytest.mark.parametrize("damage", [b"", b"not a database", None], ids=["empty", "nonsense", "gone"])
def test_broken_change_keeps_the_old_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes | None
) -> None:
    """A new file that cannot be read leaves the old one in use and warns without an address; a mended one is taken."""
    path, clock = tmp_path / "country.mmdb", Clock()
    write_mmdb(path, {"198.51.100.0/24": {"country_code": "SE"}})
    countries = CountryResolver(path, clock, check_seconds=60)
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    clock.now = 61
    assert countries.read("", "198.51.100.7") == "SE"
    assert "cannot be read" in caplog.text
    assert "198.51.100" not in caplog.text
    write_mmdb(path, {"198.51.100.0/24": {"country_code": "DK"}})
    clock.now = 122
    assert countries.read("", "198.51.100.7") == "DK"


def test_unchanged_file_is_not_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While the file is the same, looking at it changes nothing and says nothing."""
    caplog.set_level(logging.INFO)
    path, clock = tmp_path / "country.mmdb", Clock()
    write_mmdb(path, {"198.51.100.0/24": {"country_code": "SE"}})
    countries = CountryResolver(path, clock, check_seconds=60)
    clock.now = 1000
    assert countries.read("", "198.51.100.7") == "SE"
    assert caplog.text == ""


@pytest.mark.parametrize("content", [b"", b"not a database", None], ids=["empty", "nonsense", "missing"])
def test_unusable_database_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """A file that cannot be read is refused at the start, naming the setting."""
    path = tmp_path / "country.mmdb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingError, match="TYST_GEOIP_DB"):
        CountryResolver(path)
