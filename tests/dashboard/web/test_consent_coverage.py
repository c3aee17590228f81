"""The consent page of a running site."""

from __future__ import annotations

import re
from pathlib import Path

from tests.served import CHROME, PASSWORD, served


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
    assert page.count("<g><rect") == 1
    assert re.search(r"<title>[^<]*: 10 pageviews, 60% with consent</title>", page)
    assert re.search(r'<th scope="row"><[^>]+>/<wbr>a</a></th><td>6</td><td>4</td><td>60%</td>', page)
    assert "that page counts in both groups" in page
    assert "to compare with" in page, "there was nothing before"
    assert re.search(r"Events are kept</dt><dd>25 months<", page)
