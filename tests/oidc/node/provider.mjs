// A real OpenID Connect provider as a process: node provider.mjs PORT. It listens on loopback only.
//
// The tests steer it at /control: POST /control/keys sets the signing keys (a private JWKS, newest first),
// POST /control/mode says how the key set is served, GET /control/counts how often it was asked for.
import http from 'node:http';
import Provider from 'oidc-provider';

const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const state = { callback: null, mode: {}, counts: { jwks: 0, discovery: 0 } };

function useKeys(jwks) {
  const provider = new Provider(issuer, {
    jwks,
    clients: [{
      client_id: 'caller',
      client_secret: 'caller-secret-for-tests-only',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      token_endpoint_auth_method: 'client_secret_post',
    }],
    scopes: ['orders.read', 'orders.write'],
    ttl: { ClientCredentials: 600 },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (ctx, resource) => ({
          scope: 'orders.read orders.write',
          audience: resource,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 600,
        }),
      },
    },
    extraTokenClaims: () => ({
      tenant: 'acme', roles: ['admin', 'ops'], level: 7, verified: true, realm_access: { roles: ['buyer', 'auditor'] },
    }),
  });
  state.callback = provider.callback();
}

async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return JSON.parse(Buffer.concat(parts).toString());
}

async function control(request, response) {
  if (request.url === '/control/keys') useKeys(await body(request));
  if (request.url === '/control/mode') state.mode = await body(request);
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(state.counts));
}

async function serveKeys(request, response) {
  const { kind, cacheControl, location } = state.mode;
  state.counts.jwks += 1;
  if (cacheControl) response.setHeader('cache-control', cacheControl);
  if (kind === 'slow') {
    response.writeHead(200, { 'content-type': 'application/json' });
    const timer = setInterval(() => response.write(' '), 50); // alive, but never done
    response.on('close', () => clearInterval(timer));
  } else if (kind === 'huge') {
    response.writeHead(200, { 'content-type': 'application/json' });
    const chunk = ' '.repeat(65536);
    const more = () => { while (!response.destroyed && response.write(chunk)); };
    response.on('drain', more);
    more();
  } else if (kind === 'broken') {
    response.end('{"keys": [');
  } else if (kind === 'many') {
    response.end(JSON.stringify({ keys: Array.from({ length: 100 }, () => ({ kty: 'oct' })) }));
  } else if (kind === 'empty') {
    response.end('{"keys": []}');
  } else if (kind === 'error') {
    response.writeHead(500).end();
  } else if (kind === 'redirect') {
    response.writeHead(302, { location }).end();
  } else {
    state.callback(request, response);
  }
}

const server = http.createServer((request, response) => {
  if (request.url.startsWith('/control/')) control(request, response);
  else if (!state.callback) response.writeHead(503).end();
  else if (request.url === '/jwks') serveKeys(request, response);
  else {
    if (request.url === '/.well-known/openid-configuration') state.counts.discovery += 1;
    state.callback(request, response);
  }
});
server.listen(port, '127.0.0.1', () => console.log('listening'));
