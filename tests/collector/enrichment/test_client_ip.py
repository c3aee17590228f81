"""Whom a beacon comes from: forwarding headers count only from trusted proxies, and from the right."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.core.settings import read_settings
from collector.enrichment import client_ip as address_module
from collector.enrichment.client_ip import TrustedProxies, client_address, forwarded_scheme, network_of
from tests.timing import processor_seconds

PROXY = "10.0.0.2"
VISITOR = "216.160.83.56"


def networks(text: str) -> TrustedProxies:
    return TrustedProxies(read_settings({"TYST_TRUSTED_PROXIES": text}).trusted_proxies)


TRUSTED = networks("10.0.0.0/8, 2001:db8:ffff::/48")


def headers(*pairs: tuple[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1")) for name, value in (("host", "h"), *pairs)]


XFF, FORWARDED, CLOUDFLARE = "x-forwarded-for", "forwarded", "cf-connecting-ip"

FROM_A_PROXY = {
    "F1-port": ([(XFF, "216.160.83.56:123")], VISITOR),
    "F2": ([(XFF, "2001:218:1:1:1:1:1:1")], "2001:218:1:1:1:1:1:1"),
    "F2-brackets": ([(XFF, "[2001:218:1:1:1:1:1:1]:123")], "2001:218:1:1:1:1:1:1"),
    "F3": ([(XFF, "0.0.0.0"), (CLOUDFLARE, VISITOR)], VISITOR),
    "F6": ([(FORWARDED, "by=0.0.0.0;for=216.160.83.56;host=h")], VISITOR),
    "one-hop": ([(XFF, VISITOR)], VISITOR),
    "from-the-right": ([(XFF, f"9.9.9.9, {VISITOR}")], VISITOR),
    "two-proxies": ([(XFF, f"9.9.9.9, {VISITOR}, 10.0.0.1")], VISITOR),
    "two-headers": ([(XFF, f"9.9.9.9, {VISITOR}"), (XFF, "10.0.0.1")], VISITOR),
    "proxies-only": ([(XFF, "10.0.0.9, 10.0.0.1")], "10.0.0.9"),
    "v6-proxy": ([(XFF, f"{VISITOR}, 2001:db8:ffff::7")], VISITOR),
    "mapped": ([(XFF, f"::ffff:{VISITOR}")], VISITOR),
    "mapped-proxy": ([(XFF, f"{VISITOR}, ::ffff:10.0.0.7")], VISITOR),
    "quoted": ([(XFF, f'"{VISITOR}"')], VISITOR),
    "blanks": ([(XFF, f" , {VISITOR} , ")], VISITOR),
    "zone": ([(XFF, "fe80::1%eth0")], "fe80::1"),
    "rubbish": ([(XFF, "unknown")], PROXY),
    "rubbish-left": ([(XFF, f"<script>, {VISITOR}")], VISITOR),
    "rubbish-right": ([(XFF, "9.9.9.9, unknown")], PROXY),
    "rubbish-behind-proxy": ([(XFF, "9.9.9.9, unknown, 10.0.0.7")], "10.0.0.7"),
    "long-chain": ([(XFF, "9.9.9.9, " + ", ".join(["10.0.0.1"] * 200))], "10.0.0.1"),
    "none": ([], PROXY),
    "empty": ([(XFF, ""), (FORWARDED, ""), (CLOUDFLARE, "")], PROXY),
    "rfc7239-case": ([(FORWARDED, f"For={VISITOR}")], VISITOR),
    "rfc7239-v6": ([(FORWARDED, 'for="[2001:db8:cafe::17]:4711"')], "2001:db8:cafe::17"),
    "rfc7239-port": ([(FORWARDED, f'for="{VISITOR}:80";proto=https')], VISITOR),
    "rfc7239-chain": ([(FORWARDED, f"for=9.9.9.9, for={VISITOR};by=10.0.0.1, for=10.0.0.1")], VISITOR),
    "rfc7239-quoted-comma": ([(FORWARDED, f'for={VISITOR};host="a,for=9.9.9.9,b"')], VISITOR),
    "rfc7239-escaped": ([(FORWARDED, r'for="216\.160.83.56"')], VISITOR),
    "rfc7239-spaces": ([(FORWARDED, f"proto=https; for={VISITOR} ; by=x")], VISITOR),
    "rfc7239-hidden": ([(FORWARDED, "for=9.9.9.9, for=_hidden")], PROXY),
    "rfc7239-unknown": ([(FORWARDED, "for=9.9.9.9, for=unknown")], PROXY),
    "rfc7239-no-for": ([(FORWARDED, "for=9.9.9.9, by=10.0.0.1")], PROXY),
    "rfc7239-other-key": ([(FORWARDED, "xfor=9.9.9.9")], PROXY),
    "rfc7239-open-quote": ([(FORWARDED, 'for="9.9.9.9')], PROXY),
    "cloudflare": ([(CLOUDFLARE, VISITOR)], VISITOR),
    "cloudflare-passed-through": ([(XFF, VISITOR), (CLOUDFLARE, "9.9.9.9")], VISITOR),
    "forwarded-passed-through": ([(XFF, VISITOR), (FORWARDED, "for=9.9.9.9")], VISITOR),
    "others": ([("x-real-ip", "9.9.9.9"), ("x-plausible-ip", "9.9.9.9"), ("b-forwarded-for", "9.9.9.9")], PROXY),
}


@pytest.mark.parametrize(("sent", "expected"), FROM_A_PROXY.values(), ids=FROM_A_PROXY)
def test_a_trusted_proxy_is_believed(sent: list[tuple[str, str]], expected: str) -> None:
    """From a trusted proxy the address is the last one that a trusted hop saw, in any way that headers write it."""
    assert client_address(PROXY, headers(*sent), TRUSTED) == expected


@pytest.mark.parametrize("sent", [sent for sent, _ in FROM_A_PROXY.values()], ids=FROM_A_PROXY)
@pytest.mark.parametrize("trusted", [TrustedProxies(), TRUSTED], ids=["none-trusted", "others-trusted"])
def test_from_anyone_else_headers_change_nothing(sent: list[tuple[str, str]], trusted: TrustedProxies) -> None:
    """Forwarding headers from a peer that is no trusted proxy are as if they were not there."""
    assert client_address("198.51.100.7", headers(*sent), trusted) == "198.51.100.7"


def test_no_proxy_is_trusted_by_default() -> None:
    """Without configuration nobody's forwarding headers count, not even those of the same machine."""
    trusted = read_settings({}).trusted_proxies
    assert trusted == ()
    assert client_address("127.0.0.1", headers((XFF, VISITOR)), TrustedProxies(trusted)) == "127.0.0.1"


