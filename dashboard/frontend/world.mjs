// The map of the world: outlines from Natural Earth (public domain, 1:110m), projected once when Tyst is built.
import { geoCentroid, geoNaturalEarth1, geoPath } from 'd3-geo'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { feature } from 'topojson-client'

const WIDTH = 1000
// ISO 3166-1 has no numbers for these; CLDR has a code for the first.
const NAMED = { Kosovo: 'XK' }
// Nobody lives there, and it would take a fifth of the picture.
const LEFT_OUT = new Set(['AQ'])

// The region that CLDR knows by that number of ISO 3166-1: "752" is "SE".
function code({ id, properties }) {
  if (!id) return NAMED[properties.name] ?? ''
  const region = new Intl.Locale(Intl.getCanonicalLocales(`und-${id}`)[0]).region
  return /^[A-Z]{2}$/.test(region) ? region : ''
}

async function countries(packages, scale) {
  const atlas = JSON.parse(await readFile(join(packages, `world-atlas/countries-${scale}.json`), 'utf8'))
  return feature(atlas, atlas.objects.countries).features.filter((each) => !LEFT_OUT.has(code(each)))
}

// `shapes` are pairs of a country's code, "" where it has none, and its outline; `dots` are codes and places of those
// that are too small to have an outline at this scale.
export async function worldMap(packages) {
  const large = await countries(packages, '110m')
  const projection = geoNaturalEarth1().fitWidth(WIDTH, { type: 'FeatureCollection', features: large })
  const path = geoPath(projection).digits(0)
  const [[, top], [, bottom]] = path.bounds({ type: 'FeatureCollection', features: large })
  const shapes = large.map((each) => [code(each), path(each)])
  const known = new Set(shapes.map(([name]) => name))
  const small = (await countries(packages, '50m')).filter((each) => code(each) && !known.has(code(each)))
  const dots = small.map((each) => [code(each), ...projection(geoCentroid(each)).map(Math.round)])
  return JSON.stringify({ width: WIDTH, top: Math.floor(top), height: Math.ceil(bottom - top), shapes, dots })
}
