// Builds what Tyst serves from npm, and the minified snippet:
//   node build.mjs          dashboard/static/vendor/*, and snippet/dist/tyst.js with its Brotli form
//   node build.mjs --test   test-dist/*: the banners and foreign trackers that browser tests load
import { build } from 'esbuild'
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync } from 'node:zlib'
import { buildIcons } from './icons.mjs'
import { compressed, named, names } from './snippet.mjs'
import { worldMap } from './world.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const packages = join(here, 'node_modules')
const vendor = join(here, '../static/vendor')
const testDist = join(here, 'test-dist')

// Browsers from 2020 on: the floor that snippet/README.md states.
const target = 'es2021'

const shipped = {
  'htmx.js': 'htmx.org/dist/htmx.min.js',
  'uplot.js': 'uplot/dist/uPlot.iife.min.js',
  'uplot.css': 'uplot/dist/uPlot.min.css',
  'cookieconsent.js': 'vanilla-cookieconsent/dist/cookieconsent.umd.js',
  'cookieconsent.css': 'vanilla-cookieconsent/dist/cookieconsent.css',
}

const tested = {
  'axe.js': 'axe-core/axe.min.js',
  'cookieconsent-2.css': 'vanilla-cookieconsent-2/dist/cookieconsent.css',
  'cookieconsent-2.js': 'vanilla-cookieconsent-2/dist/cookieconsent.js',
  'klaro.js': 'klaro/dist/klaro.js',
  'orejime.js': 'orejime/dist/orejime-standard-en.js',
  'orejime.css': 'orejime/dist/orejime-standard.css',
  'osano.css': 'cookieconsent/build/cookieconsent.min.css',
  'osano.js': 'cookieconsent/build/cookieconsent.min.js',
  // This one loads its siblings by itself, from beside its own script.
  'tarteaucitron/tarteaucitron.min.js': 'tarteaucitronjs/tarteaucitron.min.js',
  'tarteaucitron/tarteaucitron.services.min.js': 'tarteaucitronjs/tarteaucitron.services.min.js',
  'tarteaucitron/css': 'tarteaucitronjs/css',
  'tarteaucitron/lang': 'tarteaucitronjs/lang',
}

const bundled = {
  'plausible.js': `import * as plausible from '@plausible-analytics/tracker'; window.plausibleTracker = plausible`,
  'plausible-tracker.js': `import Plausible from 'plausible-tracker'; window.PlausibleTracker = Plausible`,
  // An application whose banner is one of its components, bundled with everything else of it.
  'react.js': `import { createElement, useReducer } from 'react'; import { createRoot } from 'react-dom/client'
    import CookieConsent, { resetCookieConsentValue } from 'react-cookie-consent'
    function App() {
      const [asked, askAgain] = useReducer((count) => count + 1, 0)
      const settings = { id: 'settings', onClick: () => { resetCookieConsentValue(); askAgain() } }
      return [createElement('button', { key: 'settings', ...settings }, 'Cookie settings'),
        createElement(CookieConsent, { key: asked, enableDeclineButton: true, buttonId: 'yes', declineButtonId: 'no' }, 'Statistics?')]
    }
    addEventListener('DOMContentLoaded', () =>
      createRoot(document.body.appendChild(document.createElement('div'))).render(createElement(App)))`,
  'tcf.js': `import * as stub from '@iabtechlabtcf/stub'; import { CmpApi } from '@iabtechlabtcf/cmpapi';
    import { GVL, TCModel, TCString } from '@iabtechlabtcf/core'; window.tcf = { stub, CmpApi, GVL, TCModel, TCString }`,
}

async function emptied(folder) {
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
}

async function copy(files, folder) {
  for (const [name, source] of Object.entries(files))
    await cp(join(packages, source), join(folder, name), { recursive: true })
}

async function writeLicences(file) {
  const drawn = ['bootstrap-icons', 'country-flag-icons', 'simple-icons', 'world-atlas']
  const names = [...new Set(Object.values(shipped).map((source) => source.split('/')[0])), ...drawn]
  const texts = names.map(async (name) => {
    const { version, license } = JSON.parse(await readFile(join(packages, name, 'package.json'), 'utf8'))
    const file = (await readdir(join(packages, name))).find((each) => /^LICENSE(\.md)?$/.test(each))
    const text = await readFile(join(packages, name, file), 'utf8')
    return `${name} ${version} (${license})\n\n${text.trim()}\n`
  })
  await writeFile(file, (await Promise.all(texts)).join(`\n${'-'.repeat(80)}\n\n`))
}

async function buildSnippet() {
  const root = join(here, '../../snippet')
  const source = await readFile(join(root, 'tyst.js'), 'utf8')
  const { code } = await named(await compressed(source), names)
  await mkdir(join(root, 'dist'), { recursive: true })
  await writeFile(join(root, 'dist/tyst.js'), code)
  await writeFile(join(root, 'dist/tyst.js.br'), brotliCompressSync(code))
}

async function buildShipped() {
  await emptied(vendor)
  await copy(shipped, vendor)
  await writeFile(join(vendor, 'world.json'), await worldMap(packages))
  const icons = JSON.parse(await readFile(join(here, '../data/icons.json'), 'utf8'))
  await buildIcons(packages, icons, vendor)
  await writeLicences(join(vendor, 'LICENSES.txt'))
  await buildSnippet()
}

async function buildTested() {
  await emptied(testDist)
  await copy(tested, testDist)
  for (const [name, contents] of Object.entries(bundled)) {
    const stdin = { contents, resolveDir: here }
    await build({ stdin, bundle: true, minify: true, target, format: 'iife', outfile: join(testDist, name) })
  }
}

await (process.argv.includes('--test') ? buildTested() : buildShipped())