def test_a_proxy_may_be_named_by_its_mapped_address() -> None:
    """A socket that listens on IPv6 sees an IPv4 proxy by its mapped address, and it is trusted all the same."""
    assert client_address("::ffff:10.0.0.2", headers((XFF, VISITOR)), TRUSTED) == VISITOR


@pytest.mark.parametrize("peer", ["", "testclient", "/run/tyst.sock", "999.1.1.1"])
def test_a_peer_without_an_address_is_no_proxy(peer: str) -> None:
    """A peer that is no address is handed back as it is, and nothing it sends is believed."""
    assert client_address(peer, headers((XFF, VISITOR)), networks("0.0.0.0/0")) == peer


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([XFF, FORWARDED, CLOUDFLARE]).map(str.encode),
            st.binary(max_size=60) | st.text(alphabet='for=";,:[]. 0129a\\', max_size=40).map(str.encode),
        ),
        max_size=4,
    )
)
def test_any_header_is_read(sent: list[tuple[bytes, bytes]]) -> None:
    """Whatever forwarding headers hold, the answer is an address."""
    ipaddress.ip_address(client_address(PROXY, sent, TRUSTED))


HOSTILE_CHAINS = {
    "escaped quotes": (FORWARDED, '\\"' * 30_000),
    "escaped quotes in a string": (FORWARDED, 'for="' + '\\"' * 30_000),
    "quotes": (FORWARDED, '"' * 60_000),
    "backslashes": (FORWARDED, 'for="' + "\\" * 60_000 + '"'),
    "elements": (FORWARDED, "for=10.0.0.1," * 5_000),
    "parameters": (FORWARDED, "a=b;" * 15_000),
    "equals": (FORWARDED, "=" * 60_000),
    "commas": (XFF, "," * 60_000),
    "blanks": (XFF, " " * 60_000),
    "proxies": (XFF, "10.0.0.1," * 6_000),
    "one long address": (XFF, "1" * 60_000),
    "colons": (XFF, ":" * 60_000),
}


