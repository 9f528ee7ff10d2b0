/** `bpfsvc trace`: what it tells of real packets and sockets, what its filters let through, and that it leaves no trace. */
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import anyTest, { type ExecutionContext } from 'ava';
import { openGeneration } from '../../src/kernel/generation.ts';
import { currentGeneration, pinDir } from '../../src/kernel/pins.ts';
import { traceFilter } from '../../src/layout.gen.ts';
import { schemaErrors } from '../json-schema.ts';
import { type Agent, startAgent } from './agent.ts';
import { stop } from './command.ts';
import { createLab, type Lab, type Node, type Pod } from './lab.ts';
import { manifest, nodeObjects, serviceObjects } from './objects.ts';
import { type Client, startClient, startServer } from './traffic.ts';

const test = anyTest.serial;
const cli = fileURLToPath(new URL('../../bin/bpfsvc', import.meta.url));
const schema = JSON.parse(readFileSync(new URL('../../src/commands/trace.schema.json', import.meta.url), 'utf8'));

interface Item {
  readonly event: string;
  readonly reason: string;
  readonly name: string;
  readonly asked: { readonly source: string | null; readonly destination: string };
  readonly becomes: { readonly source: string | null; readonly destination: string } | null;
  readonly process: { readonly pid: number; readonly command: string } | null;
}

let lab: Lab;
let node: Node;
let pod: Pod;
let agent: Agent;
let inside: Client;
let socket: Client;

test.before(async () => {
  lab = await createLab({ shape: 'ptp', nodes: 2, podsPerNode: 1, tag: 'trace' });
  node = lab.node('n1');
  [pod] = node.pods as [Pod];
  const [far] = lab.node('n2').pods as [Pod];
  await startServer(lab, far, [8080]);
  const nodePort = [{ name: 'tcp', port: 80, targetPort: 8080, protocol: 'TCP' as const, nodePort: 30080 }];
  const objects = [
    ...nodeObjects(lab),
    ...serviceObjects({ name: 'web', clusterIPs: ['10.96.0.1', 'fd00:10:96::1'] }, [far]),
    ...serviceObjects({ name: 'api', clusterIPs: ['10.96.0.2'], ports: nodePort, spec: { type: 'NodePort' } }, [far]),
    ...serviceObjects({ name: 'none', clusterIPs: ['10.96.0.3'] }, []),
  ];
  agent = await startAgent(lab, node, manifest(objects), ['--service-cidr', '10.96.0.0/16']);
  inside = startClient(lab, pod);
  socket = startClient(lab, node, { cgroup: node.cgroup });
});
test.after.always(async () => {
  await agent?.[Symbol.asyncDispose]();
  await lab?.close();
});

const listeners = new Set<ChildProcess>();
test.afterEach.always(async () => {
  for (const child of listeners) await stop(child, 'SIGKILL');
  listeners.clear();
});

/** A listener, at work when this resolves. */
async function listen(...words: string[]) {
  const child = lab.spawn(node, [cli, 'trace', ...words, '--pin-dir', node.pinDir]);
  listeners.add(child);
  if (!child.stdout || !child.stderr) throw new Error('no pipes');
  const lines: string[] = [];
  let wake = (): void => {};
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    wake();
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const said = createInterface({ input: child.stderr });
  const complaints: string[] = [];
  await new Promise<void>((resolve, reject) => {
    said.on('line', (line) => {
      complaints.push(line);
      if (line.includes('listening')) resolve();
    });
    child.once('close', () => reject(new Error(complaints.join('\n'))));
  });
  return {
    child,
    lines,
    ended,
    items: () => lines.map((line) => JSON.parse(line) as Item),
    async until(count: number): Promise<Item[]> {
      while (lines.length < count) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      return lines.map((line) => JSON.parse(line) as Item);
    },
  };
}

/** What the programs are asked to tell now; 0: nothing. */
function kindsTold(): number {
  const dir = pinDir(node.pinDir);
  using generation = openGeneration(dir, currentGeneration(dir) ?? '');
  const slot = generation?.state.trace_filter.lookup(Buffer.alloc(4));
  if (slot === undefined) throw new Error('no filter');
  return traceFilter.decode(Buffer.from(slot).toString('hex')).kinds;
}

const brief = ({ event, reason, name }: Item) => `${event} ${reason} ${name}`;
const tcp = { protocol: 'tcp', port: 80 } as const;

async function ask(t: ExecutionContext, client: Client, address: string, ok = 1): Promise<void> {
  t.is((await client.request({ ...tcp, address, timeout: 300 })).ok, ok, address);
}

test('a packet’s flow is told as it is made and ends, from the client’s side', async (t) => {
  const trace = await listen('-o', 'json');
  for (const [address, own, backend] of [
    ['10.96.0.1', pod.ip4, lab.pod('n2p1').ip4],
    ['fd00:10:96::1', `[${pod.ip6}]`, `[${lab.pod('n2p1').ip6}]`],
  ] as const) {
    trace.lines.length = 0;
    await ask(t, inside, address);
    const [made, ended] = (await trace.until(2)) as [Item, Item];
    t.is(brief(made), 'made connected_pod web');
    t.regex(brief(ended), /^ended ended_(fin|reset) web$/);
    t.is(made.asked.destination, `${address.includes(':') ? `[${address}]` : address}:80`);
    t.true(made.asked.source?.startsWith(`${own}:`), made.asked.source ?? '');
    t.deepEqual(made.becomes, { source: made.asked.source, destination: `${backend}:8080` });
    t.deepEqual([ended.asked, ended.becomes], [made.asked, made.becomes], 'whoever closed it');
    t.is(made.process, null);
    for (const item of [made, ended]) t.deepEqual(schemaErrors(item, schema), []);
  }
  await stop(trace.child, 'SIGINT');
  t.is(await trace.ended, 0);
});

