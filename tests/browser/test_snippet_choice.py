"""How long a choice is remembered, by whom it is heard, and how its withdrawal reaches the collector."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Route

from collector.sites.model import Site
from tests.browser.conftest import WITHDRAWAL, Visit


def cookie(visit: Visit, value: str, name: str = "tyst_consent", path: str = "/") -> None:
    domain = visit.recorder.url.split("/")[2].split(":")[0]
    visit.context.add_cookies([{"name": name, "value": value, "domain": domain, "path": path}])


def stored(visit: Visit) -> list[str]:
    return [found["value"] for found in visit.context.cookies() if found["name"] == "tyst_consent"]


def test_no_in_one_tab_and_yes_in_another(visit: Visit) -> None:
    """The tab that heard the no goes on by the cookie, with the cookie as evidence, and takes nothing back."""
    visit.go("/a")
    visit.do("tyst.consent('denied')")
    other = Visit(visit.context, visit.recorder)
    other.go("/b")
    other.do("tyst.consent('granted')")
    assert sorted(other.events() + visit.events()) == [("pageview", "/a", "cookie"), ("pageview", "/b", "granted")]
    visit.do("tyst('Signup')")
    assert visit.events() == [("Signup", "/a", "cookie")]


def test_yes_again_after_a_withdrawal_in_another_tab(visit: Visit) -> None:
    """What was taken back from this tab's page is counted anew."""
    visit.go("/a")
    visit.do("tyst.consent('granted')")
    other = Visit(visit.context, visit.recorder)
    other.go("/b")
    assert sorted(event[1] for event in visit.events() + other.events()) == ["/a", "/b"]
    other.do("tyst.consent('denied')")
    assert visit.events() + other.events() == [WITHDRAWAL]
    other.do("tyst.consent('granted')")
    assert sorted(event[1] for event in visit.events() + other.events()) == ["/a", "/b"]


def test_yes_no_yes_at_once(visit: Visit) -> None:
    """The page counts after all: its beacon waits until the withdrawal has been answered, which would erase it."""
    visit.go("/a")
    visit.do("tyst.consent('granted')")
    assert visit.events() == [("pageview", "/a", "granted")]
    visit.do("tyst.consent('denied'); tyst.consent('granted'); tyst('Signup')")
    assert visit.events() == [WITHDRAWAL, ("pageview", "/a", "granted"), ("Signup", "/a", "granted")]


def test_no_yes_no_at_once(visit: Visit) -> None:
    """What waits for the first withdrawal is not sent after the second."""
    visit.go("/a")
    visit.do("tyst.consent('granted')")
    assert visit.events() == [("pageview", "/a", "granted")]
    visit.do("tyst.consent('denied'); tyst.consent('granted'); tyst('Signup'); tyst.consent('denied')")
    assert visit.events() == [WITHDRAWAL, WITHDRAWAL]
    visit.pass_time(60_000)
    assert visit.events() == []


def test_many_changes_of_mind_end_with_the_last(visit: Visit) -> None:
    """Withdrawals that the collector cannot take at once are repeated; the last answer is the one that holds."""
    visit.go("/a")
    visit.recorder.answers = [(429, {"Retry-After": "1"})] * 17
    visit.do("for (let i = 0; i < 15; i++) { tyst.consent('granted'); tyst.consent('denied') }")
    told = [event for _ in range(5) for event in visit.events()]
    assert told[-1] == WITHDRAWAL
    assert stored(visit) == ["denied"]
    assert visit.recorder.answers == []
    visit.pass_time(60_000)
    assert visit.events() == []


def test_on_a_page_that_does_not_count_a_withdrawal_is_told(visit: Visit) -> None:
    """The choice decides, not the page."""
    visit.recorder.page('data-exclude="/account*"')
    visit.go("/a")
    visit.do("tyst.consent('granted')")
    assert visit.events() == [("pageview", "/a", "granted")]
    visit.go("/account")
    assert visit.events() == []
    visit.do("tyst.consent('denied')")
    assert visit.events() == [WITHDRAWAL]


def test_a_withdrawal_that_could_not_be_told_is_told_by_the_next_page(visit: Visit) -> None:
    """Without a network the no holds at once; the collector hears of it from the next page that has one, once."""
    visit.go("/a")
    visit.do("tyst.consent('granted')")
    assert visit.events() == [("pageview", "/a", "granted")]
    visit.context.route("**/api/event", lambda route: route.abort("internetdisconnected"))
    visit.do("tyst.consent('denied'); tyst('Signup')")
    assert visit.do("tyst.consent()") == "denied"
    assert visit.events() == []
    visit.context.unroute("**/api/event")
    visit.go("/b")
    assert visit.events() == [WITHDRAWAL]
    assert stored(visit) == ["denied"]
    visit.go("/c")
    assert visit.events() == []


@pytest.mark.parametrize("status", [403, 404, 405])
def test_a_withdrawal_that_a_proxy_refuses_is_told_by_the_next_page(visit: Visit, status: int) -> None:
    """Some let no `DELETE` pass: only success confirms that what was collected is erased."""
    visit.go("/a")
    visit.do("tyst.consent('granted')")
    assert visit.events() == [("pageview", "/a", "granted")]
    visit.recorder.answers = [(status, {})]
    visit.do("tyst.consent('denied')")
    assert visit.events() == [WITHDRAWAL]
    assert stored(visit) == ["denied.new"]
    visit.go("/b")
    assert visit.events() == [WITHDRAWAL]
    assert stored(visit) == ["denied"]
    visit.go("/c")
    assert visit.events() == []


