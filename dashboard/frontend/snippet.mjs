// Minifies the snippet. Every byte counts here: terser is a little better than esbuild at it, and `let` is shorter than
// `const`.
import { minify } from 'terser'

// Names of its variables, in the order in which terser asks for them: those with which gzip finds most repeats, found by
// `node names.mjs`. One that is taken is refused and the next one asked for, so that only the size depends on them.
export const names = 'egmrbukKxOwcoTZjyvDiHLpMlndJV_EfINPt$hsSqzFCAWaesgneelenmglneeeMecpeleseegseecsisexOwcehllesgseleisdgsgslgngscggnll'

// Not `unsafe_comps`: it swaps `a > b` for `b >= a`, which differ where one is undefined or NaN.
export async function compressed(source) {
  const compress = { passes: 3, unsafe_arrows: true }
  return (await minify(source.replaceAll(/\bconst\b/g, 'let'), { ecma: 2021, compress, mangle: false })).code
}

export async function named(code, letters) {
  let asked = 0
  const nth_identifier = { get: () => letters[asked++] ?? `$${asked}` }
  const { code: result } = await minify(code, { ecma: 2021, compress: false, mangle: { nth_identifier } })
  return { code: result, asked }
}
