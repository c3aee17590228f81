"""Withdrawal in the middle of a visit, and receipts of consent: a real browser, a real server, what it stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from collector.core.resources import resource_path
from tests.browser.conftest import USER_AGENT, NewPerson
from tests.browser.people import Visitor
from tests.browser.recorder import Recorder
from tests.served import Served, served, until


@pytest.fixture(scope="module")
def tyst(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A running server."""
    with served(tmp_path_factory.mktemp("withdrawal"), TYST_FLUSH_SECONDS="0.05") as server:
        yield server


@pytest.fixture
def shop(recorder: Recorder, tyst: Served) -> Callable[..., str]:
    """Registers a site and makes every page of the website load the snippet for it; returns the site's name."""

    def make(domain: str, policy: str, **settings: Any) -> str:
        tyst.add_site(domain, consent=policy, **settings)
        recorder.page(f'data-domain="{domain}" data-consent="{policy}"', src=f"{tyst.url}/js/tyst.js")
        recorder.html = recorder.html.replace(f'data-domain="{recorder.domain}"', "")
        return domain

    return make


def held(tyst: Served, domain: str) -> list[str]:
    """The pages that are held about the browser, by their names: of one second either may be told first."""

    def answered() -> httpx.Response | None:
        # One address may ask only so often.
        answer = tyst.http.get(f"/api/me?d={domain}", headers={"user-agent": USER_AGENT})
        return answer if answer.status_code == 200 else None

    events = until("what is held", answered, pause=0.2).json()["events"]
    return sorted(event["page"] for event in events if event["name"] == "pageview")


def counted(tyst: Served, domain: str) -> dict[str, list[int]]:
    """Pageviews and visitors by page."""
    tyst.drain()
    query = {
        "site_id": domain,
        "metrics": ["pageviews", "visitors"],
        "date_range": "day",
        "dimensions": ["event:page"],
    }
    return {row["dimensions"][0]: row["metrics"] for row in tyst.api("POST", "/api/v2/query", query)["results"]}


def test_the_browser_is_sent_the_brotli_form_of_the_snippet(
    new_person: NewPerson, recorder: Recorder, shop: Callable[..., str]
) -> None:
    """And runs the same script."""
    shop("brotli.test", "required")
    page = new_person().new_page()
    with page.expect_response("**/js/tyst.js") as answered:
        page.goto(recorder.url)
    assert answered.value.header_value("content-encoding") == "br"
    assert answered.value.text() == resource_path("tyst.js").read_text()
    assert page.evaluate("tyst.v") == 1


def test_a_no_in_the_middle_of_a_visit_moves_to_the_limited_lane_and_erases(
    new_person: NewPerson, recorder: Recorder, tyst: Served, shop: Callable[..., str]
) -> None:
    """The page that is open becomes a bare count at once, what was linkable is gone, and later pages are bare counts;
    another person's visit stays."""
    domain = shop("limited.test", "limited")
    other = {"user-agent": USER_AGENT.replace("143", "142")}
    beacon = f'{{"n":"pageview","u":"https://{domain}/theirs","d":"{domain}","c":"granted"}}'
    assert tyst.send(beacon, other).status_code == 202
    somebody = Visitor(new_person(), tyst.url)
    somebody.page.goto(f"{recorder.url}/a")
    assert somebody.take() == [("pageview", "/a", None)]
    somebody.page.evaluate("tyst.consent('granted')")
    assert somebody.take() == [("pageview", "/a", "granted")]
    somebody.page.evaluate("history.pushState({}, '', '/b')")
    assert somebody.take() == [("pageview", "/b", "granted")]
    assert held(tyst, domain) == ["/a", "/b"]
    somebody.page.evaluate("tyst.consent('denied')")
    assert somebody.take() == [("pageview", "/b", None)]
    assert somebody.withdrawals == [{"c": "withdrawn", "d": domain, "k": None}]
    until("an erasure", lambda: held(tyst, domain) == [])
    somebody.page.evaluate("history.pushState({}, '', '/c')")
    somebody.page.evaluate("tyst('Signup')")
    assert somebody.take() == [("pageview", "/c", None)]
    assert counted(tyst, domain) == {"/a": [1, 0], "/b": [1, 0], "/c": [1, 0], "/theirs": [1, 1]}


