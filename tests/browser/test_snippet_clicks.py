"""Whose click it was: the first link or tagged element on the way from what was hit, and one event for one act."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.conftest import Visit

ATTRIBUTES = 'data-consent="exempt" data-outbound data-downloads'
STAY = "<script>addEventListener('click', (e) => e.preventDefault())</script>"
OUT = ("Outbound Link: Click", {"url": "https://other.example/"})


@pytest.fixture(autouse=True)
def _errors(visit: Visit) -> Iterator[None]:
    """What the page's own error handler saw; nothing, when the test is over."""
    found: list[str] = []
    visit.page.on("pageerror", lambda error: found.append(str(error)))
    yield
    assert found == []


def opened(visit: Visit, body: str) -> None:
    visit.recorder.page(ATTRIBUTES, body)
    visit.go("/a")
    visit.recorder.wait(1)


def events(visit: Visit) -> list[tuple[str, dict[str, Any]]]:
    return [(one.beacon["n"], one.beacon["p"]) for one in visit.sent()]


SHADOW = """<div id=host></div><script>
  const root = document.getElementById('host').attachShadow({ mode: 'open' })
  root.innerHTML = `<a href="https://other.example/"><b>out</b></a><button data-tyst-event=Join><i>x</i></button>`
</script>"""


@pytest.mark.parametrize(
    ("body", "target", "expected"),
    [
        (SHADOW, "#host b", [OUT]),
        (SHADOW, "#host i", [("Join", {})]),
        ('<svg class="tyst-event=Drawn" width=9 height=9><circle r=9 /></svg>', "circle", [("Drawn", {})]),
        ('<svg class="icon" width=9 height=9><circle r=9 /></svg>', "circle", []),
        ('<a class="tyst-event-link" href="https://other.example/">x</a>', "a", [OUT]),
        ('<a class="my-tyst-events" href="https://other.example/">x</a>', "a", [OUT]),
        ('<a class="tyst-event=" href="https://other.example/">x</a>', "a", [OUT]),
        ('<a data-tyst-event="" href="https://other.example/">x</a>', "a", [OUT]),
        ("<button data-tyst-event>x</button>", "button", []),
        ('<button data-tyst-event="">x</button>', "button", []),
        ('<button data-tyst-event=" ">x</button>', "button", []),
        ('<div data-tyst-event=Card><a href="/in">x</a></div>', "a", [("Card", {})]),
        ('<div data-tyst-event=Card><a href="https://other.example/">x</a></div>', "a", [OUT]),
        ('<a href="https://other.example/"><b data-tyst-event=Inner>x</b></a>', "b", [("Inner", {})]),
        ('<a href="/export?id=4" download="report.csv">x</a>', "a", [("File Download", {"url": "/export"})]),
        ('<a href="/export?id=4" download>x</a>', "a", [("File Download", {"url": "/export"})]),
        ('<a href="http://[">x</a>', "a", []),
        (
            """<map name=m><area shape=default href="https://other.example/"></map>
            <img usemap=#m width=40 height=40 src=data:image/gif;base64,R0lGODlhAQABAAAAACw=>""",
            "img",
            [OUT],
        ),
    ],
)
def test_the_element_that_is_meant(
    visit: Visit, body: str, target: str, expected: list[tuple[str, dict[str, str]]]
) -> None:
    """Also inside an open shadow root, in a drawing, on a map; what names no event takes nothing from what does."""
    opened(visit, body + STAY)
    visit.page.click(target, force=True)
    here = visit.recorder.url
    wanted = [(name, {k: v if ":" in v else here + v for k, v in props.items()}) for name, props in expected]
    assert events(visit) == wanted


@pytest.mark.parametrize(
    ("body", "clicked", "expected"),
    [
        ("<label data-tyst-event=Plan><input type=radio name=p>pro</label>", "label", 1),
        ("<label data-tyst-event=Plan><input type=radio name=p>pro</label>", "input", 1),
        ("<label data-tyst-event=Plan><input type=checkbox>pro</label>", "label", 1),
        ("<label data-tyst-event=Plan for=c>pro</label><input id=c type=checkbox>", "label", 1),
        ("<label for=c>pro</label><input id=c type=checkbox data-tyst-event=Plan>", "label", 1),
        ("<label data-tyst-event=Plan for=c>pro</label><input id=c type=checkbox data-tyst-event=Plan>", "label", 1),
        ("<div data-tyst-event=Plan><label><input type=checkbox>pro</label></div>", "label", 1),
        ("<label><input type=checkbox>I know the <a href=https://other.example/>terms</a></label>", "a", 1),
    ],
)
def test_a_click_on_a_label_is_one_act(visit: Visit, body: str, clicked: str, expected: int) -> None:
    """The browser passes it on to the control as a click of its own; the next click counts again."""
    opened(visit, body)
    visit.do("document.querySelectorAll('a').forEach((a) => a.addEventListener('click', (e) => e.preventDefault()))")
    for _ in range(2):
        visit.page.click(clicked, position={"x": 4, "y": 4} if clicked == "a" else None)
        assert len(events(visit)) == expected


@pytest.mark.parametrize(
    "target", ["document", "window", "document.documentElement", "new Comment('x')", "new EventTarget()"]
)
@pytest.mark.parametrize("kind", ["click", "auxclick", "submit", "scroll", "visibilitychange", "pageshow", "popstate"])
def test_events_that_a_page_makes_up(visit: Visit, target: str, kind: str) -> None:
    """Dispatched on anything, they are no error in the page, and no click."""
    opened(visit, "<p>text")
    visit.do(f"({target}).dispatchEvent(new Event('{kind}', {{ bubbles: true, composed: true }}))")
    visit.do(f"({target}).dispatchEvent(new CustomEvent('{kind}', {{ bubbles: true, detail: null }}))")
    assert events(visit) == []
