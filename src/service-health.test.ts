import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import pino from 'pino';
import { eventually } from '../test/netns/eventually.ts';
import { makeSandbox } from '../test/sandbox.ts';
import { behind, endpoint, node, web } from './model/fixture.ts';
import type { Endpoints, Service } from './model/service.ts';
import { makeServiceHealth, type ServiceHealth } from './service-health.ts';

const box = makeSandbox();
test.after.always(() => box.close());
box.ip('link', 'set', 'lo', 'up');
box.ip('address', 'add', '192.0.2.7/32', 'dev', 'lo');

const everywhere = ['0.0.0.0', '::'];
const here = (...addresses: string[]) => behind(...addresses.map((address) => endpoint(address, { nodeName: 'here' })));

function asked(port: number, more: Partial<Service> = {}): Service {
  return { ...web, externalLocal: true, healthCheckNodePort: port, ...more };
}

interface Stage {
  readonly health: ServiceHealth;
  serve(services: Record<string, readonly [Service, Endpoints]>, addresses?: readonly string[]): void;
  isHealthy: boolean;
  changes: number;
}

function stage(t: ExecutionContext, retryMs = 20): Stage {
  const health = makeServiceHealth({
    log: pino({ level: 'silent' }),
    isHealthy: () => made.isHealthy,
    onChange: () => {
      made.changes += 1;
    },
    retryMs,
  });
  t.teardown(() => health.close());
  const made: Stage = {
    health,
    isHealthy: true,
    changes: 0,
    serve(services, addresses = everywhere) {
      const entries = Object.entries(services);
      const world = {
        services: new Map(entries.map(([name, [service]]) => [name, service])),
        endpoints: new Map(entries.map(([name, [, endpoints]]) => [name, endpoints])),
        node,
      };
      health.serve(world, addresses);
    },
  };
  return made;
}

interface Answer {
  readonly status: number;
  readonly weight: string | null;
  readonly body: unknown;
}

async function ask(url: string, method = 'GET'): Promise<Answer> {
  const response = await fetch(url, { method, headers: { connection: 'close' } }).catch((error: Error) => {
    // ava's TAP reporter ends with an exception at what fetch throws
    throw new Error(`${url}: ${error.cause}`);
  });
  return {
    status: response.status,
    weight: response.headers.get('x-load-balancing-endpoint-weight'),
    body: await response.json(),
  };
}

function answer(localEndpoints: number, serviceProxyHealthy = true, name = 'web'): Answer {
  return {
    status: localEndpoints > 0 && serviceProxyHealthy ? 200 : 503,
    weight: String(localEndpoints),
    body: { service: { namespace: 'default', name }, localEndpoints, serviceProxyHealthy },
  };
}

/** Until it is so, however busy the machine is. */
async function answers(url: string, expected: Answer): Promise<void> {
  await eventually(async () => assert.deepEqual(await ask(url), expected), 60);
}

async function refuses(host: string, port: number): Promise<void> {
  await eventually(async () => {
    const socket = connect(port, host);
    const event = await once(socket, 'connect').then(
      () => 'open',
      (error) => error.code,
    );
    socket.destroy();
    assert.equal(event, 'ECONNREFUSED');
  }, 60);
}

test('makeServiceHealth() answers any path and method with what this node has, by header and body', async (t) => {
  const { serve, isHealthy: _, ...made } = stage(t);
  serve({ 'default/web': [asked(30100), here('10.0.0.1', '10.0.0.2')] });
  await answers('http://127.0.0.1:30100/', answer(2));
  for (const path of ['/healthz', '/a/b?c=d', '//', '/%2e%2e']) {
    t.deepEqual(await ask(`http://127.0.0.1:30100${path}`), answer(2), path);
  }
  t.deepEqual(await ask('http://127.0.0.1:30100/', 'POST'), answer(2));
  const { headers } = await fetch('http://127.0.0.1:30100/', { method: 'HEAD' });
  t.is(headers.get('content-type'), 'application/json');
  t.is(headers.get('x-content-type-options'), 'nosniff');
  t.is(headers.get('x-load-balancing-endpoint-weight'), '2');
  t.deepEqual(made.health.problems, []);
});

test('makeServiceHealth() is 503 without an endpoint here, and while the proxy is unhealthy', async (t) => {
  const made = stage(t);
  made.serve({ 'default/web': [asked(30101), behind(endpoint('10.0.0.1'))] });
  await answers('http://127.0.0.1:30101/', answer(0));
  made.serve({ 'default/web': [asked(30101), here('10.0.0.1')] });
  t.deepEqual(await ask('http://127.0.0.1:30101/'), answer(1));
  made.isHealthy = false;
  t.deepEqual(await ask('http://127.0.0.1:30101/'), answer(1, false));
});

