// Says when a page's figures cannot be kept up to date, and offers to try again.
(() => {
  const box = document.getElementById('trouble')
  if (!box) return

  function say(what) {
    box.hidden = !what
    for (const text of box.querySelectorAll('[data-when]')) text.hidden = text.dataset.when !== what
  }

  for (const name of ['tyst:open', 'tyst:changed', 'tyst:present', 'tyst:refreshed']) document.addEventListener(name, () => say(''))
  document.addEventListener('tyst:away', () => say('away'))
  document.addEventListener('tyst:failed', () => say('failed'))
  box.querySelector('button').addEventListener('click', () => {
    if (!window.htmx) return location.reload()
    say('')
    document.dispatchEvent(new Event('tyst:retry'))
  })
})()
