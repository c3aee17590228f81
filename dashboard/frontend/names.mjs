// Searches for names of the snippet's variables with which it is smaller, gzipped by Python's zlib, as it is served and
// tested, and prints them for `snippet.mjs`:
//   node names.mjs [SECONDS]
import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { compressed, named, names } from './snippet.mjs'

const alphabet = 'etnairosldcpmughvwyfxkbSCELOT$_HMDFqNPjzIJWARUZBGKQVX'
const python = spawn('python3', ['-uc', `import gzip, sys
for line in sys.stdin: print(len(gzip.compress(line[:-1].encode(), 9)))`])
const sizes = createInterface({ input: python.stdout })[Symbol.asyncIterator]()

const source = await compressed(await readFile(new URL('../../snippet/tyst.js', import.meta.url), 'utf8'))
const { asked: count } = await named(source, '')

async function sizeOf(letters) {
  const { code, asked } = await named(source, letters)
  if (asked > count) return Number.POSITIVE_INFINITY
  python.stdin.write(`${code}\n`)
  return Number((await sizes.next()).value)
}

// Those of now, as far as they are not refused.
let best = []
while (best.length < count)
  for (const letter of [names[best.length] ?? 'e', ...alphabet])
    if ((await named(source, [...best, letter])).asked === count) {
      best.push(letter)
      break
    }

const pick = (list) => list[Math.floor(Math.random() * list.length)]
let least = await sizeOf(best)
const end = Date.now() + 1e3 * Number(process.argv[2] ?? 60)
while (Date.now() < end) {
  const letters = [...best]
  const [first, second] = [pick([...letters.keys()]), pick([...letters.keys()])]
  if (Math.random() < 0.5) letters[first] = pick(alphabet)
  else [letters[first], letters[second]] = [letters[second], letters[first]]
  const size = await sizeOf(letters)
  if (size <= least) [best, least] = [letters, size]
}
console.log(least, best.join(''))
python.stdin.end()
