// Paper has no chart to point at: the numbers are printed.
addEventListener('beforeprint', () => {
  for (const table of document.querySelectorAll('.chart-table')) table.open = true
})
