// Tyst's snippet: counts pages anonymously, sends nothing without consent, stores one cookie with the visitor's choice.
// README.md beside this file has the attributes, the calls and every key that is sent.

// Loaded twice: the first one counts.
if (!window.tyst?.v) {
  const doc = document
  const stub = window.tyst
  const script = doc.currentScript || doc.querySelector('[data-domain]')
  const options = script.dataset
  const purpose = options.purpose || 'analytics'
  const hash = 'hash' in options

  // The visitor's choice, and how this page learned it.
  let choice, evidence
  // The banner's word when last asked: true, false, or undefined while the visitor has not answered it.
  let word, heard
  // The current page: what it is, what it sends, and how much of it was counted (a lane, see below).
  let page, url, details, counted, referrer = doc.referrer
  // Its engagement: milliseconds looked at, percent scrolled to, percent reported.
  let engaged, depth, reported

  const on = (type, listener) => addEventListener(type, listener, true)

  // Lists are separated by commas, and a star stands for anything.
  const listed = (list, text = location.pathname) =>
    RegExp(`^(${list?.replace(/, */g, '|').replace(/\*/g, '.*')})$`).test(text)

  const attributes = (element, prefix) => {
    const found = {}
    for (let { name, value } of element.attributes) if (name = name.split(prefix)[1]) found[name] = value
    return found
  }

  // How each banner is asked. A banner that is not there yet throws.
  const banners = {
    tcf() {
      __tcfapi('addEventListener', 2, (tc, ok) => {
        if (ok && tc.eventStatus > 't')
          heard = tc.gdprApplies === false | tc.purpose.consents[8] & tc.purpose.consents[9]
      })
      banners.tcf = () => heard
    },
    // Defaults are the site's word, updates the visitor's.
    gcm() {
      dataLayer.map(({ 1: command, 2: { analytics_storage: storage } = {} }) => {
        if (command == 'update' && storage) heard = storage == 'granted'
      })
      return heard
    },
    wp: () => wp_has_consent('statistics') || /_statistics=deny/.exec(doc.cookie) && false,
    klaro(manager = klaro.getManager()) {
      if (manager.confirmed) return manager.savedConsents[purpose]
    },
    orejime(manager = orejime.manager) {
      if (!manager.isDirty()) return manager.getConsent(purpose)
    },
    cookieconsent() {
      if (CookieConsent.validConsent()) return CookieConsent.acceptedCategory(purpose)
    },
    tarteaucitron: () => tarteaucitron.state[purpose]
  }

  // How much may be sent now: 0 nothing, 1 what the limited lane keeps, 2 everything.
  // The banner is asked each time; what it says anew is the choice. The cookie is newer where another tab wrote it.
  const lane = () => {
    let said
    choice = (/\btyst_consent=(\w+)/.exec(doc.cookie) || [, choice])[1]
    try { said = banners[options.cmp]() } catch {}
    if (said != word) {
      word = said
      tyst.consent(said ? 'granted' : 'denied', options.cmp)
    }
    return navigator.globalPrivacyControl || navigator.doNotTrack == 1 || navigator.webdriver || choice == 'excluded' || listed(options.exclude) ? 0
      : choice == 'granted' || options.consent == 'exempt' && !choice ? 2
      : options.consent == 'limited'
  }

  // A lost or refused beacon is sent again a few times, as long as the page lives and consent does.
  const post = async (body, level, tries) => {
    let pause
    try {
      const { status, headers } = await fetch(options.api || new URL('../api/event', script.src), { method: 'POST', keepalive: true, body })
      if (status < 429) return
      pause = headers.get('retry-after')
    } catch {}
    if (tries < 5) setTimeout(() => lane() < level || post(body, level, tries + 1), (+pause || 2 ** tries) * 1e3)
  }

  const bare = (address) => address.replace(/\?[^#]*/g, '')

  const send = (n, about, more) => {
    const level = lane()
    const beacon = tyst.transform({
      n, u: about.url || url, r: referrer, d: options.domain, h: +hash, w: innerWidth, v: 1, q: '' + Math.random(),
      ...level > 1 ? {
        p: { ...attributes(script, 'data-props-'), ...about.props }, $: about.revenue, i: about.interactive,
        z: Intl.DateTimeFormat().resolvedOptions().timeZone,
        c: choice && (evidence || 'cookie'),
        ...more
      } : { u: bare(url), r: referrer.replace(/\b\/.*/, '') }
    })
    if (beacon) post(JSON.stringify(beacon), level, 0)
  }

  // A page is counted when it is first seen: not in a prerender, a background tab or before the choice.
  const count = () => {
    if (lane() > counted && !doc.hidden) {
      counted = lane()
      send('pageview', details)
    }
  }

  const scrolled = () =>
    depth = Math.max(depth, 100 * (scrollY + innerHeight) / doc.documentElement.scrollHeight + .5 | 0)

  const leave = () => {
    if (lane() > 1 && (engaged >= 3e3 || depth > reported)) {
      send('engagement', { url }, { e: engaged, sd: scrolled() })
      engaged = 0
      reported = depth
    }
    count()
  }

  const here = () => hash ? location.href : location.href.split('#')[0]

  const view = (about) => {
    leave()
    if (counted) referrer = ''
    page = bare(here())
    url = about.url || here()
    details = about
    counted = engaged = depth = reported = 0
    count()
  }

  // After navigation inside the page, or back to a page that the browser had kept.
  const moved = ({ persisted }) => { if (persisted || bare(here()) != page) view({}) }

  const tyst = window.tyst = (name, about = {}) => {
    if (name == 'pageview') view(about)
    else if (lane() > 1) send(name, about)
  }

  tyst.v = 1
  tyst.transform = stub?.transform || ((beacon) => beacon)
  tyst.consent = (said, by) => {
    lane()
    // Nothing but deleting the cookie ends an exclusion.
    if (said != null && choice != 'excluded') {
      choice = said
      evidence = by || said
      // The sixth letter tells https from http.
      doc.cookie = `tyst_consent=${said};path=/;max-age=34000000;samesite=lax` + (location.protocol[5] ? ';secure' : '')
    }
    count()
    return choice
  }

  // Links, forms and elements that their author tagged.
  const act = ({ type, target, button }) => {
    setTimeout(count)
    if (button > 1) return
    const form = type == 'submit'
    const tagged = target.closest('[data-tyst-event],[class*=tyst-event]')
    const link = target.closest('a[href]')
    if (tagged && !tagged.action != form) {
      const { event = /tyst-event=(\S+)/.exec(tagged.className)[1], ...props } = attributes(tagged, 'data-tyst-')
      tyst(event, { props })
    } else if (form) {
      if ('forms' in options) tyst('Form: Submission')
    } else if (link?.host) {
      const props = { url: link.origin + link.pathname }
      if ('downloads' in options && listed(options.downloads || '*.(pdf|zip|docx|xlsx|csv|mp3|mp4)', link.pathname)) tyst('File Download', { props })
      else if ('outbound' in options && link.host != location.host) tyst('Outbound Link: Click', { props })
    }
  }

  // Before the first page, what was said before this script had loaded.
  tyst.consent(stub?.c)
  if (location.hash == '#tyst-exclude') tyst.consent('excluded')
  setInterval(() => {
    count()
    engaged += lane() > 1 && !doc.hidden && doc.hasFocus() && 1e3
  }, 1e3)
  on('visibilitychange', leave)
  on('scroll', scrolled)
  on('click', act)
  on('auxclick', act)
  on('submit', act)
  if (!('manual' in options)) {
    on('popstate', moved)
    on('hashchange', moved)
    on('pageshow', moved)
    moved(0);
    ['pushState', 'replaceState'].map((name) => {
      const original = history[name].bind(history)
      history[name] = (...given) => {
        original(...given)
        moved(0)
      }
    })
  }
  stub?.q?.map((queued) => tyst(...queued))
}
