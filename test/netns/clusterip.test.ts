/**
 * ClusterIPs by real packets: both shapes of CNI, both families and protocols, client under the socket hooks and outside
 * them, in surroundings that are as strict as they get: rp_filter 1, a firewall that drops INVALID, the CNI's masquerade,
 * no offload anywhere so that each captured checksum is one that a wire would carry.
 */
import anyTest, { type ExecutionContext } from 'ava';
import { type Agent, startAgent } from './agent.ts';
import { startCapture } from './capture.ts';
import { faults } from './checksum.ts';
import { createLab, hasBridgeNetfilter, type Lab, type LabOptions, type Pod } from './lab.ts';
import { manifest, nodeObjects, serviceObjects } from './objects.ts';
import { parse } from './packet.ts';
import { type Client, type Plan, startClient, startServer } from './traffic.ts';

const test = anyTest.serial;

const surroundings: readonly { readonly name: string; readonly options: LabOptions }[] = [
  { name: 'ptp', options: { shape: 'ptp' } },
  { name: 'ptp over vxlan', options: { shape: 'ptp', underlay: 'vxlan' } },
  { name: 'bridge, br_netfilter off', options: { shape: 'bridge', bridgeNetfilter: false } },
  { name: 'bridge, br_netfilter on', options: { shape: 'bridge', bridgeNetfilter: true } },
];

/** Who answers: all three other pods, one on this node, one on the other, the client itself, nobody, both of this node. */
const services = {
  web: ['10.96.0.1', 'fd00:10:96::1'],
  near: ['10.96.0.2', 'fd00:10:96::2'],
  far: ['10.96.0.3', 'fd00:10:96::3'],
  self: ['10.96.0.4', 'fd00:10:96::4'],
  none: ['10.96.0.5', 'fd00:10:96::5'],
  loyal: ['10.96.0.6', 'fd00:10:96::6'],
} as const;

interface Stage {
  readonly lab: Lab;
  readonly agent: Agent;
  readonly client: Pod;
  /** Under the socket hooks, and outside them. */
  readonly clients: { readonly socket: Client; readonly pod: Client };
}

const plans: readonly {
  readonly name: string;
  readonly plan: Pick<Plan, 'protocol' | 'connected'>;
  readonly socketHook: boolean;
}[] = [
  { name: 'TCP', plan: { protocol: 'tcp' }, socketHook: true },
  { name: 'connected UDP', plan: { protocol: 'udp', connected: true }, socketHook: false },
  { name: 'unconnected UDP', plan: { protocol: 'udp', connected: false }, socketHook: true },
];

async function setStage(options: LabOptions): Promise<Stage> {
  const lab = await createLab({
    nodes: 2,
    podsPerNode: 3,
    rpFilter: 1,
    firewall: true,
    masquerade: true,
    offloads: false,
    tag: 'vip',
    ...options,
  });
  const [client, near, near2] = lab.node('n1').pods as [Pod, Pod, Pod];
  const [far] = lab.node('n2').pods as [Pod];
  for (const pod of [client, near, near2, far]) await startServer(lab, pod, [8080]);
  const behind: Record<keyof typeof services, Pod[]> = {
    web: [near, near2, far],
    near: [near],
    far: [far],
    self: [client],
    none: [],
    loyal: [near, near2, far],
  };
  const objects = Object.entries(behind).flatMap(([name, pods]) => {
    const clusterIPs = services[name as keyof typeof services];
    return serviceObjects(
      { name, clusterIPs, ...(name === 'loyal' && { spec: { sessionAffinity: 'ClientIP' } }) },
      pods,
    );
  });
  const agent = await startAgent(lab, lab.node('n1'), manifest([...nodeObjects(lab), ...objects]), [
    '--service-cidr',
    '10.96.0.0/16,fd00:10:96::/112',
  ]);
  const clients = {
    socket: startClient(lab, client, { cgroup: lab.node('n1').cgroup }),
    pod: startClient(lab, client),
  };
  return { lab, agent, client, clients };
}

