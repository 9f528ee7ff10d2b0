/**
 * What the path does to packets of a Service: narrow links, and hop limits that end. The clients are outside the socket
 * hooks, so that each packet is translated at its pod's veth.
 */
import anyTest from 'ava';
import { startCapture } from './capture.ts';
import { faults } from './checksum.ts';
import { droppedInvalid } from './firewall.ts';
import { bulk, type Door, datagrams, learnt, NARROW, narrowRoutes, type Strait, straits, widen } from './narrow.ts';
import { errorsIn, freshPort, isService, services, setStage, surroundings } from './odd-stage.ts';
import { quoted } from './packet.ts';

const test = anyTest.serial;

function insideDoors(service: 'near' | 'far'): Door[] {
  return services[service].map((address) => ({ name: 'clusterIP', address, port: 80 }));
}

const ways: readonly Strait[] = [
  ...straits,
  {
    name: 'the other node, towards the client,',
    service: 'far',
    node: 'n2',
    destinations: (lab) => [lab.node('n1').podCidr4, lab.node('n1').podCidr6],
    learns: 'backend',
  },
];

for (const { name, service, node, destinations, learns } of ways) {
  for (const offloads of [true, false]) {
    test(`the path’s MTU is found, where ${name} is narrow, ${offloads ? 'with' : 'without'} offloads`, async (t) => {
      await using stage = await setStage('path', { shape: 'ptp', offloads });
      const { lab, pod, client } = stage;
      await narrowRoutes(lab, node, destinations(lab, pod));
      for (const door of insideDoors(service)) {
        await bulk(t, client, door, freshPort());
        await datagrams(t, client, door, freshPort());
        const towardsClient = learns === 'backend';
        t.is(await learnt(lab, pod, door.address), towardsClient ? undefined : NARROW, 'learnt of the Service');
        const backend = lab.pod(service === 'near' ? 'n1p2' : 'n2p1');
        const own = door.address.includes(':') ? [backend.ip6, pod.ip6] : [backend.ip4, pod.ip4];
        t.is(await learnt(lab, pod, own[0] as string), undefined, 'and not of the backend');
        t.is(await learnt(lab, backend, own[1] as string), towardsClient ? NARROW : undefined);
      }
      t.is(await droppedInvalid(lab.node('n1')), 0);
    });
  }
}

test('the path’s MTU is found, where a tunnel is narrower than the pods', async (t) => {
  await using stage = await setStage('path', { shape: 'ptp', underlay: 'vxlan' });
  const { lab, pod, client } = stage;
  await widen(lab);
  for (const door of insideDoors('far')) {
    await bulk(t, client, door, freshPort());
    await datagrams(t, client, door, freshPort());
    t.is(await learnt(lab, pod, door.address), 1450);
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
