"""Consent banners as small as their interfaces: each says what a test sets, or breaks as a test wants.

`say(state)` in the page sets the state of all of them, which pages share as real banners share their cookies:
`yes`, `no`, `ask` (not answered), `gone` (not there), `throws`, `odd` (an answer that is none).
"""

from __future__ import annotations

STATES = ("yes", "no", "ask", "gone", "throws", "odd")
BROKEN = ("gone", "throws", "odd")
"""States in which a banner cannot be asked."""

_STATE = """
const state = () => localStorage.banner || 'ask'
const answer = (yes, no, ask, odd) => {
  if (state() == 'throws') throw new Error('banner')
  return { yes, no, ask, odd }[state()]
}
function say(next) { localStorage.banner = next; told() }
"""

_SIMPLE = {
    "mine": "window.mine = gone ? undefined : () => answer(true, false, undefined, 'granted')",
    "klaro": """window.klaro = gone ? undefined : { getManager: () => ({
        confirmed: answer(true, true, false, true),
        savedConsents: { analytics: answer(true, false, false, null) } }) }""",
    "orejime": """window.orejime = gone ? undefined : { manager: {
        isDirty: () => answer(false, false, true, false), getConsent: () => answer(true, false, false, 'yes') } }""",
    "cookieconsent": """window.CookieConsent = gone ? undefined : {
        validConsent: () => answer(true, true, false, true), acceptedCategory: () => answer(true, false, false, 1) }""",
    "tarteaucitron": """window.tarteaucitron = gone ? undefined : {
        get state() { return { analytics: answer(true, false, undefined, 'wait') } } }""",
    "wp": """if (['yes', 'no', 'ask'].includes(state()))
        document.cookie = 'wp_consent_statistics=' + (state() == 'yes' ? 'allow' : 'deny') + ';path=/'
          + (state() == 'ask' ? ';max-age=0' : '')
      window.wp_has_consent = gone ? undefined : () => answer(true, false, true, true)""",
}
_TCF = """
  const data = (eventStatus, yes) => ({
    eventStatus, gdprApplies: true, purpose: { consents: { 8: yes, 9: yes } } })
  const listeners = []
  const done = (yes) => data('useractioncomplete', yes)
  const event = () => answer(done(true), done(false), data('cmpuishown'), {})
  const told = () => {
    window.__tcfapi = state() == 'gone' ? undefined : (command, version, listener) => {
      listeners.push(listener)
      if (state() != 'odd') listener(event(), true)
      else listener(null, false)
    }
    for (const listener of listeners) try { listener(state() == 'gone' ? null : event(), true) } catch {}
  }"""
_GCM = """
  window.dataLayer = []
  function gtag() { window.dataLayer?.push(arguments) }
  gtag('consent', 'default', { analytics_storage: 'denied' })
  const told = () => {
    if (state() == 'gone') window.dataLayer = undefined
    else if (!window.dataLayer) window.dataLayer = []
    if (state() == 'yes' || state() == 'no')
      gtag('consent', 'update', { analytics_storage: state() == 'yes' ? 'granted' : 'denied' })
    if (state() == 'odd') {
      window.dataLayer.push(undefined, null, 7, 'update', ['consent'], { event: 'x' })
      gtag('event', 'update')
      gtag('set', 'update')
      gtag('consent', 'update')
      gtag('consent', 'update', null)
      gtag('consent', 'update', { ad_storage: 'denied' })
      gtag('consent', 'update', { analytics_storage: 'maybe' })
      gtag('consent', 'update', { get analytics_storage() { throw new Error('entry') } })
    }
    if (state() == 'throws') window.dataLayer.map = () => { throw new Error('layer') }
    else if (window.dataLayer) delete window.dataLayer.map
  }"""

NAMES = (*_SIMPLE, "tcf", "gcm")
"""What `data-cmp` may say here; `mine` is a function of the page."""


def head(name: str) -> str:
    """The part of a page's head that is the banner `name`."""
    told = {"tcf": _TCF, "gcm": _GCM}.get(name) or (
        f"const told = () => {{ const gone = state() == 'gone'; {_SIMPLE[name]} }}"
    )
    return f"<script>{_STATE}{told}; told()</script>"
