// Passkeys: signing in with one, by the button or from what the browser suggests, and adding one to an account.
(() => {
  const RENEW = 240_000 // milliseconds: a challenge is good for five minutes
  const decoded = (text) =>
    Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (each) => each.charCodeAt(0))
  const encoded = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer)))
      .replaceAll('+', '-')
      .replaceAll('/', '_')
      .replaceAll('=', '')

  /** @param {any} credential */
  function send(form, credential, names) {
    const response = Object.fromEntries(names.map((name) => [name, encoded(credential.response[name])]))
    form.elements.credential.value = JSON.stringify({ rawId: encoded(credential.rawId), type: credential.type, response })
    form.submit()
  }

  function say(form, error) {
    const known = error.name === 'InvalidStateError'
    for (const each of form.querySelectorAll('[data-problem]')) each.hidden = (each.dataset.problem === 'known') !== known
  }

  function adding(form) {
    const options = JSON.parse(form.dataset.options)
    const publicKey = {
      ...options,
      challenge: decoded(options.challenge),
      user: { ...options.user, id: decoded(options.user.id) },
      excludeCredentials: (options.excludeCredentials ?? []).map((each) => ({ ...each, id: decoded(each.id) })),
    }
    form.addEventListener('submit', async (event) => {
      event.preventDefault()
      try {
        send(form, await navigator.credentials.create({ publicKey }), ['clientDataJSON', 'attestationObject'])
      } catch (error) {
        say(form, error)
      }
    })
    form.hidden = false
  }

  function signingIn(form) {
    let running = new AbortController()

    async function get(mediation) {
      running.abort()
      running = new AbortController()
      const { signal } = running
      const answer = await fetch(`${form.getAttribute('action')}/options`, { method: 'POST', signal })
      if (!answer.ok) throw new Error(answer.statusText)
      const options = await answer.json()
      const publicKey = { ...options, challenge: decoded(options.challenge) }
      const found = await navigator.credentials.get({ publicKey, mediation, signal })
      send(form, found, ['clientDataJSON', 'authenticatorData', 'signature', 'userHandle'])
    }

    async function suggest() {
      const offered = await PublicKeyCredential.isConditionalMediationAvailable?.()
      // What ends it is a click on the button, or a new one; nobody waits for it.
      if (offered) get('conditional').catch(() => {})
    }

    form.addEventListener('submit', async (event) => {
      event.preventDefault()
      try {
        await get('optional')
      } catch (error) {
        say(form, error)
        suggest()
      }
    })
    form.hidden = false
    suggest()
    setInterval(suggest, RENEW)
  }

  if (!window.PublicKeyCredential) return
  for (const form of document.querySelectorAll('form[data-passkey]')) {
    if (form.dataset.options) adding(form)
    else if (form.dataset.passkey === location.origin) signingIn(form)
  }
})()
