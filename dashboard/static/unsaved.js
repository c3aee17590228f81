// Saving one section of the settings saves what was changed in the others too; leaving the page with changes asks first.
(() => {
  const forms = [...document.querySelectorAll('form[data-section]')]
  // An address to be tried is no setting.
  const text = (form) => {
    const data = new FormData(form)
    data.delete('tried')
    return new URLSearchParams(/** @type {any} */ (data)).toString()
  }
  // What came back with an error was not saved either.
  const saved = new Map(forms.map((form) => [form, 'unsaved' in form.dataset ? '' : text(form)]))
  const changed = () => forms.filter((form) => text(form) !== saved.get(form))
  let leaving = false

  function show() {
    for (const form of forms) form.querySelector('[data-changed]').hidden = text(form) === saved.get(form)
  }

  function carry(form, others) {
    for (const other of others)
      for (const [name, value] of new FormData(other))
        if (name !== 'section') form.append(Object.assign(document.createElement('input'), { type: 'hidden', name, value }))
    const section = form.querySelector('[name=section]')
    section.value = [section.value, ...others.map((other) => other.id)].join(',')
  }

  for (const form of forms) {
    form.addEventListener('input', show)
    form.addEventListener('submit', () => {
      leaving = true
      carry(form, changed().filter((other) => other !== form))
    })
  }
  addEventListener('beforeunload', (event) => {
    if (!leaving && changed().length) event.preventDefault()
  })
  addEventListener('pageshow', ({ persisted }) => persisted && location.reload())
  show()
})()