def test_a_beacon_that_a_withdrawal_overtakes_is_withdrawn_too(visit: Visit) -> None:
    """When it is answered after the no, the withdrawal is told again."""
    visit.go("/a")
    # The beacon's answer comes only when the test lets it.
    visit.do(
        """window.real = fetch
        window.fetch = async (url, options) => {
            const answer = await real(url, options)
            if (options?.method == 'POST') await new Promise((done) => window.release = done)
            return answer
        }; 0"""
    )
    visit.do("tyst.consent('granted')")
    assert [sent.method for sent in visit.recorder.wait(1)] == ["POST"]
    visit.do("real('/fence').then((answer) => answer.text())")
    visit.do("tyst.consent('denied')")
    assert visit.events() == [WITHDRAWAL]
    visit.do("release()")
    assert visit.events() == [WITHDRAWAL]
    visit.pass_time(60_000)
    assert visit.events() == []


@pytest.mark.parametrize(
    ("cookies", "expected"),
    [
        ({"x_tyst_consent": "granted"}, None),
        ({"tyst_consent2": "granted"}, None),
        ({"my-tyst_consent": "granted"}, None),
        ({"other": "tyst_consent=granted"}, None),
        ({"x_tyst_consent": "denied", "tyst_consent": "granted"}, "granted"),
        ({"tyst_consent": "granted", "my-tyst_consent": "denied"}, "granted"),
        ({"tyst_consent": "denied.own"}, "denied"),
    ],
)
def test_only_the_cookie_of_exactly_that_name_counts(
    visit: Visit, cookies: dict[str, str], expected: str | None
) -> None:
    """Names that resemble it are other people's."""
    for name, value in cookies.items():
        cookie(visit, value, name)
    visit.go("/a")
    assert visit.do("tyst.consent()") == expected


@pytest.mark.parametrize("paths", [("/", "/deep"), ("/deep", "/")])
def test_of_several_cookies_the_refusal_counts(visit: Visit, paths: tuple[str, str]) -> None:
    """Whichever the browser tells first."""
    cookie(visit, "granted", path=paths[0])
    cookie(visit, "denied", path=paths[1])
    visit.go("/deep/page")
    assert visit.do("tyst.consent()") == "denied"
    assert visit.events() == []


@pytest.mark.parametrize("name", ["a.localhost", "räkor.localhost"])
def test_all_hosts_of_a_site_share_the_choice(visit: Visit, name: str) -> None:
    """A no on one of them stops the others; the cookie is that of the site's name, as its tag has it."""
    recorder = visit.recorder
    recorder.domain = Site(domain=name).host
    recorder.page()
    visit.page.goto(recorder.url.replace("site.localhost", f"www.{name}") + "/a")
    visit.do("tyst.consent('granted')")
    assert visit.events() == [("pageview", "/a", "granted")]
    other = Visit(visit.context, recorder)
    other.page.goto(recorder.url.replace("site.localhost", f"shop.{name}") + "/b")
    assert other.events() == [("pageview", "/b", "cookie")]
    visit.do("tyst.consent('denied')")
    other.do("tyst('Signup')")
    assert visit.events() + other.events() == [WITHDRAWAL]


@pytest.mark.parametrize(("refused_at", "after"), [("https", "http"), ("http", "https")])
def test_pages_over_http_and_https_share_the_choice(visit: Visit, refused_at: str, after: str) -> None:
    """Where a site answers to both, a no on either replaces the yes of the other and holds on both."""
    recorder = visit.recorder
    # Of localhost browsers take http for secure.
    recorder.page('data-consent="exempt"')

    def answer(route: Route) -> None:
        path = urlsplit(route.request.url).path
        route.fulfill(response=route.fetch(url=recorder.elsewhere + path))

    visit.page.route("*://both.test/**", answer)
    visit.page.goto(f"{after}://both.test/a")
    visit.do("tyst.consent('granted')")
    assert [name for name, *_ in visit.events()] == ["pageview"]
    visit.page.goto(f"{refused_at}://both.test/b")
    visit.do("tyst.consent('denied')")
    assert WITHDRAWAL in visit.events()
    for scheme in (after, refused_at):
        visit.page.goto(f"{scheme}://both.test/c")
        assert visit.do("tyst.consent()") == "denied"
        assert visit.events() == []


def test_reading_the_choice_through_the_stub_keeps_it(visit: Visit) -> None:
    """A banner may ask what it said before the script has loaded."""
    from dashboard.compliance.site_check.tag_snippets import STUB

    said = "tyst.consent('granted'); window.read = tyst.consent()"
    visit.recorder.page(head=f"{STUB}<script>{said}</script>")
    visit.go("/a")
    assert visit.do("read") == "granted"
    assert visit.events() == [("pageview", "/a", "granted")]


def test_events_wait_until_the_page_is_seen(visit: Visit) -> None:
    """Of a background tab that nobody has looked at nothing is sent; when it is shown, the page comes first."""
    visit.context.add_init_script(
        "window.away = true; Object.defineProperty(Document.prototype, 'hidden', { get: () => window.away })"
    )
    visit.recorder.page('data-consent="exempt"')
    visit.go("/a")
    visit.do("tyst('Played')")
    assert visit.events() == []
    visit.do("window.away = false; document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))")
    assert [event[0] for event in visit.events()] == ["pageview", "Played"]
