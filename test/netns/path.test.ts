/**
 * What the path does to packets of a Service: narrow links, and hop limits that end. The clients are outside the socket
 * hooks, so that each packet is translated at its pod's veth.
 */
import anyTest, { type ExecutionContext } from 'ava';
import { startCapture } from './capture.ts';
import { faults } from './checksum.ts';
import { droppedInvalid } from './firewall.ts';
import type { Lab } from './lab.ts';
import { addressesOf, learnt, NARROW, narrowRoutes, widen } from './narrow.ts';
import { errorsIn, freshPort, isService, type Stage, services, setStage, surroundings } from './odd-stage.ts';
import { quoted } from './packet.ts';

const test = anyTest.serial;

/** A way that is narrow for one direction. */
interface Strait {
  readonly name: string;
  readonly service: 'near' | 'far';
  narrow(lab: Lab): Promise<unknown>;
}

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
    test(`the path’s MTU is found, where ${name} is narrow, ${offloads ? 'with' : 'without'} offloads`, async (t) => {
      await using stage = await setStage('path', { shape: 'ptp', offloads });
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
  await using stage = await setStage('path', { shape: 'ptp', underlay: 'vxlan' });
  const { lab, pod } = stage;
  await widen(lab);
  for (const address of services.far) {
    await bulk(t, stage, address);
    await datagrams(t, stage, address);
    t.is(await learnt(lab, pod, address), 1450);
  }
});

for (const { name, options } of surroundings.filter(({ name }) =>
  /^(ptp|bridge(, br_netfilter off)?|ptp over vxlan)$/.test(name),
)) {
  test(`each hop of the way to a Service says where it is: ${name}`, async (t) => {
    await using stage = await setStage('path', options);
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
