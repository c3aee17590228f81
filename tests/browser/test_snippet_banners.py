"""The snippet beside real consent banners: it follows their word, whatever each means by silence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tests.browser.conftest import WITHDRAWAL, Visit

# TC strings made with @iabtechlabtcf/core: no purposes; 1, 7 and 8; 1, 7, 8 and 9.
NOTHING = "CQuFeUAQuFeUAAfABAENBkFgAAAAAAAAAAAAAAAAAAAA.IAAA.YAAAAAAAAAAA"
NO_AUDIENCE = "CQuFeUAQuFeUAAfABAENBkFgAIMAAAAAAAAAAAAAAAAA.IAAA.YAAAAAAAAAAA"
AUDIENCE = "CQuFeUAQuFeUAAfABAENBkFgAIOAAAAAAAAAAAAAAAAA.IAAA.YAAAAAAAAAAA"


@dataclass(frozen=True, slots=True)
class Banner:
    """How a page includes a banner, and what a visitor does to answer it: selectors to click, or script to run."""

    name: str
    head: str
    shown: str
    accept: Sequence[str]
    refuse: Sequence[str]
    withdraw: Sequence[str]


COOKIECONSENT = Banner(
    "cookieconsent",
    """<link rel=stylesheet href=/vendor/cookieconsent.css><script defer src=/vendor/cookieconsent.js></script>
    <script>addEventListener('DOMContentLoaded', () => CookieConsent.run({
      categories: { necessary: { enabled: true, readOnly: true }, analytics: {} }, disablePageInteraction: false,
      language: { default: 'en', translations: { en: {
        consentModal: { title: 't', acceptAllBtn: 'yes', acceptNecessaryBtn: 'no' },
        preferencesModal: { title: 't', acceptAllBtn: 'yes', acceptNecessaryBtn: 'no', sections: [] }
      } } } }))</script>""",
    "#cc-main .cm",
    ["#cc-main .cm [data-role=all]"],
    ["#cc-main .cm [data-role=necessary]"],
    ["js: CookieConsent.showPreferences()", "#cc-main .pm [data-role=necessary]"],
)

KLARO = Banner(
    "klaro",
    """<script defer src=/foreign/klaro.js></script>
    <script>addEventListener('DOMContentLoaded', () => klaro.setup({ lang: 'en', privacyPolicy: '/privacy',
      acceptAll: true, services: [{ name: 'analytics', title: 'a', purposes: ['statistics'] }] }))</script>""",
    ".klaro .cookie-notice",
    [".klaro .cm-btn-success"],
    [".klaro .cn-decline"],
    ["js: klaro.show(undefined, true)", "label[for=purpose-item-statistics]", ".klaro .cookie-modal .cm-btn-accept"],
)

TARTEAUCITRON = Banner(
    "tarteaucitron",
    """<script src=/foreign/tarteaucitron/tarteaucitron.min.js></script><script>
    tarteaucitronForceLanguage = 'en'
    tarteaucitron.init({ privacyUrl: '', hashtag: '#cookies', orientation: 'bottom', showIcon: false,
      highPrivacy: true, DenyAllCta: true, AcceptAllCta: true, mandatory: false, googleConsentMode: false })
    tarteaucitron.services.analytics = { key: 'analytics', type: 'analytic', name: 'a', uri: '', needConsent: true,
      cookies: [], js() {}, fallback() {} };
    (tarteaucitron.job = tarteaucitron.job || []).push('analytics')</script>""",
    "#tarteaucitronAlertBig",
    ["#tarteaucitronPersonalize2"],
    ["#tarteaucitronAllDenied2"],
    ["js: tarteaucitron.userInterface.openPanel()", "#tarteaucitron #tarteaucitronAllDenied"],
)

OREJIME = Banner(
    "orejime",
    """<link rel=stylesheet href=/foreign/orejime.css>
    <script>
    window.orejimeConfig = { privacyPolicyUrl: '/privacy', purposes: [{ id: 'analytics', title: 'a' }] }</script>
    <script defer src=/foreign/orejime.js></script>""",
    ".orejime-Banner",
    [".orejime-Banner-saveButton"],
    [".orejime-Banner-declineButton"],
    ["js: orejime.prompt()", ".orejime-PurposeList input", ".orejime-Modal-saveButton"],
)

# What follows are not banners but the interfaces that many banners speak.
TCF = Banner(
    "tcf",
    f"""<script>const nothing = '{NOTHING}'</script><script src=/foreign/tcf.js></script>"""
    """<script>
    tcf.stub.default ? tcf.stub.default() : tcf.stub()
    const stored = localStorage.tc, cmp = new tcf.CmpApi(31, 1, true)
    stored ? cmp.update(stored, false) : cmp.update(nothing, true)
    function answer(text) { cmp.update(nothing, true); cmp.update(localStorage.tc = text, false) }</script>""",
    "html",
    [f"js: answer('{AUDIENCE}')"],
    [f"js: answer('{NO_AUDIENCE}')"],
    [f"js: answer('{NO_AUDIENCE}')"],
)

GCM = Banner(
    "gcm",
    """<script>window.dataLayer = []; function gtag() { dataLayer.push(arguments) }
    gtag('consent', 'default', { analytics_storage: 'denied', ad_storage: 'denied', wait_for_update: 500 })
    gtag('js', new Date()); dataLayer.push({ event: 'gtm.js' })
    function answer(word) { gtag('consent', 'update', { analytics_storage: localStorage.gcm = word }) }
    if (localStorage.gcm) answer(localStorage.gcm)</script>""",
    "html",
    ["js: answer('granted')"],
    ["js: answer('denied')"],
    ["js: answer('denied')"],
)

WP = Banner(
    "wp",
    """<script>const kept = () => /wp_consent_statistics=allow/.test(document.cookie)
    window.wp_has_consent = (category) => category == 'statistics' && kept()
    function answer(word) { document.cookie = 'wp_consent_statistics=' + word + ';path=/'
      document.dispatchEvent(new CustomEvent('wp_listen_for_consent_change', { detail: { statistics: word } })) }
    </script>""",
    "html",
    ["js: answer('allow')"],
    ["js: answer('deny')"],
    ["js: answer('deny')"],
)

BANNERS = [COOKIECONSENT, KLARO, TARTEAUCITRON, OREJIME, TCF, GCM, WP]
POLICIES = ["required", "limited", "exempt"]
pytestmark = [
    pytest.mark.parametrize("policy", POLICIES),
    pytest.mark.parametrize("banner", BANNERS, ids=lambda banner: banner.name),
]


UNDECIDED = {"required": [], "limited": [("pageview", "/a", None)], "exempt": [("pageview", "/a?q=1", None)]}


def open_page(visit: Visit, banner: Banner, policy: str) -> None:
    """Open a page that asks, and see that while the visitor is undecided no more is sent than the policy allows."""
    visit.recorder.page(f'data-cmp="{banner.name}" data-consent="{policy}"', head=banner.head)
    visit.go("/a?q=1")
    visit.pass_time(1_000)
    visit.page.wait_for_selector(banner.shown)
    assert visit.events() == UNDECIDED[policy]
    assert visit.do("tyst.consent()") is None


def answer(visit: Visit, steps: Sequence[str]) -> None:
    for step in steps:
        if step.startswith("js: "):
            visit.do(f"void ({step.removeprefix('js: ')})")
            visit.pass_time(200)  # for what opens by itself a moment later
        else:
            visit.page.click(step)


def without(policy: str, *paths: str) -> list[tuple[str, str, str | None]]:
    """What page loads send after a refusal."""
    return [("pageview", path, None) for path in paths] if policy == "limited" else []


def test_accept_then_withdraw(visit: Visit, banner: Banner, policy: str) -> None:
    """Undecided, accepted, reloaded, withdrawn, reloaded: what the policy allows, with the banner as evidence. The
    withdrawal itself is told to the collector, once."""
    open_page(visit, banner, policy)
    answer(visit, banner.accept)
    visit.do("tyst('Signup')")
    counted = [] if policy == "exempt" else [("pageview", "/a?q=1", banner.name)]
    assert visit.events() == [*counted, ("Signup", "/a?q=1", banner.name)]
    visit.go("/b")
    sent = [event for event in visit.events() if event[0] != "engagement"]
    assert [event[:2] for event in sent] == [("pageview", "/b")]
    assert sent[0][2] in (banner.name, "cookie")
    answer(visit, banner.withdraw)
    # Under `limited` the open page becomes a bare count, too.
    assert visit.events() == [WITHDRAWAL, *without(policy, "/b")]
    visit.do("tyst('Signup'); history.pushState({}, '', '/c')")
    assert visit.events() == without(policy, "/c")
    visit.go("/d")
    assert visit.events() == without(policy, "/d")


def test_refuse(visit: Visit, banner: Banner, policy: str) -> None:
    """Refused: nothing more, also after a reload; or under limited, the count alone. Where pages were counted before
    the visitor was asked, the refusal takes them back."""
    open_page(visit, banner, policy)
    answer(visit, banner.refuse)
    visit.do("tyst('Signup'); history.pushState({}, '', '/b')")
    assert visit.events() == [*([WITHDRAWAL] if policy == "exempt" else []), *without(policy, "/b")]
    visit.go("/c")
    assert visit.events() == without(policy, "/c")
