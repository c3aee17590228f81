"""What the snippet sends under each policy, before, with and after consent."""

from __future__ import annotations

import pytest

from tests.browser.conftest import WITHDRAWAL, NewVisit, Visit
from tests.browser.recorder import Recorder

POLICIES = ("required", "limited", "exempt")
PAGE = "/page?mail=a@b.se&utm_source=x"
BARE = "/page"


def cookie(visit: Visit, value: str) -> None:
    visit.context.add_cookies([{"name": "tyst_consent", "value": value, "url": visit.recorder.url}])


@pytest.mark.parametrize(
    ("policy", "stored", "expected"),
    [
        ("", "", []),
        ("", "granted", [("pageview", PAGE, "cookie")]),
        ("", "denied", []),
        ("", "excluded", []),
        ("unknown", "", []),
        ("required", "", []),
        ("required", "granted", [("pageview", PAGE, "cookie")]),
        ("required", "denied", []),
        ("required", "excluded", []),
        ("required", "nonsense", []),
        ("limited", "", [("pageview", BARE, None)]),
        ("limited", "granted", [("pageview", PAGE, "cookie")]),
        ("limited", "denied", [("pageview", BARE, None)]),
        ("limited", "excluded", []),
        ("exempt", "", [("pageview", PAGE, None)]),
        ("exempt", "granted", [("pageview", PAGE, "cookie")]),
        ("exempt", "denied", []),
        ("exempt", "excluded", []),
    ],
)
def test_policy_and_stored_choice(
    visit: Visit, policy: str, stored: str, expected: list[tuple[str, str, str | None]]
) -> None:
    """A page load sends what its policy allows with the stored choice, and nothing else."""
    visit.recorder.page(f'data-consent="{policy}"' if policy else "")
    if stored:
        cookie(visit, stored)
    visit.go(PAGE)
    assert visit.events() == expected


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("signal", ["gpc", "dnt"])
def test_browser_signals_refuse(new_visit: NewVisit, recorder: Recorder, policy: str, signal: str) -> None:
    """Under Global Privacy Control or Do Not Track nothing is sent, whatever the policy and the choice."""
    visit = new_visit(**{signal: True})
    recorder.page(f'data-consent="{policy}"')
    cookie(visit, "granted")
    visit.go()
    visit.do("tyst.consent('granted'); tyst('Signup'); history.pushState({}, '', '/next')")
    assert visit.events() == []


@pytest.mark.parametrize("policy", POLICIES)
def test_a_driven_browser_is_not_measured(visit: Visit, policy: str) -> None:
    """Where navigator.webdriver is true nothing is sent."""
    visit.context.add_init_script("Object.defineProperty(Navigator.prototype, 'webdriver', { get: () => true })")
    visit.recorder.page(f'data-consent="{policy}"')
    cookie(visit, "granted")
    visit.go()
    visit.do("tyst.consent('granted'); tyst('Signup')")
    assert visit.events() == []


def test_consent_journey(visit: Visit) -> None:
    """Undecided: nothing. Accepted: the current page once, then each page once. Withdrawn: that word alone, once, and
    nothing after it. Reloads too."""
    visit.go("/a")
    assert visit.events() == []
    visit.page.reload()
    assert visit.do("tyst.consent()") is None
    assert visit.events() == []
    visit.do("tyst.consent('granted')")
    assert visit.events() == [("pageview", "/a", "granted")]
    visit.do("tyst.consent('granted')")
    assert visit.events() == []
    visit.page.reload()
    assert visit.events() == [("pageview", "/a", "cookie")]
    visit.go("/b")
    assert visit.events() == [("pageview", "/b", "cookie")]
    visit.do("tyst.consent('denied'); tyst('Signup'); history.pushState({}, '', '/c')")
    assert visit.events() == [WITHDRAWAL]
    visit.do("tyst.consent('denied')")
    visit.page.reload()
    visit.go("/d")
    assert visit.do("tyst.consent()") == "denied"
    assert visit.events() == []


