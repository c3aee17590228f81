"""What a followed banner may say, at every moment: only its yes is a yes, only its no is a no."""

from __future__ import annotations

import pytest

from tests.browser import fake_banners
from tests.browser.conftest import WITHDRAWAL, Visit

every_banner = pytest.mark.parametrize("name", fake_banners.NAMES)


def follow(visit: Visit, name: str, policy: str = "required") -> None:
    visit.recorder.page(f'data-cmp="{name}" data-consent="{policy}"', head=fake_banners.head(name))


def say(visit: Visit, *states: str) -> None:
    """The banner goes through these states, and the snippet asks it in each."""
    for state in states:
        visit.do(f"say('{state}')")
        visit.pass_time(1_000)


def cookies(visit: Visit) -> dict[str, str]:
    return {stored["name"]: stored["value"] for stored in visit.context.cookies()}


@every_banner
def test_before_an_answer_a_broken_banner_says_nothing(visit: Visit, name: str) -> None:
    """Gone, throwing or talking nonsense, it has neither agreed nor refused; a yes after that counts the page once."""
    follow(visit, name)
    visit.go("/a")
    say(visit, *fake_banners.BROKEN, "ask", *fake_banners.BROKEN)
    assert visit.events() == []
    assert "tyst_consent" not in cookies(visit)
    say(visit, "yes")
    assert visit.events() == [("pageview", "/a", name)]


@every_banner
def test_after_a_yes_a_broken_banner_takes_nothing_back(visit: Visit, name: str) -> None:
    """What was agreed stands, nothing is erased, and the cookie still says so; a no after that is heard."""
    follow(visit, name)
    visit.go("/a")
    say(visit, "yes")
    assert visit.events() == [("pageview", "/a", name)]
    for state in fake_banners.BROKEN:
        say(visit, state)
        assert visit.events() == []
        assert cookies(visit)["tyst_consent"] == "granted"
        visit.do("tyst('Signup')")
        assert visit.events() == [("Signup", "/a", name)]
    say(visit, "no")
    assert visit.events() == [WITHDRAWAL]
    assert cookies(visit)["tyst_consent"] == "denied"
    say(visit, *fake_banners.BROKEN, "ask")
    visit.do("tyst('Signup'); history.pushState({}, '', '/b')")
    assert visit.events() == []


@every_banner
def test_a_yes_does_not_outlive_a_banner_that_asks_again(visit: Visit, name: str) -> None:
    """The banner's own memory has ended and ours has not: the page is held until it is answered, and nothing is
    erased."""
    follow(visit, name)
    visit.go("/a")
    say(visit, "yes")
    assert visit.events() == [("pageview", "/a", name)]
    visit.do("say('ask')")
    visit.go("/b")
    visit.do("tyst('Signup')")
    assert visit.do("tyst.consent()") is None
    assert visit.events() == []
    visit.go("/c")
    say(visit, "yes")
    assert visit.events() == [("pageview", "/c", name)]
    visit.do("say('ask')")
    visit.go("/d")
    say(visit, "no")
    assert visit.events() == [WITHDRAWAL]


@pytest.mark.parametrize("name", [name for name in fake_banners.NAMES if name != "wp"])
def test_a_yes_that_only_the_cookie_knows_waits_for_the_banner(visit: Visit, name: str) -> None:
    """A banner that has not loaded yet holds the page; under `limited` too, which counts it once and not bare first."""
    follow(visit, name, "limited")
    visit.go("/a")
    say(visit, "yes")
    assert [event for event in visit.events() if event[2]] == [("pageview", "/a", name)]
    visit.do("say('gone')")
    visit.go("/b")
    assert visit.events() == []
    say(visit, "yes")
    assert visit.events() == [("pageview", "/b", name)]


def test_the_stored_answer_of_the_wordpress_api_needs_no_script(visit: Visit) -> None:
    """It is in a cookie, so that a page counts before the API has loaded."""
    follow(visit, "wp")
    visit.go("/a")
    say(visit, "yes")
    assert visit.events() == [("pageview", "/a", "wp")]
    visit.do("say('gone')")
    visit.go("/b")
    assert visit.events() == [("pageview", "/b", "wp")]


def test_held_for_a_banner_that_never_comes_a_page_counts_as_undecided(visit: Visit) -> None:
    """When it is left: as a bare count under `limited`."""
    follow(visit, "mine", "limited")
    visit.go("/a")
    say(visit, "yes")
    assert visit.events() == [("pageview", "/a", None), ("pageview", "/a", "mine")]
    visit.do("say('gone')")
    visit.go("/b")
    assert visit.events() == []
    visit.go("/c")
    # What a page sends while it is left is ordered with no request of the next one.
    [sent] = visit.recorder.wait(1)
    assert (sent.beacon["n"], sent.path, sent.beacon.get("c")) == ("pageview", "/b", None)
    assert visit.events() == []


@every_banner
def test_a_refusal_of_the_page_stands_until_the_page_takes_it_back(visit: Visit, name: str) -> None:
    """On the next page, too, where the banner still says yes."""
    follow(visit, name)
    visit.go("/a")
    say(visit, "yes")
    assert visit.events() == [("pageview", "/a", name)]
    visit.do("tyst.consent('denied')")
    assert visit.events() == [WITHDRAWAL]
    visit.go("/b")
    say(visit, "ask", "yes", "no", "yes")
    visit.do("tyst('Signup')")
    assert visit.events() == []
    visit.do("tyst.consent('granted')")
    assert visit.events() == [("pageview", "/b", "granted")]
    visit.go("/c")
    assert visit.events() == [("pageview", "/c", name)]