TRACED = """<script>{
    const real = fetch
    window.fetch = (url, options) => real(url, {
        ...options, headers: { traceparent: '00-1-2-01', 'sentry-trace': '1-2-1', baggage: 'a=b' } })
}</script>"""


def test_headers_that_other_tools_add_to_each_request_stop_nothing(
    new_person: NewPerson, recorder: Recorder, tyst: Served, shop: Callable[..., str]
) -> None:
    """A page with tracing, and a collector on a host of its own, which the browser asks first: pages are counted, and a
    withdrawal erases them."""
    domain = shop("traced.test", "exempt")
    recorder.html = recorder.html.replace("<script", f"{TRACED}<script", 1)
    somebody = Visitor(new_person(), tyst.url)
    traced: list[str] = []
    somebody.context.on("request", lambda sent: traced.append(sent.method) if "traceparent" in sent.headers else None)
    somebody.page.goto(f"{recorder.url}/a")
    assert somebody.take() == [("pageview", "/a", None)]
    assert "POST" in traced
    assert held(tyst, domain) == ["/a"]
    somebody.page.evaluate("tyst.consent('denied')")
    assert somebody.take() == []
    assert "DELETE" in traced
    until("an erasure", lambda: held(tyst, domain) == [])


@pytest.mark.parametrize("policy", ["required", "exempt"])
def test_a_no_erases_where_nothing_is_counted_after_it(
    new_person: NewPerson, recorder: Recorder, tyst: Served, shop: Callable[..., str], policy: str
) -> None:
    """One request says so, to a collector on a host of its own; what was linkable is gone, nothing more is sent, and
    another person's visit stays. A yes after it begins anew."""
    domain = shop(f"{policy}.test", policy)
    other = {"user-agent": USER_AGENT.replace("143", "142")}
    beacon = f'{{"n":"pageview","u":"https://{domain}/theirs","d":"{domain}","c":"granted"}}'
    assert tyst.send(beacon, other).status_code == 202
    somebody = Visitor(new_person(), tyst.url)
    somebody.page.goto(f"{recorder.url}/a")
    somebody.page.evaluate("tyst.consent('granted')")
    assert [sent[:2] for sent in somebody.take()] == [("pageview", "/a")]
    somebody.page.evaluate("history.pushState({}, '', '/b')")
    assert [sent[:2] for sent in somebody.take()] == [("pageview", "/b")]
    assert held(tyst, domain) == ["/a", "/b"]
    somebody.page.evaluate("tyst.consent('denied')")
    assert somebody.take() == []
    assert somebody.withdrawals == [{"c": "withdrawn", "d": domain, "k": None}]
    until("an erasure", lambda: held(tyst, domain) == [])
    somebody.page.evaluate("tyst('Signup'); history.pushState({}, '', '/c')")
    somebody.page.goto(f"{recorder.url}/d")
    assert somebody.take() == []
    assert len(somebody.withdrawals) == 1
    assert counted(tyst, domain) == {"/theirs": [1, 1]}
    somebody.page.evaluate("tyst.consent('granted')")
    assert somebody.take() == [("pageview", "/d", "granted")]
    assert counted(tyst, domain) == {"/d": [1, 1], "/theirs": [1, 1]}


