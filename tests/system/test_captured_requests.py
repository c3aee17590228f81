"""Requests that the official trackers of other products really made, captured from a browser, sent to a running server.

`cases/captured-requests.jsonl` has client, method, path, headers and body of each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from tests.served import Served, served
from tests.stored import Rows, read_events

SITE = "site.test"


class Captured(msgspec.Struct, frozen=True):
    """One captured request."""

    client: str
    method: str
    path: str
    headers: dict[str, str]
    body: str

    def send(self, server: Served) -> tuple[int, str, str]:
        """Send it as it was; the answer's status, why it was dropped, and its body."""
        answer = server.http.request(self.method, self.path, headers=self.headers, content=self.body.encode())
        return answer.status_code, answer.headers.get("X-Tyst-Dropped", ""), answer.text


def captured() -> list[Captured]:
    """Every captured request, in order."""
    lines = (Path(__file__).parents[1] / "cases" / "captured-requests.jsonl").read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Captured) for line in lines]


TO_EVENT = [request for request in captured() if request.path == "/api/event"]
TO_OTHERS = [request for request in captured() if request.path != "/api/event"]

FREE = {"plan": "free"}
TIER = {"tier": "startup", "n": "3"}

# What every row has in common. The tags of the first page stay with the visit; those of later pages do not count.
COMMON = {
    "site": SITE,
    "consent": "exempt",
    "hostname": "127.0.0.1",
    "entry_page": "/a",
    "referrer": "",
    "source": "news",
    "channel": "Referral",
    "utm_source": "news",
    "utm_medium": "",
    "utm_campaign": "",
    "utm_content": "",
    "utm_term": "",
    "click_id": "",
    "country": "",
    "browser": "Chrome",
    "browser_version": "156",
    "os": "Linux",
    "os_version": "",
    "device": "desktop",
    "size": "",
    "visits": 0,
    "bounces": 0,
    "engaged": 0,
    "scroll": 0,
    "props": FREE,
    "revenue": 0,
    "currency": "",
    "datacenter": False,
}


def row(name: str, page: str, props: dict[str, str] | None = None, **columns: Any) -> dict[str, Any]:
    """An expected row; the properties come on top of those that every event of that tracker has."""
    return {**COMMON, "name": name, "page": page, "props": FREE | (props or {}), **columns}


def custom_events(page: str) -> Rows:
    """What the newer tracker sent of one page after its pageview."""
    return [
        row("Purchase", page, {"sku": "A1"}, revenue=15.99, currency="USD"),
        row("autoplay", page),
        # Of addresses in properties host and path are kept, as of every other address.
        row("File Download", page, {"url": "http://127.0.0.1/files/report.pdf"}),
        row("Outbound Link: Click", page, {"url": "https://other.test/path"}),
        row("Add To Cart", page, {"color": "red"}, revenue=9.5, currency="EUR"),
        row("Form: Submission", page),
    ]


def older_tracker(page: str) -> Rows:
    """What the older tracker sent, whose properties are JSON in a string, and which tells the width."""
    return [
        row("pageview", page, size="lg") | {"props": {}},
        row("signup", page, size="lg") | {"props": TIER},
        row("pageview", "/old/second", size="lg") | {"props": {}},
    ]


EXPECTED = [
    row("pageview", "/a", visits=1, bounces=1),
    row("signup", "/a", {"tier": "startup"}, bounces=-1),
    *custom_events("/a"),
    row("engagement", "/a", engaged=4_521, scroll=54),
    row("pageview", "/spa/second"),
    row("404", "/spa/second", {"path": "/spa/second"}),
    *older_tracker("/b"),
    row("pageview", "/a2"),
    row("cb", "/a2"),
    row("signup", "/a2", {"tier": "startup"}),
    *custom_events("/a2"),
    row("pageview", "/spa/second"),
    # It came after the next page's view, and still belongs to its own page.
    row("engagement", "/a2", engaged=4_505, scroll=54),
    row("404", "/spa/second", {"path": "/spa/second"}),
    *older_tracker("/b2"),
]
"""The whole table: one row per captured request, in order."""

BY_THE_CLOCK = ("day", "ts", "visitor", "visit", "seconds", "expires", "seq")


def test_requests_of_plausibles_trackers_are_stored_as_they_mean(tmp_path: Path) -> None:
    """All 29 are accepted, and the table then holds these rows and no others, as one visit of one visitor."""
    # All in one insert, so that the table keeps the order in which they came.
    with served(tmp_path, TYST_FLUSH_SECONDS="3600") as server:
        # The captured pages were on the machine itself, which counts only where a site says so.
        server.add_site(SITE, consent="exempt", hostnames=["127.0.0.1"])
        answers = [request.send(server) for request in TO_EVENT]
        assert server.stop() == 0
    assert answers == [(202, "", "ok")] * 29
    rows = read_events(tmp_path / "data")
    assert [{name: value for name, value in row.items() if name not in BY_THE_CLOCK} for row in rows] == EXPECTED
    assert len({(row["day"], row["visitor"]) for row in rows}) == len({row["day"] for row in rows})
    assert len({row["visit"] for row in rows}) == 1
    assert [row["seq"] for row in rows] == list(range(1, 30))
    assert all(row["visitor"] and row["expires"] > row["day"] for row in rows)


def test_requests_of_other_protocols_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    """Beacons that Umami's and GoatCounter's trackers send to their own addresses are no beacons here."""
    with served(tmp_path) as server:
        server.add_site(SITE, consent="exempt")
        statuses = {(request.client.split()[0], request.send(server)[0]) for request in TO_OTHERS}
        accepted = server.counted("tyst_accepted_total")
        assert server.stop() == 0
    assert len(TO_OTHERS) == 12
    assert statuses == {("umami", 404), ("goatcounter", 405)}
    assert accepted == 0
    assert read_events(tmp_path / "data") == []
