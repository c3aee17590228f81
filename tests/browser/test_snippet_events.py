"""Custom events, and those that need no code: links, downloads, forms and tagged elements."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.conftest import Visit

EXEMPT = 'data-consent="exempt"'
STAY = "<script>addEventListener('click', (e) => e.preventDefault())</script>"


def events(visit: Visit) -> list[tuple[str, dict[str, Any]]]:
    """Name and properties of what was sent, without the pageview that came first."""
    first, *others = visit.sent()
    assert first.beacon["n"] == "pageview"
    return [(one.beacon["n"], one.beacon["p"]) for one in others]


def test_custom_event(visit: Visit) -> None:
    """An event carries its properties over those of the page, its revenue, and whether it ends a bounce."""
    visit.recorder.page(f'{EXEMPT} data-props-plan="free" data-props-lang="sv"')
    visit.go("/a?x=1")
    visit.do("tyst('Paid', {props: {plan: 'pro', n: 2}, revenue: {currency: 'SEK', amount: 99.5}, interactive: false})")
    _, sent = visit.sent()
    beacon = sent.beacon
    assert (beacon["n"], sent.path, beacon["p"]) == ("Paid", "/a?x=1", {"plan": "pro", "lang": "sv", "n": 2})
    assert (beacon["$"], beacon["i"]) == ({"currency": "SEK", "amount": 99.5}, False)


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ("{ props: { plan: 'pro', odd: 1n } }", ({"plan": "pro"}, None, None)),
        ("{ props: { odd: loop, plan: 'pro' } }", ({"plan": "pro"}, None, None)),
        ("{ props: { get odd() { throw new Error('mine') }, plan: 'pro' } }", ({"plan": "pro"}, None, None)),
        ("{ props: { odd: () => 1, plan: 'pro' } }", ({"plan": "pro"}, None, None)),
        (
            "{ props: { n: 0, off: false, none: null, plan: '' } }",
            ({"n": 0, "off": False, "none": None, "plan": ""}, None, None),
        ),
        ("{ revenue: { currency: 'SEK', amount: 1n }, props: { plan: 'pro' } }", ({"plan": "pro"}, None, None)),
        ("{ revenue: loop, interactive: false }", ({}, None, False)),
        ("{ interactive: 1n, props: { plan: 'pro' } }", ({"plan": "pro"}, None, None)),
    ],
)
def test_what_json_cannot_hold_costs_itself_alone(
    visit: Visit, about: str, expected: tuple[dict[str, Any], None, bool | None]
) -> None:
    """A property or revenue that cannot be sent is left out of the event, which is sent with all else."""
    visit.recorder.page(EXEMPT)
    visit.go("/a")
    visit.recorder.wait(1)
    visit.do(f"(() => {{ const loop = {{}}; loop.loop = loop; tyst('Paid', {about}) }})()")
    (sent,) = visit.sent()
    assert (sent.beacon["p"], sent.beacon.get("$"), sent.beacon.get("i")) == expected


def test_event_with_an_url_of_its_own(visit: Visit) -> None:
    """An event can name the page it belongs to."""
    visit.recorder.page(EXEMPT)
    visit.go("/a")
    visit.do("tyst('404', {url: location.origin + '/missing', props: {path: '/missing'}})")
    _, sent = visit.sent()
    assert (sent.path, sent.beacon["p"]) == ("/missing", {"path": "/missing"})


LINKS = """
<a id=out href="https://other.example/path/file?token=1#part"><b>out</b></a>
<a id=in href="/inside">in</a> <a id=mail href="mailto:a@b.se">mail</a> <a id=call href="javascript:void 0">js</a>
<a id=pdf href="/files/report.pdf?token=1">pdf</a> <a id=far href="https://other.example/a.zip">zip</a>
<a id=epub href="/book.epub">epub</a> <svg><a id=svg href="https://other.example/"><text y=20>svg</text></a></svg>
"""
OUT = ("Outbound Link: Click", {"url": "https://other.example/path/file"})
PDF = ("File Download", {"url": "/files/report.pdf"})
ZIP = ("File Download", {"url": "https://other.example/a.zip"})
FAR = ("Outbound Link: Click", {"url": "https://other.example/a.zip"})
EPUB = ("File Download", {"url": "/book.epub"})


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("", []),
        ("data-outbound", [OUT, FAR]),
        ("data-downloads", [PDF, ZIP]),
        ("data-outbound data-downloads", [OUT, PDF, ZIP]),
        ('data-downloads="*.epub, *.mobi"', [EPUB]),
        ('data-outbound data-downloads="*.epub"', [OUT, FAR, EPUB]),
    ],
)
def test_links(visit: Visit, attributes: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    """Links to other hosts and to files are events where asked for, without query or fragment; others never."""
    visit.recorder.page(f"{EXEMPT} {attributes}", LINKS + STAY)
    visit.go()
    for link in ("#out b", "#in", "#mail", "#call", "#pdf", "#far", "#epub"):
        visit.page.click(link)
    visit.page.click("#svg text")
    here = visit.recorder.url
    wanted = [(name, {"url": p["url"] if ":" in p["url"] else here + p["url"]}) for name, p in expected]
    assert events(visit) == wanted


def test_middle_and_right_clicks(visit: Visit) -> None:
    """A middle click opens a link and counts; a right click does not."""
    visit.recorder.page(f"{EXEMPT} data-outbound", LINKS + STAY.replace("'click'", "'auxclick'"))
    visit.go()
    visit.page.click("#out", button="right")
    visit.page.click("#out", button="middle")
    assert events(visit) == [OUT]


def test_a_link_followed_is_delivered(visit: Visit) -> None:
    """The event of a link that takes the visitor away arrives."""
    recorder = visit.recorder
    recorder.page(f"{EXEMPT} data-outbound", f'<a href="{recorder.elsewhere}/there">out</a>')
    visit.go("/a")
    visit.recorder.wait(1)
    visit.page.click("a")
    visit.page.wait_for_url("**/there")
    assert {(one.beacon["n"], one.path) for one in visit.recorder.wait(2)} == {
        ("Outbound Link: Click", "/a"), ("pageview", "/there"),
    }  # fmt: skip


FORMS = """
<iframe name=sink></iframe>
<form id=plain target=sink action="/sent"><input name=secret value=hush required><button>send</button></form>
<form id=tagged target=sink class="big tyst-event=Signup" data-tyst-plan="pro"><button>join</button></form>
"""


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("", [("Signup", {"plan": "pro"})]),
        ("data-forms", [("Form: Submission", {}), ("Signup", {"plan": "pro"})]),
    ],
)
def test_forms(visit: Visit, attributes: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    """Sent forms are events where asked for or tagged; their fields, and forms not sent, never."""
    visit.recorder.page(f"{EXEMPT} {attributes}", FORMS)
    visit.go()
    visit.recorder.wait(1)
    visit.page.fill("#plain input", "")
    visit.page.click("#plain button")
    visit.page.fill("#plain input", "hush")
    visit.page.click("#plain button")
    visit.page.click("#tagged button")
    # The answers of both forms are pages inside the frame, with a snippet of their own.
    mine = [one for one in visit.recorder.wait(len(expected)) + visit.sent() if one.path == "/"]
    sent = [(one.beacon["n"], one.beacon["p"]) for one in mine if one.beacon["n"] != "pageview"]
    assert sent == expected
    assert "hush" not in str([one.beacon for one in mine])


TAGGED = """
<button id=class class="big tyst-event=Signup">a</button>
<button id=attribute data-tyst-event="Sign up" data-tyst-plan="pro" data-tyst-place="top"><i>b</i></button>
<a id=link class="tyst-event=Offer" href="https://other.example/">c</a>
<form class="tyst-event=Sent"><input id=field></form> <button id=none>d</button>
"""


def test_tagged_elements(visit: Visit) -> None:
    """A class or an attribute makes an element's clicks an event, instead of what else its link would be."""
    visit.recorder.page(f"{EXEMPT} data-outbound", TAGGED + STAY)
    visit.go()
    for element in ("#class", "#attribute i", "#link", "#field", "#none"):
        visit.page.click(element)
    assert events(visit) == [("Signup", {}), ("Sign up", {"plan": "pro", "place": "top"}), ("Offer", {})]


def test_no_events_without_consent(visit: Visit) -> None:
    """Clicks, forms and calls send nothing while the visitor is undecided, and are not kept for later."""
    visit.recorder.page("data-outbound data-downloads data-forms", LINKS + FORMS + TAGGED + STAY)
    visit.go("/a")
    for element in ("#out", "#pdf", "#class", "#attribute"):
        visit.page.click(element)
    visit.do("tyst('Signup')")
    assert visit.sent() == []
    visit.do("tyst.consent('granted')")
    assert [one.beacon["n"] for one in visit.sent()] == ["pageview"]