def test_limited_journey(visit: Visit) -> None:
    """Limited: counts alone without consent, everything with it, counts alone after it was withdrawn."""
    visit.recorder.page('data-consent="limited"')
    visit.go("/a?q=1")
    visit.do("tyst('Signup')")
    assert visit.events() == [("pageview", "/a", None)]
    visit.do("tyst.consent('granted'); tyst('Signup')")
    assert visit.events() == [("pageview", "/a?q=1", "granted"), ("Signup", "/a?q=1", "granted")]
    visit.do("tyst.consent('denied'); tyst('Signup')")
    assert visit.events() == [WITHDRAWAL, ("pageview", "/a", None)]
    visit.do("history.pushState({}, '', '/b?q=2')")
    assert visit.events() == [("pageview", "/b", None)]
    visit.page.reload()
    assert visit.events() == [("pageview", "/b", None)]


def test_exempt_journey(visit: Visit) -> None:
    """Exempt: everything until it is refused, and no evidence claimed before there is any."""
    visit.recorder.page('data-consent="exempt"')
    visit.go("/a")
    visit.do("tyst('Signup')")
    assert visit.events() == [("pageview", "/a", None), ("Signup", "/a", None)]
    visit.do("tyst.consent('denied'); tyst('Signup'); history.pushState({}, '', '/b')")
    assert visit.events() == [WITHDRAWAL]
    visit.page.reload()
    assert visit.events() == []
    visit.do("tyst.consent('granted')")
    assert visit.events() == [("pageview", "/b", "granted")]


def test_only_the_current_page_is_held(visit: Visit) -> None:
    """While the visitor is undecided only the current pageview is remembered, and events are not."""
    visit.go("/a")
    visit.do("tyst('Early'); history.pushState({}, '', '/b'); history.pushState({}, '', '/c')")
    assert visit.events() == []
    visit.do("tyst.consent('granted')")
    assert visit.events() == [("pageview", "/c", "granted")]


def test_limited_beacon_carries_nothing_more(visit: Visit) -> None:
    """Without consent the limited level sends page, site, referring origin, width, and what technique needs."""
    visit.recorder.page('data-consent="limited" data-props-plan="pro"')
    visit.page.goto(visit.recorder.url + PAGE, referer="https://search.example/find?q=secret")
    [sent] = visit.sent()
    assert sent.beacon.pop("q")
    assert sent.beacon == {
        "n": "pageview", "u": visit.recorder.url + BARE, "d": visit.recorder.domain, "r": "https://search.example",
        "w": 1280, "h": 0, "v": 1, "l": 1,
    }  # fmt: skip


def test_full_beacon(new_visit: NewVisit, recorder: Recorder) -> None:
    """With consent a pageview carries the query, the referrer, properties, zone and evidence."""
    visit = new_visit(timezone_id="Europe/Stockholm")
    recorder.page('data-props-plan="pro"')
    cookie(visit, "granted")
    visit.page.goto(recorder.url + PAGE + "#secret", referer="https://search.example/find")
    [sent] = visit.sent()
    assert len(sent.beacon.pop("q")) <= 64
    assert sent.beacon == {
        "n": "pageview", "u": recorder.url + PAGE, "d": recorder.domain, "r": "https://search.example/find",
        "w": 1280, "h": 0, "v": 1, "p": {"plan": "pro"}, "z": "Europe/Stockholm", "c": "cookie",
    }  # fmt: skip
    assert sent.headers["content-type"].startswith("text/plain")
    assert sent.headers["cookie"] == "tyst_consent=granted"


@pytest.mark.parametrize("said", ["granted", "denied"])
def test_one_cookie_and_nothing_else_is_stored(visit: Visit, said: str) -> None:
    """The choice is kept in one first-party cookie for at most 13 months, and nothing else is stored."""
    visit.recorder.page("data-outbound data-downloads data-forms")
    visit.go()
    assert visit.context.cookies() == []
    visit.do(f"tyst.consent('{said}'); tyst('Signup')")
    visit.sent()
    [stored] = visit.context.cookies()
    assert (stored["name"], stored["value"]) == ("tyst_consent", said)
    assert (stored["path"], stored["domain"], stored["sameSite"]) == ("/", "site.localhost", "Lax")
    lasts = stored["expires"] - visit.do("Date.now() / 1000")
    assert 364 * 86_400 < lasts <= 396 * 86_400
    assert visit.do("localStorage.length + sessionStorage.length") == 0
    assert visit.do("indexedDB.databases()") == []


