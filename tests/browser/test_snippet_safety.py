"""The snippet never disturbs a page and is not disturbed by one: no error comes out of it, whatever is broken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.conftest import Visit

EXEMPT = 'data-consent="exempt"'


@pytest.fixture(autouse=True)
def _errors(visit: Visit) -> Iterator[None]:
    """What the page's error handlers saw: nothing, when the test is over."""
    found: list[str] = []
    visit.page.on("pageerror", lambda error: found.append(str(error)))
    yield
    assert found == []


def paths(visit: Visit) -> list[str]:
    return [one.path for one in visit.sent() if one.beacon["n"] == "pageview"]


@pytest.mark.parametrize("without", ["", "delete window.navigation;"])
def test_an_error_of_the_hook_costs_its_beacon(visit: Visit, without: str) -> None:
    """Not the navigation during which it happened, and no later beacon."""
    visit.context.add_init_script(without)
    visit.recorder.page(EXEMPT)
    visit.go("/a")
    assert paths(visit) == ["/a"]
    visit.do("tyst.transform = () => { throw new Error('hook') }; 0")
    visit.do("history.pushState({}, '', '/b'); tyst('Signup')")
    assert visit.do("location.pathname") == "/b"
    assert visit.sent() == []
    visit.do("tyst.transform = (beacon) => beacon; history.pushState({}, '', '/c')")
    assert paths(visit) == ["/c"]


@pytest.mark.parametrize(
    "call",
    [
        "tyst('X', null)",
        "tyst('X', 7)",
        "tyst('X', { props: null })",
        "tyst('X', { get props() { throw new Error('mine') } })",
        "tyst('X', { props: { n: 1n } })",
        "const loop = {}; loop.loop = loop; tyst('X', { props: loop })",
        "tyst({})",
        "tyst(Symbol('x'))",
        "tyst('pageview', null)",
        "tyst('pageview', { url: 7 })",
        "tyst.consent(Symbol('x'))",
        "tyst.consent({ toString() { throw new Error('mine') } })",
        "tyst.transform = 7; tyst('X')",
    ],
)
def test_no_call_throws(visit: Visit, call: str) -> None:
    """What is passed may be anything; the next call works."""
    visit.recorder.page(EXEMPT)
    visit.go("/a")
    visit.recorder.wait(1)
    visit.do(f"(() => {{ {call} }})()")
    visit.sent()
    visit.do("tyst.transform = null; tyst.transform = undefined; tyst('Signup')")
    assert [one.beacon["n"] for one in visit.sent()] == ["Signup"]


@pytest.mark.parametrize(
    ("excluded", "path", "counted"),
    [
        ("/wiki/C++*", "/a", True),
        ("/wiki/C++*", "/wiki/C++/x", False),
        ("/wiki/C++*", "/wiki/CCC", True),
        ("/a.b", "/axb", True),
        ("/a.b", "/a.b", False),
        ("/[x", "/a", True),
        ("/(a|b)", "/a", True),
        ("/\\", "/a", True),
        ("/a$, /b", "/b", False),
        ("*/x/*/y", "/1/x/2/y", False),
        ("*/x/*/y", "/1/x/y", True),
        ("/aa*aa", "/aaa", True),
        ("/aa*aa", "/aaaa", False),
        ("**", "/a", False),
        ("", "/a", True),
        (",", "/a", True),
        ("/x,, /a", "/a", False),
    ],
)
def test_patterns_are_text_with_stars(visit: Visit, excluded: str, path: str, counted: bool) -> None:
    """No other character means anything, and one pattern that fits nothing is no reason to count nothing."""
    visit.recorder.page(f'{EXEMPT} data-exclude="{excluded}"')
    visit.go(path)
    assert paths(visit) == [path] * counted


def test_patterns_take_linear_time(visit: Visit) -> None:
    """Many stars over a long path."""
    visit.recorder.page(f'{EXEMPT} data-exclude="{"*a" * 30}b"')
    visit.go("/" + "a" * 3_000)
    assert (
        visit.do("(() => { const began = performance.now(); tyst('X'); return performance.now() - began })()") < 1_000
    )
    assert len(paths(visit)) == 1


