// An OpenID provider for tests, by the package `oidc-provider`, with a sign-in page of one field.
//   node provider.mjs PACKAGES CONFIGURATION
// PACKAGES is the directory whose node_modules has the package. CONFIGURATION is JSON: port, client (id, secret,
// redirect), accounts by name with their claims, and inToken: whether claims stand in the ID token too.
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const [packages, text] = process.argv.slice(2)
const given = JSON.parse(text)
const found = createRequire(join(packages, 'package.json')).resolve('oidc-provider')
const { default: Provider } = await import(pathToFileURL(found))

const server = createServer()
await new Promise((ready) => server.listen(given.port, '127.0.0.1', ready))
const issuer = `http://127.0.0.1:${server.address().port}`

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: given.client.id,
      client_secret: given.client.secret,
      redirect_uris: [given.client.redirect],
      ...given.client.more,
    },
  ],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'groups'] },
  conformIdTokenClaims: !given.inToken,
  cookies: { keys: ['only for tests'] },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_, interaction) => `/sign-in/${interaction.uid}` },
  findAccount: (_, sub) => given.accounts[sub] && { accountId: sub, claims: () => ({ sub, ...given.accounts[sub] }) },
  loadExistingGrant: async (context) => {
    const { client, session } = context.oidc
    const grant = new context.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId })
    grant.addOIDCScope('openid email profile')
    await grant.save()
    return grant
  },
})

const page = '<!doctype html><title>Provider</title><form method="post"><label>Name <input name="name"></label><button>Continue</button><button name="refuse" value="yes">Refuse</button></form>'

const handle = provider.callback()
server.on('request', async (request, response) => {
  if (!request.url.startsWith('/sign-in/')) {
    handle(request, response)
  } else if (request.method === 'GET') {
    response.setHeader('content-type', 'text/html').end(page)
  } else {
    let body = ''
    for await (const part of request) body += part
    const form = new URLSearchParams(body)
    const refused = { error: 'access_denied', error_description: '<b>refused</b>' }
    const result = form.has('refuse') ? refused : { login: { accountId: form.get('name') } }
    await provider.interactionFinished(request, response, result)
  }
})
console.log(issuer)
