// Tyst's snippet: counts pages anonymously, sends nothing without consent, stores one cookie with the visitor's choice.
// README.md beside this file has the attributes, the calls, every key that is sent, and consent as a state machine.

(() => {
  const stub = window.tyst || 0
  const script = document.currentScript || document.querySelector('script[data-domain]')
  // Loaded twice: the first one counts.
  if (stub.v || !script) return

  // Lists are separated by commas, and a star stands for anything. All else is text: each part is searched once, after
  // the one before it, so the time is linear. A blank, which no path has, marks both ends.
  const listed = (list, text) => list?.split(',').some((pattern) => {
    let index = 0
    return (' ' + pattern.trim() + ' ').split('*').every((part) =>
      (index = (' ' + text + ' ').indexOf(part, index) + part.length) >= part.length)
  })

  // No error may reach the page, so whatever the browser or the page calls is wrapped in this, as are the questions to
  // a banner, whose error is null.
  const safe = (callback) => (...args) => {
    try { return callback(...args) } catch { return null }
  }

  // Copies what JSON can represent; anything else costs itself alone.
  const copy = (source, target = {}) => {
    for (const name in source) safe(() => JSON.stringify(source[name]) && (target[name] = source[name]))()
    return target
  }

  // The attributes of a prefix, by the rest of their names.
  const attributes = (element, prefix, result = {}) => {
    [...element.attributes].map((each) =>
      each.name.split(prefix)[1] && (result[each.name.split(prefix)[1]] = each.value))
    return result
  }

  const options = attributes(script, 'data-')
  const purpose = options.purpose || 'analytics'

  // Consent -----------------------------------------------------------------------------------------------------------

  // The choice as the cookie holds it: granted, denied or excluded, or empty. A refusal may have notes: `.own` when the
  // page itself refused while a banner is followed, `.new` until the collector has confirmed the withdrawal.
  let stored = ''
  // The last answer that an adapter was notified of; null before the first.
  let notified = null
  // The banner's answer: granted, denied, undefined while the visitor has not answered, null while it has not been
  // available. Without a banner there is nothing to wait for.
  let answer = options.cmp ? null : 'granted'
  // Words of answers, as some interfaces have them.
  const words = { granted: true, denied: false, allow: true, deny: false }
  // The source of a yes: the banner, or what the page passed; none when it is only in the cookie.
  let evidence
  // The collector's last receipt, which goes back with every beacon. A page forgets it.
  let receipt
  // The response to the last withdrawal.
  let withdrawal
  // The choice that holds now.
  let choice

  // How a banner is queried: true, false, or undefined while the visitor has not answered. Anything else, as any error,
  // means that it is unavailable, and changes nothing.
  const banners = {
    // A global of the name in `data-cmp` is known by its interface: tarteaucitron, of which cannot be determined
    // whether it is asking or still loading, Orejime, Klaro, or a function of the page. The others have no such global.
    [options.cmp]: (banner = window[options.cmp]) => banner.state ? banner.state[purpose] ?? null
      : banner.manager ? banner.manager.isDirty() ? void 0 : banner.manager.getConsent(purpose)
      : banner.getManager ? banner.getManager().confirmed ? banner.getManager().savedConsents[purpose] : void 0
      : banner(),
    // Without a stored answer this API says yes for visitors whom nobody has asked.
    wp: () => words[/_statistics=(\w+)/.exec(document.cookie)?.[1]],
    // It notifies from the next query on.
    tcf: () => (
      __tcfapi('addEventListener', 2, safe((data) => data.eventStatus > 't'
        && (notified = data.gdprApplies == 0 || [8, 9].every((id) => data.purpose.consents[id])))),
      banners.tcf = () => notified
    ),
    cookieconsent: () => CookieConsent.validConsent() ? CookieConsent.acceptedCategory(purpose) : void 0,
    // Defaults are the site's setting, updates the visitor's answer.
    gcm() {
      dataLayer.map(safe(([type, command, settings]) => type + command == 'consentupdate'
        && (notified = words[settings.analytics_storage] ?? notified)))
      return notified
    }
  }

  // Only a cookie of exactly this name counts; of several the refusal, which sorts first. Without one this fails, and
  // nothing changes. A change comes from another tab or host of the site.
  const read = safe(() => {
    const value = document.cookie.split('; ').sort()
      .filter((each) => /^tyst_consent=[dge]/.test(each))[0].split('=')[1]
    if (stored != value) {
      stored = value
      evidence = 0
    }
  })

  const choose = (choice, by) => {
    if (/^e/.test(stored)) return
    if (stored.split('.new')[0] != choice) {
      write(choice, choice != 'granted' && (/new/.test(stored) || allowed(stored) > 1))
    }
    evidence = by
    update()
  }

  // The choice that holds now; null while a yes of the cookie waits for the banner. The banner is queried each time. A
  // refusal stands until its source, banner or page, revokes it; and while a banner is followed, a yes that is only in
  // the cookie needs the banner's confirmation.
  const current = () => {
    read()
    const latest = safe(banners[options.cmp])()
    if ((latest === void 0 || !!latest === latest)
      && answer != (answer = latest == null ? latest : latest ? 'granted' : 'denied')) {
      if (!answer) evidence = 0
      else if (!/own/.test(stored)) choose(answer, options.cmp)
    }
    return stored != 'granted' || evidence ? stored.split('.')[0] : answer
  }

  // The level that a choice allows: 0 or false nothing, 1 or true the limited level, 2 everything.
  const allowed = (choice) => navigator.globalPrivacyControl || navigator.webdriver || navigator.doNotTrack > 0 ? 0
    : choice == 'granted' || !choice && options.consent == 'exempt' ? 2
    : choice != 'excluded' && options.consent == 'limited'

  // Sets the choice. One that is `withdrawn` erases, and nothing else does: that is sent until it is confirmed, by the
  // next page if need be; a new yes cancels it.
  const write = safe((value, withdrawn) => {
    stored = value.split('.new')[0]
    if (withdrawn) {
      stored += '.new'
      withdrawal = post(0, { k: receipt || null, d: options.domain, c: 'withdrawn' })
      attributed = receipt = 0
    }
    // All hosts of the site share the choice, when this page is at or under its name; a cookie of this host alone,
    // which is removed first, would compete with that. Pages over http share it, too: one that is `secure` can be neither
    // read nor replaced there.
    [0, 34e6 + (('.' + location.hostname).split('.' + options.domain)[1] == '' && ';domain=' + options.domain)].map(
      (age) => document.cookie = 'tyst_consent=' + stored + ';samesite=lax;path=/;max-age=' + age)
  })

  // Sending -----------------------------------------------------------------------------------------------------------

  // Sends a beacon of one of the levels, or a withdrawal, which has none. What is lost or refused is sent again a few
  // times, as long as the page lives and the choice stands; and so is a beacon that the collector requests again, with
  // the receipt of its response.
  const post = async (scope, beacon, wait = 1) => {
    let pause
    try {
      // What comes after a withdrawal must not be erased by it.
      if (scope ? await withdrawal || allowed(current()) != scope : !/new/.test(stored)) return
      const response = await fetch(options.api || withoutQuery(script.src) + '/../../api/event', {
        keepalive: 1,
        method: scope ? 'POST' : 'DELETE',
        body: JSON.stringify(scope > 1 ? { k: receipt, ...beacon } : beacon)
      })
      pause = response.headers.get('retry-after')
      read()
      if (response.status < 429) {
        if (scope > 1) {
          receipt = response.headers.get('x-tyst-receipt')
          // A withdrawal has overtaken it.
          if (allowed(stored) < 2) write(stored, 1)
        }
        // What a proxy refuses is not confirmed: the next page tells it again.
        if (!scope && response.ok) write(stored)
        if (!pause) return
      }
    } catch {}
    if (wait < 29) setTimeout(post, (pause || wait) * 1e3, scope, beacon, wait + wait)
  }

  const withoutQuery = (address) => address.replace(/\?[^#]*/g, '')

  const here = () => location.href.replace('hash' in options ? '' : /#.*/, '')

  // The page's own hook gets each beacon last. If it throws, the beacon is not sent.
  const send = safe((scope, n, about, more) => {
    const address = about.url || url
    const beacon = (tyst.transform || ((beacon) => beacon))({
      n, w: innerWidth, d: options.domain, q: Math.random() + '', v: 1, h: 'hash' in options,
      ...scope > 1 ? {
        r: scope > attributed ? document.referrer : '',
        u: scope > attributed && address.indexOf(tags) < 0
          ? address.replace(/\?|(?=#)|$/, () => '?' + tags + '&') : address,
        c: choice ? evidence || 'cookie' : void 0,
        z: Intl.DateTimeFormat().resolvedOptions().timeZone,
        p: copy(about.props, attributes(script, 'data-props-')),
        $: copy(about).revenue, i: copy(about).interactive, ...more
      } : {
        l: 1, r: scope > attributed ? document.referrer.split('/', 3).join('/') : '', u: withoutQuery(address)
      }
    })
    if (beacon.n) post(scope, beacon)
  })

  // The campaign tags of the first address go with the first page that is counted, as the referrer does.
  const tags = here().split(/[?#&]/).filter((part) => /^(\w+id|ref|utm_\w+|epik|source)=/.test(part)).join('&')

  // Pages -------------------------------------------------------------------------------------------------------------

  // Whether the document has loaded, with its redirects; events that wait for that, and for the page to be seen; whether
  // it was.
  let loaded, waiting = [], visible
  // The level at which referrer and campaign tags were sent with a page before this one.
  let attributed = 0
  // The current page: its address as sent, what was passed about it, its real address and path, and the level at which
  // it was counted.
  let url = here(), details, page, path = location.pathname, counted
  // Engagement: seconds; how many pixels of the page were seen from its top; how many of them were seen without scrolling
  // or have been reported; its height.
  let engaged, depth, reported, height
  // Where the previous page was scrolled to: until that changes, it is still shown.
  let position
  // The element that was scrolled last, if it fills most of the window.
  let scroller
  // The control to which a label forwards its click, until that has been dispatched.
  let forwarded

  // Called each second without an event, and with whatever else may change something. `left` when the page is left.
  const tick = (event, left) => {
    loaded = 1
    if (update(document.hidden || left) > 1) engaged += !event && document.hasFocus() && !document.hidden
    measure()
    if (left && event.persisted && !('manual' in options)) details = page = 0
  }

  // Sends what may be sent now, `leaving` the page or not, and begins the next page: the one that is passed, or where
  // the address has changed. Returns the level.
  //
  // A page is counted when it is first seen: not in a prerender, a background tab or before the choice, and after its
  // redirects. What is allowed may change while it is open, also by another tab: then it is counted anew, with more or
  // with less.
  const update = safe((leaving, about) => {
    choice = current()
    about ||= withoutQuery(here()) != page && !('manual' in options) && {}
    leaving ||= about
    // A page that is left while the choice is pending counts as undecided.
    const scope = choice === null && !leaving || listed(options.exclude, path) ? 0 : allowed(choice)
    visible |= !document.hidden && !document.prerendering
    if (allowed(stored) < counted) counted = 0
    if (loaded && visible) {
      if (details && scope > counted) send(counted = scope, 'pageview', details)
      waiting.splice(0).map((event) => scope > 1 && send(scope, ...event))
    }
    if (leaving && scope > 1 && (engaged > 2 || depth > reported)) {
      send(scope, 'engagement', 0, { sd: depth > height ? 100 : depth / height * 100 + .5 | 0, e: 1e3 * engaged })
      reported = depth
      engaged = 0
    }
    if (about) {
      attributed |= counted
      position = details && measure() || -1
      reported = depth = engaged = visible = counted = 0
      url = about.url || here()
      path = location.pathname
      page = withoutQuery(here())
      details = about
      update()
    }
    return scope
  })

  // Measures the document or, where it cannot scroll, the element that fills most of the window and does. Returns the
  // position.
  const measure = safe(() => {
    const root = document.scrollingElement
    const { clientHeight, scrollHeight, scrollTop } = root.scrollHeight > root.clientHeight ? root : scroller
    if (scrollHeight && position != scrollTop / scrollHeight) {
      height = scrollHeight
      if (scrollTop + clientHeight > depth) depth = scrollTop + clientHeight
      reported ||= clientHeight
    }
    return scrollTop / scrollHeight
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
    if (word === 'denied') choose(options.cmp ? 'denied.own' : word)
    if (word === 'granted') choose(answer == 'denied' ? answer : word, by || word)
    return current() || void 0
  }

  // Before the first page: a withdrawal that an earlier page could not send, and the choice of the stub.
  read()
  if (/new/.test(stored)) write(stored, 1)
  if (location.hash == '#tyst-exclude') choose('excluded')
  tyst.consent(stub.c)

  const files = '*.mp4,*.mp3,*.xlsx,*.docx,*.pdf,*.zip,*.csv'
  const types = 'auxclick pageshow popstate scroll click pagehide submit visibilitychange'
  types.split(' ').map((type) => addEventListener(type, safe((event) => {
    const path = event.composedPath()
    if (type == 'scroll') {
      if (path[0].clientHeight > innerHeight / 2) scroller = path[0]
      return measure()
    }
    tick(event, type == 'pagehide')
    // When the page's own listeners have run, which may belong to a banner.
    setTimeout(() => tick(forwarded = 1))
    // Tracks clicks and submissions: the first element of the path that is a link, a form or tagged. The click that a
    // label forwards to its control is not another one.
    event.button > 1 || forwarded == path[0] || path.some((element) => {
      // Only forms have a method.
      if (element.attributes && !!element.method == (type == 'submit')) {
        let { event: name = /tyst-event=(\S+)/.exec(element.classList)?.[1], ...props } =
          attributes(element, 'data-tyst-')
        name ||= element.method ? 'forms' in options && 'Form: Submission'
          : element.host && (props.url = element.origin + element.pathname) && ('downloads' in options
            && (element.attributes.download || listed(options.downloads || files, element.pathname)) ? 'File Download'
            : 'outbound' in options && location.host != element.host && 'Outbound Link: Click')
        if (name) {
          tyst(name, { props })
          path.some((label) => forwarded = label.control)
        }
        return name
      }
    })
  }), 1))

  setInterval(tick, 1e3)
  update()
  if (window.navigation?.currentEntry) navigation.addEventListener('currententrychange', () => update())
  else ['pushState', 'replaceState'].map(safe((name) => {
    const original = history[name]
    history[name] = (...args) => {
      original.apply(history, args)
      update()
    }
  }))
  stub.q?.map((queued) => tyst(...queued))
})()