test('makeServiceHealth() serves each family that the Service has, and counts it by itself', async (t) => {
  const { serve, health } = stage(t);
  const endpoints = here('10.0.0.1', 'fd00::1', 'fd00::2');
  const [v4, v6] = ['http://127.0.0.1:30102/', 'http://[::1]:30102/'];
  serve({ 'default/web': [asked(30102, { clusterIPs: ['10.96.0.1', 'fd00:96::1'] }), endpoints] });
  await answers(v4, answer(1));
  await answers(v6, answer(2));
  serve({ 'default/web': [asked(30102, { clusterIPs: ['fd00:96::1'] }), endpoints] });
  await refuses('127.0.0.1', 30102);
  await answers(v6, answer(2));
  t.deepEqual(health.problems, []);
});

test('makeServiceHealth() listens on the addresses it is given, as they come and go', async (t) => {
  const { serve, health } = stage(t);
  const services = { 'default/web': [asked(30103), here('10.0.0.1')] } as const;
  serve(services, ['192.0.2.7', 'fd00::7']);
  await answers('http://192.0.2.7:30103/', answer(1));
  await refuses('127.0.0.1', 30103);
  serve(services, ['127.0.0.1']);
  await answers('http://127.0.0.1:30103/', answer(1));
  await refuses('192.0.2.7', 30103);
  t.deepEqual(health.problems, []);
});

test('makeServiceHealth() follows a port to another Service, and a Service to another port', async (t) => {
  const { serve, health } = stage(t);
  serve({ 'default/a': [asked(30104), here('10.0.0.1')] });
  await answers('http://127.0.0.1:30104/', answer(1, true, 'a'));
  serve({ 'default/a': [asked(30105), here('10.0.0.1')], 'default/b': [asked(30104), here('10.0.0.1', '10.0.0.2')] });
  await answers('http://127.0.0.1:30104/', answer(2, true, 'b'));
  await answers('http://127.0.0.1:30105/', answer(1, true, 'a'));
  t.deepEqual(health.problems, []);
  serve({});
  await refuses('127.0.0.1', 30104);
  await refuses('127.0.0.1', 30105);
});

test('makeServiceHealth() a port that is taken is a problem, and is had when it is free', async (t) => {
  const other = createServer().listen(30106, '0.0.0.0');
  await once(other, 'listening');
  const made = stage(t);
  made.serve({ 'default/web': [asked(30106, { clusterIPs: ['10.96.0.1', 'fd00:96::1'] }), here('10.0.0.1')] });
  await eventually(() => assert.equal(made.health.problems.length, 1), 60);
  const [problem] = made.health.problems;
  t.is(problem?.object, 'Service default/web');
  t.regex(
    problem?.reason ?? '',
    /^FailedToStartServiceHealthcheck: no load balancer can ask at 0\.0\.0\.0:30106: .*EADDRINUSE/,
  );
  t.is(made.changes, 1, 'told once, however often it is tried');
  await answers('http://[::1]:30106/', answer(0));
  other.close();
  await answers('http://127.0.0.1:30106/', answer(1));
  t.deepEqual(made.health.problems, []);
  t.is(made.changes, 2);
});

test('makeServiceHealth() a Service that goes while its port is taken leaves nothing behind', async (t) => {
  const other = createServer().listen(30107, '0.0.0.0');
  await once(other, 'listening');
  const made = stage(t);
  made.serve({ 'default/web': [asked(30107), here('10.0.0.1')] });
  await eventually(() => assert.equal(made.health.problems.length, 1), 60);
  made.serve({});
  t.deepEqual(made.health.problems, []);
  other.close();
  made.serve({ 'default/b': [asked(30108), here('10.0.0.1')] });
  await answers('http://127.0.0.1:30108/', answer(1, true, 'b'));
  await refuses('127.0.0.1', 30107);
});

/** A client that says what it says and no more. */
async function client(port: number, text: string): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {}).resume();
  await once(socket, 'connect');
  socket.write(text);
  return socket;
}

test('makeServiceHealth() clients that are killed, silent or mad hold up nobody, and none keeps it open', async (t) => {
  const { serve, health } = stage(t);
  serve({ 'default/web': [asked(30109), here('10.0.0.1')] });
  await answers('http://127.0.0.1:30109/', answer(1));
  const sockets: Socket[] = [];
  for (const text of [
    '',
    'GET / HT',
    'GET / HTTP/1.1\r\nhost: a\r\n\r\n',
    '\0\xff',
    'CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n',
  ]) {
    sockets.push(await client(30109, text));
    const killed = await client(30109, text);
    killed.resetAndDestroy();
  }
  t.deepEqual(await ask('http://127.0.0.1:30109/'), answer(1));
  const closed = sockets.map((socket) => (socket.closed ? undefined : once(socket, 'close')));
  health.close();
  await Promise.all(closed);
  await refuses('127.0.0.1', 30109);
});
