// Small conveniences. Every page works without them.
(() => {
  const REFRESH = 1000
  let version = ''

  // Add a site: the browser's time zone is the likeliest.
  for (const input of document.querySelectorAll('[data-detect-zone]')) {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone
    const known = [...input.list.options].some((option) => option.value === zone)
    if (input.value === 'UTC' && known) input.value = zone
  }

  // Copy a tag. Without a secure context there is no clipboard: then it is selected, ready for the keyboard.
  for (const button of document.querySelectorAll('[data-copy]')) {
    button.hidden = false
    button.addEventListener('click', async () => {
      const source = document.querySelector(button.dataset.copy)
      const status = document.querySelector('[data-copied]')
      if (navigator.clipboard) {
        await navigator.clipboard.writeText(source.textContent)
        button.textContent = status.textContent = 'Copied'
      } else {
        getSelection().selectAllChildren(source)
        status.textContent = 'Selected: press Control and C to copy'
      }
      setTimeout(() => (button.textContent = 'Copy'), 2000)
    })
  }

  // A menu closes by Escape and by a click beside it.
  document.addEventListener('keydown', (event) => {
    const menu = event.key === 'Escape' && document.querySelector('details.menu[open]')
    if (!menu) return
    menu.open = false
    menu.querySelector('summary').focus()
  })
  document.addEventListener('click', (event) => {
    for (const menu of document.querySelectorAll('details.menu[open]')) if (!menu.contains(event.target)) menu.open = false
  })

  // Figures of the present day are asked for again while someone looks at them. Where they have not changed the
  // server answers 204 and the page stays untouched; a reader in the middle of something is not disturbed.
  const busy = (report) =>
    document.hidden ||
    document.querySelector('.htmx-request') ||
    report.querySelector('details.menu[open]') ||
    report.querySelector('.plot:hover, .plot:focus') ||
    (report.contains(document.activeElement) && !document.activeElement.id)

  function refresh() {
    const report = document.querySelector('#report[data-live]')
    if (!report || busy(report)) return
    htmx.ajax('GET', report.dataset.live, { target: '#report', swap: 'outerHTML', headers: { 'X-Report': version } })
  }

  // The reader may have gone on to other figures while these were on their way.
  document.addEventListener('htmx:beforeSwap', ({ detail }) => {
    const report = document.getElementById('report')
    if ('X-Report' in detail.requestConfig.headers && detail.requestConfig.path !== report?.dataset.live) detail.shouldSwap = false
  })
  document.addEventListener('htmx:afterRequest', (event) => {
    version = event.detail.xhr.getResponseHeader('X-Report') || version
  })

  // On a narrow window the open period may be out of sight.
  function showPeriod() {
    const current = document.querySelector('.segments [aria-current]')
    const list = current?.closest('.segments')
    if (list) list.scrollLeft = current.offsetLeft - (list.clientWidth - current.offsetWidth) / 2
  }
  showPeriod()
  document.addEventListener('htmx:afterSwap', showPeriod)

  document.addEventListener('visibilitychange', refresh)
  if (document.querySelector('#report')) setInterval(refresh, REFRESH)
})()
