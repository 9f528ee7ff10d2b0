/**
 * As much of an API server as kube-proxy asks: lists, by pages or by stream, of the objects of a manifest file, and
 * watches on which nothing happens.
 *
 *   node api-server.ts OBJECTS.json PORT
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import process from 'node:process';

interface Item {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: object;
}

const [file = '', port = ''] = process.argv.slice(2);
const { items } = JSON.parse(readFileSync(file, 'utf8')) as { items: Item[] };

const kinds: Readonly<Record<string, { kind: string; apiVersion: string }>> = {
  '/api/v1/services': { kind: 'Service', apiVersion: 'v1' },
  '/api/v1/nodes': { kind: 'Node', apiVersion: 'v1' },
  '/apis/discovery.k8s.io/v1/endpointslices': { kind: 'EndpointSlice', apiVersion: 'discovery.k8s.io/v1' },
  '/apis/networking.k8s.io/v1/servicecidrs': { kind: 'ServiceCIDR', apiVersion: 'networking.k8s.io/v1' },
};

function withVersion(item: Item): object {
  return {
    ...item,
    metadata: { uid: JSON.stringify(item.metadata).length.toString(), resourceVersion: '1', ...item.metadata },
  };
}

createServer((request, response) => {
  const url = new URL(request.url ?? '', 'http://server');
  const known = kinds[url.pathname];
  const name = /^\/api\/v1\/nodes\/(.+)$/.exec(url.pathname)?.[1];
  const json = (status: number, body: object): void => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
  if (request.method !== 'GET') return json(201, { kind: 'Status', apiVersion: 'v1', status: 'Success' });
  if (name !== undefined) {
    const node = items.find(({ kind, metadata }) => kind === 'Node' && (metadata as { name: string }).name === name);
    return node === undefined
      ? json(404, { kind: 'Status', apiVersion: 'v1', code: 404 })
      : json(200, withVersion(node));
  }
  if (known === undefined) return json(404, { kind: 'Status', apiVersion: 'v1', status: 'Failure', code: 404 });
  const selector = /^metadata\.name=(.+)$/.exec(url.searchParams.get('fieldSelector') ?? '')?.[1];
  const own = items.filter(
    ({ kind, metadata }) =>
      kind === known.kind && (selector === undefined || (metadata as { name: string }).name === selector),
  );
  if (url.searchParams.get('watch') === null) {
    const body = { kind: `${known.kind}List`, apiVersion: known.apiVersion, metadata: { resourceVersion: '1' } };
    return json(200, { ...body, items: own.map(withVersion) });
  }
  response.writeHead(200, { 'content-type': 'application/json' });
  if (url.searchParams.get('sendInitialEvents') !== 'true') return response.flushHeaders();
  for (const item of own) response.write(`${JSON.stringify({ type: 'ADDED', object: withVersion(item) })}\n`);
  const annotations = { 'k8s.io/initial-events-end': 'true' };
  const object = { ...known, metadata: { resourceVersion: '1', annotations } };
  response.write(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
}).listen(Number(port), '127.0.0.1', () => process.stdout.write('ready\n'));