@every_banner
def test_a_refusal_of_the_banner_stands_until_the_banner_takes_it_back(visit: Visit, name: str) -> None:
    """A yes of the page's own does not overrule it."""
    follow(visit, name)
    visit.go("/a")
    say(visit, "no")
    visit.do("tyst.consent('granted'); tyst('Signup')")
    assert visit.events() == []
    say(visit, "yes")
    assert visit.events() == [("pageview", "/a", name)]


def test_a_refusal_of_both_places_is_withdrawn_until_it_is_confirmed(visit: Visit) -> None:
    """A no of the page after one of the banner that has not reached the collector yet."""
    follow(visit, "mine")
    visit.go("/a")
    say(visit, "yes")
    assert visit.events() == [("pageview", "/a", "mine")]
    visit.context.route("**/api/event", lambda route: route.abort("internetdisconnected"))
    say(visit, "no")
    visit.do("tyst.consent('denied')")
    assert cookies(visit)["tyst_consent"] == "denied.own.new"
    visit.context.unroute("**/api/event")
    visit.go("/b")
    assert visit.events() == [WITHDRAWAL]
    assert cookies(visit)["tyst_consent"] == "denied.own"


def test_an_exclusion_stands_whatever_the_banner_says(visit: Visit) -> None:
    """Also while its withdrawal is not confirmed."""
    follow(visit, "mine")
    visit.go("/a")
    say(visit, "yes")
    assert visit.events() == [("pageview", "/a", "mine")]
    visit.recorder.answers = [(503, {"Retry-After": "1"})]
    visit.page.goto("about:blank")
    visit.go("/b#tyst-exclude")
    # On a busy machine the collector's refusal may come after the timers of the first look were fired.
    assert [*visit.events(), *visit.events()] == [WITHDRAWAL, WITHDRAWAL]
    visit.do("tyst.consent('granted'); tyst('Signup')")
    visit.go("/c")
    assert visit.events() == []
    assert cookies(visit)["tyst_consent"] == "excluded"


def test_before_any_question_the_wordpress_api_says_yes(visit: Visit) -> None:
    """Which is no answer of the visitor: only a stored one is."""
    visit.recorder.page('data-cmp="wp"', head="<script>wp_has_consent = () => true</script>")
    visit.go("/a")
    assert visit.events() == []
    visit.do("document.cookie = 'wp_consent_statistics=deny;path=/'")
    assert visit.events() == []
    visit.do("document.cookie = 'wp_consent_statistics=allow;path=/'")
    assert visit.events() == [("pageview", "/a", "wp")]


@pytest.mark.parametrize(
    "data",
    ["{ gdprApplies: false, eventStatus: 'tcloaded' }", "{ gdprApplies: false, purpose: {}, eventStatus: 'tcloaded' }"],
)
def test_where_the_regulation_does_not_apply_tcf_agrees(visit: Visit, data: str) -> None:
    """Also in the short form, which has no purposes."""
    visit.recorder.page(
        'data-cmp="tcf"', head=f"<script>__tcfapi = (a, b, listener) => listener({data}, true)</script>"
    )
    visit.go("/a")
    assert visit.events() == [("pageview", "/a", "tcf")]


@pytest.mark.parametrize(
    "answer",
    ["'yes'", "1", "0", "null", "''", "({})", "NaN", "Promise.resolve(true)", "Promise.resolve(false)", "[false]"],
)
@pytest.mark.parametrize("before", ["yes", "ask"])
def test_an_answer_of_a_function_that_is_none(visit: Visit, answer: str, before: str) -> None:
    """Only true and false answer; what only looks like it neither grants nor refuses."""
    follow(visit, "mine")
    visit.go("/a")
    say(visit, before)
    counted = [("pageview", "/a", "mine")] if before == "yes" else []
    assert visit.events() == counted
    visit.do(f"mine = () => {answer}; 0")
    assert visit.events() == []
    visit.do("tyst('Signup')")
    assert visit.events() == [("Signup", "/a", "mine")] * len(counted)


def test_a_function_may_come_after_the_tag(visit: Visit) -> None:
    """It is asked once it is there."""
    visit.recorder.page('data-cmp="mine"')
    visit.go("/a")
    assert visit.events() == []
    visit.do("window.mine = () => true; 0")
    assert visit.events() == [("pageview", "/a", "mine")]


@pytest.mark.parametrize(
    ("name", "field"), [("mine", ""), ("klaro", "state"), ("orejime", "manager"), ("tarteaucitron", "getManager")]
)
def test_an_element_of_a_banners_name_is_no_banner(visit: Visit, name: str, field: str) -> None:
    """Browsers make globals of elements and properties of a form's fields; the page waits for the banner."""
    visit.recorder.page(f'data-cmp="{name}"', f"<form id={name}><input name={field}></form>")
    visit.go("/a")
    assert visit.do(f"window.{name}.localName") == "form"
    visit.do("tyst('Signup')")
    assert visit.events() == []
    banner = fake_banners.head(name).removeprefix("<script>").removesuffix("</script>")
    visit.page.add_script_tag(content=banner)
    say(visit, "yes")
    assert visit.events() == [("pageview", "/a", name)]


def test_a_global_that_cannot_be_read_is_no_banner(visit: Visit) -> None:
    """Nor is it an error in the page."""
    broken = "Object.defineProperty(window, 'mine', { get: () => { throw new Error('mine') }, configurable: true })"
    visit.recorder.page('data-cmp="mine" data-consent="exempt"', head=f"<script>{broken}</script>")
    visit.go("/a")
    assert visit.events() == [("pageview", "/a", None)]
    assert visit.do("tyst.consent()") is None
    visit.do("Object.defineProperty(window, 'mine', { value: () => false })")
    assert visit.events() == [WITHDRAWAL]
