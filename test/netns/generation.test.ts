/**
 * Programs and service tables are replaced under load, and nothing is lost. BPFSVC_FLOOD_RATE (100000) is how many
 * datagrams a second are sent meanwhile.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import anyTest, { type ExecutionContext } from 'ava';
import { type Agent, startAgent } from './agent.ts';
import { crowd, crowdCidrs } from './crowd.ts';
import { eventually } from './eventually.ts';
import { type Flood, type FloodOptions, type Sink, startFlood, startSink } from './flood.ts';
import { createLab, type Lab, type Node, type Pod } from './lab.ts';
import { manifest, nodeObjects, serviceObjects } from './objects.ts';
import { readPinned } from './pinned.ts';
import { failures, type Questions, startQuestions, startVisitors, summary, type Visitors } from './questions.ts';
import { startServer } from './traffic.ts';

const test = anyTest.serial;

const RATE = Number(process.env.BPFSVC_FLOOD_RATE ?? 100_000);
const web = ['10.96.0.1', 'fd00:10:96::1'] as const;
const loyal = ['10.96.0.2', 'fd00:10:96::2'] as const;

/** Rows of each service table; `times` as many in the generation after. */
function mapSizes(times: number): string[] {
  const tables = { frontends: 512, backends: 2048, names: 512 };
  const sizes = Object.entries(tables).map(([name, rows]) => `${name}=${rows * times}`);
  return ['--map-size', sizes.join(',')];
}

interface Stage extends AsyncDisposable {
  readonly lab: Lab;
  readonly node: Node;
  readonly agent: Agent;
  readonly visitors: Visitors;
  readonly client: Pod;
  readonly backends: readonly Pod[];
}

const web2 = [
  { name: 'tcp', port: 80, targetPort: 8080, protocol: 'TCP' as const },
  { name: 'udp', port: 80, targetPort: 8080, protocol: 'UDP' as const },
  { name: 'flood', port: 99, targetPort: 9999, protocol: 'UDP' as const },
];

function objectsOf(lab: Lab, backends: readonly Pod[], more: readonly object[] = []): string {
  const own = serviceObjects({ name: 'web', clusterIPs: web, ports: web2 }, backends);
  const spec = { sessionAffinity: 'ClientIP' };
  return manifest([
    ...nodeObjects(lab),
    ...own,
    ...serviceObjects({ name: 'loyal', clusterIPs: loyal, spec }, backends),
    ...more,
  ]);
}

async function setStage(tag: string): Promise<Stage> {
  const lab = await createLab({ shape: 'ptp', nodes: 2, podsPerNode: 3, rpFilter: 1, tag });
  const node = lab.node('n1');
  const [client, near, near2] = node.pods as [Pod, Pod, Pod];
  const backends = [near, near2, lab.node('n2').pods[0] as Pod];
  await Promise.all(backends.map((pod) => startServer(lab, pod, [8080])));
  const visitors = startVisitors(lab, node, client);
  const flags = ['--service-cidr', crowdCidrs];
  const agent = await startAgent(lab, node, objectsOf(lab, backends, crowd(0, 40)), [...flags, ...mapSizes(1)]);
  return {
    lab,
    node,
    agent,
    visitors,
    client,
    backends,
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]();
      await lab.close();
    },
  };
}

interface Load {
  /** Ends it and demands that nothing was lost. */
  endAndCheck(t: ExecutionContext): Promise<void>;
}

/** Numbered datagrams from the client's pod and questions from everywhere. */
async function startLoad(stage: Stage, how: Omit<FloodOptions, 'port'>, asks = true): Promise<Load> {
  const { lab, client, backends, visitors } = stage;
  const sink: Sink = await startSink(lab, backends, 9999);
  const flood: Flood = await startFlood(lab, client, { ...how, port: 99 });
  const questions: Questions | undefined = asks ? startQuestions(visitors, { addresses: web, port: 80 }) : undefined;
  return {
    async endAndCheck(t) {
      const tallies = (await questions?.stop()) ?? new Map();
      const sent = await flood.stop();
      await sleep(300);
      const received = await sink.stop();
      const rate = Math.round(sent.sent / sent.seconds);
      t.log(`${sent.sent} datagrams, ${rate} a second; ${asks ? summary(tallies) : 'no questions'}`);
      t.deepEqual([sent.errors, sent.errno], [0, '']);
      t.deepEqual(received.gaps, [], 'numbers that did not arrive');
      t.deepEqual([received.received, received.duplicates], [sent.sent, 0]);
      t.is(received.replies, sent.asked);
      t.is(sent.answered, sent.asked);
      t.deepEqual(failures(tallies), []);
    },
  };
}

const ways = [
  { name: 'at the veth, IPv4', address: web[0], connected: true, inside: false },
  { name: 'at the sockets, IPv6', address: web[1], connected: false, inside: true },
] as const;

for (const { name, inside, ...how } of ways) {
  test(`doubled maps, and growth by itself, lose no datagram and no request: ${name}`, async (t) => {
    await using stage = await setStage('swap');
    const { agent, lab, node, backends } = stage;
    const flood = { ...how, rate: RATE, ...(inside && { cgroup: node.cgroup }) };
    const control = await startLoad(stage, flood);
    await sleep(1500);
    await control.endAndCheck(t);

    const load = await startLoad(stage, flood);
    await sleep(500);
    const hashes = [(await readPinned(node.pinDir)).hash];
    await agent.end();
    await agent.start(mapSizes(2));
    hashes.push((await readPinned(node.pinDir)).hash);
    await sleep(500);
    agent.write(objectsOf(lab, backends, crowd(0, 800)));
    await eventually(async () => assert.equal(hashes.includes((await readPinned(node.pinDir)).hash), false), 30);
    await sleep(1000);
    await load.endAndCheck(t);
    t.is(new Set([...hashes, (await readPinned(node.pinDir)).hash]).size, 3);
    t.true(agent.log.some(({ msg }) => /generation: .*frontends 1024 to \d+/.test(msg)));
  });
}
