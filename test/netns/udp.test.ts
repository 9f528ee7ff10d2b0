/**
 * UDP never goes stale: whoever sends to a Service leaves a backend that no longer serves with the very next datagram, in
 * every way that a process can send, over restarts of the agent and changes of the generation; and no sooner.
 */
import assert from 'node:assert/strict';
import anyTest, { type ExecutionContext } from 'ava';
import { removedBackendKey, switches } from '../../src/layout.gen.ts';
import { addressFromHex } from '../../src/model/address.ts';
import { type Agent, startAgent } from './agent.ts';
import { eventually } from './eventually.ts';
import { createLab, type Lab, type Node, type Pod } from './lab.ts';
import { manifest, nodeObjects, serviceObjects } from './objects.ts';
import { readPinned } from './pinned.ts';
import { type Client, type Connection, startClient, startServer, type Target } from './traffic.ts';

const test = anyTest.serial;
const vips = ['10.96.0.1', 'fd00:10:96::1'] as const;

let lab: Lab;
let node: Node;
let agent: Agent;
/** near and far. */
let backends: readonly [Pod, Pod];
let clients: Readonly<Record<'host' | 'socket' | 'pod', Client>>;

/** How a process can send. A connected socket of the node cannot be moved: it is ended. */
const ways = [
  { name: 'a pod, connected', client: 'socket', connected: true, ends: false },
  { name: 'a pod, unconnected', client: 'socket', connected: false, ends: false },
  { name: 'a pod outside the socket hooks, connected', client: 'pod', connected: true, ends: false },
  { name: 'a pod outside the socket hooks, unconnected', client: 'pod', connected: false, ends: false },
  { name: 'the node, unconnected', client: 'host', connected: false, ends: false },
  { name: 'the node, connected', client: 'host', connected: true, ends: true },
] as const;

type Conditions = { ready: boolean; serving?: boolean; terminating?: boolean };

/** The Service with these endpoints; `conditions` of the first. */
function objects(of: readonly Pod[], conditions?: Conditions, spec: object = {}): string {
  const all = serviceObjects({ name: 'web', clusterIPs: vips, spec: { ...spec } }, of) as {
    endpoints?: { conditions: Conditions }[];
  }[];
  if (conditions) for (const { endpoints } of all) if (endpoints?.[0]) endpoints[0].conditions = conditions;
  return manifest([...nodeObjects(lab), ...all]);
}

test.before(async () => {
  lab = await createLab({ shape: 'ptp', nodes: 2, podsPerNode: 2, rpFilter: 1, tag: 'udp' });
  node = lab.node('n1');
  const [client, near] = node.pods as [Pod, Pod];
  const [far] = lab.node('n2').pods as [Pod];
  backends = [near, far];
  for (const pod of backends) await startServer(lab, pod, [8080]);
  served = objects(backends);
  agent = await startAgent(lab, node, served);
  clients = {
    host: startClient(lab, node, { cgroup: node.cgroup }),
    socket: startClient(lab, client, { cgroup: node.cgroup }),
    pod: startClient(lab, client),
  };
});
test.after.always(async () => {
  await agent?.[Symbol.asyncDispose]();
  await lab?.close();
});

let served = '';

/** Makes the kernel serve this; there is no pass to wait for if it does already. */
async function serve(text: string): Promise<void> {
  if (text !== served) await agent.apply(text);
  served = text;
}

interface Talk {
  readonly what: string;
  readonly ends: boolean;
  readonly talk: Connection;
  readonly target: Target;
  readonly client: Client;
}

/** Everybody begins a conversation with near, over both families. */
async function talkToNear(): Promise<Talk[]> {
  await serve(objects([backends[0]]));
  const talks: Talk[] = [];
  for (const { name, client: by, connected, ends } of ways) {
    for (const address of vips) {
      const target = { protocol: 'udp', address, port: 80, connected, timeout: 1000 } as const;
      const talk = await clients[by].open(target);
      assert.equal(talk.first.backend, backends[0].name);
      talks.push({ what: `${name}, ${address}`, ends, talk, target, client: clients[by] });
    }
  }
  return talks;
}

async function isWith(t: ExecutionContext, talks: readonly Talk[], pod: Pod): Promise<void> {
  for (const { what, talk } of talks) t.is((await talk.ask()).backend, pod.name, what);
}

/** The next datagram of each reaches the other backend; a socket that was ended says so, and a new one does. */
async function haveMoved(t: ExecutionContext, talks: readonly Talk[], pod: Pod): Promise<void> {
  for (const { what, talk, ends, client, target } of talks) {
    if (!ends) {
      t.is((await talk.ask()).backend, pod.name, what);
      continue;
    }
    const error = await t.throwsAsync(talk.ask());
    t.not((error as NodeJS.ErrnoException).code, 'TIMEOUT', what);
    const again = await client.open(target);
    t.is(again.first.backend, pod.name);
    await again.close();
  }
}

async function close(talks: readonly Talk[]): Promise<void> {
  for (const { talk } of talks) await talk.close();
}

/** What the kernel has as removed, and whether the programs are told to look. */
async function removed(): Promise<{ places: string[]; told: boolean }> {
  const { tables } = await readPinned(node.pinDir);
  const places = [...tables.removed_backends.keys()].map((key) =>
    addressFromHex(removedBackendKey.decode(key).address),
  );
  const [row] = tables.switches.values();
  return { places: places.sort(), told: switches.decode(row ?? '').hasRemovedBackends === 1 };
}

