// Draws the chart from the table beside it, which stays for those who prefer or need one.
(() => {
  const COUNTS = [1, 2, 5].flatMap((n) => [...Array(10).keys()].map((power) => n * 10 ** power)).sort((a, b) => a - b)
  const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200]
  const PERCENT = [1, 2, 5, 10, 20, 25, 50]

  const units = {
    bounce_rate: { increments: PERCENT, text: (value) => `${value}%` },
    visit_duration: { increments: SECONDS, text: clock },
  }
  const plain = { increments: COUNTS, text: compact }

  // Outlive the report's being replaced: the table's state is the reader's choice.
  let open = false
  let scrolled = 0
  let drawn

  function compact(value) {
    return value < 10000 ? value.toLocaleString('en') : value < 1e6 ? `${+(value / 1e3).toFixed(1)}k` : `${+(value / 1e6).toFixed(1)}M`
  }

  function clock(seconds) {
    if (seconds < 60) return `${seconds}s`
    const minutes = Math.floor(seconds / 60)
    return minutes < 60 ? `${minutes}m${seconds % 60 ? ` ${seconds % 60}s` : ''}` : `${+(minutes / 60).toFixed(1)}h`
  }

  function read(table) {
    const rows = [...table.tBodies[0].rows]
    const numbers = (name) => rows.map((row) => (row.dataset[name] === '' ? null : +row.dataset[name]))
    return {
      rows,
      labels: rows.map((row) => row.dataset.label),
      values: numbers('value'),
      before: numbers('before'),
      running: rows.findIndex((row) => 'running' in row.dataset),
    }
  }

  // The running bucket is not over: the line to it is broken.
  function columns({ labels, values, before, running }) {
    const whole = values.map((value, index) => (index === running && index > 0 ? null : value))
    const partial = values.map((value, index) => (running > 0 && (index === running || index === running - 1) ? value : null))
    const earlier = before.some((value) => value) ? before : before.map(() => null)
    return [labels.map((_, index) => index), earlier, whole, partial]
  }

  function options(box, series, metric) {
    const style = getComputedStyle(document.documentElement)
    const colour = (name) => style.getPropertyValue(`--${name}`).trim()
    const unit = units[metric] || plain
    const font = `12px ${getComputedStyle(document.body).fontFamily}`
    const axis = { stroke: colour('ink-faint'), font, ticks: { show: false } }
    const point = { show: series.labels.length === 1, size: 7, fill: colour('accent') }
    return {
      width: box.clientWidth,
      height: box.clientHeight,
      padding: [10, 28, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 8, width: 2, stroke: colour('surface'), fill: colour('accent') } },
      scales: { x: { time: false, range: (_, min, max) => (min === max ? [min - 1, max + 1] : [min, max]) }, y: { range: (_, min, max) => [0, max > 0 ? max * 1.08 : 1] } },
      axes: [
        { ...axis, space: 64, gap: 8, size: 32, grid: { show: false }, incrs: COUNTS.slice(0, 12), values: (_, splits) => splits.map((at) => series.labels[at] ?? '') },
        { ...axis, space: 44, gap: 8, size: 48, incrs: unit.increments, grid: { stroke: colour('line'), width: 1 }, values: (_, splits) => splits.map(unit.text) },
      ],
      series: [
        {},
        { stroke: colour('before'), width: 1.5, dash: [2, 4], cap: 'round', points: { show: false } },
        { stroke: colour('accent'), width: 2.25, fill: colour('wash'), points: point },
        { stroke: colour('accent'), width: 2.25, dash: [3, 5], cap: 'round', fill: colour('wash'), points: { show: false } },
      ],
    }
  }

  function reading(row) {
    const [time, value, before] = [...row.cells].map((cell) => cell.textContent.trim())
    return { time, value, before }
  }

  function showTip(plot, tip, index, series, title) {
    const row = series.rows[index]
    tip.hidden = !row
    if (!row) return
    const { time, value, before } = reading(row)
    tip.querySelector('span').textContent = time
    tip.querySelector('strong').textContent = `${value} ${title.toLowerCase()}`
    tip.querySelector('small').textContent = `${before} the period before`
    const box = plot.root.parentElement
    const at = plot.valToPos(index, 'x') + plot.over.offsetLeft
    const left = at + 14 + tip.offsetWidth > box.clientWidth ? at - 14 - tip.offsetWidth : at + 14
    tip.style.transform = `translate(${Math.max(0, left)}px, 12px)`
  }

  function makeTip(box) {
    const tip = document.createElement('div')
    tip.className = 'tip'
    tip.setAttribute('aria-hidden', 'true')
    tip.append(document.createElement('span'), document.createElement('strong'), document.createElement('small'))
    tip.hidden = true
    box.append(tip)
    return tip
  }

  function followKeys(box, plot, series, title, status) {
    box.tabIndex = 0
    box.setAttribute('role', 'group')
    box.setAttribute('aria-label', `${title} over time. Left and right arrow keys read the values.`)
    box.addEventListener('keydown', (event) => {
      const last = series.rows.length - 1
      const now = plot.cursor.idx ?? last + 1
      const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last }[event.key]
      if (next === undefined) return
      event.preventDefault()
      const index = Math.min(last, Math.max(0, next > last && plot.cursor.idx == null ? 0 : next))
      plot.setCursor({ left: plot.valToPos(index, 'x'), top: 10 })
      const { time, value, before } = reading(series.rows[index])
      status.textContent = `${time}: ${value}; the period before: ${before}`
    })
    box.addEventListener('blur', () => plot.setCursor({ left: -10, top: -10 }))
  }

  function draw() {
    const chart = document.getElementById('chart')
    if (drawn && drawn.chart === chart && chart) drawn.plot.destroy(), drawn.box.replaceChildren()
    drawn = undefined
    if (!chart || !window.uPlot) return
    const box = chart.querySelector('[data-plot]')
    const details = chart.querySelector('details')
    const fresh = box.hidden
    box.hidden = false
    const series = read(chart.querySelector('table'))
    const { metric, title } = chart.dataset
    const plot = new uPlot(options(box, series, metric), columns(series), box)
    const tip = makeTip(box)
    plot.hooks.setCursor = [() => showTip(plot, tip, plot.cursor.idx ?? -1, series, title)]
    if (fresh) {
      followKeys(box, plot, series, title, chart.querySelector('[data-reading]'))
      keepTable(details)
      new ResizeObserver(() => drawn && drawn.box === box && fit()).observe(box)
    }
    drawn = { chart, box, plot }
  }

  function fit() {
    const { box, plot } = drawn
    if (box.clientWidth !== plot.width || box.clientHeight !== plot.height)
      plot.setSize({ width: box.clientWidth, height: box.clientHeight })
  }

  function keepTable(details) {
    const scroll = details.querySelector('.scroll')
    details.open = open
    scroll.scrollTop = scrolled
    details.addEventListener('toggle', () => (open = details.open))
    scroll.addEventListener('scroll', () => (scrolled = scroll.scrollTop))
  }

  draw()
  document.addEventListener('htmx:afterSwap', draw)
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    // A new plot needs a new box: listeners of the old one hold the old colours.
    const box = drawn && drawn.box
    if (!box) return
    const clean = box.cloneNode(false)
    clean.hidden = true
    box.replaceWith(clean)
    drawn = undefined
    draw()
  })
})()
