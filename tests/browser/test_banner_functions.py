"""The lines for banners that only run as a service: each in a page with a stand-in for the interface that its vendor
documents, which is undecided, says yes, is not there, asks again, and says no."""

from __future__ import annotations

from typing import Final

import pytest

from dashboard.compliance.site_check.cmp_detection import BANNERS
from dashboard.compliance.site_check.tag_snippets import script_lines
from tests.browser.banner_pages import PAGES
from tests.browser.conftest import WITHDRAWAL, Visit

COOKIE = (
    "const keep = (name, value) => document.cookie = `${name}=${answered ? value : ''};path=/;max-age=${+answered}00`\n"
)
"""A cookie that is there once the visitor has answered."""

TCF = """
    const data = { eventStatus: answered ? 'useractioncomplete' : 'cmpuishown', gdprApplies: true,
      purpose: { consents: { 1: true, 8: yes, 9: yes } } }
    window.listeners ??= []
    window.__tcfapi = (command, version, listener) => {
      if (command == 'addEventListener') { listeners.push(listener); listener(data, true) }
    }
    listeners.map((listener) => listener(data, true))"""

# What each interface is while the visitor is undecided (`answered` is false), has said yes (`yes`) or no. Many say yes
# for visitors whom nobody has asked.
STAND_INS: Final = {
    "axeptio": """
        window.sdk ??= { heard: [], on: (event, listener) => event == 'cookies:complete' && sdk.heard.push(listener) }
        const complete = () => answered && sdk.heard.map((listener) => listener({ $$completed: true, tyst: yes }))
        document.readyState == 'loading' ? addEventListener('DOMContentLoaded', () => {
          _axcb.map((ready) => ready(sdk)); complete() }) : complete()""",
    "borlabs-cookie": COOKIE
    + """keep('borlabs-cookie', '%7B%7D')
        window.BorlabsCookie = { Consents: { hasConsentForServiceGroup: (group) => group == 'statistics' && yes } }""",
    "civic-cookie-control": "window.CookieControl = { getCategoryConsent: (index) => answered ? !index && yes : null }",
    "complianz": COOKIE
    + """keep('cmplz_banner-status', 'dismissed')
        window.cmplz_has_consent = (category) => !answered || category == 'statistics' && yes""",
    "consentmanager": """window.__cmp = (command) => command == 'consentStatus' ? { userChoiceExists: answered }
        : { purposeConsents: answered ? { c51: true, c52: yes } : { c51: true, c52: true } }""",
    "cookie-information": COOKIE
    + """keep('CookieInformationConsent', '%7B%7D')
        window.CookieInformation = { getConsentGivenFor: (category) => category == 'cookie_cat_statistic' && yes }""",
    "cookie-notice": COOKIE + "keep('cookie_notice_accepted', yes)",
    "cookie-script": """window.CookieScript = { instance: { currentState: () => answered
        ? { action: yes ? 'accept' : 'reject', categories: yes ? ['strict', 'performance'] : ['strict'] }
        : { action: '', categories: [] } } }""",
    "cookiebot": "window.Cookiebot = { hasResponse: answered, consent: { statistics: !answered || yes } }",
    "cookiefirst": "window.CookieFirst = { consent: answered ? { necessary: true, performance: yes } : null }",
    "cookiehub": """window.cookiehub = { hasAnswered: () => answered,
        hasConsented: (category) => category == 'analytics' && (yes || !answered) }""",
    "cookieyes": """window.getCkyConsent = () => ({ isUserActionCompleted: answered,
        categories: { necessary: true, analytics: yes || !answered } })""",
    "didomi": """window.Didomi = { shouldUserStatusBeCollected: () => !answered, getCurrentUserStatus: () => (
        { purposes: { measure_content_performance: { id: 'measure_content_performance', enabled: yes } } }) }""",
    "google-privacy-messaging": TCF,
    "hubspot": COOKIE + "keep('__hs_cookie_cat_pref', `1:${yes},2:false,3:true`)",
    "inmobi": TCF,
    "iubenda": "window._iub = { cs: { consent: answered ? { timestamp: 't', purposes: { 1: true, 4: yes } } : {} } }",
    "moove": COOKIE
    + """keep('moove_gdpr_popup', encodeURIComponent(
        JSON.stringify({ strict: '1', thirdparty: yes ? '1' : '0', advanced: '1' })))""",
    "onetrust": """window.OneTrust = { IsAlertBoxClosed: () => answered }
        window.OnetrustActiveGroups = yes || !answered ? ',C0001,C0002,' : ',C0001,'""",
    "osano": """const consent = answered ? { ESSENTIAL: 'ACCEPT', ANALYTICS: yes ? 'ACCEPT' : 'DENY' } : undefined
        window.saved ??= []
        window.Osano = { cm: { addEventListener(event, listener) {
          if (event == 'osano-cm-initialized') listener(consent)
          if (event == 'osano-cm-consent-saved') saved.push(listener)
        } } }
        saved.map((listener) => listener(consent))""",
    "real-cookie-banner": """window.consentApi = { consentSync: (name) => ({ cookie: name == 'tyst' ? {} : null,
        consentGiven: answered, cookieOptIn: yes || !answered }) }""",
    "shopify": """window.Shopify = { loadFeatures() {}, customerPrivacy: { currentVisitorConsent: () => (
        { marketing: 'yes', analytics: answered ? yes ? 'yes' : 'no' : '' }) } }""",
    "sourcepoint": TCF,
    "termly": """window.heard ??= []
        window.Termly = { getConsentState: () => ({ essential: true, analytics: yes }),
          on: (event, listener) => event == 'consent' && heard.push(listener) }
        answered && heard.map((listener) => listener({}))""",
    "trustarc": """window.truste = { cma: { callApi: (call) => call == 'getGDPRConsentDecision' && (
        { consentDecision: yes || !answered ? [1, 2, 3] : [1], source: answered ? 'asserted' : 'implied' }) } }""",
    "usercentrics-2": """window.UC_UI = { isConsentRequired: () => !answered, getServicesBaseInfo: () => [
        { name: 'Another', consent: { status: true } }, { name: 'Tyst', consent: { status: yes || !answered } }] }""",
    "usercentrics-3": """window.__ucCmp = { getConsentDetails: async () => ({ services: {
        a: { name: 'Another', consent: { given: true, type: 'EXPLICIT' } },
        b: { name: 'Tyst', consent: { given: yes || !answered, type: answered ? 'EXPLICIT' : 'IMPLICIT' } } } }) }""",
}