test('a connection broken off, and one refused, dropped or begun by a process, each say so', async (t) => {
  const trace = await listen('-o', 'json');
  const next = async (count: number): Promise<Item[]> => {
    const items = await trace.until(count);
    trace.lines.length = 0;
    for (const item of items) t.deepEqual(schemaErrors(item, schema), []);
    return items;
  };
  await inside.request({ ...tcp, address: '10.96.0.1', ending: 'rst' });
  t.deepEqual((await next(2)).map(brief), ['made connected_pod web', 'ended ended_reset web']);

  await ask(t, inside, '10.96.0.3', 0);
  t.deepEqual((await next(1)).map(brief), ['refused reject_no_endpoint none']);

  await ask(t, inside, '10.96.200.200', 0);
  const [dropped] = await next(1);
  t.is(dropped && brief(dropped), 'dropped drop_unallocated ');
  t.is(dropped?.becomes, null);

  await ask(t, socket, '10.96.0.1');
  const [called] = (await next(1)) as [Item];
  t.is(brief(called), 'made connected_socket web');
  t.deepEqual(called.asked, { source: null, destination: '10.96.0.1:80' });
  t.deepEqual(called.becomes, { source: null, destination: `${lab.pod('n2p1').ip4}:8080` });
  t.is(called.process?.pid, socket.pid);

  await ask(t, socket, '10.96.0.3', 0);
  t.deepEqual((await next(1)).map(brief), ['refused reject_no_endpoint none']);
  await stop(trace.child);
  t.is(await trace.ended, 0);
});

test('a client from outside is shown with the address that its backend sees', async (t) => {
  const trace = await listen('default/api');
  const outside = startClient(lab, lab.outside);
  t.is((await outside.request({ protocol: 'tcp', address: node.ip4, port: 30080 })).ok, 1);
  while (trace.lines.length < 3) await new Promise((resolve) => setTimeout(resolve, 20));
  const [titles, made] = trace.lines as [string, string];
  t.regex(titles, /^TIME +EVENT +PROTOCOL +FROM +TO +BACKEND +SERVICE +REASON$/);
  const pattern = new RegExp(
    `^\\d\\d:\\d\\d:\\d\\d\\.\\d{6} +made +TCP +\\S+:(\\d+) +-> ${node.ip4}:30080 +=> ${lab.pod('n2p1').ip4}:8080 as \\S+:\\d+ +default/api:tcp +connected_wire$`,
  );
  t.regex(made, pattern);
  t.is(titles.indexOf('REASON'), made.indexOf('connected_wire'), 'in columns');
  await outside.close();
  await stop(trace.child);
});

for (const [what, words, expected] of [
  ['Service', ['default/api'], ['api', 'api']],
  ['address of a Service', ['--address', '10.96.0.2'], ['api', 'api']],
  ['reason', ['--reason', 'reject_no_endpoint'], ['none']],
  ['kind of event', ['--reason', 'ended'], ['web', 'api']],
] as const) {
  test(`only what is asked for is told, by ${what}`, async (t) => {
    const trace = await listen('-o', 'json', '--count', String(expected.length), ...words);
    for (const address of ['10.96.0.1', '10.96.0.3', '10.96.0.2'])
      await ask(t, inside, address, address.endsWith('3') ? 0 : 1);
    t.is(await trace.ended, 0, 'it ends by itself');
    t.deepEqual(
      trace.items().map(({ name }) => name),
      [...expected],
    );
    t.is(kindsTold(), 0);
  });
}

test('the programs are silent again, however a listener ends', async (t) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const trace = await listen();
    t.not(kindsTold(), 0);
    await stop(trace.child, signal);
    t.is(kindsTold(), 0, signal);
  }
  const trace = await listen('-o', 'json');
  trace.child.stdout?.destroy();
  await ask(t, inside, '10.96.0.1');
  t.is(await trace.ended, 0);
  t.is(kindsTold(), 0, 'nobody reads it any more');
});

test('one that was killed leaves the programs talking for seconds, and the next hears nothing of that', async (t) => {
  const killed = await listen('-o', 'json');
  await stop(killed.child, 'SIGKILL');
  t.not(kindsTold(), 0);
  await ask(t, inside, '10.96.0.1');
  const trace = await listen('-o', 'json', '--count', '1');
  await ask(t, inside, '10.96.0.2');
  await trace.ended;
  t.deepEqual(trace.items().map(brief), ['made connected_pod api']);
});

test('a second listener is told of the first', async (t) => {
  const trace = await listen();
  const { code, stderr } = await agent.bpfsvc('trace');
  t.is(code, 1);
  t.is(
    stderr,
    `bpfsvc: another bpfsvc trace (pid ${trace.child.pid}) listens already, and only one can: end it first\n`,
  );
  t.not(kindsTold(), 0, 'and leaves that one alone');
  await stop(trace.child);
});

test('it needs no agent, and follows from one generation to the next', async (t) => {
  const trace = await listen('-o', 'json', 'default/web');
  await agent.end('SIGKILL');
  await ask(t, inside, '10.96.0.1');
  t.is((await trace.until(2)).length, 2);
  await agent.start(['--map-size', 'frontends=2048']);
  await ask(t, inside, '10.96.0.1');
  const items = await trace.until(4);
  t.deepEqual([...new Set(items.map(({ name }) => name))], ['web']);
  await stop(trace.child);
  t.is(await trace.ended, 0);
});
