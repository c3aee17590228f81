// The map's script comes with the first map that is opened.
(() => {
  function load() {
    const box = document.querySelector('.map[data-script]')
    if (!box || document.querySelector(`script[src="${box.dataset.script}"]`)) return
    document.head.append(Object.assign(document.createElement('script'), { src: box.dataset.script }))
  }
  document.addEventListener('htmx:afterSwap', load)
  load()
})()