STUB = (
    "<script>window.tyst=window.tyst||function(){(tyst.q=tyst.q||[]).push(arguments)};"
    "tyst.consent=tyst.consent||function(c){return tyst.c=c||tyst.c}</script>"
)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", []),
        ("tyst.consent('denied')", []),
        ("tyst.consent('granted');tyst.consent('denied')", []),
        ("tyst.consent('granted')", [("pageview", "/", "granted"), ("Early", "/", "granted")]),
        ("tyst.consent('denied');tyst.consent('granted')", [("pageview", "/", "granted"), ("Early", "/", "granted")]),
    ],
)
def test_called_before_the_script_has_loaded(
    visit: Visit, said: str, expected: list[tuple[str, str, str | None]]
) -> None:
    """What was said to the stub counts once the script is there, the last word of it."""
    visit.recorder.page(head=f"{STUB}<script>{said};tyst('Early', {{props: {{a: 1}}}})</script>")
    visit.go()
    assert visit.events() == expected


def test_stub_after_the_script_changes_nothing(visit: Visit) -> None:
    """The stub may also stand after the script: the real functions stay."""
    visit.go()
    visit.page.add_script_tag(content=STUB.removeprefix("<script>").removesuffix("</script>"))
    visit.do("tyst.consent('granted')")
    assert visit.events() == [("pageview", "/", "granted")]


def test_withdrawing_in_another_tab(visit: Visit) -> None:
    """A choice made in one tab holds in every other tab at once, and is told to the collector once."""
    visit.go("/a")
    other = Visit(visit.context, visit.recorder)
    other.go("/b")
    other.do("tyst.consent('granted')")
    assert sorted(other.events() + visit.events()) == [("pageview", "/a", "cookie"), ("pageview", "/b", "granted")]
    other.do("tyst.consent('denied')")
    visit.do("tyst('Signup'); history.pushState({}, '', '/c')")
    assert visit.events() + other.events() == [WITHDRAWAL]


def test_a_withdrawal_is_repeated_until_it_is_taken(visit: Visit) -> None:
    """It says the site and nothing else; the collector's refusal is waited out, a new yes ends it."""
    visit.go("/a?secret=1")
    visit.do("tyst.consent('granted')")
    assert visit.events() == [("pageview", "/a?secret=1", "granted")]
    visit.recorder.answers = [(503, {"Retry-After": "2"}), (503, {"Retry-After": "2"})]
    visit.do("tyst.consent('denied')")
    (first,) = visit.recorder.wait(1)
    assert (first.method, first.beacon) == ("DELETE", {"c": "withdrawn", "d": visit.recorder.domain, "k": None})
    again, seconds = visit.pass_time_until_sent()
    assert (again.method, again.beacon) == (first.method, first.beacon)
    assert 2 <= seconds <= 4
    visit.do("tyst.consent('granted')")
    visit.pass_time(60_000)
    assert visit.events() == [("pageview", "/a?secret=1", "granted")]


def test_withdrawing_stops_retries(visit: Visit) -> None:
    """A beacon that waits to be sent again is forgotten when consent is withdrawn."""
    visit.recorder.answers = [(503, {"Retry-After": "1"})]
    visit.go()
    visit.do("tyst.consent('granted')")
    visit.recorder.wait(1)
    visit.do("tyst.consent('denied')")
    visit.pass_time(60_000)
    assert visit.events() == [WITHDRAWAL]


def test_own_visits_can_be_excluded(visit: Visit) -> None:
    """A visit to #tyst-exclude leaves this browser out for good, whatever a banner says later; what it sent goes."""
    visit.recorder.page('data-consent="exempt"')
    visit.go("/#tyst-exclude")
    assert visit.events() == [WITHDRAWAL]
    visit.do("tyst.consent('granted')")
    visit.go("/next")
    visit.do("tyst.consent('granted'); tyst('Signup')")
    assert visit.events() == []
    assert [stored["value"] for stored in visit.context.cookies()] == ["excluded"]


def test_works_without_cookies(visit: Visit) -> None:
    """Where cookies are blocked the choice holds for the page, and the next page asks anew."""
    visit.context.add_init_script(
        "Object.defineProperty(Document.prototype, 'cookie', { get: () => '', set: () => {} })"
    )
    visit.go("/a")
    visit.do("tyst.consent('granted'); tyst('Signup')")
    assert visit.events() == [("pageview", "/a", "granted"), ("Signup", "/a", "granted")]
    visit.do("tyst.consent('denied'); tyst('Signup')")
    assert visit.events() == [WITHDRAWAL]
    visit.go("/b")
    assert visit.events() == []