def test_with_receipts_a_page_is_counted_once_after_one_question(
    new_person: NewPerson, recorder: Recorder, tyst: Served, shop: Callable[..., str]
) -> None:
    """The first beacon with consent brings a receipt and goes again with it at once; later ones carry it. Nothing of
    it is stored in the browser, a new page asks anew, and a withdrawal returns it and takes back what was counted."""
    domain = shop("receipts.test", "required", receipts=True)
    somebody = Visitor(new_person(), tyst.url)
    page = somebody.page
    page.goto(f"{recorder.url}/a")
    somebody.settle()
    assert somebody.beacons == []
    page.evaluate("tyst.consent('granted')")
    somebody.settle()
    somebody.settle()
    first, again = somebody.beacons
    assert (first.get("k"), first["q"]) == (None, again["q"])
    assert again["k"]
    assert somebody.answers == [(202, "consent"), (202, None)]
    page.evaluate("tyst('Signup'); history.pushState({}, '', '/b')")
    somebody.settle()
    assert [(beacon["n"], beacon["k"]) for beacon in somebody.beacons[2:]] == [
        ("Signup", again["k"]),
        ("pageview", again["k"]),
    ]
    assert [stored["name"] for stored in somebody.context.cookies()] == ["tyst_consent"]
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0
    page.goto(f"{recorder.url}/c")
    somebody.settle()
    somebody.settle()
    assert [beacon.get("k") in (None, again["k"]) for beacon in somebody.beacons[4:]] == [True, False]
    sent = len(somebody.beacons)
    page.evaluate("tyst.consent('denied'); tyst('Signup'); history.pushState({}, '', '/d')")
    somebody.settle()
    assert len(somebody.beacons) == sent
    assert somebody.withdrawals == [{"c": "withdrawn", "d": domain, "k": somebody.beacons[-1]["k"]}]
    until("an erasure", lambda: held(tyst, domain) == [])
    assert counted(tyst, domain) == {}


@pytest.mark.parametrize("policy", ["required", "limited"])
def test_a_no_takes_the_receipt_back(
    new_person: NewPerson, recorder: Recorder, tyst: Served, shop: Callable[..., str], policy: str
) -> None:
    """The withdrawal carries the receipt, which is worthless from then on; bare counts carry none."""
    domain = shop(f"back-{policy}.test", policy, receipts=True)
    somebody = Visitor(new_person(), tyst.url)
    page = somebody.page
    page.goto(f"{recorder.url}/a")
    # The answer to the bare count would take a receipt that came before it for none, and have another asked for.
    somebody.settle()
    page.evaluate("tyst.consent('granted')")
    somebody.settle()
    somebody.settle()
    receipt = somebody.beacons[-1]["k"]
    page.evaluate("tyst.consent('denied')")
    somebody.settle()
    somebody.settle()
    assert somebody.withdrawals == [{"c": "withdrawn", "d": domain, "k": receipt}]
    page.evaluate("history.pushState({}, '', '/b')")
    somebody.settle()
    bare = [beacon for beacon in somebody.beacons if "c" not in beacon]
    assert [beacon.get("k") for beacon in bare] == ([None] * 3 if policy == "limited" else [])
    beacon = f'{{"n":"pageview","u":"https://{domain}/again","d":"{domain}","c":"granted","k":"{receipt}"}}'
    assert tyst.send(beacon).headers["x-tyst-dropped"] == "consent"
    assert counted(tyst, domain) == ({"/a": [2, 0], "/b": [1, 0]} if policy == "limited" else {})


def test_a_beacon_of_a_receipt_that_ended_is_asked_again(
    new_person: NewPerson, recorder: Recorder, tyst: Served, shop: Callable[..., str]
) -> None:
    """A page that was open for days, or whose receipt another page took back, gets another and loses nothing."""
    domain = shop("long.test", "required", receipts=True)
    somebody = Visitor(new_person(), tyst.url)
    page = somebody.page
    page.goto(f"{recorder.url}/a")
    page.evaluate("tyst.consent('granted')")
    somebody.settle()
    somebody.settle()
    receipt = somebody.beacons[-1]["k"]
    other = {"user-agent": USER_AGENT.replace("143", "141")}
    denial = f'{{"n":"pageview","u":"https://{domain}/","d":"{domain}","c":"denied","k":"{receipt}"}}'
    assert tyst.send(denial, other).headers["x-tyst-dropped"] == "consent"
    page.evaluate("history.pushState({}, '', '/b')")
    somebody.settle()
    somebody.settle()
    assert somebody.answers[-2:] == [(202, "consent"), (202, None)]
    assert somebody.beacons[-1]["k"] not in (None, receipt)
    assert counted(tyst, domain) == {"/a": [1, 1], "/b": [1, 1]}
