/**
 * Packets of a Service in pieces, with options and extension headers, and those that nobody takes. The clients are outside
 * the socket hooks, so that each packet is translated at its pod's veth.
 */
import assert from 'node:assert/strict';
import { setTimeout } from 'node:timers/promises';
import anyTest from 'ava';
import type { Agent } from './agent.ts';
import { type Captured, startCapture } from './capture.ts';
import { faults } from './checksum.ts';
import { craft } from './craft.ts';
import { eventually } from './eventually.ts';
import { droppedInvalid } from './firewall.ts';
import type { Extension } from './header.ts';
import { inject, macOf } from './inject.ts';
import { errorsIn, freshPort, isService, services, setStage, strangers, surroundings } from './odd-stage.ts';
import { parse, quoted } from './packet.ts';
import { cut } from './pieces.ts';

const test = anyTest.serial;

for (const { name, options } of surroundings) {
  test(`datagrams of 60,000 bytes and their answers pass, in pieces: ${name}`, async (t) => {
    await using stage = await setStage('odd', options);
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
    await using stage = await setStage('odd', options);
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
    await using stage = await setStage('odd', { ...options, offloads: false });
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
        .filter(({ ip }) => (ip?.version === 4 ? ip.options !== '' : ip?.extensions.some(({ type }) => type !== 44)))
        .filter(({ ip }) => ip?.source === pod.ip4 || ip?.source === pod.ip6); // A bridge floods what kernels tell all.
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

/** IPv6 has a hop-by-hop header for them. */
test('super packets of more than 64 kB pass', async (t) => {
  await using stage = await setStage('odd', { shape: 'ptp' });
  const { lab, pod, client } = stage;
  const large = (device: string): string[] => {
    return ['ip', 'link', 'set', device, 'gso_max_size', '150000', 'gro_max_size', '150000'];
  };
  for (const one of lab.pods) {
    await lab.exec(one, large('eth0'));
    await lab.exec(lab.node(one.node), large(one.veth));
  }
  for (const node of lab.nodes) await lab.exec(node, large('eth0'));
  for (const service of ['near', 'far'] as const) {
    const tap = ['timeout', '20', 'tcpdump', '-i', 'eth0', '-c', '1', '-n', 'ip6[4:2] = 0 and ip6[6] = 0'];
    const seen = lab.attempt(pod, tap);
    const plan = { protocol: 'tcp', port: 80, size: 3_000_000, echo: true, questions: 4, timeout: 20_000 } as const;
    const tally = await client.request({ ...plan, address: services[service][1], sourcePort: freshPort() });
    t.is(tally.ok, 4, JSON.stringify(tally.errors));
    t.is((await seen).code, 0, 'one of them was seen');
  }
});
