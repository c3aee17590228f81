// An embedded dashboard tells the page around it how high it is. The embed code of the sharing page listens.
if (parent !== window) {
  const tell = () => parent.postMessage({ tystHeight: document.body.offsetHeight }, '*')
  new ResizeObserver(tell).observe(document.body)
}
