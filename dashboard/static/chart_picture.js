// Saves the chart as a picture, with the words that it needs to stand alone.
(() => {
  function save({ chart, plot }) {
    const style = getComputedStyle(chart.closest('.card'))
    const source = plot.ctx.canvas
    const size = source.width / plot.width
    const canvas = Object.assign(document.createElement('canvas'), { width: source.width + 32 * size, height: source.height + 64 * size })
    const ctx = canvas.getContext('2d')
    ctx.fillStyle = style.backgroundColor
    ctx.fillRect(0, 0, canvas.width, canvas.height)
    ctx.fillStyle = style.color
    ctx.font = `600 ${15 * size}px ${style.fontFamily}`
    ctx.fillText(chart.dataset.name, 20 * size, 32 * size, canvas.width - 40 * size)
    ctx.drawImage(source, 8 * size, 50 * size)
    canvas.toBlob((blob) => {
      const link = Object.assign(document.createElement('a'), { href: URL.createObjectURL(blob), download: `${chart.dataset.name}.png` })
      link.click()
      setTimeout(() => URL.revokeObjectURL(link.href), 10000)
    })
  }

  let drawn
  document.addEventListener('tyst:chart', ({ detail }) => {
    drawn = detail
    const picture = drawn.chart.querySelector('[data-picture]')
    picture.hidden = false
    picture.firstElementChild.onclick = () => save(drawn)
  })
})()
