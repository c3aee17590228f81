// Tyst's snippet: counts pages anonymously, sends nothing without consent, stores one cookie with the visitor's choice.
// README.md beside this file has the attributes, the calls, every key that is sent, and consent as a state machine.

(() => {
  const doc = document
  const stub = window.tyst || 0
  const script = doc.currentScript || doc.querySelector('script[data-domain]')
  // Loaded twice: the first one counts.
  if (stub.v || !script) return
  const options = script.dataset
  const purpose = options.purpose || 'analytics'
  const followed = options.cmp

  // No error may reach the page, so whatever the browser or the page calls is wrapped in this, as are the questions to
  // a banner, whose error is null.
  const safe = (callback) => (...args) => {
    try { return callback(...args) } catch { return null }
  }
  const on = (listener, types) => types.split(' ').map((type) => addEventListener(type, safe(listener), 1))

  // Lists are separated by commas, and a star stands for anything. All else is text: each part is searched once, after
  // the one before it, so the time is linear. A line break, which no address has, marks both ends.
  const listed = (list, text) => list?.split(',').some((pattern) => {
    let index = 0
    return `\n${pattern.trim()}\n`.split('*').every((part) =>
      (index = `\n${text}\n`.indexOf(part, index) + part.length) >= part.length)
  })

  const attributes = (element, prefix, result = {}) => {
    for (let { name, value } of element.attributes) if (name = name.split(prefix)[1]) result[name] = value
    return result
  }

  // Copies what JSON can represent; anything else costs itself alone.
  const copy = (source, target = {}) => {
    for (const name in source) safe(() => JSON.stringify(source[name]) && (target[name] = source[name]))()
    return target
  }

  // Consent -----------------------------------------------------------------------------------------------------------

  // The choice as the cookie holds it: granted, denied or excluded, or empty. A refusal may have notes: `.own` when the
  // page itself refused while a banner is followed, `.new` until the collector has confirmed the withdrawal.
  let stored = ''
  // The source of a yes: the banner, or what the page passed; empty when it is only in the cookie.
  let evidence
  // The banner's answer, undefined while the visitor has not answered; null while it has not been available. Without a
  // banner there is nothing to wait for.
  let answer = !followed || null
  // The last answer that an adapter was notified of; null before the first.
  let notified = null
  // The collector's last receipt, which goes back with every beacon. A page forgets it.
  let receipt
  // The response to the last withdrawal.
  let withdrawal
  // The choice that holds now.
  let choice

  // How a banner is queried: true, false, or undefined while the visitor has not answered. Anything else, as any error,
  // means that it is unavailable, and changes nothing.
  //
  // A global of the name in `data-cmp` is known by its interface: tarteaucitron, of which cannot be determined whether
  // it is asking or still loading, Orejime, Klaro, or a function of the page.
  const query = (banner = window[followed]) => banner.state ? banner.state[purpose] ?? null
    : banner.manager ? banner.manager.isDirty() ? void 0 : banner.manager.getConsent(purpose)
    : banner.getManager ? banner.getManager().confirmed ? banner.getManager().savedConsents[purpose] : void 0
    : banner()
  // Those that have no such global.
  const banners = {
    cookieconsent: () => CookieConsent.validConsent() ? CookieConsent.acceptedCategory(purpose) : void 0,
    tcf() {
      __tcfapi('addEventListener', 2, safe(({ eventStatus, gdprApplies, purpose }) => {
        if (eventStatus > 't') notified = gdprApplies === false || [8, 9].every((id) => purpose.consents[id])
      }))
      return (banners.tcf = () => notified)()
    },
    // Defaults are the site's setting, updates the visitor's answer.
    gcm() {
      dataLayer.map(safe(([type, command, settings]) => {
        if (type + command == 'consentupdate') notified = words[settings.analytics_storage] ?? notified
      }))
      return notified
    },
    // Without a stored answer this API says yes for visitors whom nobody has asked.
    wp: () => words[/_statistics=(\w+)/.exec(doc.cookie)?.[1]]
  }
  const words = { granted: true, allow: true, denied: false, deny: false }

  // Only a cookie of exactly this name counts; of several the refusal, which sorts first. A change comes from another
  // tab or host of the site.
  const read = safe(() => {
    const value = ('; ' + doc.cookie).match(/; tyst_consent=[gde][^;]*/g)?.sort()[0].split('=')[1]
    if (value && value != stored) {
      stored = value
      evidence = ''
    }
  })

  const write = safe((choice) => {
    stored = choice;
    // All hosts of the site share the choice, when this page is at or under its name; a cookie of this host alone,
    // which is removed first, would compete with that. The fifth letter of the address distinguishes https from http,
    // where the text `false` is no attribute that browsers know.
    [0, 34e6 + (('.' + location.hostname).endsWith('.' + options.domain) && ';domain=' + options.domain)].map((age) => {
      doc.cookie = `tyst_consent=${stored};samesite=lax;path=/;${here()[4] == 's' && 'secure'};max-age=${age}`
    })
  })

  // The level that a choice allows: 0 nothing, 1 the limited level, 2 everything.
  const allowed = (choice) => navigator.doNotTrack > 0 || navigator.webdriver || navigator.globalPrivacyControl ? 0
    : choice == 'granted' || !choice && options.consent == 'exempt' ? 2
    : +(options.consent == 'limited' && choice != 'excluded')

  // The only thing that erases. It is sent until it is confirmed, by the next page if need be; a new yes cancels it.
  const withdraw = (choice = stored.split('.new')[0]) => {
    write(choice + '.new')
    withdrawal = post(0, { c: 'withdrawn', d: options.domain, k: receipt || null })
    receipt = counted = attributed = 0
  }

  const choose = (choice, by) => {
    if (/^e/.test(stored)) return
    if (choice != stored.split('.new')[0]) {
      if (choice != 'granted' && (allowed(stored) > 1 || /new/.test(stored))) withdraw(choice)
      else write(choice)
    }
    evidence = by
    update()
  }

  // The choice that holds now; null while a yes of the cookie waits for the banner. The banner is queried each time. A
  // refusal stands until its source, banner or page, revokes it; and while a banner is followed, a yes that is only in
  // the cookie needs the banner's confirmation.
  const current = () => {
    read()
    const latest = safe(banners[followed] || query)()
    if (latest === void 0 || latest === !!latest) {
      const before = answer
      answer = latest
      if (latest != before) {
        if (latest == null) evidence = ''
        else /own/.test(stored) || choose(latest ? 'granted' : 'denied', followed)
      }
    }
    return stored != 'granted' || answer || evidence ? stored.split('.')[0] || void 0
      : answer === false ? 'denied' : answer
  }

  // Sending -----------------------------------------------------------------------------------------------------------

  // Sends a beacon of one of the levels, or a withdrawal, which has none. What is lost or refused is sent again a few
  // times, as long as the page lives and the choice stands; and so is a beacon that the collector requests again, with
  // the receipt of its response.
  const post = async (scope, beacon, tries = 0) => {
    let pause
    try {
      // What comes after a withdrawal must not be erased by it.
      if (scope) await withdrawal
      if (scope ? allowed(current()) != scope : !/new/.test(stored)) return
      const response = await fetch(options.api || new URL('../api/event', script.src), {
        body: JSON.stringify(scope > 1 ? { k: receipt, ...beacon } : beacon),
        keepalive: 1,
        method: scope ? 'POST' : 'DELETE'
      })
      pause = response.headers.get('retry-after')
      read()
      if (response.status < 429) {
        if (scope > 1) {
          receipt = response.headers.get('x-tyst-receipt')
          // A withdrawal has overtaken it.
          if (allowed(stored) < 2) withdraw()
        }
        // What a proxy refuses is not confirmed: the next page tells it again.
        if (!scope && response.status < 300) write(stored.split('.new')[0])
        if (!pause) return
      }
    } catch {}
    if (tries < 5) setTimeout(post, (pause || 2 ** tries) * 1e3, scope, beacon, tries + 1)
  }

  const withoutQuery = (address) => address.replace(/\?[^#]*/g, '')

  const here = () => location.href.replace('hash' in options ? '' : /#.*/, '')

  // The campaign tags of the first address go with the first page that is counted, as the referrer does.
  const tags = here().split(/[?&#]/).filter((part) => part.match(/^(utm_\w+|ref|source|\w+id|epik)=/)).join('&')

  // The page's own hook gets each beacon last. If it throws, the beacon is not sent.
  const send = safe((scope, n, about, more) => {
    const first = scope > attributed
    const address = about.url || url
    const beacon = (tyst.transform || ((beacon) => beacon))({
      v: 1, w: innerWidth, h: +('hash' in options), n, d: options.domain, q: '' + Math.random(),
      ...scope > 1 ? {
        u: first && address.indexOf(tags) < 0 ? address.replace(/\?|(?=#)|$/, () => '?' + tags + '&') : address,
        r: first ? doc.referrer : '',
        $: copy(about).revenue, c: choice && (evidence || 'cookie'), i: copy(about).interactive,
        p: copy(about.props, attributes(script, 'data-props-')), ...more,
        z: Intl.DateTimeFormat().resolvedOptions().timeZone
      } : { l: 1, u: withoutQuery(address), r: first ? doc.referrer.split('/', 3).join('/') : '' }
    })
    if (beacon.n) post(scope, beacon)
  })

  // Pages -------------------------------------------------------------------------------------------------------------

  // The current page: its address as sent, what was passed about it, its real address and path, and the level at which
  // it was counted.
  let url = here(), details, page, path = location.pathname, counted = 0
  // The level at which referrer and campaign tags were sent with a page before this one.
  let attributed = 0
  // Whether the document has loaded, with its redirects, and the page was visible. Events that wait for both.
  let loaded = doc.readyState < 'd', visible, waiting = []
  // Engagement: seconds; how many pixels of the page were seen from its top, its height, and how many of them were seen
  // without scrolling or have been reported.
  let engaged = 0, depth = 0, height, reported
  // Where the previous page was scrolled to: until that changes, it is still shown.
  let position
  // The element that was scrolled last, if it fills most of the window.
  let scroller = 0

  // Measures the document or, where it cannot scroll, the element that fills most of the window and does. Returns the
  // position.
  const measure = safe(({ target } = {}) => {
    const root = doc.scrollingElement
    if (target?.clientHeight > innerHeight / 2) scroller = target
    const { scrollTop, clientHeight, scrollHeight } = root.scrollHeight > root.clientHeight ? root : scroller
    const place = scrollTop / scrollHeight
    if (scrollHeight && place != position) {
      height = scrollHeight
      depth = Math.max(depth, scrollTop + clientHeight)
      reported ||= clientHeight
    }
    return place
  })

  // Sends what may be sent now, `leaving` the page or not, and begins the next page: the one that is passed, or where
  // the address has changed. Returns the level.
  //
  // A page is counted when it is first seen: not in a prerender, a background tab or before the choice, and after its
  // redirects. What is allowed may change while it is open: then it is counted anew, with more or with less.
  const update = safe((leaving, about) => {
    choice = current()
    about ||= !('manual' in options) && withoutQuery(here()) != page && {}
    leaving ||= about
    // A page that is left while the choice is pending counts as undecided.
    const scope = listed(options.exclude, path) || choice === null && !leaving ? 0 : allowed(choice)
    visible |= !doc.hidden && !doc.prerendering
    // Another tab has withdrawn.
    if (allowed(stored) < counted) counted = 0
    if (loaded && visible) {
      if (details && scope > counted) send(counted = scope, 'pageview', details)
      waiting.splice(0).map((event) => scope > 1 && send(scope, ...event))
    }
    if (leaving && scope > 1 && (engaged > 2 || depth > reported)) {
      send(scope, 'engagement', {}, { e: engaged * 1e3, sd: Math.min(100, 100 * depth / height + .5 | 0) })
      engaged = 0
      reported = depth
    }
    if (about) {
      attributed |= counted
      position = details && measure() || -1
      counted = depth = engaged = reported = visible = 0
      details = about
      url = about.url || here()
      page = withoutQuery(here())
      path = location.pathname
      update()
    }
    return scope
  })

  const tick = safe((event) => {
    const left = event?.type == 'pagehide'
    loaded = 1
    forwarded = 0
    if (update(left || doc.hidden) > 1) engaged += !event && !doc.hidden && doc.hasFocus()
    measure()
    if (left && event.persisted && !('manual' in options)) page = details = 0
  })

  // Calls -------------------------------------------------------------------------------------------------------------

  const tyst = window.tyst = safe((name, about) => {
    if (name.trim()) {
      if (name == 'pageview') update(0, about || {})
      else if (update() > 1) {
        waiting.push([name, about || {}])
        update()
      }
    }
  })

  tyst.v = 1
  tyst.transform = stub.transform
  // Two words are answers. Everything else is none.
  tyst.consent = (word, by) => {
    read()
    if (word === 'granted') choose(answer === false ? 'denied' : word, by || word)
    if (word === 'denied') choose(followed ? 'denied.own' : word)
    return current() || void 0
  }

  // Tracks clicks and submissions: the first element of the event's path that is a link, a form or tagged.
  let forwarded
  const files = '*.pdf,*.zip,*.docx,*.xlsx,*.csv,*.mp3,*.mp4'
  const track = (event) => {
    const path = event.composedPath()
    const form = event.type == 'submit'
    setTimeout(tick, 0, event)
    // The click that a label forwards to its control is not another one.
    if (event.button > 1 || path[0] == forwarded) return
    path.some((element) => {
      if (element.matches?.('form') == form) {
        let { event: name = /tyst-event=(\S+)/.exec(element.classList)?.[1], ...props } =
          attributes(element, 'data-tyst-')
        if (!name) {
          if (form) name = 'forms' in options && 'Form: Submission'
          else {
            props = { url: element.origin + element.pathname }
            name = element.host && ('downloads' in options
              && (element.attributes.download || listed(options.downloads || files, element.pathname)) ? 'File Download'
              : 'outbound' in options && element.host != location.host && 'Outbound Link: Click')
          }
        }
        if (name) {
          tyst(name, { props })
          path.some((label) => forwarded = label.control)
        }
        return name
      }
    })
  }

  // Before the first page: a withdrawal that an earlier page could not send, and the choice of the stub.
  read()
  if (/new/.test(stored)) withdraw()
  if (location.hash == '#tyst-exclude') choose('excluded')
  tyst.consent(stub.c)
  setInterval(tick, 1e3)
  on(track, 'auxclick click submit')
  on(measure, 'scroll')
  on(tick, 'visibilitychange prerenderingchange pageshow pagehide popstate')
  update()
  if (window.navigation?.currentEntry) navigation.addEventListener('currententrychange', () => update())
  else ['replaceState', 'pushState'].map(safe((name) => {
    const original = history[name]
    history[name] = (...args) => {
      original.apply(history, args)
      update()
    }
  }))
  stub.q?.map((queued) => tyst(...queued))
})()
