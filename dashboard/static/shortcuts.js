// Keyboard shortcuts. They can be turned off, for those who speak to their computer (WCAG 2.1.4).
(() => {
  const OFF = 'tyst-keys'
  const off = () => localStorage.getItem(OFF) === 'off'
  const typing = (element) => element.closest('input, select, textarea, [contenteditable], .plot, .map')

  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key !== '?') || event.defaultPrevented || off()) return
    if (typing(event.target) || document.querySelector('.scroll:focus')) return
    const key = event.key.length === 1 ? event.key.toUpperCase() : event.key
    if (key === '?') return document.getElementById('shortcuts')?.togglePopover()
    if (key === 'S' && document.getElementById('add-filter')) {
      event.preventDefault()
      document.getElementById('add-filter').open = true
      document.getElementById('fd').focus()
      return
    }
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

  function showChoice() {
    const box = document.getElementById('keys')
    if (box) box.checked = !off()
  }
  document.addEventListener('change', ({ target }) => {
    if (target.id === 'keys') target.checked ? localStorage.removeItem(OFF) : localStorage.setItem(OFF, 'off')
  })
  showChoice()
})()