NO_ANSWERS = ("", "undefined", "null", "''", "'no'", "0", "1", "true", "false", "{}", "['denied']", "'Denied'", "NaN")


@pytest.mark.parametrize("said", NO_ANSWERS)
def test_anything_but_the_two_words_changes_nothing(visit: Visit, said: str) -> None:
    """Only the word granted grants and only the word denied refuses: what a banner leaves out is neither."""
    visit.recorder.page('data-consent="exempt"')
    visit.go()
    visit.recorder.wait(1)
    visit.do(f"tyst.consent({said}); tyst('Signup')")
    assert visit.events() == [("Signup", "/", None)]
    assert visit.do(f"tyst.consent({said})") is None
    visit.do(f"tyst.consent('granted'); tyst.consent({said}); tyst('Signup')")
    assert visit.events() == [("Signup", "/", "granted")]
    visit.do("tyst.consent('denied')")
    assert visit.events() == [WITHDRAWAL]
    visit.do(f"tyst.consent({said}); tyst('Signup'); history.pushState({{}}, '', '/next')")
    assert visit.events() == []


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_an_event_without_a_name_is_no_request(visit: Visit, name: str) -> None:
    """A call without a name sends nothing, whatever stands in its place, and erases nothing."""
    if name in ("'no'", "1", "'Denied'"):
        return
    visit.recorder.page('data-consent="exempt"')
    visit.go()
    visit.recorder.wait(1)
    visit.do(f"tyst({name})")
    visit.do(f"tyst({name or 'undefined'}, {{props: {{a: 1}}}})")
    assert visit.sent() == []


@pytest.mark.parametrize(
    "lost", ["{ n, ...rest }) => rest", "beacon) => ({})", "beacon) => 7", "beacon) => ({ ...beacon, n: '' })"]
)
def test_a_hook_that_loses_the_name_sends_nothing(visit: Visit, lost: str) -> None:
    """What tyst.transform leaves out cannot make another request of a beacon."""
    visit.recorder.page('data-consent="exempt"')
    visit.go()
    visit.recorder.wait(1)
    visit.do(f"tyst.transform = ({lost}; tyst('Signup'); history.pushState({{}}, '', '/next')")
    assert visit.sent() == []


def test_the_tag_itself_may_be_inert(visit: Visit) -> None:
    """Until the visitor agrees the script is not even fetched; then the banner runs it, and it follows the banner."""
    visit.recorder.page(
        'type="text/plain" data-category="analytics" data-cmp="cookieconsent"',
        head="""<script defer src=/vendor/cookieconsent.js></script>
        <script>addEventListener('load', () => CookieConsent.run({
          categories: { necessary: { enabled: true, readOnly: true }, analytics: {} },
          language: { default: 'en', translations: { en: { consentModal: {}, preferencesModal: { sections: [] } } } }
        }))</script>""",
    )
    visit.go("/a")
    assert visit.events() == []
    assert visit.do("typeof tyst") == "undefined"
    visit.do("CookieConsent.acceptCategory('all')")
    visit.page.wait_for_function("window.tyst?.v")
    assert visit.events() == [("pageview", "/a", "cookieconsent")]
    visit.do("CookieConsent.acceptCategory([])")
    visit.do("tyst('Signup'); history.pushState({}, '', '/b')")
    assert visit.events() == [WITHDRAWAL]
    visit.go("/c")
    assert visit.events() == []


def test_inert_tag_that_a_banner_runs(visit: Visit) -> None:
    """A banner that runs marked tags needs no adapter: one tag grants, another refuses."""
    visit.recorder.page(
        head="""<script defer src=/vendor/cookieconsent.js></script>
        <script type="text/plain" data-category="analytics">tyst.consent('granted')</script>
        <script type="text/plain" data-category="!analytics">tyst.consent('denied')</script>
        <script>addEventListener('load', () => CookieConsent.run({
          categories: { necessary: { enabled: true, readOnly: true }, analytics: {} },
          language: { default: 'en', translations: { en: { consentModal: {}, preferencesModal: { sections: [] } } } }
        }))</script>"""
    )
    visit.go("/a")
    assert visit.events() == []
    visit.do("CookieConsent.acceptCategory('all')")
    assert visit.events() == [("pageview", "/a", "granted")]
    visit.do("CookieConsent.acceptCategory([])")
    visit.do("tyst('Signup'); history.pushState({}, '', '/b')")
    assert visit.events() == [WITHDRAWAL]
