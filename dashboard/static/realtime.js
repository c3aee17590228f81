// The page of the last half hour: each part is replaced where it has changed; the focus stays where it was.
document.addEventListener('tyst:present', ({ detail }) => {
  const box = document.getElementById('live')
  const next = document.createElement('template')
  next.innerHTML = detail
  for (const part of next.content.querySelectorAll('[data-part]')) {
    const old = box.querySelector(`[data-part="${part.dataset.part}"]`)
    if (old.innerHTML === part.innerHTML) continue
    const focus = old.contains(document.activeElement) && document.activeElement.id
    old.replaceWith(part)
    if (focus) document.getElementById(focus)?.focus()
  }
  const now = box.querySelector('[data-now]').textContent
  document.title = document.title.replace(/^(\d[\d\s.,]* · )?/, `${now} · `)
})