@pytest.mark.parametrize("chain", HOSTILE_CHAINS)
def test_a_forwarding_field_takes_no_time(chain: str) -> None:
    """Of any length and form, from a proxy that is believed, alone and before what the proxy appends."""
    name, value = HOSTILE_CHAINS[chain]
    appended = f"for={VISITOR}" if name == FORWARDED else VISITOR

    def read() -> None:
        assert ipaddress.ip_address(client_address(PROXY, headers((name, value)), TRUSTED))
        assert client_address(PROXY, headers((name, f"{value}, {appended}")), TRUSTED) == VISITOR
        assert client_address(PROXY, headers((name, value), (name, appended)), TRUSTED) == VISITOR
        forwarded_scheme(PROXY, headers((name, value), ("x-forwarded-proto", value)), TRUSTED)

    assert processor_seconds(read) < 0.2


@pytest.mark.parametrize("opened", ['for="9.9.9.9', 'for="', 'for="a\\', 'x="', '"'])
def test_a_quote_that_a_visitor_leaves_open_hides_nothing(opened: str) -> None:
    """What the proxy appended is read first."""
    assert client_address(PROXY, headers((FORWARDED, f"{opened}, for={VISITOR}")), TRUSTED) == VISITOR


@pytest.mark.parametrize(
    ("peer", "sent", "scheme"),
    [
        (PROXY, [("x-forwarded-proto", "https")], "https"),
        (PROXY, [("x-forwarded-proto", "HTTPS")], "https"),
        (PROXY, [("x-forwarded-proto", "http")], "http"),
        (PROXY, [("x-forwarded-proto", "http, https")], "https"),
        (PROXY, [("x-forwarded-proto", "https, http")], "http"),
        (PROXY, [("x-forwarded-proto", "javascript")], ""),
        (PROXY, [(FORWARDED, f"for={VISITOR};proto=https")], "https"),
        (PROXY, [(FORWARDED, f'for=1.1.1.1;proto=http, for={VISITOR};Proto="https"')], "https"),
        (PROXY, [(FORWARDED, f"proto=http;for={VISITOR}"), ("x-forwarded-proto", "https")], "https"),
        (PROXY, [], ""),
        ("198.51.100.7", [("x-forwarded-proto", "https")], ""),
        ("198.51.100.7", [(FORWARDED, "proto=https")], ""),
    ],
)
def test_a_trusted_proxy_says_by_which_scheme_it_was_asked(peer: str, sent: list[tuple[str, str]], scheme: str) -> None:
    """Nobody else does."""
    assert forwarded_scheme(peer, headers(*sent), TRUSTED) == scheme


def test_a_proxy_may_be_bound_to_a_site() -> None:
    """One that is not speaks for all of them; so does, where nothing is bound, who is no proxy at all."""
    trusted = networks("10.0.0.1, a.test=10.0.0.2, b.test=10.0.0.2, c.test=10.1.0.0/16")
    assert trusted.sites_of("10.0.0.1") is None
    assert trusted.sites_of("10.0.0.2") == frozenset({"a.test", "b.test"})
    assert trusted.sites_of("::ffff:10.1.2.3") == frozenset({"c.test"})
    assert trusted.sites_of("198.51.100.7") is None
    assert client_address("10.1.2.3", headers((XFF, VISITOR)), trusted) == VISITOR


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("216.160.83.56", "216.160.83.56"),
        ("::ffff:216.160.83.56", "216.160.83.56"),
        ("::FFFF:D8A0:5338", "216.160.83.56"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("unknown", ""),
        ("1.2.3", ""),
    ],
)
def test_the_network_is_what_a_household_shares(address: str, network: str) -> None:
    """IPv4 counts whole and IPv6 by its /64, in one spelling; a mapped address is the IPv4 address it maps."""
    assert network_of(address) == network


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_addresses_of_one_household_share_a_network(address: ipaddress.IPv6Address, interface: int) -> None:
    """Whatever the last 64 bits of an IPv6 address, its network is the same, and names no single device."""
    sibling = ipaddress.IPv6Address(int(address) >> 64 << 64 | interface)
    if address.ipv4_mapped is None and sibling.ipv4_mapped is None:
        assert network_of(str(address)) == network_of(str(sibling))
        assert network_of(str(address)).endswith("::/64") or network_of(str(address)).endswith("/64")


def test_networks_of_many_addresses_are_held_in_bounds() -> None:
    """However many visitors come, only a bounded number of their addresses is held in memory."""
    for number in range(3000):
        address = f"2001:db8::{number:x}"
        network_of(address)
        client_address(PROXY, headers((XFF, address)), TRUSTED)
    held = [entry for entry in vars(address_module).values() if hasattr(entry, "cache_info")]
    assert held
    assert all(0 < entry.cache_info().currsize <= 1024 for entry in held)
