"""Nobody finds out what a neighbour did by trying user agents; everybody may still erase."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from collector.sites.model import Site
from collector.storage.client import ClickHouse
from dashboard.access.disclosure_limit import MAX_AGENTS, DisclosureLimit
from dashboard.compliance.visitor_privacy_texts import page_texts
from tests.collector.erasure.test_subject_access import OTHER, PAGE, Visiting, visiting
from tests.collector.erasure.test_subject_access import town as town  # the fixture
from tests.collector.ingest.test_pipeline import CHROME
from tests.collector.spool.test_spool import Clock

pytestmark = pytest.mark.anyio

TODAY = (datetime.date(2026, 3, 1),)
TOMORROW = (datetime.date(2026, 3, 2),)
TRIED = [f"Mozilla/5.0 Chrome/{version}.0.0.0" for version in range(MAX_AGENTS)]


async def test_whoever_tries_user_agents_learns_a_number_at_most(town: Visiting) -> None:
    """After two that were wrong the right one is told how much there is, in whatever form it asks."""
    await town.see()
    for agent in TRIED:
        assert await town.me(user_agent=agent) == []
    async with town.client(user_agent=CHROME) as client:
        for more in ("", "&format=csv&download", "&format=json"):
            answer = await client.get(f"/api/me?d=site.test{more}")
            assert answer.status_code == 200
            assert set(answer.json()) == {"site", "linkable_until", "count"}
            assert answer.json()["count"] == 1
            assert PAGE not in answer.text


async def test_the_page_shows_no_more_and_erases(town: Visiting) -> None:
    """It says why, in both languages; who asked before sees what they saw, and another network all of its own."""
    await town.see()
    for agent in TRIED:
        await town.me(user_agent=agent)
    for language in ("en", "sv"):
        words = page_texts(language)
        async with town.client(user_agent=CHROME) as client:
            page = (await client.get(f"/privacy/site.test?lang={language}")).text
        assert words["held_one"] in page
        assert words["not_shown"] in page
        assert words["erase"] in page
        assert PAGE not in page
        assert words["as_json"] not in page
    await town.see("/theirs", address=OTHER)
    assert await town.me(address=OTHER) == ["/theirs"]
    assert (await town.erase()).json() == {"events": 1, "complete": True}


def test_the_first_agents_of_a_day_keep_their_sight() -> None:
    """However many come after them; the next day begins anew, and another network has its own."""
    asking = DisclosureLimit()
    for agent in TRIED:
        assert asking.may_disclose("net", agent, TODAY)
    for number in range(100):
        assert not asking.may_disclose("net", f"guess {number}", TODAY)
    assert all(asking.may_disclose("net", agent, TODAY) for agent in TRIED)
    assert asking.may_disclose("other", "guess 1", TODAY)
    assert asking.may_disclose("net", "guess 1", TOMORROW)


def test_each_date_is_disclosed_to_two_user_agents() -> None:
    """Also where salts of two dates are there, as sites have several time zones: events of both are disclosed."""
    asking = DisclosureLimit()
    assert asking.may_disclose("net", TRIED[0], TODAY)
    assert asking.may_disclose("net", TRIED[1], (*TODAY, *TOMORROW))
    assert not asking.may_disclose("net", "guess", (*TODAY, *TOMORROW))
    assert asking.may_disclose("net", TRIED[0], (*TODAY, *TOMORROW))
    assert not asking.may_disclose("net", "guess", TOMORROW)


async def test_another_day_of_utc_is_no_other_day_of_the_site(tmp_path: Path, clickhouse: ClickHouse) -> None:
    """Whose events are still of its own date: there are no further guesses."""
    clock = Clock(datetime.datetime(2026, 3, 1, 23, 30, tzinfo=datetime.UTC).timestamp())
    async with visiting(tmp_path, clickhouse, clock) as town:
        await town.collector.sites.change(Site(domain="site.test", timezone="America/Los_Angeles"))
        await town.see()
        for agent in TRIED:
            assert await town.me(user_agent=agent) == []
        clock.now += 3_600
        async with town.client() as client:
            assert (await client.get("/api/me?d=site.test")).json()["count"] == 1


def test_nothing_is_forgotten_however_many_networks_ask() -> None:
    """As one client of IPv6 has them. Most others still read what is theirs."""
    asking = DisclosureLimit()
    for agent in TRIED:
        asking.may_disclose("net", agent, TODAY)
    for number in range(1 << 16):
        asking.may_disclose(f"2001:db8:0:{number:x}::/64", TRIED[0], TODAY)
    assert not asking.may_disclose("net", "guess", TODAY)
    assert sum(asking.may_disclose(f"other {number}", "theirs", TODAY) for number in range(1_000)) > 980


def test_a_full_table_discloses_nothing_more() -> None:
    """Until the day ends."""
    asking = DisclosureLimit(places=10)
    for number in range(200):
        asking.may_disclose(f"net {number}", f"agent {number}", TODAY)
    assert not any(asking.may_disclose(f"net {number}", "guess", TODAY) for number in range(200))
    assert asking.may_disclose("net 1", "guess", TOMORROW)
