"""Pages with real consent banners, from npm: how each is included, and what a visitor does to answer it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.compliance.site_check.cmp_detection import BANNERS
from dashboard.compliance.site_check.tag_snippets import script_lines

# TC strings made with @iabtechlabtcf/core: no purposes; 1, 7 and 8; 1, 7, 8 and 9.
NOTHING = "CQuFeUAQuFeUAAfABAENBkFgAAAAAAAAAAAAAAAAAAAA.IAAA.YAAAAAAAAAAA"
NO_AUDIENCE = "CQuFeUAQuFeUAAfABAENBkFgAIMAAAAAAAAAAAAAAAAA.IAAA.YAAAAAAAAAAA"
AUDIENCE = "CQuFeUAQuFeUAAfABAENBkFgAIOAAAAAAAAAAAAAAAAA.IAAA.YAAAAAAAAAAA"


@dataclass(frozen=True, slots=True)
class BannerPage:
    """How a page includes a banner, and what a visitor does to answer it: selectors to click, or script to run."""

    key: str
    """The banner's key in the data file."""
    head: str
    shown: str
    accept: Sequence[str]
    refuse: Sequence[str]
    withdraw: Sequence[str]
    asks_again: str = ""
    """What the head says in place of `revision: 0`, so that those who have answered are asked anew."""

    @property
    def cmp(self) -> str:
        """The value of `data-cmp`, which is the evidence."""
        return BANNERS[self.key].cmp

    @property
    def lines(self) -> str:
        """The head, with the banner's function where it needs one, as the installation page has it."""
        return self.head + "\n".join(script_lines(self.key))

    @property
    def attributes(self) -> str:
        """What the tag says of it."""
        return f'data-cmp="{self.cmp}"'


COOKIECONSENT = BannerPage(
    "vanilla-cookieconsent-3",
    """<link rel=stylesheet href=/vendor/cookieconsent.css><script defer src=/vendor/cookieconsent.js></script>
    <script>addEventListener('DOMContentLoaded', () => CookieConsent.run({ revision: 0,
      categories: { necessary: { enabled: true, readOnly: true }, analytics: {} }, disablePageInteraction: false,
      language: { default: 'en', translations: { en: {
        consentModal: { title: 't', acceptAllBtn: 'yes', acceptNecessaryBtn: 'no' },
        preferencesModal: { title: 't', acceptAllBtn: 'yes', acceptNecessaryBtn: 'no', sections: [] }
      } } } }))</script>""",
    "#cc-main .cm",
    ["#cc-main .cm [data-role=all]"],
    ["#cc-main .cm [data-role=necessary]"],
    ["js: CookieConsent.showPreferences()", "#cc-main .pm [data-role=necessary]"],
    asks_again="revision: 1",
)

# The version before it is another product: another interface, another start.
COOKIECONSENT_2 = BannerPage(
    "vanilla-cookieconsent-2",
    """<link rel=stylesheet href=/foreign/cookieconsent-2.css><script defer src=/foreign/cookieconsent-2.js></script>
    <script>addEventListener('DOMContentLoaded', () => {
      window.cc = initCookieConsent()
      cc.run({ revision: 0, current_lang: 'en', languages: { en: {
        consent_modal: { title: 't', description: 'd', primary_btn: { text: 'yes', role: 'accept_all' },
          secondary_btn: { text: 'no', role: 'accept_necessary' } },
        settings_modal: { title: 't', save_settings_btn: 'save', accept_all_btn: 'yes', reject_all_btn: 'no', blocks: [
          { title: 'n', description: 'd', toggle: { value: 'necessary', enabled: true, readonly: true } },
          { title: 'a', description: 'd', toggle: { value: 'analytics', enabled: false, readonly: false } }] }
      } } }) })</script>""",
    "#cm",
    ["#c-p-bn"],
    ["#c-s-bn"],
    ["js: cc.showSettings(0)", "#s-rall-bn"],
    asks_again="revision: 1",
)

