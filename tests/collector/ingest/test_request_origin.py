"""Which names this server answers to, by which scheme it was reached, and what each name may ask about."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from starlette.datastructures import Headers

from collector.core.settings import read_settings
from collector.ingest.request_origin import RequestOrigin, RequestOrigins
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.storage.document_lock import DocumentLock

PUBLIC, PROXY = "https://stats.test", "10.0.0.1"
HTTPS, HTTP = {"x_forwarded_proto": "https"}, {"x_forwarded_proto": "http"}
STANDARD = {"forwarded": "for=1.1.1.1;proto=https"}
BOTH = {"a.test", "b.test", "räksmörgås.test"}

NAMES = {
    # TYST_PUBLIC_URL, TYST_TRUSTED_PROXIES, TYST_HOST; Host; sender; whether the dashboard answers
    "public": (PUBLIC, "", "", "stats.test", "192.0.2.1", True),
    "public, another port": (PUBLIC, "", "", "stats.test:8443", "192.0.2.1", True),
    "public, capitals, dot": (PUBLIC, "", "", "STATS.test.", "192.0.2.1", True),
    "loopback": (PUBLIC, "", "", "127.0.0.1:8000", "127.0.0.1", True),
    "loopback, version 6": (PUBLIC, "", "", "[::1]:8000", "::1", True),
    "localhost": (PUBLIC, "", "", "localhost", "127.0.0.1", True),
    "the address listened on": (PUBLIC, "", "192.0.2.9", "192.0.2.9", "192.0.2.1", True),
    "another name": (PUBLIC, "", "", "evil.test", "127.0.0.1", False),
    "a name of ours in front": (PUBLIC, "", "", "stats.test.evil.test", "127.0.0.1", False),
    "a name of ours behind": (PUBLIC, "", "", "evil-stats.test", "127.0.0.1", False),
    "another address": (PUBLIC, "", "", "192.0.2.8", "192.0.2.1", False),
    "a proxy's other name": (PUBLIC, PROXY, "", "evil.test", PROXY, False),
    "a site's name": (PUBLIC, "", "", "site.test", "192.0.2.1", False),
    "nothing set, a name": ("", "", "", "evil.test", "127.0.0.1", False),
    "nothing set, an address": ("", "", "", "192.0.2.9:8000", "192.0.2.1", True),
    "nothing set, no dot": ("", "", "", "tyst:8000", "192.0.2.1", True),
    "nothing set, by a proxy": ("", PROXY, "", "stats.test", PROXY, True),
    "nothing set, by none": ("", PROXY, "", "stats.test", "10.0.0.2", False),
    "no name": ("", "", "", "", "127.0.0.1", False),
    "no host": ("", "", "", "evil.test@localhost", "127.0.0.1", False),
    "no port": ("", "", "", "localhost:80:80", "127.0.0.1", False),
}


def hosts(
    public: str = "", proxies: str = "", listen: str = "", *sites: Site, in_use: Collection[str] = ()
) -> RequestOrigins:
    """The names that a server with these settings answers to."""
    known = {site.domain: site for site in sites}
    records = type("Known", (), {"all": lambda _: known, "lock": DocumentLock(None, "sites")})()  # type: ignore[arg-type] # nothing is changed
    registered = Sites(records)
    registered.refresh()
    return RequestOrigins(
        read_settings({"TYST_PUBLIC_URL": public, "TYST_TRUSTED_PROXIES": proxies, "TYST_HOST": listen or "127.0.0.1"}),
        registered,
        lambda: in_use,
    )


def origin(known: RequestOrigins, host: str, peer: str = "192.0.2.1", **fields: str) -> RequestOrigin:
    """The origin of a request."""
    given = Headers({"host": host, **{name.replace("_", "-"): value for name, value in fields.items()}}).raw
    return known.origin({"headers": given, "client": (peer, 1), "scheme": "http"})


@pytest.mark.parametrize("name", NAMES)
def test_the_dashboard_answers_to_its_names(name: str) -> None:
    """A stranger's name that leads to this machine is none of them (DNS rebinding)."""
    public, proxies, listen, host, peer, answers = NAMES[name]
    assert origin(hosts(public, proxies, listen), host, peer).is_own == answers


def test_two_hosts_are_none() -> None:
    """A proxy and this server would each believe another one (RFC 9112, 3.2)."""
    fields = [(b"host", b"localhost"), (b"host", b"localhost")]
    assert not hosts().origin({"headers": fields, "client": None, "scheme": "http"}).is_own


