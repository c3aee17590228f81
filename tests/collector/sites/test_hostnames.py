"""Host names in ASCII and in Unicode, and which of them belong together."""

from __future__ import annotations

from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from collector.core.errors import RecordError
from collector.enrichment.urls import read_page
from collector.ingest.context import Rejection
from collector.ingest.pipeline import run
from collector.sites.hostnames import ascii_host, host_entry, is_at_or_under, is_loopback, unicode_host
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.storage.documents import DocumentTable
from tests.collector.ingest.test_pipeline import Kept, arrival, rooms_for

pytestmark = pytest.mark.anyio

SANDWICH, SANDWICH_ASCII = "räksmörgås.se", "xn--rksmrgs-5wao1o.se"

FORMS = {
    "plain": ("example.com", "example.com"),
    "Swedish": (SANDWICH, SANDWICH_ASCII),
    "below": (f"blog.{SANDWICH}", f"blog.{SANDWICH_ASCII}"),
    "sharp s": ("straße.de", "xn--strae-oqa.de"),
    "Chinese": ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
    "emoji": ("💩.la", "xn--ls8h.la"),
}


@pytest.mark.parametrize(("shown", "compared"), FORMS.values(), ids=FORMS)
def test_a_host_has_two_forms(shown: str, compared: str) -> None:
    """One to compare by, as browsers send it, and one that people read."""
    assert ascii_host(shown) == ascii_host(compared) == compared
    assert unicode_host(compared) in (shown, compared)
    assert read_page(f"https://{shown}/", hash_mode=False).hostname == compared


@pytest.mark.parametrize("text", ["ä" * 300, "ä" * 64 + ".se", "\u200d.se", "ä..se", "xn--\xe4.se"])
def test_what_is_no_host_has_no_ascii_form(text: str) -> None:
    """And nothing is raised."""
    assert ascii_host(text) == ""


@pytest.mark.parametrize("text", ["xn--", "xn--zzzzzzzz99999", "a.xn--é", "xn--" * 100])
def test_what_has_no_unicode_form_stays_as_it_is(text: str) -> None:
    """And nothing is raised."""
    assert unicode_host(text) == text


@pytest.mark.parametrize(
    "text",
    ["x.test", "X.test", "https://x.test", "http://x.test:8080/", "x.test:8080", "x.test.", " x.test "],
)
def test_a_host_is_meant_however_it_is_entered(text: str) -> None:
    """As an address, with a port: what pages' hosts are compared with has neither."""
    assert host_entry(text) == "x.test"
    assert host_entry(f"*.{text.strip().removeprefix('https://').removeprefix('http://')}") == "*.x.test"


@pytest.mark.parametrize("text", ["", "*", "*x.test", "x.*", ".x.test", "//x.test", "x.test, y.test", "x.test/a"])
def test_what_no_host_fits_is_no_entry(text: str) -> None:
    """A site with such an entry alone would count nothing."""
    assert host_entry(text) == ""


def test_at_or_under() -> None:
    """By whole labels, from the right."""
    names = frozenset({"x.test"})
    assert is_at_or_under("x.test", names)
    assert is_at_or_under("a.b.x.test", names)
    assert not is_at_or_under("ax.test", names)
    assert not is_at_or_under("test", names)
    assert not is_at_or_under("", names)


@pytest.mark.parametrize("host", ["localhost", "demo.localhost", "127.0.0.1", "127.9.9.9", "[::1]", "::1"])
def test_the_machine_that_asks(host: str) -> None:
    """By name and by address."""
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["localhost.example.com", "mylocalhost", "192.168.0.1", "", "127.0.0.1.x"])
def test_other_machines(host: str) -> None:
    """Addresses of a local network may be an intranet's."""
    assert not is_loopback(host)


def sites(*given: Site) -> Sites:
    """These sites."""
    registered = Sites(Kept(*given))
    registered.refresh()
    return registered


@pytest.mark.parametrize("registered", [SANDWICH, SANDWICH_ASCII])
@pytest.mark.parametrize("sent", [SANDWICH, SANDWICH_ASCII, "ra\u0308ksmo\u0308rga\u030as.se"])
def test_a_site_is_the_same_in_both_forms(registered: str, sent: str) -> None:
    """Whichever was registered and whichever is sent, composed or not; also where it is a former name."""
    assert sites(Site(domain=registered)).measured(sent) == Site(domain=registered)
    renamed = Site(domain="new.example", aliases=(registered,))
    assert sites(renamed).measured(sent) == renamed
    assert sites(Site(domain=registered)).measured("other.se") is None
    assert sites(Site(domain=registered)).measured("öther.se") is None


async def test_a_site_is_registered_once_and_under_the_form_that_people_read(database: Client) -> None:
    """Its other form is taken."""
    registered = Sites(DocumentTable(database, "sites", Site))
    added = await registered.add(Site(domain=SANDWICH_ASCII))
    assert added.domain == SANDWICH
    assert registered.name_of(SANDWICH_ASCII) == SANDWICH
    assert registered.name_of("other.se") == "other.se"
    for name in (SANDWICH, SANDWICH_ASCII):
        with pytest.raises(RecordError, match="already registered"):
            await registered.add(Site(domain=name))


SHOP = Site(domain="shop.example", consent="exempt")
LOCAL = {
    "localhost": (SHOP, "http://localhost:3000/", False),
    "IPv4": (SHOP, "http://127.0.0.1/", False),
    "all of 127": (SHOP, "http://127.1.2.3:8080/", False),
    "IPv6": (SHOP, "http://[::1]:5173/a", False),
    "a file": (SHOP, "file:///home/me/shop.html", False),
    "a file on Windows": (SHOP, "FILE:///C:/shop.html", False),
    "a host of the developer's": (SHOP, "http://shop.localhost/", True),
    "a local network": (SHOP, "http://192.168.0.1/", True),
    "no web address": (SHOP, "about:blank", True),
    "listed": (Site(domain="shop.example", consent="exempt", hostnames=("localhost",)), "http://localhost/", True),
    "another listed": (Site(domain="shop.example", consent="exempt", hostnames=("x.y",)), "http://localhost/", False),
    "called so": (Site(domain="localhost", consent="exempt"), "http://localhost/", True),
    "called so by address": (Site(domain="127.0.0.1", consent="exempt"), "http://127.0.0.1:8000/", True),
    "below localhost": (Site(domain="demo.localhost", consent="exempt"), "http://127.0.0.1:8000/demo", True),
}


@pytest.mark.parametrize(("site", "url", "kept"), LOCAL.values(), ids=LOCAL)
def test_pages_on_the_visitors_own_machine_do_not_count(site: Site, url: str, kept: bool, tmp_path: Path) -> None:
    """Unless the site is called so, or lists the host."""
    outcome = run(arrival(url=url, domains=(site.domain,)), site.domain, rooms_for(tmp_path, site))
    assert (outcome == Rejection("excluded")) != kept