/** Connections that each hook has made for one port of a Service. */
async function made(agent: Agent, service: string, port: string): Promise<{ socket: number; pod: number }> {
  const { stdout } = await agent.bpfsvc('dump', 'services', `default/${service}`, '-o', 'json');
  const { items } = JSON.parse(stdout) as { items: { portName: string; counters: Record<string, number> }[] };
  const counters = items.find(({ portName }) => portName === port)?.counters ?? {};
  return { socket: counters.connected_socket ?? 0, pod: counters.connected_pod ?? 0 };
}

function shown(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}

/** Datagrams from a port that an earlier socket had belong to its flow: here each socket has a port of its own. */
let lastPort = 10_000;

function freshPorts(count: number): number {
  lastPort += count;
  return lastPort - count;
}

/** Runs `plan` and checks who was asked, which hook chose, and what either side saw of the other. */
async function ask(
  t: ExecutionContext,
  stage: Stage,
  way: 'socket' | 'pod',
  service: keyof typeof services,
  address: string,
  part: (typeof plans)[number],
  count: number,
): Promise<string[]> {
  const { agent, clients, client } = stage;
  const port = part.plan.protocol;
  const before = await made(agent, service, port);
  const ports = port === 'udp' ? { sourcePort: freshPorts(count) } : {};
  const tally = await clients[way].request({ ...part.plan, ...ports, address, port: 80, count, questions: 3 });
  const what = `${service} ${address} ${part.name} by ${way}: ${JSON.stringify(tally.errors)}`;
  t.is(tally.ok, count * 3, what);
  const expected = way === 'socket' && part.socketHook ? 'socket' : 'pod';
  const after = await made(agent, service, port);
  t.is(after[expected] - before[expected], count, `${what}: chosen at the ${expected}`);
  const own = address.includes(':') ? client.ip6 : client.ip4;
  const sees = service === 'self' && expected === 'pod' ? address : own;
  t.deepEqual(Object.keys(tally.clients), [shown(sees)], `${what}: what the backend saw`);
  if (part.plan.protocol === 'udp') t.deepEqual(Object.keys(tally.froms), [`${shown(address)}:80`], what);
  if (part.plan.connected !== false) t.deepEqual(Object.keys(tally.peers), [`${shown(address)}:80`], what);
  return Object.keys(tally.backends).sort();
}

for (const { name, options } of surroundings) {
  const needsModule = options.bridgeNetfilter !== undefined && !hasBridgeNetfilter();
  if (needsModule && options.bridgeNetfilter) continue;

  test(`every kind of client reaches every kind of backend: ${name}`, async (t) => {
    const stage = await setStage(options);
    await using _lab = stage.lab;
    await using _agent = stage.agent;
    const { lab, client } = stage;
    const taps = await Promise.all([
      startCapture(lab, client, 'eth0'),
      startCapture(lab, lab.node('n1'), 'eth0'),
      startCapture(lab, lab.pod('n2p1'), 'eth0'),
    ]);
    for (const way of ['socket', 'pod'] as const) {
      for (const part of plans) {
        for (const family of [0, 1] as const) {
          const all = await ask(t, stage, way, 'web', services.web[family], part, 30);
          t.deepEqual(all, ['n1p2', 'n1p3', 'n2p1'], 'spread over all');
          t.deepEqual(await ask(t, stage, way, 'near', services.near[family], part, 3), ['n1p2']);
          t.deepEqual(await ask(t, stage, way, 'far', services.far[family], part, 3), ['n2p1']);
          t.deepEqual(await ask(t, stage, way, 'self', services.self[family], part, 3), ['n1p1']);
          const refused = await stage.clients[way].request({ ...part.plan, address: services.none[family], port: 80 });
          // an unconnected socket is not told of an ICMP error
          const told = way === 'socket' || part.plan.connected !== false;
          t.deepEqual(refused.errors, { [told ? 'ECONNREFUSED' : 'TIMEOUT']: 1 }, `none by ${way} ${part.name}`);
        }
      }
    }
    const captured = (await Promise.all(taps.map((tap) => tap.stop()))).flat();
    t.true(captured.length > 2000);
    const wrong = captured.map(({ bytes }) => faults(parse(bytes))).filter((found) => found.length > 0);
    t.deepEqual(wrong, [], 'every captured checksum');
    const onWire = parseable(await Promise.resolve(captured));
    t.true(onWire > 0);
    await noInvalid(t, lab);
  });

  test(`session affinity holds a pod and the node itself to one backend each: ${name}`, async (t) => {
    const stage = await setStage(options);
    await using lab = stage.lab;
    await using _agent = stage.agent;
    const host = startClient(lab, lab.node('n1'), { cgroup: lab.node('n1').cgroup });
    for (const [who, client] of [
      ['the pod at tc', stage.clients.pod],
      ['the pod at its sockets', stage.clients.socket],
      ['the node', host],
    ] as const) {
      for (const protocol of ['tcp', 'udp'] as const) {
        const tally = await client.request({ protocol, address: services.loyal[0], port: 80, count: 20 });
        t.is(tally.ok, 20, who);
        t.is(Object.keys(tally.backends).length, 1, `${who}: ${JSON.stringify(tally.backends)}`);
      }
    }
  });
}

