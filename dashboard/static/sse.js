// The stream of a site's changes, told to the other scripts as events of the document: tyst:open, tyst:changed,
// tyst:present (what happens now, as HTML), tyst:away.
// Windows that nobody sees have none: browsers allow six connections to a server.
(() => {
  const PATIENCE = 5000
  const wanted = () => document.querySelector('[data-stream]')?.dataset.stream
  let source
  let open = ''
  let waiting

  const tell = (name, detail) => document.dispatchEvent(new CustomEvent(`tyst:${name}`, { detail }))

  function close() {
    source?.close()
    source = undefined
  }

  function listen() {
    const url = document.hidden ? undefined : wanted()
    if (url === open && source) return
    close()
    open = url
    clearTimeout(waiting)
    if (!url) return
    source = new EventSource(url)
    source.onopen = () => tell('open')
    source.addEventListener('present', ({ data }) => tell('present', JSON.parse(data)))
    source.addEventListener('changed', () => tell('changed'))
    source.addEventListener('away', () => tell('away'))
    source.onerror = retryLater
  }

  // A stream ends every minute and comes back within a second or two: only what lasts is worth a word.
  function retryLater() {
    clearTimeout(waiting)
    waiting = setTimeout(() => {
      if (source?.readyState === EventSource.OPEN) return
      tell('away')
      close()
      listen()
      tell('stale')
    }, PATIENCE)
  }

  document.addEventListener('tyst:retry', () => {
    close()
    listen()
  })
  document.addEventListener('htmx:afterSwap', listen)
  document.addEventListener('visibilitychange', listen)
  addEventListener('pagehide', () => source?.close())
  addEventListener('pageshow', ({ persisted }) => {
    if (!persisted) return
    source = undefined
    listen()
  })
  listen()
})()
