/**
 * Programs and service tables are replaced under load, and nothing is lost. BPFSVC_FLOOD_RATE (100000) is how many
 * datagrams a second are sent meanwhile, BPFSVC_SWAP_KILLS (9) how often an agent dies in the middle of a replacement.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import anyTest, { type ExecutionContext } from 'ava';
import { type Agent, startAgent } from './agent.ts';
import { crowd, crowdCidrs } from './crowd.ts';
import { eventually } from './eventually.ts';
import { type Flood, type FloodOptions, type Sink, startFlood, startSink } from './flood.ts';
import { createLab, type Lab, type Node, type Pod } from './lab.ts';
import { mortal } from './mortal.ts';
import { manifest, nodeObjects, serviceObjects } from './objects.ts';
import { differences, lookups, readPinned } from './pinned.ts';
import { failures, type Questions, startQuestions, startVisitors, summary, type Visitors } from './questions.ts';
import { settled } from './scene.ts';
import { startServer } from './traffic.ts';

const test = anyTest.serial;

const RATE = Number(process.env.BPFSVC_FLOOD_RATE ?? 100_000);
const SWAP_KILLS = Number(process.env.BPFSVC_SWAP_KILLS ?? 9);
const web = ['10.96.0.1', 'fd00:10:96::1'] as const;
const loyal = ['10.96.0.2', 'fd00:10:96::2'] as const;

const tableSizes = { frontends: 512, backends: 2048, names: 512 };
const stateSizes = {
  flows: 65536,
  half_open: 32768,
  affinity: 4096,
  udp_choices: 8192,
  socket_reverse: 65536,
  counters: 8192,
};

/** Rows of each map, `times` as many as at first. */
function mapSizes(times: number, rows: Readonly<Record<string, number>> = tableSizes): string[] {
  const sizes = Object.entries(rows).map(([name, count]) => `${name}=${count * times}`);
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
  await settled(agent, node);
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

for (const { name, inside, ...how } of ways) {
  test(`state maps doubled, then halved, lose no datagram and no request: ${name}`, async (t) => {
    t.timeout(300_000);
    await using stage = await setStage('state');
    const { agent, node } = stage;
    await agent.end();
    await agent.start(mapSizes(2, stateSizes));
    const load = await startLoad(stage, { ...how, rate: RATE, ...(inside && { cgroup: node.cgroup }) });
    const hashes = new Set([(await readPinned(node.pinDir)).hash]);
    for (const times of [4, 2, 1]) {
      await sleep(500);
      await agent.end();
      await agent.start(mapSizes(times, stateSizes));
      hashes.add((await readPinned(node.pinDir)).hash);
    }
    await sleep(500);
    await load.endAndCheck(t);
    t.is(hashes.size, 3);
  });
}

/** Who answers each of the Services with affinity, by visitor, address and protocol. */
async function affinities({ visitors }: Stage): Promise<Record<string, string[]>> {
  const found: Record<string, string[]> = {};
  for (const who of ['pod', 'host'] as const) {
    for (const address of loyal) {
      for (const protocol of ['tcp', 'udp'] as const) {
        const { backends } = await visitors[who].request({ protocol, address, port: 80, count: 5 });
        found[`${who} ${address} ${protocol}`] = Object.keys(backends);
      }
    }
  }
  return found;
}

async function counters({ agent }: Stage): Promise<unknown> {
  const { stdout } = await agent.bpfsvc('dump', 'services', '-o', 'json');
  const { items } = JSON.parse(stdout) as { items: { name: string; portName: string; counters: unknown }[] };
  return items.map(({ name, portName, counters: found }) => [name, portName, found]);
}

test('conversations, affinity, choices and counts outlive state maps of another size, be it larger or smaller', async (t) => {
  await using stage = await setStage('state');
  const { agent, node, visitors } = stage;
  await agent.end();
  await agent.start(mapSizes(2, stateSizes));
  const talks = await Promise.all(
    web.flatMap((address) => [
      ...Array.from({ length: 4 }, () => visitors.pod.open({ protocol: 'tcp', address, port: 80 })),
      ...Array.from({ length: 4 }, () => visitors.pod.open({ protocol: 'udp', connected: true, address, port: 80 })),
      ...Array.from({ length: 8 }, () =>
        visitors.socket.open({ protocol: 'udp', connected: false, address, port: 80 }),
      ),
      ...Array.from({ length: 4 }, () => visitors.host.open({ protocol: 'udp', connected: true, address, port: 80 })),
    ]),
  );
  const loyalTo = await affinities(stage);
  for (const backends of Object.values(loyalTo)) t.is(backends.length, 1);
  for (const times of [4, 1]) {
    const before = await readPinned(node.pinDir);
    const counted = await counters(stage);
    await agent.end();
    await agent.start(mapSizes(times, stateSizes));
    t.deepEqual(await counters(stage), counted);
    const after = await readPinned(node.pinDir);
    for (const name of Object.keys(stateSizes)) t.not(after.maps[name], before.maps[name], name);
    for (const { first, ask } of talks) t.deepEqual(await ask(), first);
    t.deepEqual(await affinities(stage), loyalTo);
  }
});

test(`an agent that dies ${SWAP_KILLS} times in the middle of a replacement loses nothing, and the next one ends it`, async (t) => {
  t.timeout(300_000);
  await using stage = await setStage('torn');
  const { agent, node } = stage;
  const load = await startLoad(stage, { address: web[0], connected: true, rate: RATE / 10 });
  const right = lookups((await readPinned(node.pinDir)).tables);
  const rows = Math.max(...agent.log.map((line) => line.rows ?? 0));
  const deaths: string[] = [];
  for (let kill = 0; kill < SWAP_KILLS; kill += 1) {
    const before = await readPinned(node.pinDir);
    await agent.end();
    const sizes = mapSizes(kill % 2 === 0 ? 2 : 1, { ...tableSizes, ...stateSizes });
    // While pins are made, while rows are written, while links are pointed and what is old goes away; and in the second of two replacements.
    const skipped = Math.floor(kill / 3) % 2 === 0 ? 0 : rows + 100;
    const after = skipped + ([1, 25, 25 + rows][kill % 3] as number);
    const spread = [25, rows, 40][kill % 3] as number;
    const changes = after + Math.floor(Math.random() * spread);
    const died = await agent.start(sizes, mortal(changes)).then(
      () => false,
      () => true,
    );
    const { hash, tables } = await readPinned(node.pinDir);
    const inCharge = hash === before.hash ? 'the old one' : 'the new one';
    deaths.push(`${died ? 'dead' : 'alive'} after ${changes} changes: ${inCharge} in charge`);
    t.deepEqual(differences(lookups(tables), right), [], deaths.at(-1));
    await agent.end('SIGKILL');
    await agent.start(sizes);
    const healed = await readPinned(node.pinDir);
    t.deepEqual(differences(lookups(healed.tables), right), []);
    const ours = new Set(Object.values(healed.programs));
    t.deepEqual(
      Object.entries(healed.links).filter(([, { programId }]) => !ours.has(programId)),
      [],
    );
    t.is(readdirSync(node.pinDir).filter((name) => name.startsWith('generation-')).length, 1);
  }
  t.log(deaths.join(', '));
  t.true(deaths.some((death) => death.startsWith('dead')));
  await load.endAndCheck(t);
});
