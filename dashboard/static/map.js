// Draws the map of the world from outlines that are fetched when it is first opened, in shades from the list below it.
(() => {
  const SVG = 'http://www.w3.org/2000/svg'
  let world

  function element(name, attributes = {}) {
    const made = document.createElementNS(SVG, name)
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
    return made
  }

  // By the square root, so that the countries at the top differ and the smallest are still seen.
  function fill(shape, count, most) {
    if (count) shape.setAttribute('fill-opacity', (0.16 + 0.84 * Math.sqrt(count / most)).toFixed(3))
    shape.classList.toggle('counted', count > 0)
    return shape
  }

  function draw(box) {
    const rows = new Map([...box.closest('.panel').querySelectorAll('tr[data-code]')].map((row) => [row.dataset.code, row]))
    const count = (code) => +(rows.get(code)?.dataset.count || 0)
    const most = Math.max(1, ...[...rows.keys()].map(count))
    const svg = element('svg', { viewBox: `0 ${world.top} ${world.width} ${world.height}`, 'aria-hidden': 'true', focusable: 'false' })
    for (const [code, d] of world.shapes) svg.append(fill(element('path', { d, 'data-code': code }), count(code), most))
    for (const [code, cx, cy] of world.dots)
      if (count(code)) svg.append(fill(element('circle', { cx, cy, r: 5, 'data-code': code }), count(code), most))
    const tip = Object.assign(document.createElement('div'), { className: 'tip', hidden: true })
    tip.setAttribute('aria-hidden', 'true')
    box.replaceChildren(svg, tip)
    follow(box, svg, tip, rows, count)
  }

  const text = (row) => [row.cells[0], row.cells[1]].map((cell) => cell.textContent.trim())

  function follow(box, svg, tip, rows, count) {
    const ranked = [...rows.keys()].filter((code) => count(code) && svg.querySelector(`[data-code="${code}"]`))
    const status = box.parentElement.querySelector('[data-reading-map]')
    let current = ''

    function point(code, shape) {
      svg.querySelector('.pointed')?.classList.remove('pointed')
      const row = rows.get(code)
      current = row ? code : ''
      tip.hidden = !row
      if (!row) return
      const [name, visitors] = text(row)
      tip.replaceChildren(Object.assign(document.createElement('span'), { textContent: name }), Object.assign(document.createElement('strong'), { textContent: `${visitors} ${box.dataset.unit}` }))
      shape.classList.add('pointed')
      shape.parentNode.append(shape)
      const [frame, area] = [box.getBoundingClientRect(), shape.getBoundingClientRect()]
      const middle = Math.min(Math.max(area.left, frame.left) + Math.min(area.width, frame.width) / 2, frame.right) - frame.left
      const left = Math.min(Math.max(0, middle - tip.offsetWidth / 2), frame.width - tip.offsetWidth)
      const top = area.top - frame.top - tip.offsetHeight - 6
      tip.style.transform = `translate(${left}px, ${top < 0 ? area.bottom - frame.top + 6 : top}px)`
    }
    const open = () => rows.get(current)?.querySelector('a')?.click()

    svg.addEventListener('pointermove', ({ target }) => target.dataset?.code !== current && point(target.dataset?.code, target))
    svg.addEventListener('pointerleave', () => point(''))
    svg.addEventListener('click', ({ target }) => {
      point(target.dataset?.code, target)
      open()
    })
    box.onblur = () => point('')
    box.onkeydown = (event) => {
      const at = ranked.indexOf(current)
      const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: Math.max(0, at - 1), ArrowUp: Math.max(0, at - 1), Home: 0, End: ranked.length - 1 }[event.key]
      if (event.key === 'Enter') return open()
      if (to === undefined || !ranked.length) return
      event.preventDefault()
      const code = ranked[Math.min(to, ranked.length - 1)]
      point(code, svg.querySelector(`[data-code="${code}"]`))
      status.textContent = text(rows.get(code)).join(': ')
    }
  }

  async function show() {
    const box = document.querySelector('.map[data-world]')
    if (!box) return
    try {
      world ??= await fetch(box.dataset.world).then((answer) => (answer.ok ? answer.json() : Promise.reject(answer.status)))
    } catch {
      // The list below says the same.
      box.hidden = true
      return
    }
    if (box.isConnected && !box.querySelector('svg')) draw(box)
  }

  show()
  document.addEventListener('htmx:afterSwap', show)
})()
