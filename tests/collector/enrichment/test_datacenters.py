"""Networks of data centers: how they are read, and what a site does with visits from there."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

import msgspec
import pytest

from collector.core.errors import RecordError, SettingError
from collector.enrichment.datacenters import (
    HOSTING_FILE,
    AddressRanges,
    DatacenterNetworks,
    hosting_networks,
    read_ranges,
)
from collector.ingest.context import PipelineServices, Rejection
from collector.ingest.event import COLUMNS, Event
from collector.ingest.pipeline import run
from collector.sites.model import DATACENTER_MODES, Site, checked
from dashboard.compliance.privacy_notice import facts_of, sections
from dashboard.compliance.privacy_notice_texts import notice_texts
from tests.collector.ingest.test_pipeline import arrival, kept, rooms_for

LIST = """\
# our own
192.0.2.0/24
198.51.100.7   # one machine
2001:db8::/32
203.0.113.0,203.0.113.127,16509,"Amazon.com, Inc."
203.0.113.128,203.0.113.255,3301,Telia Company AB
2a01:4f9::,2a01:4f9:ffff:ffff:ffff:ffff:ffff:ffff,24940,Hetzner Online GmbH
100.64.0.0\t100.64.0.255\tAS14061\tUS\tDIGITALOCEAN-ASN # 1
"""

COVERED = {
    "192.0.2.0": True,
    "192.0.2.255": True,
    "192.0.3.0": False,
    "192.0.1.255": False,
    "198.51.100.7": True,
    "198.51.100.8": False,
    "2001:db8:1::1": True,
    "2001:db9::1": False,
    "203.0.113.127": True,
    "203.0.113.128": False,
    "2a01:4f9::1": True,
    "2a01:4fa::1": False,
    "100.64.0.9": True,
    "::ffff:192.0.2.1": True,
    "::ffff:10.0.0.1": False,
    "2001:db8::1%eth0": True,
    "": False,
    "nobody": False,
    "192.0.2.1:80": False,
    "\x00": False,
}


@pytest.fixture(scope="module")
def ranges() -> AddressRanges:
    """Those of the list."""
    found, unread = read_ranges(LIST.splitlines(keepends=True))
    assert unread == 0
    return found


@pytest.mark.parametrize(("address", "covered"), COVERED.items())
def test_an_address_is_looked_up(ranges: AddressRanges, address: str, covered: bool) -> None:
    """In networks of both forms and both versions; of ranges with a number those of hosting companies count."""
    assert (address in ranges) == covered


def test_ranges_that_touch_or_overlap_are_one() -> None:
    """Whatever the order of the lines."""
    lines = ["10.0.1.0/24", "10.0.0.0/24", "10.0.0.128/25", "10.0.3.0/24", "2001:db8:0:1::/64", "2001:db8::/64"]
    merged, unread = read_ranges(lines)
    assert (len(merged), unread) == (3, 0)
    assert [address in merged for address in ("10.0.1.255", "10.0.2.0", "10.0.3.0")] == [True, False, True]


def test_lines_that_cannot_be_read_cost_that_line() -> None:
    """They are counted, and the rest is read."""
    lines = ["what", "10.0.0.9,10.0.0.1,16509,x", "10.0.0.0,2001:db8::,16509", "10.0.0.0/99", "10.0.0.1", "a,b,16509"]
    found, unread = read_ranges(lines)
    assert (len(found), unread) == (1, 5)
    assert "10.0.0.1" in found


def test_the_list_of_hosting_companies_is_sorted_and_names_each() -> None:
    """Numbers, ascending, once each, with the company's name; the networks of telephone companies are not there."""
    lines = [line for line in HOSTING_FILE.read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"\d+ +# \S.*", line) for line in lines)
    numbers = [int(line.split()[0]) for line in lines]
    assert numbers == sorted(set(numbers))
    assert {"16509", "14061", "24940", "16276"} <= hosting_networks()
    assert not {"3301", "7018", "3320", "13335", "15169"} & hosting_networks()