test('everybody leaves a backend that is gone with the next datagram', async (t) => {
  const [near, far] = backends;
  const talks = await talkToNear();
  await serve(objects([far]));
  t.deepEqual(await removed(), { places: [near.ip4, near.ip6], told: true });
  await haveMoved(t, talks, far);
  await close(talks);
});

test('nobody leaves one that only terminates, but new conversations are with others; once it is gone all leave', async (t) => {
  const [near, far] = backends;
  const talks = await talkToNear();
  await serve(objects([near, far], { ready: false, serving: true, terminating: true }));
  t.deepEqual(await removed(), { places: [], told: false });
  const fresh = await clients.pod.request({ protocol: 'udp', address: vips[0], port: 80, count: 20 });
  t.deepEqual(fresh.backends, { [far.name]: 20 });
  await isWith(t, talks, near);
  await new Promise((resolve) => setTimeout(resolve, 1100)); // whatever is looked at once a second
  await isWith(t, talks, near);
  await serve(objects([far]));
  await haveMoved(t, talks, far);
  await close(talks);
});

test('who is back is not left', async (t) => {
  const [near, far] = backends;
  await talkToNear().then(close);
  await serve(objects([far]));
  t.deepEqual(await removed(), { places: [near.ip4, near.ip6], told: true });
  const talks = await talkToNear();
  t.deepEqual(await removed(), { places: [far.ip4, far.ip6], told: true });
  await isWith(t, talks, near);
  await close(talks);
});

test('a backend that left while no agent ran is left as soon as one runs', async (t) => {
  const [near, far] = backends;
  const talks = await talkToNear();
  await agent.end('SIGKILL');
  served = objects([far]);
  agent.write(served);
  await isWith(t, talks, near);
  await agent.start();
  await eventually(async () => assert.deepEqual((await removed()).places, [near.ip4, near.ip6]));
  await haveMoved(t, talks, far);
  await close(talks);
});

test('a restart forgets no removal that a flow has not met yet', async (t) => {
  const [near, far] = backends;
  const talks = (await talkToNear()).filter(({ ends }) => !ends);
  await serve(objects([far]));
  await agent.end('SIGTERM');
  await agent.start();
  await haveMoved(t, talks, far);
  t.true((await removed()).places.includes(near.ip4));
  await close(talks);
});

test('a new generation forgets none either', async (t) => {
  const [near, far] = backends;
  const talks = (await talkToNear()).filter(({ ends }) => !ends);
  await serve(objects([far]));
  await agent.end();
  const { hash } = await readPinned(node.pinDir);
  await agent.start(['--map-size', 'names=4096']);
  await eventually(async () => assert.notEqual((await readPinned(node.pinDir)).hash, hash));
  await eventually(async () => assert.deepEqual((await removed()).places, [near.ip4, near.ip6]));
  await haveMoved(t, talks, far);
  await close(talks);
});

/** Each goes on asking over one socket, or one that it opens anew when connect() was refused. */
const patient = { questions: 30, pause: 50, timeout: 150 } as const;

test('who asked when nobody served reaches the first who does, over the same socket', async (t) => {
  const [near] = backends;
  await serve(objects([]));
  const asking = ways.flatMap(({ name, client, connected }) =>
    vips.map((address) => ({
      what: `${name}, ${address}`,
      tally: clients[client].request({ protocol: 'udp', address, port: 80, connected, ...patient }),
    })),
  );
  await new Promise((resolve) => setTimeout(resolve, 300));
  await serve(objects([near]));
  for (const { what, tally } of asking) {
    const { ok, failed, backends, errors } = await tally;
    t.true(failed > 0, `${what}: it began too late`);
    t.true(ok > 5, `${what}: ${JSON.stringify(errors)}`);
    t.deepEqual(Object.keys(backends), [near.name], what);
  }
});

test('a SYN that was dropped for want of a local endpoint is answered by the first, when it comes again', async (t) => {
  const [near, far] = backends;
  const local = { internalTrafficPolicy: 'Local' };
  await serve(objects([far], undefined, local));
  const calls = (['socket', 'pod'] as const).flatMap((by) =>
    vips.map((address) => clients[by].open({ protocol: 'tcp', address, port: 80, timeout: 8000 })),
  );
  await new Promise((resolve) => setTimeout(resolve, 300));
  await serve(objects([near, far], undefined, local));
  for (const connection of await Promise.all(calls)) {
    t.is(connection.first.backend, near.name);
    await connection.close();
  }
});

test('a pod that is its own backend hears the answer of its server, which the socket hooks see', async (t) => {
  const [self] = node.pods as [Pod];
  const server = await startServer(lab, self, [8080], { cgroup: node.cgroup });
  await serve(objects([self]));
  for (const { name, client, connected } of ways.filter((way) => way.client !== 'host')) {
    for (const address of vips) {
      const tally = await clients[client].request({ protocol: 'udp', address, port: 80, connected, count: 3 });
      t.deepEqual(tally.backends, { [self.name]: 3 }, `${name}, ${address}`);
    }
  }
  server.kill('SIGKILL');
});