/** Frames that carry IP, of all that were seen. */
function parseable(captured: readonly { bytes: Buffer }[]): number {
  return captured.filter(({ bytes }) => parse(bytes).ip !== null).length;
}

/** The firewall's INVALID rules have dropped nothing. */
async function noInvalid(t: ExecutionContext, lab: Lab): Promise<void> {
  for (const tool of ['iptables', 'ip6tables']) {
    const { stdout } = await lab.attempt(lab.node('n1'), [tool, '-nvxL', 'FORWARD']);
    for (const line of stdout.split('\n').filter((text) => text.includes('INVALID'))) {
      t.is(line.trim().split(/\s+/)[0], '0', `${tool}: ${line}`);
    }
  }
}

test('the node’s own processes reach Services without a route to them, and untranslated addresses do not leave', async (t) => {
  const stage = await setStage({ shape: 'ptp' });
  await using lab = stage.lab;
  await using _agent = stage.agent;
  const node = lab.node('n1');
  const host = startClient(lab, node, { cgroup: node.cgroup });
  for (const part of plans) {
    for (const address of services.web) {
      const tally = await host.request({ ...part.plan, address, port: 80, count: 20 });
      t.is(tally.ok, 20, `${part.name} ${address}`);
    }
  }
  const tap = await startCapture(lab, lab.outside, 'eth0');
  const stray = startClient(lab, node);
  for (const address of [...services.web, '10.96.77.77', 'fd00:10:96::77']) {
    for (const protocol of ['tcp', 'udp'] as const) {
      const tally = await stray.request({ protocol, address, port: 80, timeout: 200 });
      t.is(tally.ok, 0);
    }
  }
  const leaked = (await tap.stop()).filter(({ bytes }) => parse(bytes).ip?.destination.match(/^(10\.96|fd00:10:96)/));
  t.deepEqual(leaked.length, 0);
  const { stdout } = await stage.agent.bpfsvc('dump', 'services', 'default/web', '-o', 'json');
  const { items } = JSON.parse(stdout) as { items: { counters: Record<string, number> }[] };
  t.true(items.reduce((sum, { counters }) => sum + (counters.drop_untranslated ?? 0), 0) >= 4);
});

test('bulk and large datagrams pass through a Service unharmed', async (t) => {
  for (const offloads of [true, false]) {
    const stage = await setStage({ shape: 'ptp', offloads });
    await using _lab = stage.lab;
    await using _agent = stage.agent;
    for (const address of services.web) {
      const tally = await stage.clients.pod.request({
        protocol: 'tcp',
        address,
        port: 80,
        size: 3_000_000,
        count: 3,
        timeout: 10_000,
      });
      t.is(tally.ok, 3, JSON.stringify(tally.errors));
      const datagrams = await stage.clients.pod.request({ protocol: 'udp', address, port: 80, size: 1400, count: 5 });
      t.is(datagrams.ok, 5);
    }
  }
});
