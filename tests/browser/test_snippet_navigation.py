"""What a page is: redirects while it loads, navigation by whatever means, depth of the page that was scrolled."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Visit

EXEMPT = 'data-consent="exempt"'
HIDE = "window.away = true; document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))"
CAN_HIDE = "Object.defineProperty(Document.prototype, 'hidden', { get: () => !!window.away })"
OLD = "delete window.navigation"
both = pytest.mark.parametrize("api", ["the Navigation API", "history alone"])


def prepare(visit: Visit, api: str) -> None:
    if api == "history alone":
        visit.context.add_init_script(OLD)


def paths(visit: Visit) -> list[str]:
    return [one.path for one in visit.sent() if one.beacon["n"] == "pageview"]


@both
@pytest.mark.parametrize(
    "redirect",
    [
        "history.replaceState({}, '', '/sv/')",
        "document.addEventListener('DOMContentLoaded', () => history.replaceState({}, '', '/sv/'))",
        "addEventListener('load', () => history.replaceState({}, '', '/sv/'))",
        """document.addEventListener('DOMContentLoaded', () => {
            history.pushState({}, '', '/x'); history.replaceState({}, '', '/sv/') })""",
    ],
)
def test_a_redirect_while_loading_is_one_page(visit: Visit, api: str, redirect: str) -> None:
    """The one that stayed, with the referrer and the tags of the address that was asked for."""
    prepare(visit, api)
    visit.recorder.page(EXEMPT, head=f"<script>{redirect}</script>")
    visit.page.goto(visit.recorder.url + "/?utm_source=mail&id=7", referer="https://search.example/find")
    [sent] = visit.sent()
    # What the page's own script took off before this one ran, nobody has seen.
    assert sent.path == ("/sv/" if redirect.startswith("history") else "/sv/?utm_source=mail&")
    assert sent.beacon["r"] == "https://search.example/find"


def test_an_event_of_the_first_moment_follows_its_page(visit: Visit) -> None:
    """Told before the document has come to rest, it is sent after the pageview."""
    visit.recorder.page(EXEMPT, body="<script>addEventListener('DOMContentLoaded', () => tyst('Early'))</script>")
    visit.go("/a")
    assert [one.beacon["n"] for one in visit.sent()] == ["pageview", "Early"]


def test_left_before_it_has_loaded_a_page_counts(visit: Visit) -> None:
    """The visitor saw it, slow as it was."""
    visit.recorder.page(EXEMPT, '<img src="/never">')
    visit.context.route("**/never", lambda _: None)
    visit.page.goto(visit.recorder.url + "/slow", wait_until="domcontentloaded")
    visit.context.unroute("**/never")
    visit.recorder.page()
    visit.page.goto(visit.recorder.url + "/next")
    assert [one.path for one in visit.recorder.wait(1)] == ["/slow"]


@both
def test_consent_on_a_later_page_keeps_where_the_visit_came_from(visit: Visit, api: str) -> None:
    """The first page that counts carries the referrer and the tags of the first address; the next does not."""
    prepare(visit, api)
    visit.page.goto(
        visit.recorder.url + "/a?utm_source=mail&utm_medium=email&token=1&gclid=x#part",
        referer="https://search.example/",
    )
    visit.do("history.pushState({}, '', '/b?page=2#end')")
    visit.do("tyst.consent('granted')")
    [sent] = visit.sent()
    assert sent.path == "/b?utm_source=mail&utm_medium=email&gclid=x&page=2"
    assert sent.beacon["r"] == "https://search.example/"
    visit.do("history.pushState({}, '', '/c')")
    [sent] = visit.sent()
    assert (sent.path, sent.beacon["r"]) == ("/c", "")


def test_a_bare_count_takes_nothing_from_the_visit(visit: Visit) -> None:
    """Under `limited` the first page is counted bare; the later one that is agreed to still says where it came from."""
    visit.recorder.page('data-consent="limited"')
    visit.page.goto(visit.recorder.url + "/a?utm_source=mail", referer="https://search.example/find")
    visit.do("history.pushState({}, '', '/b')")
    visit.do("tyst.consent('granted')")
    sent = [(one.path, one.beacon["r"], one.beacon.get("l")) for one in visit.sent()]
    assert sent == [
        ("/a", "https://search.example", 1),
        ("/b", "", 1),
        ("/b?utm_source=mail&", "https://search.example/find", None),
    ]


def test_tags_of_a_fragment_that_is_a_page(visit: Visit) -> None:
    """With data-hash they go along as well."""
    visit.recorder.page("data-hash")
    visit.go("/#/welcome?utm_source=mail")
    visit.do("location.hash = '/two'")
    visit.do("tyst.consent('granted')")
    [sent] = visit.sent()
    assert sent.path == "/?utm_source=mail&#/two"


@both
def test_calls_that_a_router_kept_from_before(visit: Visit, api: str) -> None:
    """A router that holds the browser's own functions is followed too, once for each page."""
    prepare(visit, api)
    visit.recorder.page(EXEMPT, head="<script>const push = history.pushState.bind(history)</script>")
    visit.go("/a")
    assert paths(visit) == ["/a"]
    visit.do("push({}, '', '/b')")
    assert paths(visit) == ["/b"]
    visit.do("history.pushState({}, '', '/c')")
    assert paths(visit) == ["/c"]
    visit.do("history.back()")
    visit.page.wait_for_url("**/b")
    assert paths(visit) == ["/b"]


