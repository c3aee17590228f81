// What the scripts of the dashboard know beyond TypeScript's DOM: vendored libraries, and members of the particular
// elements that their selectors find.

declare const htmx: { trigger(element: Element, event: string): void; ajax(verb: string, path: string, options: object): Promise<void> } & Record<string, any>

interface Window {
  htmx?: typeof htmx
  uPlot?: any
}

declare const uPlot: any

interface Element {
  readonly dataset: DOMStringMap
  readonly list: HTMLDataListElement | null
  readonly offsetLeft: number
  readonly offsetWidth: number
  checked: boolean
  hidden: boolean
  open: boolean
  value: string
  click(): void
  togglePopover(): void
  onclick: ((event: MouseEvent) => void) | null
}

interface EventTarget {
  readonly id: string
  readonly dataset: DOMStringMap
  checked: boolean
  matches(selectors: string): boolean
}

interface Event {
  readonly detail: any
}
