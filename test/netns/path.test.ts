/**
 * What the path does to packets of a Service: pieces, narrow links, hop limits that end, ports where nobody listens. The
 * clients are outside the socket hooks, so that each packet is translated at its pod's veth.
 */
import assert from 'node:assert/strict';
import { setTimeout } from 'node:timers/promises';
import anyTest, { type ExecutionContext } from 'ava';
import { type Agent, startAgent } from './agent.ts';
import { type Captured, startCapture } from './capture.ts';
import { faults } from './checksum.ts';
import { craft } from './craft.ts';
import { eventually } from './eventually.ts';
import { droppedInvalid } from './firewall.ts';
import type { Extension } from './header.ts';
import { inject, macOf } from './inject.ts';
import { createLab, hasBridgeNetfilter, type Lab, type LabOptions, type Pod } from './lab.ts';
import { manifest, nodeObjects, serviceObjects } from './objects.ts';
import { type Packet, parse, quoted } from './packet.ts';
import { cut } from './pieces.ts';
import { type Client, startClient, startServer } from './traffic.ts';

const test = anyTest.serial;

const services = {
  near: ['10.96.0.2', 'fd00:10:96::2'],
  far: ['10.96.0.3', 'fd00:10:96::3'],
  /** The one pod that asks itself. */
  self: ['10.96.0.4', 'fd00:10:96::4'],
  /** An endpoint on each node, and no process there. */
  deaf: ['10.96.0.5', 'fd00:10:96::5'],
  deafFar: ['10.96.0.6', 'fd00:10:96::6'],
  none: ['10.96.0.7', 'fd00:10:96::7'],
} as const;
type Name = keyof typeof services;

interface Stage extends AsyncDisposable {
  readonly lab: Lab;
  readonly agent: Agent;
  readonly pod: Pod;
  readonly client: Client;
}

async function setStage(options: LabOptions): Promise<Stage> {
  const strict = { nodes: 2, podsPerNode: 3, rpFilter: 1, firewall: true, masquerade: true, tag: 'path' } as const;
  const lab = await createLab({ ...strict, ...options });
  const [pod, near, deaf] = lab.node('n1').pods as [Pod, Pod, Pod];
  const [far, deafFar] = lab.node('n2').pods as [Pod, Pod];
  for (const server of [pod, near, far]) await startServer(lab, server, [8080]);
  const behind: Record<Name, Pod[]> = {
    near: [near],
    far: [far],
    self: [pod],
    deaf: [deaf],
    deafFar: [deafFar],
    none: [],
  };
  const objects = Object.entries(behind).flatMap(([name, pods]) =>
    serviceObjects({ name: name.toLowerCase(), clusterIPs: services[name as Name] }, pods),
  );
  const agent = await startAgent(lab, lab.node('n1'), manifest([...nodeObjects(lab), ...objects]), [
    '--service-cidr',
    '10.96.0.0/16,fd00:10:96::/112',
  ]);
  const client = startClient(lab, pod);
  return {
    lab,
    agent,
    pod,
    client,
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]();
      await lab.close();
    },
  };
}

let lastPort = 10_000;

/** Datagrams from a port that an earlier socket had belong to its flow. */
function freshPort(): number {
  lastPort += 1;
  return lastPort;
}

const bridge = { shape: 'bridge', bridgeNetfilter: false } as const;
const surroundings: readonly { readonly name: string; readonly options: LabOptions }[] = [
  { name: 'ptp', options: { shape: 'ptp' } },
  { name: 'ptp, no offloads', options: { shape: 'ptp', offloads: false } },
  { name: 'bridge, br_netfilter off', options: bridge },
  { name: 'bridge, br_netfilter on', options: { shape: 'bridge', bridgeNetfilter: true } },
  { name: 'ptp over vxlan', options: { shape: 'ptp', underlay: 'vxlan', offloads: false } },
];

