// The demonstration site's own script: the banner, a few events, and a count of what this page has sent.
(() => {
  CookieConsent.run({
    guiOptions: { consentModal: { layout: 'box inline', position: 'bottom right' }, preferencesModal: { layout: 'box' } },
    categories: { necessary: { enabled: true, readOnly: true }, analytics: {} },
    language: {
      default: 'en',
      translations: {
        en: {
          consentModal: {
            title: 'May we count your visit?',
            description: 'We would like to know which pages are read in one visit. It is anonymous. Unless you agree, we only count the page, the site you came from and the kind of device.',
            acceptAllBtn: 'Accept',
            acceptNecessaryBtn: 'Decline',
            showPreferencesBtn: 'Choose',
          },
          preferencesModal: {
            title: 'Your choice',
            acceptAllBtn: 'Accept all',
            acceptNecessaryBtn: 'Decline all',
            savePreferencesBtn: 'Save',
            closeIconLabel: 'Close',
            sections: [
              { title: 'Necessary', description: 'One cookie that remembers this choice.', linkedCategory: 'necessary' },
              { title: 'Statistics', description: 'Which pages a visit reads, counted by Tyst. Withdraw whenever you like.', linkedCategory: 'analytics' },
            ],
          },
        },
      },
    },
  })

  document.querySelector('[data-choose]').addEventListener('click', () => CookieConsent.showPreferences())

  for (const button of document.querySelectorAll('[data-event]'))
    button.addEventListener('click', () => {
      const { event, ...props } = button.dataset
      window.tyst?.(event, { props })
      button.textContent = 'Thank you'
    })

  let sent = 0
  const said = document.querySelector('[data-sent]')
  const dot = document.querySelector('.dot')
  // The strip is as high as what it says: the banner stands above it.
  const strip = document.querySelector('.lab')
  new ResizeObserver(() => document.documentElement.style.setProperty('--strip', `${strip.offsetHeight}px`)).observe(strip)
  function tell() {
    const agreed = CookieConsent.acceptedCategory('analytics')
    const counted = sent === 1 ? 'one beacon' : `${sent} beacons`
    dot.classList.toggle('sent', agreed)
    if (agreed) said.textContent = `You agreed. This page has sent ${counted} to Tyst.`
    else said.textContent = `You ${CookieConsent.validConsent() ? 'declined' : 'have not chosen yet'}. Tyst counts that this page was opened, from which site and on what kind of device, and nothing that tells you apart.`
  }
  new PerformanceObserver((list) => {
    sent += list.getEntries().filter((entry) => new URL(entry.name).pathname === '/api/event').length
    tell()
  }).observe({ type: 'resource', buffered: true })
  for (const name of ['cc:onConsent', 'cc:onChange']) addEventListener(name, tell)
  tell()
})()