COOKIES = {
    "throws": """const no = () => { throw new DOMException('no', 'SecurityError') }
        Object.defineProperty(Document.prototype, 'cookie', { get: no, set: no })""",
    "ignored": "Object.defineProperty(Document.prototype, 'cookie', { get: () => '', set() {} })",
}


@pytest.mark.parametrize("how", COOKIES)
def test_without_cookies_the_choice_holds_for_the_page(visit: Visit, how: str) -> None:
    """Blocked or forbidden: banners may call, and pages count."""
    visit.context.add_init_script(COOKIES[how])
    visit.go("/a")
    assert visit.do("tyst.consent()") is None
    assert visit.do("tyst.consent('granted')") == "granted"
    assert visit.events() == [("pageview", "/a", "granted")]
    visit.do("tyst('Signup')")
    # Answered before the refusal: one that is on its way then makes the withdrawal repeat.
    assert [event[0] for event in visit.events()] == ["Signup"]
    assert visit.do("tyst.consent('denied')") == "denied"
    assert [event[0] for event in visit.events()] == ["DELETE"]


def test_in_a_sandboxed_frame(visit: Visit) -> None:
    """A frame without an origin has no cookies, no storage and no history: it counts, and nothing breaks."""
    visit.recorder.page(EXEMPT)
    visit.go("/a")
    visit.recorder.wait(1)
    visit.do(
        """new Promise((loaded) => {
            const frame = document.createElement('iframe')
            frame.sandbox = 'allow-scripts'
            frame.onload = () => loaded(1)
            frame.src = '/framed'
            document.body.append(frame)
        })"""
    )
    assert [one.path for one in visit.recorder.wait(1)] == ["/framed"]
    frame = visit.page.frames[1]
    assert frame.evaluate("tyst.consent('denied')") == "denied"
    assert [one.method for one in visit.recorder.wait(1)] == ["DELETE"]


@pytest.mark.parametrize(
    "fetch",
    [
        "(real) => (url, options) => real(url, { ...options, headers: { traceparent: '00-1-2-01', baggage: 'a=b' } })",
        "(real) => async (...given) => { const answer = await real(...given); return answer.clone() }",
        "(real) => (url, options) => real(new Request(url, options))",
    ],
)
def test_beside_an_instrumented_fetch(visit: Visit, fetch: str) -> None:
    """Tools for errors and performance wrap it; beacons go out once."""
    visit.recorder.page(EXEMPT, head=f"<script>window.fetch = ({fetch})(window.fetch.bind(window))</script>")
    visit.go("/a")
    assert paths(visit) == ["/a"]
    visit.pass_time(60_000)
    assert visit.sent() == []


@pytest.mark.parametrize(
    "broken",
    [
        "() => { throw new Error('mine') }",
        "() => Promise.reject(new Error('mine'))",
        "() => undefined",
        "() => Promise.resolve({})",
    ],
)
def test_beside_a_broken_fetch(visit: Visit, broken: str) -> None:
    """Nothing is sent, and the page sees no error and no rejected promise."""
    wrapped = f"(url, ...rest) => /fence/.test(url) ? real(url, ...rest) : ({broken})()"
    visit.recorder.page(EXEMPT, head=f"<script>const real = fetch; window.fetch = {wrapped}</script>")
    visit.go("/a")
    visit.do("addEventListener('unhandledrejection', () => window.rejected = 1)")
    visit.do("tyst('Signup'); history.pushState({}, '', '/b')")
    visit.pass_time(120_000)
    assert visit.sent() == []
    assert visit.do("window.rejected") is None


def test_beside_an_element_of_its_name(visit: Visit) -> None:
    """An element whose id is tyst, or navigation, is no stub and no interface of the browser."""
    visit.context.add_init_script("delete window.navigation")
    visit.recorder.page(EXEMPT, "<nav id=navigation></nav>", "<meta id=tyst>")
    visit.go("/a")
    visit.do("history.pushState({}, '', '/b')")
    assert paths(visit) == ["/a", "/b"]
