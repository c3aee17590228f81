// A click in the chart opens its dates, a drag several; Enter does so by keyboard, with Shift and arrows for several.
(() => {
  const dates = (row) => row?.dataset ?? {}

  // As a link of the report, so that the address and the browser's history follow.
  function open(chart, href) {
    const link = Object.assign(document.createElement('a'), { href, hidden: true })
    chart.append(link)
    window.htmx?.process(link)
    link.click()
  }

  function show({ chart, rows }, from, to) {
    const [first, last] = from <= to ? [rows[from], rows[to]] : [rows[to], rows[from]]
    if (first === last) return first?.querySelector('th a')?.click()
    open(chart, chart.dataset.zoom.replace('FIRST', dates(first).first).replace('LAST', dates(last).last))
  }

  function select(plot, from, to) {
    const [left, right] = [from, to].map((index) => plot.valToPos(index, 'x')).sort((a, b) => a - b)
    plot.setSelect({ left, width: right - left, top: 0, height: plot.over.clientHeight }, false)
  }

  function followMouse(drawn) {
    const { plot, rows } = drawn
    let dragged = false
    let touched = false
    plot.over.addEventListener('pointerdown', ({ pointerType }) => {
      touched = pointerType === 'touch'
      dragged = false
    })
    plot.hooks.setSelect = [() => {
      const { left, width } = plot.select
      if (width <= 0) return
      dragged = true
      plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false)
      show(drawn, plot.posToIdx(left), plot.posToIdx(left + width))
    }]
    // A finger reads the values; what it would open is in the table.
    plot.over.addEventListener('click', () => {
      if (!dragged && !touched && plot.cursor.idx != null) rows[plot.cursor.idx]?.querySelector('th a')?.click()
    })
  }

  function followKeys(drawn) {
    const { box, plot } = drawn
    let anchor
    box.addEventListener('keydown', (event) => {
      const at = plot.cursor.idx
      if (event.key === 'Enter' && at != null) return show(drawn, anchor ?? at, at)
      if (event.key === 'Shift') return
      if (!event.shiftKey || !event.key.startsWith('Arrow')) {
        anchor = undefined
        return plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false)
      }
      anchor ??= event.key === 'ArrowLeft' ? Math.min(at + 1, drawn.rows.length - 1) : Math.max(0, at - 1)
      select(plot, anchor, at)
    })
  }

  document.addEventListener('tyst:chart', ({ detail }) => {
    if (!detail.chart.dataset.zoom) return
    followMouse(detail)
    followKeys(detail)
  })
})()
