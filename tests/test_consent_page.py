"""The owner's page on consent: both lanes side by side, by day and by page."""

from __future__ import annotations

import re
from pathlib import Path

from dashboard.consent_views import Coverage, coverage
from dashboard.query import Row
from tests.served import CHROME, PASSWORD, served


def test_both_lanes_stand_side_by_side() -> None:
    """Every kind of evidence is consent, also where its few visitors are folded away; `none` is the bare count."""
    whole = [Row(("/a",), (10,)), Row(("/b",), (3,)), Row(("/c",), (1,))]
    split = [Row(("/a", "granted"), (6,)), Row(("/a", "none"), (2,)), Row(("/b", "none"), (3,))]
    assert coverage(whole, split) == [Coverage("/a", 8, 2), Coverage("/b", 0, 3), Coverage("/c", 1, 0, told=False)]
    assert coverage(whole, split)[2].share == "–"


def test_coverage_is_the_share_with_consent() -> None:
    """In whole percent; of nothing there is none."""
    assert [Coverage("", *lanes).share for lanes in ((8, 2), (0, 3), (1, 0), (0, 0))] == ["80%", "0%", "100%", "–"]


def test_the_page_shows_days_and_pages_of_a_running_site(tmp_path: Path) -> None:
    """Beacons with and without consent arrive, and the page has both; who has no right to the site has no page."""
    with served(tmp_path, TYST_FLUSH_SECONDS="0.05") as server:
        server.add_site("site.test", consent="limited", min_visitors=1)
        people = [f"{CHROME} person/{number}" for number in range(6)]
        for number in range(10):
            beacon = {
                "n": "pageview",
                "u": "https://site.test/a",
                "d": "site.test",
                "c": "granted" if number < 6 else "",
            }
            who = {"user-agent": people[number % 6]}
            assert server.http.post("/api/event", json=beacon, headers=who).status_code == 202
        server.drain()
        assert server.http.get("/site.test/consent").status_code == 303
        server.http.post("/login", data={"name": "admin", "password": PASSWORD})
        page = server.http.get("/site.test/consent").text
    rows = re.findall(r'<th scope="row"><[^>]+>([^<]+)</\w+></th><td>(\d+)</td><td>(\d+)</td><td>([^<]+)</td>', page)
    assert len(rows) == 31
    assert rows[0][1:] == ("6", "4", "60%")
    assert rows[-1] == ("/a", "6", "4", "60%")
    assert "counted once in each column" in page
    assert re.search(r"Single events are kept</dt><dd>760 days<", page)
