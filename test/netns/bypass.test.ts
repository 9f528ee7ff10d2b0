/**
 * Around the node's stack: flows of Services between two pods of one node. What the node forwards it counts at its devices
 * and its firewall; what goes around shows in neither.
 */
import anyTest from 'ava';
import { type Agent, startAgent } from './agent.ts';
import { startCapture } from './capture.ts';
import { faults } from './checksum.ts';
import { droppedInvalid } from './firewall.ts';
import { createLab, hasBridgeNetfilter, type Lab, type LabOptions, type Node, type Place, type Pod } from './lab.ts';
import { manifest, nodeObjects, serviceObjects } from './objects.ts';
import { parse } from './packet.ts';
import { type Client, type Connection, startClient, startServer } from './traffic.ts';

const test = anyTest.serial;
const families = ['ip4', 'ip6'] as const;
const vip = { ip4: '10.96.0.1', ip6: 'fd00:10:96::1' } as const;

interface Stage extends AsyncDisposable {
  readonly lab: Lab;
  readonly node: Node;
  readonly agent: Agent;
  readonly client: Pod;
  readonly backend: Pod;
  readonly asker: Client;
}

/** What a backend's manifest says: it alone answers. */
function objects(lab: Lab, backend: Pod): string {
  const service = { name: 'web', clusterIPs: [vip.ip4, vip.ip6] as const };
  return manifest([...nodeObjects(lab), ...serviceObjects(service, [backend])]);
}

async function setStage(options: LabOptions, flag = true): Promise<Stage> {
  const lab = await createLab({ nodes: 1, podsPerNode: 2, tag: 'bypass', firewall: true, ...options });
  const node = lab.node('n1');
  const [client, backend] = node.pods as [Pod, Pod];
  await startServer(lab, backend, [8080]);
  /* neighbours that the node knows, as probes make them known in real life */
  for (const pod of [client, backend])
    for (const family of families) await lab.exec(node, ['ping', '-c1', pod[family]]);
  const agent = await startAgent(lab, node, objects(lab, backend));
  if (flag) {
    await agent.end();
    await agent.start(['--bypass']);
  }
  return {
    lab,
    node,
    agent,
    client,
    backend,
    asker: startClient(lab, client),
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]();
      await lab.close();
    },
  };
}

/** Packets that the node's stack forwarded, of both families. */
async function forwarded({ lab, node }: Stage): Promise<number> {
  const snmp = await lab.exec(node, ['cat', '/proc/net/snmp', '/proc/net/snmp6']);
  const [, names = '', values = ''] = /^(Ip: .*)\n(Ip: .*)$/m.exec(snmp) ?? [];
  const four = Number(values.split(' ')[names.split(' ').indexOf('ForwDatagrams')]);
  const six = Number(/^Ip6OutForwDatagrams\s+(\d+)$/m.exec(snmp)?.[1]);
  return four + six;
}

let lastPort = 20_000;

function freshPort(): number {
  lastPort += 1;
  return lastPort;
}

async function open({ asker }: Stage, protocol: 'tcp' | 'udp', family: 'ip4' | 'ip6'): Promise<Connection> {
  return await asker.open({ protocol, address: vip[family], port: 80, sourcePort: freshPort(), timeout: 8000 });
}

async function openAll(stage: Stage): Promise<Connection[]> {
  const found: Connection[] = [];
  for (const family of families)
    for (const protocol of ['tcp', 'udp'] as const) found.push(await open(stage, protocol, family));
  return found;
}

/** Questions over each; tells how many packets the node forwarded meanwhile. */
async function ask(stage: Stage, talks: readonly Connection[], times = 10): Promise<number> {
  const before = await forwarded(stage);
  for (let i = 0; i < times; i++) for (const talk of talks) await talk.ask();
  return (await forwarded(stage)) - before;
}

test('TCP and UDP of both families go around, both ways, with right headers, bulk included', async (t) => {
  await using stage = await setStage({ shape: 'ptp', offloads: false });
  const { lab, client, backend, asker } = stage;
  const talks = await openAll(stage);
  t.is(await ask(stage, talks), 0, 'nothing is forwarded');
  for (const [i, talk] of talks.entries()) {
    t.is(talk.first.backend, backend.name);
    t.regex(talk.first.client, i < 2 ? new RegExp(client.ip4) : new RegExp(client.ip6.replace('::', '.*')));
  }
  for (const family of families) {
    const tally = await asker.request({
      protocol: 'tcp',
      address: vip[family],
      port: 80,
      count: 2,
      questions: 5,
      size: 300_000,
      echo: true,
      timeout: 10_000,
    });
    t.like(tally, { ok: 10, errors: {} });
  }
  for (const pod of [backend, client]) {
    const veth = await macOf(lab, stage.node, pod.veth);
    const own = await macOf(lab, pod, 'eth0');
    const capture = await startCapture(lab, pod, 'eth0', 'tcp or udp');
    await ask(stage, talks, 2);
    const seen = (await capture.stop()).map(({ bytes }) => parse(bytes));
    for (const packet of seen) t.deepEqual(faults(packet), []);
    const come = seen.filter(({ ethernet }) => ethernet?.destination === own);
    t.true(come.length >= 2 * talks.length, `${come.length} packets`);
    for (const { ethernet, ip } of come) {
      t.is(ethernet?.source, veth);
      t.is(ip?.version === 4 ? ip.ttl : ip?.hopLimit, 63);
      const family = ip?.version === 4 ? 'ip4' : 'ip6';
      t.like(ip, { source: pod === client ? vip[family] : client[family], destination: pod[family] });
    }
  }
});

