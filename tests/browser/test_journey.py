"""The promise as a whole: a real browser, a real consent banner, a real server, its ClickHouse and its dashboard."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import USER_AGENT, NewPerson
from tests.browser.people import Owner, Visitor
from tests.browser.recorder import Recorder
from tests.served import DEADLINE, Served, served, until
from tests.stored import read_events

SITE = "shop.test"
ERASED_SECONDS = 10

BANNER = """
<link rel="stylesheet" href="/vendor/cookieconsent.css">
<script src="/vendor/cookieconsent.js"></script>"""
MENU = """
<a href="/">Home</a> <a href="/prices">Prices</a> <button onclick="CookieConsent.showPreferences()">Privacy</button>
<button onclick="history.pushState({}, '', '/prices/monthly')">Monthly</button>
<script>
const section = { title: 'Statistics', description: 'Anonymous counts.', linkedCategory: 'analytics' }
const buttons = { acceptAllBtn: 'Accept', acceptNecessaryBtn: 'Decline' }
CookieConsent.run({
  categories: { necessary: { enabled: true, readOnly: true }, analytics: {} },
  language: { default: 'en', translations: { en: {
    consentModal: { title: 'May we count?', description: 'Anonymously.', ...buttons },
    preferencesModal: { title: 'Your choice', savePreferencesBtn: 'Save', sections: [section], ...buttons },
  } } },
})
</script>"""


@pytest.fixture
def tyst(tmp_path: Path) -> Iterator[Served]:
    """A running server that measures one site, under the policy that sites have by default."""
    with served(tmp_path) as server:
        server.add_site(SITE)
        yield server


@pytest.fixture
def shop(recorder: Recorder, tyst: Served) -> Recorder:
    """A website on a host of its own, with a consent banner, and with the snippet from the running server."""
    recorder.page(f'data-cmp="cookieconsent" data-domain="{SITE}"', MENU, BANNER, src=f"{tyst.url}/js/tyst.js")
    recorder.html = recorder.html.replace('data-domain="site.test"', "")
    return recorder


def roam(somebody: Visitor, shop: Recorder) -> list[list[tuple[str, str, str | None]]]:
    """Load a page, follow a link, go on within the page, go back, and reload; what each of them sent."""
    page = somebody.page
    page.goto(shop.url)
    sent = [somebody.take()]
    page.get_by_role("link", name="Prices").click()
    page.wait_for_url(f"{shop.url}/prices")
    sent.append(somebody.take())
    page.get_by_role("button", name="Monthly").click()
    sent.append(somebody.take())
    page.go_back()
    sent.append(somebody.take())
    page.reload()
    sent.append(somebody.take())
    return sent


NOTHING: list[list[tuple[str, str, str | None]]] = [[], [], [], [], []]
EVERY_PAGE = [
    [("pageview", path, "cookieconsent")] for path in ("/", "/prices", "/prices/monthly", "/prices", "/prices")
]


def seconds_until_shown(owner: Owner, somebody: Visitor) -> float:
    """Time from the beacon's answer until the dashboard was asked for by the first load that had the number.

    Loads follow one another, so one that just missed it delays the next by as long as it takes: that is taken off.
    """
    load = 0.0
    while True:
        asked = time.monotonic()
        owner.page.reload()
        if owner.figure("Visitors") == "1":
            return asked - somebody.answered - load
        load = time.monotonic() - asked
        assert asked - somebody.answered < DEADLINE, "the visitor never appears"


def test_only_what_a_visitor_agreed_to_is_sent_stored_and_shown(
    new_person: NewPerson, shop: Recorder, tyst: Served
) -> None:
    """Undecided nothing is sent; after accepting exactly one pageview, on the dashboard within two seconds, and one
    more for each page; ClickHouse and the dashboard then hold exactly the pageviews that were sent. Withdrawing is told
    once and nothing is sent after it, reloaded or not; ClickHouse and the dashboard then hold nothing."""
    somebody = Visitor(new_person(), tyst.url)
    owner = Owner(new_person(), tyst.url)
    owner.sign_in(f"/{SITE}?period=day")
    page = somebody.page

    assert roam(somebody, shop) == NOTHING
    assert set(somebody.paths) == {"/js/tyst.js"}
    assert owner.figure("Visitors") == "0"

    page.get_by_role("button", name="Accept").click()
    assert somebody.take() == [("pageview", "/prices", "cookieconsent")]
    assert seconds_until_shown(owner, somebody) < 2.0
    assert owner.figure("Pageviews") == "1"
    # Who is there now is a question of its own, which may have been answered a moment before.
    until("one current visitor", lambda: owner.figure("Current visitors") == "1")

    assert roam(somebody, shop) == EVERY_PAGE
    expect(page.locator("#cc-main .cm-wrapper")).to_have_count(0)

    tyst.drain()
    assert (tyst.counted("tyst_accepted_total"), dropped(tyst)) == (6, 0)
    owner.page.reload()
    assert (owner.figure("Visitors"), owner.figure("Visits"), owner.figure("Pageviews")) == ("1", "1", "6")
    assert owner.rows("Pages") == {
        "/prices": ["1", "4", "100%"],
        "/": ["1", "1", "100%"],
        "/prices/monthly": ["1", "1", "100%"],
    }
    held = tyst.http.get(f"/api/me?d={SITE}", headers={"user-agent": USER_AGENT}).json()["events"]
    # Times are whole seconds, so the order within one is not told.
    assert sorted((row["name"], row["page"]) for row in held) == sorted(
        ("pageview", path) for path in ("/prices", "/", "/prices", "/prices/monthly", "/prices", "/prices")
    )
    assert {(row["site"], row["consent"], row["hostname"]) for row in held} == {
        (SITE, "cookieconsent", "site.localhost")
    }
    assert len({row["visitor"] for row in held}) == 1
    assert [sum(row[name] for row in held) for name in ("visits", "bounces")] == [1, 0]

    page.get_by_role("button", name="Privacy").click()
    somebody.settle()
    page.get_by_role("dialog").get_by_role("button", name="Decline").click()
    assert somebody.take() == []
    assert somebody.withdrawals == [{"c": "withdrawn", "d": SITE, "k": None}]
    assert roam(somebody, shop) == NOTHING
    assert len(somebody.withdrawals) == 1
    assert {cookie["name"]: cookie["value"] for cookie in somebody.context.cookies(shop.url)}[
        "tyst_consent"
    ] == "denied"
    assert set(somebody.paths) == {"/js/tyst.js", "/api/event"}
    assert (tyst.counted("tyst_accepted_total"), dropped(tyst)) == (6, 0)

    def shown() -> tuple[str, str, str]:
        owner.page.reload()
        return owner.figure("Visitors"), owner.figure("Visits"), owner.figure("Pageviews")

    # An erasure takes a second or two, on a busy machine some more.
    until("the dashboard holds nothing", lambda: shown() == ("0", "0", "0"), ERASED_SECONDS)
    assert tyst.stop() == 0
    assert read_events(tyst.data_dir) == []


def test_refusing_at_the_banner_or_by_the_browser_sends_nothing(
    new_person: NewPerson, shop: Recorder, tyst: Served
) -> None:
    """Whoever declines, and whoever accepts under Global Privacy Control or Do Not Track, sends nothing at all."""
    for signal, answer in (({}, "Decline"), ({"gpc": True}, "Accept"), ({"dnt": True}, "Accept")):
        somebody = Visitor(new_person(**signal), tyst.url)
        assert roam(somebody, shop) == NOTHING
        somebody.page.get_by_role("button", name=answer).click()
        assert somebody.take() == []
        assert roam(somebody, shop) == NOTHING
        assert set(somebody.paths) == {"/js/tyst.js"}
    assert (tyst.counted("tyst_accepted_total"), dropped(tyst)) == (0, 0)
    assert tyst.stop() == 0
    assert read_events(tyst.data_dir) == []


def test_the_collector_refuses_what_a_page_should_not_have_sent(
    new_person: NewPerson, shop: Recorder, tyst: Served
) -> None:
    """A page that claims consent for a browser under Global Privacy Control is not believed: nothing is stored."""
    somebody = Visitor(new_person(gpc=True), tyst.url)
    somebody.page.goto(shop.url)
    reason = somebody.page.evaluate(
        """([url, site]) => fetch(url, { method: 'POST', body: JSON.stringify({
             n: 'pageview', u: location.href, d: site, c: 'granted' }) })
             .then((answer) => answer.headers.get('X-Tyst-Dropped'))""",
        [f"{tyst.url}/api/event", SITE],
    )
    assert reason == "gpc"
    assert tyst.stop() == 0
    assert read_events(tyst.data_dir) == []


def dropped(tyst: Served) -> int:
    """Beacons that arrived and were not kept, for whatever reason."""
    lines = tyst.http.get("/metrics").text.splitlines()
    return int(sum(float(line.split()[-1]) for line in lines if line.startswith("tyst_dropped_total{")))