for (const { name, options } of surroundings) {
  if (options.bridgeNetfilter && !hasBridgeNetfilter()) continue;
  const { bridgeNetfilter, ...plain } = options;
  const lab = hasBridgeNetfilter() ? options : plain;

  test(`datagrams of 60,000 bytes and their answers pass, in pieces: ${name}`, async (t) => {
    await using stage = await setStage(lab);
    const { client } = stage;
    const tap = await startCapture(stage.lab, stage.pod, 'eth0', 'ip or ip6');
    for (const service of ['near', 'far', 'self'] as const) {
      for (const address of services[service]) {
        for (const connected of [true, false]) {
          const plan = { protocol: 'udp', address, port: 80, size: 60_000, echo: true, questions: 5 } as const;
          const tally = await client.request({ ...plan, connected, sourcePort: freshPort() });
          t.is(tally.ok, 5, `${service} ${address} ${JSON.stringify(tally.errors)}`);
        }
      }
    }
    const seen = await tap.stop();
    t.true(seen.length > 2000);
    t.deepEqual([...strangers(seen, stage.pod)], [], 'no piece speaks of a backend');
    t.is(await droppedInvalid(stage.lab.node('n1')), 0);
  });

  test(`a port of a backend where nobody listens is refused by the Service: ${name}`, async (t) => {
    await using stage = await setStage(lab);
    const tap = await startCapture(stage.lab, stage.pod, 'eth0', 'icmp or icmp6');
    for (const service of ['deaf', 'deafFar', 'none'] as const) {
      for (const address of services[service]) {
        for (const protocol of ['udp', 'tcp'] as const) {
          const { errors } = await stage.client.request({ protocol, address, port: 80, sourcePort: freshPort() });
          t.deepEqual(errors, { ECONNREFUSED: 1 }, `${service} ${protocol} ${address}`);
        }
      }
    }
    const answers = errorsIn(await tap.stop());
    t.is(answers.length, 6);
    for (const { ip } of answers) t.true(isService(ip?.source), `${ip?.source}`);
    for (const answer of answers) t.deepEqual(faults(answer), []);
  });
}

/** Who is named in these packets beside the pod and Services. */
function strangers(captured: readonly Captured[], { ip4, ip6 }: Pod): Set<string> {
  const all = captured.flatMap(({ bytes }) => {
    const packet = parse(bytes);
    const { transport, ip } = packet;
    return transport.kind === 'icmpv6' && transport.type >= 130 ? [] : [ip?.source, ip?.destination];
  });
  return new Set(
    all.filter((one): one is string => one !== undefined && one !== ip4 && one !== ip6 && !isService(one)),
  );
}

function isService(address: string | undefined): boolean {
  return /^(10\.96\.|fd00:10:96:)/.test(address ?? '');
}

function errorsIn(captured: readonly Captured[]): Packet[] {
  return captured.map(({ bytes }) => parse(bytes)).filter((packet) => quoted(packet) !== null);
}

/** What a route to `address` has learnt of the path. */
async function learnt(lab: Lab, pod: Pod, address: string): Promise<number | undefined> {
  const text = await lab.exec(pod, ['ip', 'route', 'get', address]);
  const found = /\bmtu (\d+)/.exec(text);
  return found === null ? undefined : Number(found[1]);
}

const NARROW = 1280;

/** A way that is narrow for one direction, by a route's own mtu: no device tells the ends of it. */
interface Strait {
  readonly name: string;
  readonly service: 'near' | 'far';
  narrow(lab: Lab): Promise<unknown>;
}

async function narrowRoutes(lab: Lab, node: string, destinations: readonly string[]): Promise<void> {
  for (const destination of destinations) {
    const route = (await lab.exec(lab.node(node), ['ip', 'route', 'show', 'exact', destination], {})) || '';
    const found =
      route.trim() === '' ? await lab.exec(lab.node(node), ['ip', '-6', 'route', 'show', 'exact', destination]) : route;
    const words = found.trim().split('\n')[0]?.trim().split(/\s+/) ?? [];
    const family = destination.includes(':') ? ['-6'] : [];
    const clean = words.filter(
      (word, i) =>
        !['proto', 'metric', 'pref'].includes(word) && !['proto', 'metric', 'pref'].includes(words[i - 1] ?? ''),
    );
    await lab.exec(lab.node(node), ['ip', ...family, 'route', 'del', ...clean]);
    await lab.exec(lab.node(node), ['ip', ...family, 'route', 'add', ...clean, 'mtu', `${NARROW}`]);
  }
}

const addressesOf = (lab: Lab, name: string): string[] => [lab.pod(name).ip4, lab.pod(name).ip6];

const straits: readonly Strait[] = [
  {
    name: 'the node itself, towards another node',
    service: 'far',
    narrow: (lab) => narrowRoutes(lab, 'n1', [lab.node('n2').podCidr4, lab.node('n2').podCidr6]),
  },
  {
    name: 'the node itself, towards its own pod',
    service: 'near',
    narrow: (lab) => narrowRoutes(lab, 'n1', addressesOf(lab, 'n1p2')),
  },
  {
    name: 'a hop in the middle',
    service: 'far',
    narrow: (lab) => narrowRoutes(lab, 'n2', addressesOf(lab, 'n2p1')),
  },
  {
    name: 'the node itself, towards the client',
    service: 'far',
    narrow: (lab) => narrowRoutes(lab, 'n1', addressesOf(lab, 'n1p1')),
  },
  {
    name: 'the other node, towards the client',
    service: 'far',
    narrow: (lab) => narrowRoutes(lab, 'n2', [lab.node('n1').podCidr4, lab.node('n1').podCidr6]),
  },
];

