import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import pino, { type Logger } from 'pino';
import { eventually } from '../test/netns/eventually.ts';
import { BpfError } from './kernel/kernel.ts';
import { serveMetrics } from './metrics-server.ts';

interface Line {
  readonly level: number;
  readonly msg: string;
  readonly port?: number;
}

function recorder(): { log: Logger; lines: Line[] } {
  const lines: Line[] = [];
  return { log: pino({ level: 'debug' }, { write: (line: string) => void lines.push(JSON.parse(line)) }), lines };
}

async function logged(lines: readonly Line[], count: number): Promise<void> {
  await eventually(() => assert(lines.length >= count));
}

/** Serves at a free port; the URL of it, and what was logged. */
async function serve(t: ExecutionContext, text: () => Promise<string>): Promise<{ url: string; lines: Line[] }> {
  const { log, lines } = recorder();
  const stop = new AbortController();
  t.teardown(() => stop.abort());
  serveMetrics({ address: { host: '127.0.0.1', port: 0 }, text, log, signal: stop.signal });
  await logged(lines, 1);
  return { url: `http://127.0.0.1:${lines[0]?.port}`, lines };
}

test('serveMetrics() answers GET /metrics, and nothing else', async (t) => {
  const { url, lines } = await serve(t, async () => 'a 1\n');
  const response = await fetch(`${url}/metrics?x=1`);
  t.is(await response.text(), 'a 1\n');
  t.regex(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  t.is((await fetch(`${url}/`)).status, 404);
  const mode = await fetch(`${url}/proxyMode`);
  t.deepEqual([mode.status, await mode.text()], [200, 'bpfsvc']);
  t.is(mode.headers.get('x-content-type-options'), 'nosniff');
  t.is(await (await fetch(`${url}/healthz`)).text(), 'ok');
  t.is((await fetch(`${url}//`)).status, 404);
  t.is((await fetch(`${url}/metrics`, { method: 'POST' })).status, 405);
  t.deepEqual(
    lines.map(({ level, msg }) => [level, msg]),
    [[30, `metrics at ${url}/metrics`]],
  );
});

test('serveMetrics() says so where maps are replaced meanwhile, and goes on', async (t) => {
  let isBroken = true;
  const { url, lines } = await serve(t, async () => {
    if (isBroken) throw new BpfError({ code: 'EBADF', call: 'map_read', object: 'map flows', detail: 'it is closed' });
    return 'a 1\n';
  });
  t.is((await fetch(`${url}/metrics`)).status, 503);
  t.is(lines.at(-1)?.level, 20);
  isBroken = false;
  t.is((await fetch(`${url}/metrics`)).status, 200);
});

test('serveMetrics() survives a fault of ours, and tells of it', async (t) => {
  const { url, lines } = await serve(t, async () => {
    throw new TypeError('no');
  });
  t.is((await fetch(`${url}/metrics`)).status, 500);
  t.is(lines.at(-1)?.level, 50);
});

test('serveMetrics() warns once of an address that is taken, holds nobody up, and has it when it is free', async (t) => {
  const other: Server = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  const { log, lines } = recorder();
  const stop = new AbortController();
  t.teardown(() => stop.abort());
  const text = async () => 'a 1\n';
  serveMetrics({ address: { host: '127.0.0.1', port }, text, log, signal: stop.signal, retryMs: 20 });
  await logged(lines, 1);
  t.is(lines[0]?.level, 40);
  t.regex(lines[0]?.msg ?? '', new RegExp(`^cannot serve metrics at 127\\.0\\.0\\.1:${port}, trying again`));
  await logged(lines, 3);
  t.true(
    lines.slice(1).every(({ level }) => level === 20),
    'the others only tell who looks for a fault',
  );
  other.close();
  await eventually(() => assert.equal(lines.at(-1)?.level, 30));
  t.is(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text(), 'a 1\n');
});

test('serveMetrics() ends with its signal, whoever is connected', async (t) => {
  const { log, lines } = recorder();
  const stop = new AbortController();
  const { promise: isAsked, resolve } = Promise.withResolvers<void>();
  const text = () => {
    resolve();
    return new Promise<string>(() => {});
  };
  serveMetrics({ address: { host: '127.0.0.1', port: 0 }, text, log, signal: stop.signal });
  await logged(lines, 1);
  const asked = fetch(`http://127.0.0.1:${lines[0]?.port}/metrics`, { signal: AbortSignal.timeout(10_000) });
  await isAsked;
  stop.abort();
  const error = await t.throwsAsync(asked);
  t.is(error?.name, 'TypeError', 'it was cut off, and did not wait');
});
