"""The snippet in Firefox: the same promises in another browser, with its own Global Privacy Control."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.firefox import GPC, Tab, firefox
from tests.browser.recorder import Recorder, Sent

FENCE = "fetch('/fence').then((answer) => answer.text())"
SCROLLED = """new Promise((done) => {
    addEventListener("scroll", () => done(), { once: true })
    scrollTo(0, 2000)
})"""


@pytest.fixture(scope="module")
def shared_tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """One Firefox for the whole module."""
    with firefox(tmp_path_factory.mktemp("firefox")) as opened:
        yield opened


@pytest.fixture
def tab(shared_tab: Tab, recorder: Recorder) -> Tab:
    """Its tab, whose visitor has said nothing to any site."""
    shared_tab.go(recorder.url + "/fence")
    shared_tab.do("document.cookie = 'tyst_consent=; path=/; max-age=0'")
    return shared_tab


def sent(tab: Tab, recorder: Recorder) -> list[Sent]:
    """Everything that was sent: the page's own requests after it have been answered."""
    for _ in range(2):
        tab.do(FENCE)
    return recorder.take()


def events(beacons: list[Sent]) -> list[tuple[str, str, str | None]]:
    """Name, page and evidence of each."""
    return [(beacon.beacon["n"], beacon.path, beacon.beacon.get("c")) for beacon in beacons]


def test_nothing_is_sent_before_consent_nor_after_its_end(tab: Tab, recorder: Recorder) -> None:
    """The page and what is done on it count from the visitor's yes to the visitor's no, which alone is told, and also
    to a collector of another site."""
    recorder.page(src=recorder.elsewhere + "/js/tyst.js")
    tab.go(recorder.url + "/a")
    tab.do("tyst('early')")
    assert sent(tab, recorder) == []
    tab.do("tyst.consent('granted')")
    assert events(recorder.wait(1)) == [("pageview", "/a", "granted")]
    tab.do("tyst('Signup', { props: { plan: 'pro' } })")
    (beacon,) = recorder.wait(1)
    assert (beacon.beacon["n"], beacon.beacon["p"]) == ("Signup", {"plan": "pro"})
    # What is answered after a refusal would be withdrawn once more.
    assert sent(tab, recorder) == []
    tab.do("tyst.consent('denied')")
    tab.do("tyst('late')")
    tab.do("history.pushState({}, '', '/b')")
    (withdrawal,) = recorder.wait(1)
    assert (withdrawal.method, withdrawal.beacon) == ("DELETE", {"c": "withdrawn", "d": recorder.domain, "k": None})
    assert "cookie" not in withdrawal.headers
    assert sent(tab, recorder) == []
    assert "tyst_consent=denied" in tab.do("document.cookie")


def test_pages_of_one_document_are_counted(tab: Tab, recorder: Recorder) -> None:
    """Forward, and back; the page that was left says how far it was read."""
    recorder.page('data-consent="exempt"', body="<div style='height: 5000px'></div>")
    tab.go(recorder.url + "/a?secret=1")
    assert events(recorder.wait(1)) == [("pageview", "/a?secret=1", None)]
    tab.do(SCROLLED)
    tab.do("history.pushState({}, '', '/b')")
    engagement, pageview = recorder.wait(2)
    if engagement.beacon["n"] == "pageview":
        engagement, pageview = pageview, engagement
    assert events([engagement, pageview]) == [("engagement", "/a?secret=1", None), ("pageview", "/b", None)]
    assert 40 < engagement.beacon["sd"] < 100
    tab.do("history.back()")
    assert ("pageview", "/a?secret=1", None) in events(recorder.wait(1))


def test_pages_told_apart_by_their_fragment_are_counted(tab: Tab, recorder: Recorder) -> None:
    """With `data-hash`: by a link, by script, and back."""
    recorder.page('data-consent="exempt" data-hash', body="<a href='#/b'>b</a>")
    tab.go(recorder.url + "/#/a")
    assert events(recorder.wait(1)) == [("pageview", "/#/a", None)]
    tab.do("document.querySelector('a').click()")
    assert events(recorder.wait(1)) == [("pageview", "/#/b", None)]
    tab.do("location.hash = '#/c'")
    assert events(recorder.wait(1)) == [("pageview", "/#/c", None)]
    tab.do("history.back()")
    assert events(recorder.wait(1)) == [("pageview", "/#/b", None)]


def test_what_is_sent_is_what_the_contract_says(tab: Tab, recorder: Recorder) -> None:
    """Width, time zone, site and a random text for retries; no credentials, and a type that needs no preflight."""
    recorder.page('data-consent="exempt"')
    tab.go(recorder.url + "/a")
    (beacon,) = recorder.wait(1)
    assert beacon.beacon["d"] == recorder.domain
    assert beacon.beacon["z"] == tab.do("Intl.DateTimeFormat().resolvedOptions().timeZone")
    assert beacon.beacon["w"] == tab.do("innerWidth")
    assert beacon.beacon["q"]
    assert beacon.headers["content-type"].startswith("text/plain")
    assert "Firefox" in beacon.headers["user-agent"]


def test_its_own_global_privacy_control_is_a_refusal(tmp_path: Path, recorder: Recorder) -> None:
    """Switched on in the browser's settings, nothing is sent, whatever the policy and the choice."""
    recorder.page('data-consent="exempt"')
    with firefox(tmp_path, GPC) as refusing:
        refusing.go(recorder.url + "/a")
        assert refusing.do("navigator.globalPrivacyControl") is True
        refusing.do("tyst.consent('granted')")
        refusing.do("tyst('Signup')")
        assert sent(refusing, recorder) == []
