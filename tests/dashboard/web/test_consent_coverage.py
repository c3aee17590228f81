"""The owner's page on consent: both lanes side by side, by day and by page."""

from __future__ import annotations

import re
from pathlib import Path

from dashboard.analytics.query import OTHER, Result, Row
from dashboard.web.consent_coverage import Coverage, coverage
from tests.served import CHROME, PASSWORD, served


def result(*rows: tuple[tuple[str, ...], int]) -> Result:
    """Pageviews by these values."""
    return Result(("pageviews",), (), [Row(values, (count,)) for values, count in rows])


def test_both_lanes_stand_side_by_side() -> None:
    """Every kind of evidence is consent, and `none` is the bare count; what was folded away is not told by the rest."""
    whole = result((("/a",), 8), (("/b",), 3), (("/c",), 7), (("/d",), 1))
    split = result(
        (("/a", "granted"), 5), (("/a", "tcf"), 1), (("/a", "none"), 2), (("/b", "none"), 3), (("/c", "none"), 6),
        ((OTHER, OTHER), 2),
    )  # fmt: skip
    assert coverage(whole, split) == [
        Coverage("/a", 6, 2), Coverage("/b", 0, 3), Coverage("/c", 7, 6, told=False), Coverage("/d", 1, 0, told=False),
    ]  # fmt: skip
    assert [each.share for each in coverage(whole, split)] == ["75%", "0%", "–", "–"]


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
