"""Each reason for which a beacon is not kept, once through a running server.

Every case has a twin that differs in nothing but the cause, and is kept.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from collector.core.metrics import REASONS
from collector.enrichment.host_lists import SPAM_FILE
from tests.served import Served, served, until
from tests.stored import read_events

GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
HEADLESS = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/143.0.0.0 Safari/537.36"
)


@dataclass(frozen=True, slots=True)
class Case:
    """What makes the difference: keys of the beacon, headers of the request; and the settings of the site."""

    reason: str
    keys: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    site: dict[str, Any] = field(default_factory=dict)


CASES = {
    "without-evidence": Case("consent", {"c": None}),
    "refused": Case("consent", {"c": "denied"}),
    "refused-by-cookie": Case("consent", headers={"Cookie": "a=b; tyst_consent=denied"}),
    "refused-where-exempt": Case("consent", {"c": "denied"}, site={"consent": "exempt"}),
    "event-in-the-limited-lane": Case("consent", {"c": None, "n": "Signup"}, site={"consent": "limited"}),
    "gpc": Case("gpc", headers={"Sec-GPC": "1"}),
    "gpc-where-exempt": Case("gpc", headers={"Sec-GPC": "1"}, site={"consent": "exempt"}),
    "gpc-where-limited": Case("gpc", headers={"Sec-GPC": "1"}, site={"consent": "limited"}),
    "dnt": Case("dnt", headers={"DNT": "1"}),
    "crawler": Case("bot", headers={"User-Agent": GOOGLEBOT}),
    "headless": Case("bot", headers={"User-Agent": HEADLESS}),
    "prefetch": Case("prefetch", headers={"Sec-Purpose": "prefetch"}),
    "prerender": Case("prefetch", headers={"Sec-Purpose": "prefetch;prerender"}),
    "unknown-site": Case("unknown_site", {"d": "nowhere.test"}),
    "path": Case("excluded", {"u": "https://h.test/admin/users"}, site={"excluded_paths": ["/admin/**"]}),
    "host": Case("excluded", {"u": "https://copy.test/"}, site={"hostnames": ["h.test", "*.h.test"]}),
    "country": Case("excluded", {"z": "Europe/Oslo"}, site={"excluded_countries": ["NO"]}),
    "spam": Case("spam_referrer", {"r": "https://www.spam.test/offer"}),
    "data-centre": Case("datacenter", headers={"X-Forwarded-For": "192.0.2.7"}, site={"datacenter": "drop"}),
    "rate": Case("rate", site={"rate_limit": 1}),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case: the answers to the twin and to the beacon, which counters moved, what was stored."""

    twin: httpx.Response
    answer: httpx.Response
    moved: Counter[str]
    stored: list[str]


def send(server: Served, name: str, case: Case, *, twin: bool) -> httpx.Response:
    """The case's beacon, or its twin."""
    beacon = {"n": "pageview", "u": "https://h.test/", "d": f"{name}.test", "c": "granted", "z": "Europe/Stockholm"}
    return server.send(json.dumps(beacon | ({} if twin else case.keys)), None if twin else case.headers)


def counters(server: Served) -> Counter[str]:
    """Beacons kept, and dropped by reason."""
    kept = Counter(accepted=int(server.counted("tyst_accepted_total")))
    dropped = {str(reason): int(server.counted(f'tyst_dropped_total{{reason="{reason}"}}')) for reason in REASONS}
    return kept + Counter(dropped)


def provoke(server: Served, name: str, case: Case) -> tuple[httpx.Response, httpx.Response, Counter[str]]:
    """Send twin and beacon; the counters' difference is that of the beacon alone."""
    server.add_site(f"{name}.test", **case.site)
    twin = send(server, name, case, twin=True)
    before = counters(server)
    answer = send(server, name, case, twin=False)
    if case.reason == "rate":
        # On a slow machine a second may have passed, and the next one is let through.
        answer = until("too much for one second", lambda: _refused(send(server, name, case, twin=False)))
    return twin, answer, counters(server) - before


def _refused(answer: httpx.Response) -> httpx.Response | None:
    return answer if answer.status_code == 429 else None


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """What became of every case, in one server; its table is read after it has stopped."""
    directory = tmp_path_factory.mktemp("drops")
    (directory / "data" / SPAM_FILE).parent.mkdir(parents=True)
    (directory / "data" / SPAM_FILE).write_text("spam.test\n")
    networks = directory / "networks.txt"
    networks.write_text("192.0.2.0/24\n")
    settings = {"TYST_DATACENTER_FILE": str(networks), "TYST_TRUSTED_PROXIES": "127.0.0.1"}
    with served(directory, TYST_RATE_LIMIT="0", **settings) as server:
        provoked = {name: provoke(server, name, case) for name, case in CASES.items()}
        assert server.stop() == 0
    rows = read_events(directory / "data")
    return {
        name: Outcome(*found, [f"{row['name']} {row['hostname']}{row['page']}" for row in rows if row["site"] == site])
        for name, found in provoked.items()
        for site in (f"{name}.test",)
    }


def test_every_reason_has_a_case() -> None:
    """No beacon can be dropped for a reason that is not tried here."""
    assert {case.reason for case in CASES.values()} == set(REASONS)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.reason != "rate"])
def test_a_dropped_beacon_is_answered_like_any_other_and_the_header_says_why(
    outcomes: dict[str, Outcome], name: str
) -> None:
    """202 with the reason, which one counter counts; its twin is kept, and nothing else is stored."""
    outcome, reason = outcomes[name], CASES[name].reason
    assert (outcome.twin.status_code, outcome.twin.text, outcome.twin.headers.get("X-Tyst-Dropped")) == (
        202,
        "ok",
        None,
    )
    assert (outcome.answer.status_code, outcome.answer.text) == (202, "ok")
    assert outcome.answer.headers["X-Tyst-Dropped"] == reason
    assert "X-Tyst-Dropped" in outcome.answer.headers["Access-Control-Expose-Headers"]
    assert outcome.moved == Counter({reason: 1})
    # A visitor's own no, given after the twin was kept, erases it too.
    assert outcome.stored == ([] if name.startswith("refused") else ["pageview h.test/"])


def test_too_many_beacons_are_told_to_wait(outcomes: dict[str, Outcome]) -> None:
    """429 with the reason and the seconds to wait; those that were accepted are stored, and no more."""
    outcome = outcomes["rate"]
    assert outcome.answer.status_code == 429
    assert outcome.answer.headers["X-Tyst-Dropped"] == "rate"
    assert int(outcome.answer.headers["Retry-After"]) >= 1
    assert outcome.moved["rate"] >= 1
    assert outcome.stored == ["pageview h.test/"] * (1 + outcome.moved["accepted"])


def test_one_beacon_for_several_sites_is_kept_where_it_may_be(tmp_path: Path) -> None:
    """Each site decides for itself; the header names the reasons of those that did not keep it."""
    with served(tmp_path) as server:
        server.add_site("kept.test", consent="exempt")
        server.add_site("strict.test")
        domains = "kept.test,strict.test,nowhere.test"
        answer = server.send(json.dumps({"n": "pageview", "u": "https://h.test/", "d": domains}))
        assert server.stop() == 0
    assert (answer.status_code, answer.headers["X-Tyst-Dropped"]) == (202, "consent, unknown_site")
    assert [row["site"] for row in read_events(tmp_path / "data")] == ["kept.test"]
