"""Live visits are bounded in number and bytes, with a share for each network; what is stored fits its purpose."""

from __future__ import annotations

import itertools
import random
import tracemalloc
from pathlib import Path
from time import process_time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.enrichment.text_limits import MAX_LENGTHS, MAX_PROPERTIES_LENGTH
from collector.ingest.context import BeaconRequest, PipelineServices
from collector.ingest.payload import parse_beacon
from collector.ingest.payload_fields import properties_of
from collector.ingest.pipeline import run
from collector.ingest.visits import IDLE_SECONDS, MAX_BYTES, Attribution, VisitTracker
from collector.spool.serialization import encode
from tests.collector.ingest.test_pipeline import NOON, SITE, arrival, kept, rooms_for

FROM_SEARCH = Attribution(source="Google", channel="Organic Search", country="SE")
CROWD, HOME = "203.0.113.7", "198.51.100.1"


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> PipelineServices:
    """What the pipeline looks things up in."""
    return rooms_for(tmp_path_factory.mktemp("rooms"), SITE)


def live(visits: VisitTracker, visitors: range, at: int = 100) -> list[int]:
    """Those of the visitors whose visits go on."""
    return [visitor for visitor in visitors if visits.current(visitor, at) is not None]


def test_at_the_bound_the_oldest_visit_of_the_biggest_network_is_closed() -> None:
    """Who sends many invented visits closes their own; the one visit of another network stays, old as it is."""
    visits = VisitTracker(max_visits=100)
    visits.begin(1, 0, "/", FROM_SEARCH, network=HOME)
    for visitor in range(2, 1_002):
        visits.begin(visitor, 10, "/", FROM_SEARCH, network=CROWD)
    assert len(visits) == 100
    assert live(visits, range(1, 1_002)) == [1, *range(903, 1_002)]
    assert visits.closed_early == 901


def test_a_client_with_many_networks_closes_its_own_visits() -> None:
    """Each IPv6 /64 of a /48 is another network elsewhere: one visit in each would close those of an office first."""
    visits, office = VisitTracker(max_visits=2_000), range(1, 6)
    for visitor in office:
        visits.begin(visitor, 0, "/", FROM_SEARCH, network=HOME)
    for number in range(6_000):
        visits.begin(100 + number, 10, "/", FROM_SEARCH, network=f"2001:db8:cafe:{number * 10:x}::/64")
    assert len(visits) == 2_000
    assert live(visits, office) == [*office]


def test_the_bytes_are_bounded_too() -> None:
    """However long the texts are; what visits say that they take is what they take."""
    visits = VisitTracker(max_bytes=1 << 20)
    draw = random.Random(1)  # noqa: S311 # invented texts, no secret
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for visitor in range(1, 3_001):
            text = "".join(draw.choices("abcdefgh ö漢", k=300))
            came = Attribution(referrer=text, utm_campaign=text[:200], utm_term=text[50:250])
            visits.begin(visitor, 10, f"/{text}{visitor}", came, network=f"10.{visitor % 256}.{visitor // 256}.1")
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert visits.bytes <= 1 << 20
    assert 100 < len(visits) < 1_000
    # The attributions that are shared are kept a little longer than the visits that brought them.
    assert taken < 12 * (1 << 20)


def test_an_ordinary_visit_takes_what_it_is_counted_for() -> None:
    """Half a million of them would fit into the bound, when they come from a hundred places."""
    visits, count = VisitTracker(), 20_000
    places = [Attribution(referrer=f"site{number}.example/page", country="SE") for number in range(100)]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for visitor in range(count):
            page, network = f"/article/{visitor % 500}", f"10.{visitor >> 8}.{visitor & 255}.1"
            visits.begin(visitor << 40 | 1, 10, page, places[visitor % 100], network=network)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.5 * visits.bytes < taken < 1.3 * visits.bytes
    assert visits.bytes / count < MAX_BYTES / 300_000


def test_a_network_has_a_share() -> None:
    """An IPv4 /24 is one, and so is an IPv6 /56; beyond the share a new visit closes its network's oldest."""
    for mine, others in (
        ([f"203.0.113.{number}" for number in range(20)], "203.0.114.1"),
        ([f"2001:db8:0:1{number:02}::/64" for number in range(20)], "2001:db8:0:200::/64"),
    ):
        visits = VisitTracker(max_per_network=10)
        visits.begin(99, 0, "/", FROM_SEARCH, network=others)
        for visitor, network in enumerate(mine, 1):
            visits.begin(visitor, 10, "/", FROM_SEARCH, network=network)
        assert live(visits, range(1, 100)) == [*range(11, 21), 99]


def test_time_at_the_bound_does_not_grow_with_it() -> None:
    """A hundred times as many visits: a new one takes about as long."""

    def seconds(most: int, networks: int) -> float:
        visits = VisitTracker(max_visits=most, max_per_network=most)
        for visitor in range(most):
            visits.begin(visitor + 1, 0, "/", FROM_SEARCH, network=f"n{visitor % networks}")
        began = process_time()
        for visitor in range(most, most + 2_000):
            visits.begin(visitor + 1, 0, "/", FROM_SEARCH, network=f"n{visitor % networks}")
        return process_time() - began

    for networks in (3, 500):
        assert seconds(50_000, networks) < 20 * max(seconds(500, networks), 0.005)


