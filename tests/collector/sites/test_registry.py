"""Sites: valid when stored, in memory for the hot path, in ClickHouse for good."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from collector.core.errors import RecordError
from collector.core.timezones import FormerZone
from collector.ingest.payload_fields import domains_of
from collector.sites.model import MOST_ALIASES, MOST_ZONES, Site, checked
from collector.sites.registry import Sites
from collector.storage.documents import DocumentTable

pytestmark = pytest.mark.anyio


@pytest.fixture
def sites(database: Client) -> Sites:
    """No sites yet."""
    return Sites(DocumentTable(database, "sites", Site))


async def test_a_site_is_there_at_once_and_after_a_restart(sites: Sites, database: Client) -> None:
    """Memory and database agree."""
    added = await sites.add(Site(domain="Example.com", timezone="Europe/Stockholm", consent="exempt"))
    assert sites.get("example.com") == added
    restarted = Sites(DocumentTable(database, "sites", Site))
    restarted.refresh()
    assert restarted.all() == [added]


async def test_the_newest_settings_win(sites: Sites, database: Client) -> None:
    """Also when two changes come within one clock tick of a slow clock."""
    ticks = iter([1, 2, 3])
    records = DocumentTable(database, "sites", Site, clock=lambda: next(ticks))
    records.save("a.test", Site(domain="a.test"))
    records.save("a.test", Site(domain="a.test", min_visitors=7))
    sites.refresh()
    assert sites.all() == [Site(domain="a.test", min_visitors=7)]


async def test_a_site_is_not_called_like_an_address_of_the_api(sites: Sites, database: Client) -> None:
    """It could not be asked about. One that is called so already goes on to work."""
    with pytest.raises(RecordError, match="an address of Tyst itself"):
        await sites.add(Site(domain="goals"))
    DocumentTable(database, "sites", Site).create("goals", Site(domain="goals"))
    sites.refresh()
    _, after = await sites.update(Site(domain="goals"), lambda site: msgspec.structs.replace(site, min_visitors=7))
    assert after.min_visitors == 7


@pytest.mark.parametrize(
    "given", ["www.a.test", "https://WWW.a.test/", "www.www.a.test", "www.å.test", "www.xn--5ca.test"]
)
async def test_beacons_of_the_name_that_was_given_count(sites: Sites, given: str) -> None:
    """Beacons lose `www.`: a site that kept it got none of them. With and without, it is the same site."""
    site = await sites.add(Site(domain=given))
    for tagged in (site.domain, f"www.{site.domain}"):
        domains, _ = domains_of(tagged, "")
        assert [sites.measured(domain) for domain in domains] == [site]
    with pytest.raises(RecordError, match="already registered"):
        await sites.add(Site(domain=f"www.{site.domain}"))


async def test_a_removed_site_is_gone_and_may_come_back(sites: Sites) -> None:
    """Removing is a version too."""
    await sites.add(Site(domain="a.test"))
    await sites.remove("a.test")
    sites.refresh()
    assert sites.all() == []
    added = await sites.add(Site(domain="a.test", min_visitors=5))
    sites.refresh()
    assert sites.all() == [added]


async def test_a_site_is_added_once(sites: Sites) -> None:
    """The second time is an error that says so."""
    await sites.add(Site(domain="a.test"))
    with pytest.raises(RecordError, match="already registered"):
        await sites.add(Site(domain="A.test"))


@pytest.mark.parametrize(
    ("site", "field"),
    [
        (Site(domain=""), "domain"),
        (Site(domain="a b"), "domain"),
        (Site(domain="a/b"), "domain"),
        (Site(domain="-a"), "domain"),
        (Site(domain="login"), "domain"),
        (Site(domain="x" * 254), "domain"),
        (Site(domain="a.test", timezone="Sweden"), "timezone"),
        (Site(domain="a.test", timezone="localtime"), "timezone"),
        (Site(domain="a.test", timezone="Factory"), "timezone"),
        (Site(domain="a.test", timezone="posixrules"), "timezone"),
        (Site(domain="a.test", timezone="right/Europe/Stockholm"), "timezone"),
        (Site(domain="a.test", timezone="posix/UTC"), "timezone"),
        (Site(domain="a.test", consent="whatever"), "consent"),  # type: ignore[arg-type] # the point of the test
        (Site(domain="a.test", retention_days=0), "retention_days"),
        (Site(domain="a.test", min_visitors=0), "min_visitors"),
        (Site(domain="a.test", rate_limit=-1), "rate_limit"),
        (Site(domain="a.test", hostnames=("*.com",)), "hostnames"),
        (Site(domain="a.test", hostnames=("https://*.com:443",)), "hostnames"),
        (Site(domain="a.test", hostnames=("a.test", "*.co.uk")), "hostnames"),
        (Site(domain="a.test", rate_limit=10**4000), "rate_limit"),
        (Site(domain="a.test", former_timezones=(FormerZone(1, "UTC"),) * (MOST_ZONES + 1)), "timezone"),
        (Site(domain="a.test", aliases=tuple(f"{n}.test" for n in range(MOST_ALIASES + 1))), "domain"),
    ],
)
def test_what_cannot_be_stored_names_its_field(site: Site, field: str) -> None:
    """So that a form can show the message where it belongs."""
    with pytest.raises(RecordError) as raised:
        checked(site)
    assert raised.value.field == field


def test_lists_are_stored_as_beacons_are_compared_with_them() -> None:
    """However they are written: what is stored otherwise would fit no page, or all pages."""
    given = Site(
        domain="a.test",
        hostnames=("https://A.test:8080", "a.test."),
        excluded_countries=("se ",),
        query_keys=("Page",),
    )
    site = checked(given)
    assert (site.hostnames, site.excluded_countries, site.query_keys) == (("a.test",), ("SE",), ("page",))


async def test_a_time_zone_that_changes_again_and_again_leaves_the_other_settings(sites: Sites) -> None:
    """Of the changes that a site can remember the last is refused, not every change of anything after it."""
    site = await sites.add(Site(domain="a.test"))

    async def change(**fields: Any) -> Site:
        return (await sites.update(site, lambda newest: msgspec.structs.replace(newest, **fields)))[1]

    zones = itertools.cycle(["Europe/Stockholm", "UTC"])
    for _ in range(MOST_ZONES):
        await change(timezone=next(zones))
    with pytest.raises(RecordError, match="changes of the time zone"):
        await change(timezone=next(zones))
    assert (await change(public=True)).public


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("example.com", "example.com"),
        (" https://Example.com/ ", "example.com"),
        ("demo.localhost", "demo.localhost"),
        ("räksmörgås.se", "räksmörgås.se"),
        ("shop.example.co.uk", "shop.example.co.uk"),
    ],
)
def test_a_domain_is_taken_as_people_write_it(given: str, stored: str) -> None:
    """Scheme, case and slash are no reason to refuse."""
    assert checked(Site(domain=given)).domain == stored
