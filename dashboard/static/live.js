// Keeps a site's figures up to date while someone looks at them, says when that fails, and lets keys choose.
(() => {
  const SETTLED = 60000 // what changes by the clock alone is looked at so often
  const PATIENCE = 5000
  const report = () => document.getElementById('report')
  const trouble = document.getElementById('trouble')
  const wanted = () => document.querySelector('[data-stream]')?.dataset.stream
  let version = ''
  let source
  let open = ''
  let waiting
  let stale = false

  function say(what) {
    if (!trouble) return
    trouble.hidden = !what
    for (const text of trouble.querySelectorAll('[data-when]')) text.hidden = text.dataset.when !== what
  }

  // ---- The report: fetched again when something has happened, unless its reader is in the middle of something.

  const busy = (box) => document.hidden || document.querySelector('.htmx-request') || occupied(box)

  const occupied = (box) =>
    box.querySelector('details.menu[open], details.note-form[open]') ||
    box.querySelector('.plot:hover, .plot:focus, .map:hover, .map:focus-within') ||
    (box.contains(document.activeElement) && !document.activeElement.id)

  function refresh() {
    const box = report()
    if (!box?.dataset.live) return
    stale = Boolean(busy(box))
    if (!stale) htmx.ajax('GET', box.dataset.live, { target: '#report', swap: 'outerHTML', headers: { 'X-Report': version } })
  }

  // While these were on their way the reader may have gone on to other figures, or begun to write or to choose.
  let asking
  document.addEventListener('htmx:beforeRequest', ({ detail }) => {
    if (!('X-Report' in detail.requestConfig.headers)) asking = detail.xhr
  })
  document.addEventListener('htmx:beforeSwap', ({ detail }) => {
    const box = report()
    if (!('X-Report' in detail.requestConfig.headers)) return
    // Nor may they take away the link that was followed while they were on their way: its answer comes next.
    const followed = box?.classList.contains('htmx-request')
    if (followed || detail.requestConfig.path !== box?.dataset.live) detail.shouldSwap = false
    else if (occupied(box) || (asking && asking.readyState < 4)) {
      detail.shouldSwap = false
      stale = true
      version = ''
    }
  })
  document.addEventListener('htmx:afterRequest', ({ detail }) => {
    if (!stale) version = detail.xhr.getResponseHeader('X-Report') || version
    if (detail.successful && detail.target?.id === 'report') say('')
  })
  for (const name of ['htmx:responseError', 'htmx:sendError', 'htmx:timeout'])
    document.addEventListener(name, ({ detail }) => detail.target?.id === 'report' && say('failed'))

  // ---- The page of the last half hour: each part is replaced where it has changed; the focus stays where it was.

  function show(html) {
    const box = document.getElementById('live')
    const next = document.createElement('template')
    next.innerHTML = html
    for (const part of next.content.querySelectorAll('[data-part]')) {
      const old = box.querySelector(`[data-part="${part.dataset.part}"]`)
      if (old.innerHTML === part.innerHTML) continue
      const focus = old.contains(document.activeElement) && document.activeElement.id
      old.replaceWith(part)
      if (focus) document.getElementById(focus)?.focus()
    }
    const now = box.querySelector('[data-now]').textContent
    document.title = document.title.replace(/^(\d[\d\s.,]* · )?/, `${now} · `)
  }

  // ---- The stream. Windows that nobody sees have none: browsers allow six connections to a server.

  function listen() {
    const url = document.hidden ? undefined : wanted()
    if (url === open && source) return
    source?.close()
    source = undefined
    open = url
    clearTimeout(waiting)
    if (!url) return
    source = new EventSource(url)
    source.onopen = () => say('')
    source.addEventListener('present', ({ data }) => {
      say('')
      show(JSON.parse(data))
    })
    source.addEventListener('changed', () => {
      say('')
      refresh()
    })
    source.addEventListener('away', () => say('away'))
    source.onerror = () => {
      // A stream ends every minute and comes back within a second or two: only what lasts is worth a word.
      clearTimeout(waiting)
      waiting = setTimeout(() => {
        if (source?.readyState === EventSource.OPEN) return
        say('away')
        source?.close()
        source = undefined
        listen()
        refresh()
      }, PATIENCE)
    }
  }

  trouble?.querySelector('button').addEventListener('click', () => {
    if (!window.htmx) return location.reload()
    say('')
    htmx.ajax('GET', location.pathname + location.search, { target: '#report', swap: 'outerHTML' })
    source?.close()
    source = undefined
    listen()
  })
  document.addEventListener('htmx:afterSwap', listen)
  document.addEventListener('visibilitychange', () => {
    listen()
    refresh()
  })
  addEventListener('pagehide', () => source?.close())
  addEventListener('pageshow', ({ persisted }) => {
    if (!persisted) return
    source = undefined
    listen()
    refresh()
  })
  listen()
  setInterval(() => stale && refresh(), 1000)
  setInterval(refresh, SETTLED)

  // ---- Keys. They can be turned off, for those who speak to their computer (WCAG 2.1.4).

  const OFF = 'tyst-keys'
  const off = () => localStorage.getItem(OFF) === 'off'
  const typing = (element) => element.closest('input, select, textarea, [contenteditable], .plot, .map')

  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || event.defaultPrevented || off()) return
    if (typing(event.target) || document.querySelector('.scroll:focus')) return
    const key = event.key.length === 1 ? event.key.toUpperCase() : event.key
    if (key === 'C' && document.getElementById('period')) {
      event.preventDefault()
      document.getElementById('period').open = true
      document.getElementById('from').focus()
      return
    }
    const link = document.querySelector(`a[data-key="${CSS.escape(key)}"]`)
    if (!link) return
    event.preventDefault()
    link.click()
  })
  const choices = () => {
    const box = document.getElementById('keys')
    if (box) box.checked = !off()
  }
  document.addEventListener('change', ({ target }) => {
    if (target.id === 'keys') target.checked ? localStorage.removeItem(OFF) : localStorage.setItem(OFF, 'off')
  })
  document.addEventListener('htmx:afterSwap', choices)
  choices()

  // The map's script comes with the first map that is opened.
  function loadMap() {
    const box = document.querySelector('.map[data-script]')
    if (!box || document.querySelector(`script[src="${box.dataset.script}"]`)) return
    document.head.append(Object.assign(document.createElement('script'), { src: box.dataset.script }))
  }
  document.addEventListener('htmx:afterSwap', loadMap)
  loadMap()

  // Paper has no chart to point at: the numbers are printed.
  addEventListener('beforeprint', () => {
    for (const table of document.querySelectorAll('.chart-table')) table.open = true
  })
})()