async function bulk(t: ExecutionContext, { client }: Stage, address: string): Promise<void> {
  const plan = { protocol: 'tcp', address, port: 80, size: 1_000_000, echo: true, timeout: 20_000 } as const;
  const tally = await client.request({ ...plan, sourcePort: freshPort() });
  t.is(tally.ok, 1, `1 MB there and back ${address}: ${JSON.stringify(tally.errors)}`);
}

/** Datagrams that fit the first link: one may be lost for each end to learn, and its sender is told. */
async function datagrams(t: ExecutionContext, { client }: Stage, address: string): Promise<void> {
  const plan = { protocol: 'udp', address, port: 80, size: 1400, echo: true, timeout: 300 } as const;
  const sourcePort = freshPort();
  for (let i = 0; i < 3; i++) await client.request({ ...plan, sourcePort });
  const tally = await client.request({ ...plan, sourcePort, questions: 5 });
  t.is(tally.ok, 5, `datagrams to ${address}: ${JSON.stringify(tally.errors)}`);
}

for (const { name, service, narrow } of straits) {
  for (const offloads of [true, false]) {
    test(`the path's MTU is found, where ${name} is narrow, ${offloads ? 'with' : 'without'} offloads`, async (t) => {
      await using stage = await setStage({ shape: 'ptp', offloads });
      const { lab, pod } = stage;
      await narrow(lab);
      for (const address of services[service]) {
        await bulk(t, stage, address);
        await datagrams(t, stage, address);
        const towardsClient = name.includes('client');
        t.is(await learnt(lab, pod, address), towardsClient ? undefined : NARROW, 'learnt of the Service');
        const backend = lab.pod(service === 'near' ? 'n1p2' : 'n2p1');
        const own = address.includes(':') ? [backend.ip6, pod.ip6] : [backend.ip4, pod.ip4];
        t.is(await learnt(lab, pod, own[0] as string), undefined, 'and not of the backend');
        t.is(await learnt(lab, backend, own[1] as string), towardsClient ? NARROW : undefined);
      }
      t.is(await droppedInvalid(lab.node('n1')), 0);
    });
  }
}

test('the path’s MTU is found, where a tunnel is narrower than the pods', async (t) => {
  await using stage = await setStage({ shape: 'ptp', underlay: 'vxlan' });
  const { lab, pod } = stage;
  for (const one of lab.pods) await lab.exec(one, ['ip', 'link', 'set', 'eth0', 'mtu', '1500']);
  for (const address of services.far) {
    await bulk(t, stage, address);
    await datagrams(t, stage, address);
    t.is(await learnt(lab, pod, address), 1450);
  }
});

for (const { name, options } of surroundings.filter(({ name }) =>
  /^(ptp|bridge, br_netfilter off|ptp over vxlan)$/.test(name),
)) {
  test(`each hop of the way to a Service says where it is: ${name}`, async (t) => {
    const { bridgeNetfilter, ...plain } = options;
    await using stage = await setStage(hasBridgeNetfilter() ? options : plain);
    const { lab, pod, client } = stage;
    for (const [family, address] of services.far.entries()) {
      const tap = await startCapture(lab, pod, 'eth0', 'icmp or icmp6');
      const sourcePort = freshPort();
      const plan = { protocol: 'udp', address, port: 80, sourcePort, timeout: 300 } as const;
      const answers: boolean[] = [];
      for (let ttl = 1; ttl <= 3; ttl++) answers.push((await client.request({ ...plan, ttl })).ok === 1);
      t.deepEqual(answers, [false, false, true], 'the third hop is the backend');
      const hops = errorsIn(await tap.stop());
      t.is(hops.length, 2);
      for (const hop of hops) {
        t.deepEqual(faults(hop), []);
        t.like(hop.transport, { type: family ? 3 : 11, code: 0 });
        t.like(hop.ip, { destination: family ? pod.ip6 : pod.ip4 });
        t.false(isService(hop.ip?.source), 'a hop speaks for itself');
        t.like(quoted(hop)?.ip, { source: family ? pod.ip6 : pod.ip4, destination: address });
        t.like(quoted(hop)?.transport, { sourcePort, destinationPort: 80 });
      }
      t.is(new Set(hops.map(({ ip }) => ip?.source)).size, 2);
    }
  });
}

/** Connections that the pod's hook has made for a Service, and its drops for want of a first piece. */
async function counted(agent: Agent, service: string): Promise<{ made: number; unknown: number }> {
  const { stdout } = await agent.bpfsvc('dump', 'services', `default/${service}`, '-o', 'json');
  const { items } = JSON.parse(stdout) as { items: { counters: Record<string, number> }[] };
  const sum = (name: string): number => items.reduce((all, { counters }) => all + (counters[name] ?? 0), 0);
  return { made: sum('connected_pod'), unknown: sum('drop_fragment_unknown') };
}