async function macOf(lab: Lab, place: Place, device: string): Promise<string> {
  const [link] = JSON.parse(await lab.exec(place, ['ip', '-j', 'link', 'show', device]));
  return link.address;
}

/** What the node's ends of the pods' cables sent. */
async function sentToPods({ lab, node }: Stage): Promise<number> {
  let sum = 0;
  for (const { veth } of node.pods) {
    const [link] = JSON.parse(await lab.exec(node, ['ip', '-j', '-s', 'link', 'show', veth]));
    sum += link.stats64.tx.packets;
  }
  return sum;
}

const usual: readonly { readonly name: string; readonly options: LabOptions; readonly flag: boolean }[] = [
  { name: 'without the flag', options: { shape: 'ptp' }, flag: false },
  ...(hasBridgeNetfilter() ? [false, true] : [undefined]).map((bridgeNetfilter) => ({
    name: `at a bridge${bridgeNetfilter ? ', seen by netfilter' : ''}`,
    options: { shape: 'bridge' as const, ...(bridgeNetfilter !== undefined && { bridgeNetfilter }) },
    flag: true,
  })),
];

for (const { name, options, flag } of usual) {
  test(`packets take the usual way, both ways: ${name}`, async (t) => {
    await using stage = await setStage(options, flag);
    const { node, asker } = stage;
    const talks = await openAll(stage);
    const before = await sentToPods(stage);
    await ask(stage, talks);
    t.true((await sentToPods(stage)) - before >= 2 * 10 * talks.length);
    for (const family of families) {
      for (const protocol of ['tcp', 'udp'] as const) {
        const plan = { protocol, address: vip[family], port: 80, echo: true, sourcePort: freshPort() } as const;
        const tally = await asker.request({ ...plan, size: protocol === 'tcp' ? 500_000 : 1400, questions: 3 });
        t.like(tally, { ok: 3, errors: {} }, `${protocol} ${family}`);
      }
    }
    t.is(await droppedInvalid(node), 0);
  });
}

test('flows survive the flag taken away and given again, and a qdisc that appears', async (t) => {
  await using stage = await setStage({ shape: 'ptp' });
  const { lab, node, agent, backend } = stage;
  const talks = await openAll(stage);
  t.is(await ask(stage, talks), 0);
  await agent.end('SIGKILL');
  t.is(await ask(stage, talks), 0, 'with the agent dead');
  await agent.end();
  await agent.start();
  t.true((await ask(stage, talks)) >= 2 * 10 * talks.length, 'without the flag');
  await agent.end();
  await agent.start(['--bypass']);
  t.is(await ask(stage, talks), 0, 'with it again');
  const written = agent.logged(/rows? written/);
  await lab.exec(node, [
    'tc',
    'qdisc',
    'add',
    'dev',
    backend.veth,
    'root',
    'tbf',
    'rate',
    '100mbit',
    'burst',
    '32k',
    'latency',
    '50ms',
  ]);
  await written;
  t.true((await ask(stage, talks)) >= 2 * 10 * talks.length, 'past no qdisc');
  const { stdout } = await agent.bpfsvc('check', '--bypass');
  t.regex(stdout, new RegExp(`${backend.veth} +no +somebody has a qdisc there \\(tbf\\)`));
  t.regex(stdout, /FORWARD/);
  t.is((await agent.bpfsvc('verify', '--manifests', agent.manifests, '--node', node.name)).code, 0);
  const removed = agent.logged(/rows? written/);
  await lab.exec(node, ['tc', 'qdisc', 'del', 'dev', backend.veth, 'root']);
  await removed;
  t.is(await ask(stage, talks), 0, 'around again');
});

test('a pod goes, and another comes', async (t) => {
  await using stage = await setStage({ shape: 'ptp' });
  const { lab, node, agent, backend, asker } = stage;
  const talks = await openAll(stage);
  t.is(await ask(stage, talks), 0);
  const next = await lab.addPod(node);
  await startServer(lab, next, [8080]);
  lab.removePod(backend);
  await agent.apply(objects(lab, next));
  for (const family of families) {
    await lab.exec(node, ['ping', '-c1', next[family]]);
    for (const protocol of ['tcp', 'udp'] as const) {
      const tally = await asker.request({
        protocol,
        address: vip[family],
        port: 80,
        sourcePort: freshPort(),
        questions: 3,
      });
      t.like(tally, { backends: { [next.name]: 3 } }, `${protocol} ${family}: ${JSON.stringify(tally.errors)}`);
    }
  }
  t.is(await ask(stage, await openAll(stage)), 0);
});
