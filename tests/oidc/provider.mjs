// An OpenID provider on loopback. `provider.py` beside this file starts it: settings come as JSON on standard input, and
// a line of JSON on standard output says that it listens.

import { createServer } from "node:http";
import { text } from "node:stream/consumers";

import Provider from "oidc-provider";

const settings = JSON.parse(await text(process.stdin));
const issuer = `http://127.0.0.1:${settings.port}`;

const provider = new Provider(issuer, {
  jwks: { keys: settings.keys },
  clients: settings.clients.map(({ id, secret }) => ({
    client_id: id,
    client_secret: secret,
    grant_types: ["client_credentials"],
    redirect_uris: [],
    response_types: [],
  })),
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

createServer(provider.callback()).listen(settings.port, "127.0.0.1", () => {
  console.log(JSON.stringify({ listening: issuer }));
});
