// Icons of sources, browsers, systems and devices, and flags of countries: files of their own, so that a page loads only
// those that it shows. Which value has which icon is in dashboard/data/icons.json.
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

// Readable on light ground and on dark: for drawings without a colour, and for colours that either would swallow.
const NEUTRAL = '#75857e'

function luminance(hex) {
  const [red, green, blue] = [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255)
  return 0.2126 * red ** 2.2 + 0.7152 * green ** 2.2 + 0.0722 * blue ** 2.2
}

const readable = (hex) => (luminance(hex) > 0.035 && luminance(hex) < 0.6 ? `#${hex.toLowerCase()}` : NEUTRAL)

async function brandColours(packages) {
  const brands = JSON.parse(await readFile(join(packages, 'simple-icons/data/simple-icons.json'), 'utf8'))
  const { titleToSlug } = await import('simple-icons/sdk')
  return new Map(brands.map(({ title, slug, hex }) => [slug ?? titleToSlug(title), hex]))
}

async function drawing(packages, source, colours) {
  const [path, hex] = source.split('#')
  const [from, name] = path.split('/')
  const svg = await readFile(join(packages, from, 'icons', `${name}.svg`), 'utf8')
  const [, viewBox] = svg.match(/viewBox="([^"]+)"/)
  const paths = [...svg.matchAll(/<path[^>]*\bd="([^"]+)"/g)].map(([, d]) => `<path d="${d}"/>`)
  const given = hex ?? colours.get(name)
  const colour = from === 'simple-icons' || hex ? readable(given) : NEUTRAL
  return [name, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="${viewBox}" fill="${colour}">${paths.join('')}</svg>\n`]
}

async function writeIcons(packages, table, folder) {
  const colours = await brandColours(packages)
  const sources = new Set(Object.values(table).flatMap((values) => Object.values(values)))
  await mkdir(folder, { recursive: true })
  for (const source of [...sources].sort()) {
    const [name, svg] = await drawing(packages, source, colours)
    await writeFile(join(folder, `${name}.svg`), svg)
  }
}

// Codes of two letters: those of ISO 3166-1, and Kosovo's.
async function writeFlags(packages, folder) {
  const flags = join(packages, 'country-flag-icons/3x2')
  await mkdir(folder, { recursive: true })
  for (const name of (await readdir(flags)).filter((file) => /^[A-Z]{2}\.svg$/.test(file)).sort())
    await writeFile(join(folder, name), await readFile(join(flags, name)))
}

export async function buildIcons(packages, table, vendor) {
  await writeIcons(packages, table, join(vendor, 'icons'))
  await writeFlags(packages, join(vendor, 'flags'))
}