A = Site(domain="a.test", aliases=("old-a.test",), hostnames=("shop.test", "*.a-shop.test"))
B = Site(domain="b.test")
C = Site(domain="räksmörgås.test")
WIDE = Site(domain="wide.test", hostnames=("*.com", "org", "*.co.uk", "*.example"))
MAY_ASK = {
    # settings; Host; sender; sites that may be asked about
    "own site": ((PUBLIC, PROXY), "a.test", PROXY, {"a.test"}),
    "its subdomain": ((PUBLIC, PROXY), "www.a.test", PROXY, {"a.test"}),
    "its former name": ((PUBLIC, PROXY), "old-a.test", PROXY, {"a.test"}),
    "its other host": ((PUBLIC, PROXY), "shop.test", PROXY, {"a.test"}),
    "below its other host": ((PUBLIC, PROXY), "x.a-shop.test", PROXY, {"a.test"}),
    "its name in ASCII": (("", PROXY), "xn--rksmrgs-5wao1o.test", PROXY, {"räksmörgås.test"}),
    "a name like it": ((PUBLIC, PROXY), "evil-a.test", PROXY, set()),
    "the public address": ((PUBLIC, PROXY), "stats.test", PROXY, BOTH),
    "the public address, a subdomain of a site": (("https://stats.a.test", ""), "stats.a.test", "9.9.9.9", BOTH),
    "loopback": ((PUBLIC, ""), "localhost", "127.0.0.1", BOTH),
    "another name": ((PUBLIC, ""), "evil.test", "9.9.9.9", set()),
    "nothing set, a site": (("", PROXY), "a.test", PROXY, {"a.test"}),
    "nothing set, a site's subdomain": (("", PROXY), "stats.a.test", PROXY, {"a.test"}),
    "nothing set, by a proxy": (("", PROXY), "stats.test", PROXY, BOTH),
    "a proxy of one site": ((PUBLIC, f"a.test={PROXY}"), "stats.test", PROXY, {"a.test"}),
    "a proxy of one site, by another's name": ((PUBLIC, f"a.test={PROXY}"), "b.test", PROXY, set()),
    "a proxy of both": (("", f"a.test={PROXY},b.test={PROXY},räksmörgås.test={PROXY}"), "stats.test", PROXY, BOTH),
}  # fmt: skip


@pytest.mark.parametrize("name", MAY_ASK)
def test_a_host_may_ask_about_its_own_sites(name: str) -> None:
    """Its script could otherwise read, and erase, what this browser did elsewhere."""
    (public, proxies), host, peer, expected = MAY_ASK[name]
    known = hosts(public, proxies, "", A, B, C)
    asked = origin(known, host, peer)
    assert {site.domain for site in (A, B, C) if known.may_access(asked, site)} == expected


SCHEMES = {
    "plain": (("", ""), "localhost", "127.0.0.1", {}, "http"),
    "nobody is believed": (("", ""), "localhost", "127.0.0.1", HTTPS, "http"),
    "a proxy": (("", PROXY), "stats.test", PROXY, HTTPS, "https"),
    "a proxy, by the standard": (("", PROXY), "stats.test", PROXY, STANDARD, "https"),
    "the setting": ((PUBLIC, ""), "stats.test", "9.9.9.9", {}, "https"),
    "the setting wins": ((PUBLIC, PROXY), "stats.test", PROXY, HTTP, "https"),
    "the setting wins also so": (("http://stats.test", PROXY), "stats.test", PROXY, HTTPS, "http"),
    "a proxy without a host": ((PUBLIC, PROXY), "127.0.0.1:8000", PROXY, {}, "https"),
    "loopback itself": ((PUBLIC, ""), "127.0.0.1:8000", "127.0.0.1", {}, "http"),
    "a site by a proxy": ((PUBLIC, PROXY), "a.test", PROXY, HTTP, "http"),
}  # fmt: skip


@pytest.mark.parametrize("name", SCHEMES)
def test_the_scheme_is_the_sender_s(name: str) -> None:
    """As the operator says, else as a trusted proxy says, else as the connection is."""
    (public, proxies), host, peer, fields, scheme = SCHEMES[name]
    assert origin(hosts(public, proxies, "", A), host, peer, **fields).scheme == scheme


def test_links_begin_with_the_public_address() -> None:
    """Where none is set, with that of the request."""
    assert origin(hosts("https://Stats.test/"), "127.0.0.1:8000").base == "https://stats.test/"
    assert origin(hosts(), "localhost:8000").base == "http://localhost:8000/"


def test_no_site_claims_a_name_that_administrators_use() -> None:
    """Else its owner could have the visitors' pages of all other sites refused; its own hosts reach it alone."""
    greedy = Site(domain="greedy.test", hostnames=("stats.example", "10.0.0.9"))
    known = hosts("", PROXY, "", A, greedy, in_use=("stats.example",))
    for host, peer, reached in (
        ("stats.example", PROXY, [True, True]),
        ("greedy.test", PROXY, [False, True]),
        ("10.0.0.9", "192.0.2.1", [False, True]),
    ):
        asked = origin(known, host, peer)
        assert [known.may_access(asked, site) for site in (A, greedy)] == reached, host


@pytest.mark.parametrize("host", ["stats.com", "stats.org", "stats.co.uk"])
def test_hosts_of_everybody_are_no_site_s_own(host: str) -> None:
    """Else an owner could have the visitors' pages of all other sites refused, where no public address is set."""
    asked = origin(hosts("", PROXY, "", A, WIDE), host, PROXY)
    assert all(hosts("", PROXY, "", A, WIDE).may_access(asked, site) for site in (A, WIDE))
    own = origin(hosts("", PROXY, "", A, WIDE), "shop.example", PROXY)
    assert [hosts("", PROXY, "", A, WIDE).may_access(own, site) for site in (A, WIDE)] == [False, True]