/** Padding, and an option that nobody knows and everybody may skip. */
const extensions: Extension[] = [
  { type: 0, next: 0, data: '00010400000000' },
  { type: 60, next: 0, data: '011e0c000000000000000000000000' },
];

for (const { name, options } of surroundings.filter(
  (one) => !one.name.includes('offloads') && one.name !== 'ptp over vxlan',
)) {
  test(`frames that no library sends: ${name}`, async (t) => {
    if (options.bridgeNetfilter && !hasBridgeNetfilter()) return t.pass('no br_netfilter');
    const { bridgeNetfilter, ...plain } = options;
    await using stage = await setStage({ ...(hasBridgeNetfilter() ? options : plain), offloads: false });
    const { lab, pod, agent } = stage;
    const node = lab.node('n1');
    const gateway = await macOf(lab, node, options.shape === 'bridge' ? 'cni0' : pod.veth);
    const ethernet = { source: await macOf(lab, pod, 'eth0'), destination: gateway };
    const places = [pod, lab.pod('n1p2'), lab.pod('n2p1'), lab.outside];
    const taps = await Promise.all(places.map((place) => startCapture(lab, place, 'eth0', 'ip or ip6 or vlan')));
    const ways = (['near', 'far'] as const).flatMap((service) =>
      services[service].map((address, family) => ({
        service,
        ip: { source: family ? pod.ip6 : pod.ip4, destination: address, ttl: 61, hopLimit: 61 },
        odd: family ? { extensions } : { options: '01010101' },
      })),
    );
    let asked = 0;
    for (const { ip, odd } of ways) {
      const udp = (sourcePort: number): Buffer =>
        craft({ ethernet, ip, udp: { sourcePort, destinationPort: 80 }, payload: '='.repeat(2999) });
      const [first, , last] = cut(udp(freshPort()), 1400, 4000 + asked) as [Buffer, Buffer, Buffer];
      const whole = craft({ ethernet, ip: { ...ip, ...odd }, udp: { sourcePort: freshPort(), destinationPort: 80 } });
      await inject(lab, pod, 'eth0', [whole, ...cut(udp(freshPort()), 1400, 5000 + asked), last, first]);
      asked += 1;
      const vlans = [{ tpid: 0x8100, priority: 0, dropEligible: false, id: 7 }];
      for (const transport of [
        { udp: { sourcePort: freshPort(), destinationPort: 80 } },
        { tcp: { sourcePort: freshPort(), destinationPort: 80 } },
      ]) {
        await inject(lab, pod, 'eth0', [craft({ ethernet: { ...ethernet, vlans }, ip, ...transport })]);
      }
    }
    await eventually(async () => assert.equal((await counted(agent, 'near')).made, 6));
    await setTimeout(200);
    for (const service of ['near', 'far'] as const) {
      t.deepEqual(await counted(agent, service), { made: 6, unknown: 2 }, 'the tagged ones are none, late pieces are');
    }
    const [back, near, far, outside] = (await Promise.all(taps.map((tap) => tap.stop()))) as [Captured[]] &
      Captured[][];
    const answers = back.map(({ bytes }) => parse(bytes)).filter(({ ip }) => isService(ip?.source));
    t.deepEqual(
      [
        ...strangers(
          back.filter(({ bytes }) => parse(bytes).ethernet?.vlans.length === 0),
          pod,
        ),
      ],
      [],
    );
    const firsts = answers.filter(({ transport }) => transport.kind === 'udp');
    t.is(firsts.length, 8, 'the odd one and the one in pieces are answered, in each family and place');
    for (const answer of answers) t.deepEqual(faults(answer), []);
    for (const captured of [near, far] as Captured[][]) {
      const odd = captured
        .map(({ bytes }) => parse(bytes))
        .filter(({ ip }) => (ip?.version === 4 ? ip.options !== '' : ip?.extensions.some(({ type }) => type !== 44)));
      t.is(odd.length, 2);
      const refusals = errorsIn(captured);
      t.true(refusals.length >= 4, 'the client’s own errors have found the backend');
      for (const refusal of refusals) {
        t.deepEqual(faults(refusal), []);
        t.false(isService(refusal.ip?.destination) || isService(quoted(refusal)?.ip?.source));
      }
      for (const packet of odd) {
        t.deepEqual(faults(packet), []);
        t.like(packet.transport, { kind: 'udp', destinationPort: 8080 });
      }
    }
    const leaked = (outside as Captured[]).filter(({ bytes }) => isService(parse(bytes).ip?.destination));
    t.is(leaked.length, 0);
  });
}