def test_a_navigation_of_the_navigation_api(visit: Visit) -> None:
    """That never touches `history`."""
    visit.recorder.page(
        EXEMPT, head="<script>navigation.addEventListener('navigate', (e) => e.canIntercept && e.intercept())</script>"
    )
    visit.go("/a")
    visit.recorder.wait(1)
    visit.do("navigation.navigate('/b').finished.then(() => 1)")
    assert paths(visit) == ["/b"]


@both
def test_what_history_answers_and_throws_is_its_own(visit: Visit, api: str) -> None:
    """An error of the browser's own reaches the caller, and the page that stays is not counted again."""
    prepare(visit, api)
    visit.recorder.page(EXEMPT)
    visit.go("/a")
    assert paths(visit) == ["/a"]
    assert (
        visit.do(
            "(() => { try { history.pushState({}, '', 'https://other.example/') } catch (e) { return e.name } })()"
        )
        == "SecurityError"
    )
    assert paths(visit) == []


# Depth ----------------------------------------------------------------------------------------------------------------


def depths(visit: Visit) -> list[tuple[str, int | None]]:
    return [(one.path, one.beacon.get("sd")) for one in visit.sent() if one.beacon["n"] == "engagement"]


def scroll(visit: Visit, to: int, what: str = "document.scrollingElement") -> None:
    visit.do(
        f"new Promise((seen) => {{ addEventListener('scroll', seen, true); {what}.scrollTop = {to} }}).then(() => 1)"
    )


def half_seen(visit: Visit) -> None:
    """A page that is ten windows long, scrolled until half of it has been seen."""
    visit.context.add_init_script(CAN_HIDE)
    visit.recorder.page(EXEMPT, "<style>body{margin:0}</style><div style='height:8000px'></div>")
    visit.go("/a")
    visit.recorder.wait(1)
    scroll(visit, 3_200)


INNER = "<style>body{margin:0}main{overflow:auto;height:100vh}</style><main><div style='height:8000px'></div></main>"


def test_a_page_that_scrolls_in_an_element(visit: Visit) -> None:
    """Where the document itself cannot scroll, what fills the window and does is the page."""
    visit.context.add_init_script(CAN_HIDE)
    visit.recorder.page(EXEMPT, INNER)
    visit.go("/a")
    visit.recorder.wait(1)
    scroll(visit, 3_200, "document.querySelector('main')")
    visit.do(HIDE)
    assert depths(visit) == [("/a", 50)]


def test_where_nothing_scrolls_there_is_no_depth(visit: Visit) -> None:
    """A page that fits the window says nothing of how far it was read."""
    visit.context.add_init_script(CAN_HIDE)
    visit.recorder.page(EXEMPT, "<div style='height:90px;overflow:auto'><p style='height:900px'></div>")
    visit.go("/a")
    visit.recorder.wait(1)
    scroll(visit, 300, "document.querySelector('div')")
    visit.pass_time(5_000)
    visit.do(HIDE)
    [(path, depth)] = depths(visit)
    assert (path, depth or 0) == ("/a", 0)


def test_a_page_that_becomes_shorter_was_seen_whole(visit: Visit) -> None:
    """What was scrolled past is more than the page now has: that is the whole page, and no percentage above it."""
    half_seen(visit)
    visit.do("document.querySelector('div').style.height = '1600px'")
    scroll(visit, 10)
    visit.do(HIDE)
    assert depths(visit) == [("/a", 100)]


@both
def test_depth_belongs_to_the_page_that_was_scrolled(visit: Visit, api: str) -> None:
    """After a navigation the old page may still be shown for a while, where it was scrolled to; and the new one, of
    another height, has a depth of its own."""
    prepare(visit, api)
    half_seen(visit)
    visit.do("history.pushState({}, '', '/b'); dispatchEvent(new Event('scroll'))")
    assert depths(visit) == [("/a", 50)]
    visit.pass_time(5_000)
    visit.do("document.querySelector('div').style.height = '16000px'; scrollTo(0, 0)")
    scroll(visit, 800)
    visit.do(HIDE)
    assert depths(visit) == [("/b", 10)]


@both
def test_depth_of_a_page_whose_successor_is_shown_first(visit: Visit, api: str) -> None:
    """A router may draw the next page before it changes the address: the page that is left keeps its own height."""
    prepare(visit, api)
    half_seen(visit)
    visit.do("document.querySelector('div').style.height = '900px'; history.pushState({}, '', '/b')")
    assert depths(visit) == [("/a", 50)]
