// Tyst's snippet: counts pages anonymously, sends nothing without consent, stores one cookie with the visitor's choice.
// README.md beside this file has the attributes, the calls and every key that is sent.

// Loaded twice: the first one counts.
if (!window.tyst?.v) {
  const doc = document
  const stub = window.tyst || 0
  const script = doc.currentScript || doc.querySelector('[data-domain]')
  const options = script.dataset
  const purpose = options.purpose || 'analytics'

  // The visitor's choice, and how this page learned it.
  let evidence = 'cookie', choice
  // The banner's word when last asked: true, false, or undefined while the visitor has not answered it.
  let heard, word
  // The collector's last word on it, which goes back with every beacon. A page forgets it.
  let receipt
  // The current page: what it is, what it sends, and how much of it was counted (a lane, see below).
  let url, counted, details, page, referrer = doc.referrer
  // Its engagement: milliseconds looked at, percent scrolled to, percent reported.
  let engaged, depth, reported

  const on = (type, listener) => addEventListener(type, listener, 1)

  // Lists are separated by commas, and a star stands for anything.
  const listed = (list, text = location.pathname) =>
    RegExp(`^(${list?.replace(/, */g, '|').replace(/\*/g, '.*')})$`).test(text)

  const attributes = (element, prefix, found = {}) => {
    for (let { name, value } of element.attributes) if (name = name.split(prefix)[1]) found[name] = value
    return found
  }

  // How each banner is asked. A banner that is not there yet throws.
  const banners = {
    orejime: (manager = orejime.manager) => manager.isDirty() ? heard : manager.getConsent(purpose),
    cookieconsent: (manager = CookieConsent) => manager.validConsent() ? manager.acceptedCategory(purpose) : heard,
    tcf() {
      __tcfapi('addEventListener', 2, (tc) => {
        if (tc?.eventStatus > 't')
          heard = tc.gdprApplies == 0 | tc.purpose.consents[8] & tc.purpose.consents[9]
      })
      banners.tcf = () => heard
    },
    wp: () => wp_has_consent('statistics') || /_statistics=deny/.exec(doc.cookie) && false,
    klaro: (manager = klaro.getManager()) => manager.confirmed ? manager.savedConsents[purpose] : heard,
    // Defaults are the site's word, updates the visitor's.
    gcm() {
      dataLayer.map(({ 1: command, 2: about }) => {
        if (command == 'update') heard = about.analytics_storage ? about.analytics_storage == 'granted' : heard
      })
      return heard
    },
    tarteaucitron: () => tarteaucitron.state[purpose]
  }

  // How much may be sent now: 0 nothing, 1 what the limited lane keeps, 2 everything.
  // The banner is asked each time; what it says anew is the choice. The cookie is newer where another tab wrote it.
  const lane = () => {
    let said
    choice = /\btyst_consent=(\w+)/.exec(doc.cookie)?.[1] || choice
    try { said = banners[options.cmp]() } catch {}
    if (said != word) {
      word = said
      tyst.consent(said ? 'granted' : 'denied', options.cmp)
    }
    return listed(options.exclude) || navigator.doNotTrack > 0 || navigator.webdriver || navigator.globalPrivacyControl || choice == 'excluded' ? 0
      : choice == 'granted' || options.consent == 'exempt' && !choice ? 2
      : options.consent == 'limited'
  }

  // What is lost or refused is sent again a few times, as long as the page lives and the choice stands; and so is a
  // beacon that the collector asks for again, with the receipt of its answer. One without a name takes all of them back.
  const post = async (level, beacon, tries) => {
    let pause
    try {
      const { headers, status } = await fetch(options.api || new URL('../api/event', script.src), {
        body: JSON.stringify({ k: receipt, ...beacon }), keepalive: 1, method: beacon.n ? 'POST' : 'DELETE'
      })
      pause = headers.get('retry-after')
      if (status < 429) {
        receipt = headers.get('x-tyst-receipt')
        if (!pause) return
      }
    } catch {}
    if (tries < 5) setTimeout(() => lane() == level && post(level, beacon, tries + 1), (pause || 2 ** tries) * 1e3)
  }

  const bare = (address) => address.replace(/\?[^#]*/g, '')

  const send = (n, about, more) => {
    const level = lane()
    const beacon = tyst.transform({
      v: 1, w: innerWidth, h: +('hash' in options), n, u: about.url || url, d: options.domain, q: '' + Math.random(),
      r: referrer,
      ...level > 1 ? {
        $: about.revenue, c: choice && evidence, i: about.interactive,
        p: { ...attributes(script, 'data-props-'), ...about.props }, ...more,
        z: Intl.DateTimeFormat().resolvedOptions().timeZone
      } : { u: bare(url), r: referrer.replace(/\b\/.*/, '') }
    })
    if (beacon) post(level, beacon, 0)
  }

  // A page is counted when it is first seen: not in a prerender, a background tab or before the choice. What is allowed
  // may change while it is open: then it is counted anew, with more or with less.
  const count = () => {
    if (lane() && counted != lane() && details && !doc.hidden) {
      counted = lane()
      send('pageview', details)
    }
  }

  const scrolled = () =>
    depth = Math.max(depth, 100 * (scrollY + innerHeight) / doc.documentElement.scrollHeight + .5 | 0)

  const leave = () => {
    if (lane() > 1 && (engaged > 2e3 | depth > reported)) {
      send('engagement', {}, { e: engaged, sd: scrolled() })
      reported = depth
      engaged = 0
    }
    count()
  }

  const here = () => 'hash' in options ? location.href : location.href.replace(/#.*/, '')

  const view = (about) => {
    leave()
    if (counted) referrer = ''
    url = about.url || here()
    details = about
    page = bare(here())
    counted = depth = reported = engaged = 0
    count()
  }

  // After navigation inside the page, or back to a page that the browser had kept.
  const moved = (event) => { if (bare(here()) != page | event.persisted) view({}) }

  const tyst = window.tyst = (name, about = {}) => {
    name == 'pageview' ? view(about) : lane() > 1 && send(name, about)
  }

  tyst.v = 1
  tyst.transform = stub.transform || ((beacon) => beacon)
  tyst.consent = (said, by, before = lane()) => {
    // Nothing but deleting the cookie ends an exclusion.
    if (said != null && choice != 'excluded') {
      choice = said
      evidence = by || said
      // The sixth letter tells https from http, where browsers pass over a word that they do not know.
      doc.cookie = `tyst_consent=${said};samesite=lax;max-age=34000000;path=/;${location.protocol[5] && 'secure'}`
      // Less than before: what was sent with consent is to be erased, and its receipt to be worth nothing.
      if (lane() < before) post(lane(), { k: receipt, d: options.domain }, receipt = counted = null)
    }
    count()
    return choice
  }

  // Links, forms and elements that their author tagged.
  const act = ({ button, target, type }) => {
    setTimeout(count)
    if (button > 1) return
    const form = type == 'submit'
    const tagged = target.closest('[data-tyst-event],[class*=tyst-event]')
    const link = target.closest('[href]')
    if (tagged && !tagged.action != form) {
      const { event = /tyst-event=(\S+)/.exec(tagged.className)[1], ...props } = attributes(tagged, 'data-tyst-')
      tyst(event, { props })
    } else if (form) {
      if ('forms' in options) tyst('Form: Submission')
    } else if (link?.host) {
      const props = { url: link.origin + link.pathname }
      if ('downloads' in options && listed(options.downloads || '*.(zip|csv|docx|mp[34]|pdf|xlsx)', link.pathname)) tyst('File Download', { props })
      else if ('outbound' in options && link.host != location.host) tyst('Outbound Link: Click', { props })
    }
  }

  // Before the first page, what was said before this script had loaded.
  tyst.consent(location.hash == '#tyst-exclude' ? 'excluded' : stub.c)
  setInterval(() => {
    count()
    engaged += lane() > 1 && !doc.hidden && doc.hasFocus() && 1e3
  }, 1e3)
  on('auxclick', act)
  on('click', act)
  on('submit', act)
  on('scroll', scrolled)
  on('visibilitychange', leave)
  if (!('manual' in options)) {
    moved(0)
    on('popstate', moved)
    on('pageshow', moved);
    ['replaceState', 'pushState'].map((name) => {
      const original = history[name].bind(history)
      history[name] = (...given) => {
        original(...given)
        moved(0)
      }
    })
  }
  stub.q?.map((queued) => tyst(...queued))
}
