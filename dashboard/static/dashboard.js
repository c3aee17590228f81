// Small conveniences. Every page works without them.
(() => {
  // Add a site: the browser's time zone is the likeliest.
  for (const input of document.querySelectorAll('[data-detect-zone]')) {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone
    const known = [...input.list.options].some((option) => option.value === zone)
    if (input.value === 'UTC' && known) input.value = zone
  }

  // Copy a tag. Without a secure context there is no clipboard: then it is selected, ready for the keyboard.
  function offerCopies() {
    for (const button of document.querySelectorAll('[data-copy][hidden]')) {
      const name = button.textContent
      const label = button.getAttribute('aria-label')
      button.hidden = false
      button.addEventListener('click', async () => {
        const source = document.querySelector(button.dataset.copy)
        const status = document.querySelector('[data-copied]')
        if (navigator.clipboard) {
          await navigator.clipboard.writeText(source.textContent)
          button.textContent = status.textContent = status.dataset.copied
          button.removeAttribute('aria-label')
        } else {
          getSelection().selectAllChildren(source)
          status.textContent = status.dataset.selected
        }
        setTimeout(() => {
          button.textContent = name
          if (label) button.setAttribute('aria-label', label)
        }, 2000)
      })
    }
  }
  offerCopies()
  document.addEventListener('htmx:afterSwap', offerCopies)

  // What asks again by itself rests while nobody sees it, and asks at once when somebody does.
  document.addEventListener('htmx:beforeRequest', (event) => {
    if (document.hidden && event.target.matches('[hx-trigger^="every"]')) event.preventDefault()
  })

  // Escape puts an explanation away until the pointer or the focus goes elsewhere (WCAG 1.4.13); what is fetched again
  // beneath them is the same place.
  const explanation = (element) => element.closest('.helped')?.querySelector('.help')?.id ?? ''
  let putAway = []
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape') return
    putAway = [...document.querySelectorAll(':is(:hover, :focus-within) > .help')].map(({ id }) => id)
    document.documentElement.classList.add('no-help')
  })
  for (const name of ['pointerover', 'focusin'])
    document.addEventListener(name, ({ target }) => putAway.includes(explanation(target)) || document.documentElement.classList.remove('no-help'))

  // A menu closes by Escape and by a click beside it.
  document.addEventListener('keydown', (event) => {
    const menu = event.key === 'Escape' && document.querySelector('details.menu[open]')
    if (!menu) return
    menu.open = false
    menu.querySelector('summary').focus()
  })
  document.addEventListener('click', (event) => {
    for (const menu of document.querySelectorAll('details.menu[open]')) if (!menu.contains(/** @type {Node} */ (event.target))) menu.open = false
  })

  // On a narrow window the open tab may be out of sight.
  function showCurrent() {
    for (const current of document.querySelectorAll(':is(.segments, .tabs, .site-nav, .contents) [aria-current]')) {
      const list = current.closest('.segments, .tabs, .site-nav, .contents')
      if (list.scrollWidth > list.clientWidth)
        list.scrollLeft += current.getBoundingClientRect().left - list.getBoundingClientRect().left - (list.clientWidth - current.offsetWidth) / 2
    }
  }
  showCurrent()
  document.addEventListener('htmx:afterSwap', showCurrent)
})()