BY_COOKIE: Final = {"cookie-notice", "hubspot", "moove"}
"""What has no other interface: the stored answer speaks, also where the banner's script is not there."""


def test_every_banner_was_run() -> None:
    """By itself, or by a stand-in, as the data file says."""
    run = {page.key for page in PAGES}
    assert {key for key, banner in BANNERS.items() if banner.tested == "package"} == run - {"wp-consent-api"}
    assert {key for key, banner in BANNERS.items() if banner.tested == "stand-in"} == {*STAND_INS, "wp-consent-api"}


def head(key: str) -> str:
    """The stand-in, in the state that the page before has left it in, and the banner's lines."""
    return f"""<script>
        function become(state) {{
          const answered = state != 'undecided', yes = state == 'yes'
          localStorage.state = state
          {STAND_INS[key]}
        }}
        become(localStorage.state || 'undecided')
        </script>{chr(10).join(script_lines(key))}"""


def events(visit: Visit) -> list[tuple[str, str, str | None]]:
    """What was sent, without how long pages were read; after the banner was asked twice, since some answer later."""
    visit.pass_time(1_000)
    return [event for event in visit.events() if event[0] != "engagement"]


@pytest.mark.parametrize("key", STAND_INS)
def test_the_lines_of_the_banner_say_what_its_visitors_answer(visit: Visit, key: str) -> None:
    """Undecided nothing; after a yes everything, also on the next page. While the banner is not there, or asks again,
    nothing is sent and nothing erased. A no erases, once, and a yes after it counts again."""
    cmp = BANNERS[key].cmp
    attributes = f'data-cmp="{cmp}"'
    visit.recorder.page(attributes, head=head(key))
    visit.go("/a")
    assert events(visit) == []
    visit.do("become('yes')")
    assert events(visit) == [("pageview", "/a", cmp)]
    visit.go("/b")
    ((name, path, evidence),) = events(visit)
    assert (name, path, evidence in (cmp, "cookie")) == ("pageview", "/b", True)
    visit.recorder.page(attributes, head="\n".join(script_lines(key)))
    visit.go("/gone")
    assert events(visit) == ([("pageview", "/gone", evidence)] if key in BY_COOKIE else [])
    visit.recorder.page(attributes, head=head(key))
    visit.do("localStorage.state = 'undecided'")
    visit.go("/asks-again")
    assert events(visit) == []
    visit.do("become('no')")
    assert events(visit) == [WITHDRAWAL]
    visit.go("/c")
    assert events(visit) == []
    visit.do("become('yes')")
    assert events(visit) == [("pageview", "/c", cmp)]
    visit.do("become('no')")
    assert events(visit) == [WITHDRAWAL]
