"""Addresses that the operator leaves out: in the settings and in memory, and nowhere else."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from collector.core.errors import SettingError
from collector.core.settings import read_settings
from collector.enrichment.client_ip import TrustedProxies, client_address
from collector.enrichment.ip_exclusions import IpExclusions
from collector.sites.model import Site
from collector.storage.client import ClickHouse
from tests.collector.server.test_event_endpoint import PAGEVIEW, serving, stored


def shield(text: str) -> IpExclusions:
    """The shield of a setting."""
    return IpExclusions(read_settings({"TYST_EXCLUDED_ADDRESSES": text}).excluded_addresses)


def everything_in(directory: Path) -> bytes:
    """Every byte of every file."""
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


CASES = {
    "one address": ("192.0.2.7", "a.test", "192.0.2.7", True),
    "its neighbour": ("192.0.2.7", "a.test", "192.0.2.8", False),
    "a network": ("192.0.2.0/24", "a.test", "192.0.2.255", True),
    "a network written by one of its addresses": ("192.0.2.9/24", "a.test", "192.0.2.1", True),
    "outside the network": ("192.0.2.0/24", "a.test", "192.0.3.1", False),
    "IPv6": ("2001:db8::/32", "a.test", "2001:db8:1::5", True),
    "other IPv6": ("2001:db8::/32", "a.test", "2001:db9::1", False),
    "IPv6 in another spelling": ("2001:db8::5", "a.test", "2001:0DB8:0:0:0:0:0:5", True),
    "IPv6 with a zone": ("fe80::/10", "a.test", "fe80::1%eth0", True),
    "a mapped address": ("192.0.2.0/24", "a.test", "::ffff:192.0.2.7", True),
    "a mapped network": ("::ffff:192.0.2.0/120", "a.test", "192.0.2.7", True),
    "everything of IPv6, and IPv4": ("::/0", "a.test", "192.0.2.7", False),
    "the site that it is for": ("a.test=192.0.2.7", "a.test", "192.0.2.7", True),
    "the site with www": ("www.a.test=192.0.2.7", "a.test", "192.0.2.7", True),
    "another site": ("a.test=192.0.2.7", "b.test", "192.0.2.7", False),
    "the second of a list": ("b.test=192.0.2.1, A.test=192.0.2.0/28 ,::1", "a.test", "192.0.2.7", True),
    "no address": ("0.0.0.0/0,::/0", "a.test", "testclient", False),
    "nothing left out": ("", "a.test", "192.0.2.7", False),
}


@pytest.mark.parametrize(("setting", "domain", "address", "covered"), CASES.values(), ids=CASES)
def test_covers(setting: str, domain: str, address: str, covered: bool) -> None:
    """Networks of both families, everywhere or for one site."""
    assert shield(setting).covers({domain}, address) is covered


def test_a_renamed_site_keeps_its_exclusions() -> None:
    """Also where its name is of other letters."""
    names = Site(domain="räkor.test", aliases=("a.test",)).names
    for setting in ("a.test=192.0.2.7", "räkor.test=192.0.2.7", "xn--rkor-loa.test=192.0.2.7"):
        assert shield(setting).covers(names, "192.0.2.7")
    assert not shield("räkor.test.b=192.0.2.7").covers(names, "192.0.2.7")


def test_an_empty_shield_is_not_asked() -> None:
    """The pipeline looks no address up where none is left out."""
    assert not shield("")
    assert shield("192.0.2.7")


@pytest.mark.parametrize("text", ["192.0.2.300", "a.test=", "office", "192.0.2.0/33"])
def test_what_is_no_network_stops_the_start(text: str) -> None:
    """Named with the setting and the value."""
    with pytest.raises(SettingError, match="TYST_EXCLUDED_ADDRESSES"):
        shield(text)


def test_the_address_is_the_one_that_trusted_proxies_saw() -> None:
    """A stranger who writes an excluded address into a header is still counted."""
    headers = [(b"x-forwarded-for", b"192.0.2.7")]
    proxy = TrustedProxies([("", ipaddress.ip_network("198.51.100.1"))])
    office = shield("192.0.2.7")
    assert office.covers({"a.test"}, client_address("198.51.100.1", headers, proxy))
    assert not office.covers({"a.test"}, client_address("203.0.113.9", headers, proxy))


@pytest.mark.anyio
async def test_beacons_from_there_are_dropped_with_their_reason(tmp_path: Path, clickhouse: ClickHouse) -> None:
    """For the sites they are left out of; nothing of the setting reaches the data directory."""
    excluded = "site.test=192.0.2.0/24,2001:db8::/48"
    async with serving(
        tmp_path, clickhouse, TYST_EXCLUDED_ADDRESSES=excluded, TYST_TRUSTED_PROXIES="127.0.0.1"
    ) as running:
        answers: dict[str, str | None] = {}
        for address in ("192.0.2.9", "::ffff:192.0.2.10", "2001:db8::9", "192.0.3.9", "2001:db9::9"):
            page = {**PAGEVIEW, "u": f"https://site.test/{len(answers)}"}
            answer = await running[1].post("/api/event", json=page, headers={"x-forwarded-for": address})
            answers[address] = answer.headers.get("x-tyst-dropped")
        assert list(answers.values()) == ["excluded", "excluded", "excluded", None, None]
        assert await stored(running) == ["/3", "/4"]
        assert running[0].counters.drops("site.test") == {"excluded": 3}
    assert b"192.0.2" not in everything_in(tmp_path)
