// An OpenID provider on loopback. `provider.py` beside this file starts it: settings come as JSON on standard input, and
// a line of JSON on standard output says that it listens.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { text } from "node:stream/consumers";

import Provider from "oidc-provider";

const settings = JSON.parse(await text(process.stdin));
const { issuer, tls } = settings;

const provider = new Provider(issuer, {
  jwks: { keys: settings.keys },
  clients: settings.clients.map(({ id, secret, redirect_uris }) => ({
    client_id: id,
    ...(secret ? { client_secret: secret } : { token_endpoint_auth_method: "none" }),
    // One that people are sent back to asks for codes, another one for tokens of its own.
    grant_types: redirect_uris.length ? ["authorization_code"] : ["client_credentials"],
    redirect_uris,
    response_types: redirect_uris.length ? ["code"] : [],
    id_token_signed_response_alg: settings.algorithm,
  })),
  acrValues: settings.acr_values,
  claims: { openid: ["sub", "acr", "amr", "auth_time", "email", "email_verified", "name", "groups", "act"] },
  conformIdTokenClaims: false,
  interactions: { url: (context, { uid }) => `/login/${uid}` },
  findAccount: (context, id) => ({ accountId: id, claims: () => ({ ...settings.people[id], sub: id }) }),
  // Everybody agrees to everything: what is tested is who logs in, and how.
  async loadExistingGrant(context) {
    const { client, session } = context.oidc;
    const grant = new context.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope("openid");
    await grant.save();
    return grant;
  },
  scopes: ["openid", "offline_access", "pay"],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    dPoP: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      // A token for a known resource is a JWT, or opaque where the resource says so; without one it is opaque.
      getResourceServerInfo(context, resource) {
        const { audience, format } = settings.resources[resource];
        return {
          audience,
          scope: "pay",
          accessTokenTTL: 600,
          accessTokenFormat: format,
          jwt: { sign: { alg: settings.algorithm } },
        };
      },
    },
  },
});

// What a person sees who says nothing in the query.
const form = `<!doctype html><title>Log in</title><h1>Log in</h1><form>
<p><label>Account <input name="account" required autofocus></label>
<p><label>Class <input name="acr"></label>
<p><label>Methods <input name="amr" value="pwd,otp"></label>
<p><button>Log in</button></form>
<form><input type="hidden" name="error" value="access_denied"><button>Cancel</button></form>`;

// The login page: it believes its query, `account`, `acr`, `amr` and `ago` (seconds since the user really logged in).
async function login(request, response, url) {
  const said = url.searchParams;
  if (said.has("error")) {
    return provider.interactionFinished(request, response, { error: said.get("error") });
  }
  if (!said.has("account")) {
    return response.setHeader("content-type", "text/html; charset=utf-8").end(form);
  }
  return provider.interactionFinished(request, response, {
    login: {
      accountId: said.get("account"),
      acr: said.get("acr") || undefined,
      amr: said.get("amr")?.split(","),
      ts: Math.floor(Date.now() / 1000) - Number(said.get("ago") ?? 0),
    },
  });
}

const answer = provider.callback();
const serve = (request, response) => {
  const url = new URL(request.url, issuer);
  return url.pathname.startsWith("/login/") ? login(request, response, url) : answer(request, response);
};

const server = tls
  ? createSecureServer({ cert: readFileSync(tls.cert), key: readFileSync(tls.key) }, serve)
  : createServer(serve);
server.listen(settings.port, "127.0.0.1", () => {
  console.log(JSON.stringify({ listening: issuer }));
});
