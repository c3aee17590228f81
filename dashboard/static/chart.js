// Draws the chart from the table beside it, which stays for those who prefer or need one.
(() => {
  const COUNTS = [1, 2, 2.5, 5].flatMap((n) => [...Array(10).keys()].map((power) => n * 10 ** power)).filter(Number.isInteger).sort((a, b) => a - b)
  const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200]
  const PERCENT = [1, 2, 5, 10, 20, 25, 50]

  const units = {
    bounce_rate: { increments: PERCENT, text: percent },
    conversion_rate: { increments: [0.1, 0.2, 0.5, ...PERCENT], text: percent },
    scroll_depth: { increments: PERCENT, text: percent },
    visit_duration: { increments: SECONDS, text: clock },
    time_on_page: { increments: SECONDS, text: clock },
    views_per_visit: { increments: [0.1, 0.2, 0.5, ...COUNTS], text: number },
  }
  const plain = { increments: COUNTS, text: compact }

  // Outlive the report's being replaced: the table's state is the reader's choice.
  let open = false
  let scrolled = 0
  let drawn
  let saying = {}

  // A property may be two colours, of which `color-scheme` chooses: as the colour of an element it is one.
  function colour(name) {
    const probe = document.body.appendChild(document.createElement('i'))
    probe.style.color = `var(--${name})`
    const found = getComputedStyle(probe).color
    probe.remove()
    return found
  }

  function number(value) {
    return value.toLocaleString(document.documentElement.lang, { maximumFractionDigits: 1 })
  }

  // A unit as the reader's language has it, such as "{count} %".
  function say(unit, values) {
    return saying[unit].replace(/\{(\w+)\}/g, (_, name) => values[name])
  }

  function percent(value) {
    return say('percent', { count: number(value) })
  }

  function compact(value) {
    if (value < 1e4) return number(value)
    return value < 1e6 ? say('thousands', { count: number(value / 1e3) }) : say('millions', { count: number(value / 1e6) })
  }

  function clock(seconds) {
    if (seconds < 60) return say('seconds', { seconds })
    const minutes = Math.floor(seconds / 60)
    if (minutes >= 60) return say('hours', { hours: number(minutes / 60) })
    return seconds % 60 ? say('minutes_seconds', { minutes, seconds: seconds % 60 }) : say('minutes', { minutes })
  }

  function read(table) {
    const rows = [...table.tBodies[0].rows]
    const numbers = (name) => rows.map((row) => (row.dataset[name] ? +row.dataset[name] : null))
    return {
      rows,
      labels: rows.map((row) => row.dataset.label),
      values: numbers('value'),
      before: numbers('before'),
      partial: rows.map((row) => 'partial' in row.dataset),
      imported: rows.flatMap((row, index) => ('imported' in row.dataset ? [index] : [])),
      noted: rows.flatMap((row, index) => ('noted' in row.dataset ? [index] : [])),
    }
  }

  // What is not over, and weeks and months that the dates cut, are less than they would be: lines to them are broken.
  function columns({ labels, values, before, partial }) {
    const single = labels.length === 1
    const whole = values.map((value, index) => (partial[index] && !single ? null : value))
    const broken = values.map((value, index) => (!single && (partial[index] || partial[index - 1] || partial[index + 1]) ? value : null))
    const earlier = before.some((value) => value) ? before : before.map(() => null)
    return [labels.map((_, index) => index), earlier, whole, broken]
  }

  // Lines at whole steps of the unit, as many as there is room for; the last is above the highest value.
  function gridlines(values, increments, height) {
    const highest = Math.max(...values.filter((value) => value != null), 0)
    const most = Math.max(2, Math.floor((height - 60) / 40))
    const step = increments.find((increment) => highest / increment <= most) ?? highest / most
    const count = Math.max(1, Math.ceil(highest / step))
    return [...Array(count + 1).keys()].map((place) => +(place * step).toFixed(6))
  }

  function options(box, series, metric) {
    const unit = units[metric] || plain
    const font = `12px ${getComputedStyle(document.body).fontFamily}`
    const axis = { stroke: colour('ink-faint'), font, ticks: { show: false } }
    // A value with nothing beside it, such as that of the day's first hour, is no line: it is a dot.
    const alone = series.values.flatMap((value, index, all) =>
      value != null && all[index - 1] == null && all[index + 1] == null ? [index] : [])
    const lines = gridlines([...series.values, ...series.before], unit.increments, box.clientHeight)
    const point = { show: alone.length > 0, filter: () => alone, size: 7, fill: colour('accent') }
    return {
      width: box.clientWidth,
      height: box.clientHeight,
      padding: [10, 28, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        // The line stands at a value, never between two; a click is one even where that moved it.
        move: (plot, left, top) => [left < 0 ? left : plot.valToPos(plot.posToIdx(left), 'x'), top],
        drag: { x: Boolean(series.zoom), y: false, setScale: false, click: () => {} },
        bind: { dblclick: () => null },
        points: { size: 8, width: 2, stroke: colour('surface'), fill: colour('accent') },
      },
      scales: { x: { time: false, range: (_, min, max) => (min === max ? [min - 1, max + 1] : [min, max]) }, y: { range: [0, lines.at(-1)] } },
      axes: [
        { ...axis, space: 64, gap: 8, size: 32, grid: { show: false }, incrs: COUNTS.slice(0, 12), values: (_, splits) => splits.map((at) => series.labels[at] ?? '') },
        { ...axis, gap: 8, size: 48, splits: () => lines, grid: { stroke: colour('line'), width: 1 }, values: (_, splits) => splits.map(unit.text) },
      ],
      series: [
        {},
        { stroke: colour('before'), width: 1.5, dash: [2, 4], cap: 'round', points: { show: false } },
        { stroke: colour('accent'), width: 2.25, fill: colour('wash'), points: point },
        { stroke: colour('accent'), width: 2.25, dash: [3, 5], cap: 'round', fill: colour('wash'), points: point },
      ],
      hooks: {
        draw: [
          (plot) => markImported(plot, series.imported, colour('ink-faint')),
          (plot) => markNotes(plot, series.noted, colour('ink-soft'), colour('surface')),
        ],
      },
    }
  }

  // Under what was imported, a thick line along the floor.
  function markImported(plot, imported, ink) {
    const { ctx, bbox } = plot
    const size = devicePixelRatio
    const floor = bbox.top + bbox.height
    const half = Math.max(3 * size, (plot.valToPos(1, 'x', true) - plot.valToPos(0, 'x', true)) / 2) || 3 * size
    ctx.save()
    ctx.fillStyle = ink
    for (const index of imported) {
      const x = plot.valToPos(index, 'x', true)
      const left = Math.max(bbox.left, x - half)
      ctx.fillRect(left, floor - 3 * size, Math.min(bbox.left + bbox.width, x + half) - left, 3 * size)
    }
    ctx.restore()
  }

  // Where there is a note, a thin line down to a dot on the floor.
  function markNotes(plot, noted, ink, paper) {
    const { ctx, bbox } = plot
    const size = devicePixelRatio
    for (const index of noted) {
      const x = plot.valToPos(index, 'x', true)
      const floor = bbox.top + bbox.height
      ctx.save()
      ctx.strokeStyle = ctx.fillStyle = ink
      ctx.lineWidth = size
      ctx.setLineDash([2 * size, 3 * size])
      ctx.beginPath()
      ctx.moveTo(x, bbox.top)
      ctx.lineTo(x, floor)
      ctx.stroke()
      ctx.setLineDash([])
      ctx.beginPath()
      ctx.arc(x, floor, 4.5 * size, 0, 7)
      ctx.fill()
      ctx.strokeStyle = paper
      ctx.lineWidth = 1.5 * size
      ctx.stroke()
      ctx.restore()
    }
  }

  function reading(row) {
    const text = (cell) => (cell ? cell.textContent.replace(/\s+/g, ' ').trim() : '')
    const past = text(row.querySelector('.past'))
    return { time: text(row.cells[0]), value: text(row.cells[1]), before: past && `${row.dataset.against || ''}: ${past}`, note: text(row.querySelector('.noted')) }
  }

  function showTip(plot, tip, index, series, title) {
    const row = series.rows[index]
    tip.hidden = !row
    if (!row) return
    const { time, value, before, note } = reading(row)
    tip.querySelector('span').textContent = time
    tip.querySelector('strong').textContent = `${value} ${title.toLowerCase()}`
    tip.querySelector('small').textContent = before
    tip.querySelector('em').textContent = note
    tip.querySelector('i').textContent = row.querySelector('th a') ? series.hint : ''
    const box = plot.root.parentElement
    const at = plot.valToPos(index, 'x') + plot.over.offsetLeft
    const left = at + 14 + tip.offsetWidth > box.clientWidth ? at - 14 - tip.offsetWidth : at + 14
    tip.style.transform = `translate(${Math.max(0, left)}px, 12px)`
  }

  function makeTip(box) {
    const tip = document.createElement('div')
    tip.className = 'tip'
    tip.setAttribute('aria-hidden', 'true')
    tip.append(...['span', 'strong', 'small', 'em', 'i'].map((name) => document.createElement(name)))
    tip.hidden = true
    box.append(tip)
    return tip
  }

  // A finger that moves sideways reads the values; one that moves up or down scrolls the page.
  function followTouch(plot) {
    plot.over.addEventListener('touchmove', ({ touches: [touch] }) => {
      const box = plot.over.getBoundingClientRect()
      plot.setCursor({ left: touch.clientX - box.left, top: touch.clientY - box.top })
    }, { passive: true })
  }

  function followKeys(box, plot, series, title, status, spoken) {
    box.tabIndex = 0
    box.setAttribute('role', 'group')
    box.setAttribute('aria-label', `${title}. ${spoken}`)
    box.addEventListener('keydown', (event) => {
      const last = series.rows.length - 1
      const now = plot.cursor.idx ?? last + 1
      const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last }[event.key]
      if (next === undefined) return
      event.preventDefault()
      const index = Math.min(last, Math.max(0, next > last && plot.cursor.idx == null ? 0 : next))
      plot.setCursor({ left: plot.valToPos(index, 'x'), top: 10 })
      const { time, value, before, note } = reading(series.rows[index])
      status.textContent = [`${time}: ${value}`, before, note].filter(Boolean).join('; ')
    })
    box.addEventListener('blur', () => plot.setCursor({ left: -10, top: -10 }))
  }

  function draw() {
    const chart = document.getElementById('chart')
    if (chart && drawn?.chart === chart) return
    drawn?.plot.destroy()
    drawn = undefined
    if (!chart || !window.uPlot) return
    const box = chart.querySelector('[data-plot]')
    const details = chart.querySelector('.chart-table')
    box.hidden = false
    saying = JSON.parse(chart.dataset.units)
    const series = { ...read(chart.querySelector('table')), zoom: chart.dataset.zoom, hint: chart.dataset.zoomHint || '' }
    const { metric, title } = chart.dataset
    const plot = new uPlot(options(box, series, metric), columns(series), box)
    const tip = makeTip(box)
    plot.hooks.setCursor = [() => showTip(plot, tip, plot.cursor.idx ?? -1, series, title)]
    followKeys(box, plot, series, title, chart.querySelector('[data-reading]'), chart.dataset.spoken)
    followTouch(plot)
    keepTable(details)
    new ResizeObserver(() => drawn?.box === box && fit()).observe(box)
    drawn = { chart, box, plot, rows: series.rows }
    document.dispatchEvent(new CustomEvent('tyst:chart', { detail: drawn }))
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
    const box = drawn?.box
    if (!box) return
    const clean = box.cloneNode(false)
    box.replaceWith(clean)
    drawn = undefined
    draw()
  })
})()
