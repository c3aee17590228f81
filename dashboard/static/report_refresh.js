// Fetches the report again when something has happened, unless its reader is in the middle of something.
(() => {
  const SETTLED = 60000 // what changes by the clock alone is looked at so often
  const report = () => document.getElementById('report')
  const tell = (name) => document.dispatchEvent(new Event(`tyst:${name}`))
  let version = ''
  let stale = false

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
    if (detail.successful && detail.target?.id === 'report') tell('refreshed')
  })
  for (const name of ['htmx:responseError', 'htmx:sendError', 'htmx:timeout'])
    document.addEventListener(name, ({ detail }) => detail.target?.id === 'report' && tell('failed'))

  document.addEventListener('tyst:changed', refresh)
  document.addEventListener('tyst:stale', refresh)
  document.addEventListener('tyst:retry', () => htmx.ajax('GET', location.pathname + location.search, { target: '#report', swap: 'outerHTML' }))
  document.addEventListener('visibilitychange', refresh)
  addEventListener('pageshow', ({ persisted }) => persisted && refresh())
  setInterval(() => stale && refresh(), 1000)
  setInterval(refresh, SETTLED)
})()