def test_time_at_the_bound_does_not_grow_with_what_was_closed() -> None:
    """Where each visit is another network's, the first of these is closed time and again."""
    most = 100_000
    visits, numbers = VisitTracker(max_visits=most), itertools.count(1)

    def seconds(more: int) -> float:
        began = process_time()
        for visitor in itertools.islice(numbers, more):
            visits.begin(visitor, 0, "/", FROM_SEARCH, network=f"n{visitor}")
        return process_time() - began

    seconds(most)
    first = seconds(5_000)
    seconds(240_000)
    assert seconds(5_000) < 4 * max(first, 0.01)


acts = st.lists(st.tuples(st.sampled_from("bgfe"), st.integers(1, 12), st.integers(0, 900)), max_size=80)


@settings(max_examples=200, deadline=None)
@given(acts)
def test_what_is_counted_is_what_is_there(done: list[tuple[str, int, int]]) -> None:
    """After whatever begins, goes on, is forgotten and expires: bytes, shares and visits agree."""
    visits, at = VisitTracker(max_visits=6, max_bytes=8_000, max_per_network=3), 0
    for act, visitor, gap in done:
        at += gap
        visit = visits.current(visitor, at)
        if act == "b" or (act in "ge" and visit is None):
            visits.begin(
                visitor, at, "/a" * (visitor % 3), Attribution(country="S" * visitor), network=f"n{visitor % 4}"
            )
        elif act == "g" and visit is not None:
            visits.extend(visitor, visit, at, "/b" * visitor, ends_bounce=True)
        elif act == "e" and visit is not None:
            visits.record_engagement(visitor, visit, at)
        else:
            visits.discard(visitor)
        assert visits.bytes == sum(each.bytes for each in visits._live.values())
        shares = visits._networks._visitors
        assert sorted(visitor for share in shares.values() for visitor in share) == sorted(visits._live)
        assert visits._networks._most == max(map(len, shares.values()), default=0)
        assert len(visits) <= 6
        assert all(len(share) <= 3 for share in shares.values())
    visits.begin(100, at + IDLE_SECONDS, "/", FROM_SEARCH, network="n")
    assert len(visits) == 1


def large_beacon(draw: random.Random) -> BeaconRequest:
    """A beacon of 14 KB whose every text is as long as the wire allows, of words, which nothing replaces."""

    def words(length: int) -> str:
        letters = "bcdfghklmnprst", "aeiou"
        found = ""
        while len(found) < length:
            found += "".join(draw.choice(letters[number % 2]) for number in range(6)) + " "
        return found[:length].strip().replace(" ", "-")

    tags = "&".join(f"utm_{name}={words(150)}" for name in ("source", "medium", "campaign", "content", "term"))
    keys = {
        "n": words(120), "u": f"https://site.test/{words(1_100)}?{tags}", "d": "site.test", "c": "granted",
        "r": f"https://other.example/{words(1_900)}", "p": {words(30): words(1_900) for _ in range(5)},
    }  # fmt: skip
    body = msgspec.json.encode(keys)
    assert 13_000 < len(body) <= 16_384
    ordinary = arrival(address=f"10.{draw.randrange(256)}.{draw.randrange(256)}.{draw.randrange(256)}")
    return msgspec.structs.replace(ordinary, beacon=parse_beacon(body))


def test_what_is_stored_of_a_large_beacon_fits_its_purpose(rooms: PipelineServices) -> None:
    """Less than half of it is, and of one live visit two kilobytes."""
    rooms.visits.__init__()  # type: ignore[misc] # no visit of another test
    for number in range(50):
        event = kept(run(large_beacon(random.Random(number)), SITE.domain, rooms))  # noqa: S311 # no secret
        for column, most in MAX_LENGTHS.items():
            assert len(getattr(event, column)) <= most
        assert len(event.entry_page) <= MAX_LENGTHS["page"]
        assert sum(len(key) + len(value) for key, value in event.props.items()) <= MAX_PROPERTIES_LENGTH
        assert len(encode(event)) < 7_000
    assert rooms.visits.bytes / len(rooms.visits) < 3_500


def test_properties_beyond_the_bound_are_left_out_and_told() -> None:
    """The first ones stay whole."""
    given = {f"k{number}": "x" * 990 for number in range(10)}
    shown, odd = properties_of(given)
    assert list(shown) == ["k0", "k1", "k2", "k3"]
    assert odd
    assert properties_of({"a": "x" * 1_990, "b": "y" * 1_990})[1] is False


def test_a_restart_keeps_every_visit_as_its_own_network(tmp_path: Path) -> None:
    """Nobody knows any more whose network it was: they do not count as one."""
    rooms = rooms_for(tmp_path, SITE)
    events = [kept(run(arrival(address=f"10.0.0.{number}"), SITE.domain, rooms)) for number in range(50)]
    visits = VisitTracker(max_per_network=5)
    visits.restore(events)
    assert all(visits.current(event.visitor, NOON) is not None for event in events)