OSANO_POPUP = BannerPage(
    "osano-cookie-consent",
    """<link rel=stylesheet href=/foreign/osano.css><script defer src=/foreign/osano.js></script>
    <script>addEventListener('DOMContentLoaded', () => cookieconsent.initialise(
      { type: 'opt-in', revokable: true, animateRevokable: false, content: { allow: 'yes', deny: 'no' } },
      (popup) => { window.osano_popup = popup }))</script>""",
    ".cc-window",
    [".cc-allow"],
    [".cc-deny"],
    [".cc-revoke", ".cc-deny"],
)

# An application of React; the banner is one of its components.
REACT = BannerPage(
    "react-cookie-consent",
    "<script defer src=/foreign/react.js></script>",
    ".CookieConsent",
    ["#yes"],
    ["#no"],
    ["#settings", "#no"],
)

KLARO = BannerPage(
    "klaro",
    """<script defer src=/foreign/klaro.js></script>
    <script>addEventListener('DOMContentLoaded', () => klaro.setup({ lang: 'en', privacyPolicy: '/privacy',
      acceptAll: true, services: [{ name: 'analytics', title: 'a', purposes: ['statistics'] }] }))</script>""",
    ".klaro .cookie-notice",
    [".klaro .cm-btn-success"],
    [".klaro .cn-decline"],
    ["js: klaro.show(undefined, true)", "label[for=purpose-item-statistics]", ".klaro .cookie-modal .cm-btn-accept"],
)

TARTEAUCITRON = BannerPage(
    "tarteaucitron",
    """<script src=/foreign/tarteaucitron/tarteaucitron.min.js></script><script>
    tarteaucitronForceLanguage = 'en'
    tarteaucitron.init({ privacyUrl: '', hashtag: '#cookies', orientation: 'bottom', showIcon: false,
      highPrivacy: true, DenyAllCta: true, AcceptAllCta: true, mandatory: false, googleConsentMode: false })
    tarteaucitron.services.analytics = { key: 'analytics', type: 'analytic', name: 'a', uri: '', needConsent: true,
      cookies: [], js() {}, fallback() {} };
    // Its buttons are shown some time before they do anything.
    const wire = tarteaucitron.addClickEventToId
    tarteaucitron.addClickEventToId = (id, act) => {
      wire(id, act)
      if (id == 'tarteaucitronAllDenied2') document.documentElement.classList.add('wired')
    };
    (tarteaucitron.job = tarteaucitron.job || []).push('analytics')</script>""",
    ".wired #tarteaucitronAlertBig",
    [".wired #tarteaucitronPersonalize2"],
    [".wired #tarteaucitronAllDenied2"],
    ["js: tarteaucitron.userInterface.openPanel()", ".wired #tarteaucitron #tarteaucitronAllDenied"],
)

OREJIME = BannerPage(
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
TCF = BannerPage(
    "iab-tcf",
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

GCM = BannerPage(
    "google-consent-mode",
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

# Made from the API's public documentation: what is stored, what is asked, and what a banner sets.
WP_CONSENT_API = """<script>
    var consent_api = { consent_type: 'TYPE', cookie_prefix: 'wp_consent' }
    function wp_has_consent(category) {
      const stored = RegExp(consent_api.cookie_prefix + '_' + category + '=(\\\\w+)').exec(document.cookie)?.[1]
      const type = window.wp_consent_type ?? consent_api.consent_type
      return !type || stored == 'allow' || type.includes('optout') && !stored
    }
    function wp_set_consent(category, value) {
      document.cookie = consent_api.cookie_prefix + '_' + category + '=' + value + ';path=/'
      document.dispatchEvent(new CustomEvent('wp_listen_for_consent_change', { detail: { [category]: value } }))
    }</script>"""

WP = BannerPage(
    "wp-consent-api",
    WP_CONSENT_API.replace("TYPE", "optin"),
    "html",
    ["js: wp_set_consent('statistics', 'allow')"],
    ["js: wp_set_consent('statistics', 'deny')"],
    ["js: wp_set_consent('statistics', 'deny')"],
)

PAGES = [COOKIECONSENT, COOKIECONSENT_2, OSANO_POPUP, REACT, KLARO, TARTEAUCITRON, OREJIME, TCF, GCM, WP]