def test_a_file_is_read_again_when_it_has_changed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One that is away, or has nothing left, leaves the networks as they were; the log has no address."""
    caplog.set_level(logging.INFO)
    path = tmp_path / "networks.txt"
    path.write_text("192.0.2.0/24\n")
    networks = DatacenterNetworks(path)
    networks.refresh()
    assert networks.covers("192.0.2.1")
    path.write_text("198.51.100.0/24\nnonsense\n")
    os.utime(path, ns=(1, 1))
    networks.refresh()
    assert (networks.covers("192.0.2.1"), networks.covers("198.51.100.1")) == (False, True)
    path.write_text("")
    networks.refresh()
    path.unlink()
    networks.refresh()
    assert networks.covers("198.51.100.1")
    assert not re.search(r"192\.0|198\.51", caplog.text)


@pytest.mark.parametrize("content", [None, "", "# nothing\n", "203.0.113.0,203.0.113.255,3301,Telia\n"])
def test_a_list_that_cannot_be_used_is_refused_at_start(tmp_path: Path, content: str | None) -> None:
    """By the setting's name."""
    path = tmp_path / "networks.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingError, match="TYST_DATACENTER_FILE"):
        DatacenterNetworks(path)


def test_without_a_list_nothing_is_a_data_centre() -> None:
    """As it is by default."""
    assert not DatacenterNetworks().covers("192.0.2.1")


HOSTED = "203.0.113.5"


def rooms_with(path: Path, **settings: object) -> PipelineServices:
    """A list, and one site with these settings."""
    (path / "networks.txt").write_text(LIST)
    site = msgspec.convert({"domain": "site.test", "consent": "exempt", **settings}, Site)
    rooms = rooms_for(path, site)
    return PipelineServices(
        sites=rooms.sites,
        salts=rooms.salts,
        visits=rooms.visits,
        countries=rooms.countries,
        spam=rooms.spam,
        datacenters=DatacenterNetworks(path / "networks.txt"),
    )


def test_visits_from_data_centres_are_marked(tmp_path: Path) -> None:
    """One bit of each of their events, and nothing else is different."""
    rooms = rooms_with(tmp_path, datacenter="mark")
    events = [
        kept(run(arrival(address=HOSTED), "site.test", rooms)),
        kept(run(arrival(address=HOSTED, name="Signup"), "site.test", rooms)),
        kept(run(arrival(address="89.160.20.128"), "site.test", rooms)),
    ]
    assert [event.datacenter for event in events] == [True, True, False]
    assert COLUMNS[-1] == "datacenter"


def test_a_site_may_drop_them(tmp_path: Path) -> None:
    """For a reason of its own."""
    rooms = rooms_with(tmp_path, datacenter="drop")
    assert run(arrival(address=HOSTED), "site.test", rooms) == Rejection("datacenter")
    assert isinstance(run(arrival(), "site.test", rooms), Event)


def test_a_site_may_treat_them_as_all_others(tmp_path: Path) -> None:
    """As it is by default: nothing is marked."""
    assert Site(domain="site.test").datacenter == "off"
    assert not kept(run(arrival(address=HOSTED), "site.test", rooms_with(tmp_path))).datacenter


def test_the_notice_of_a_site_that_marks_says_so() -> None:
    """In each language; that of another site does not."""
    for language in ("en", "sv"):
        said = {
            mode: str(sections(facts_of(Site(domain="site.test", datacenter=mode)), language, ""))
            for mode in DATACENTER_MODES
        }
        assert {mode: notice_texts(language).datacenter in text for mode, text in said.items()} == {
            "off": False, "mark": True, "drop": False,
        }  # fmt: skip


def test_an_anonymous_count_is_never_marked(tmp_path: Path) -> None:
    """It tells nothing of whom it counts; dropped it can be."""
    silent = arrival(address=HOSTED, consent="")
    assert not kept(run(silent, "site.test", rooms_with(tmp_path, consent="limited", datacenter="mark"))).datacenter
    dropped = run(silent, "site.test", rooms_with(tmp_path, consent="limited", datacenter="drop"))
    assert dropped == Rejection("datacenter")


def test_there_are_three_ways() -> None:
    """Another is refused by the field's name."""
    for mode in DATACENTER_MODES:
        assert checked(Site(domain="a.test", datacenter=mode)).datacenter == mode
    with pytest.raises(RecordError) as raised:
        checked(Site(domain="a.test", datacenter="maybe"))  # type: ignore[arg-type] # what a form may send
    assert raised.value.field == "datacenter"
