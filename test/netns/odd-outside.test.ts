/** What networks do to packets of Services between clients outside and a node: pieces, narrow links, hop limits, refusals. */
import { notEqual } from 'node:assert';
import anyTest from 'ava';
import { startCapture } from './capture.ts';
import { faults } from './checksum.ts';
import { eventually } from './eventually.ts';
import { droppedInvalid } from './firewall.ts';
import type { LabOptions } from './lab.ts';
import { addressesOf, bulk, type Door, datagrams, learnt, NARROW, narrowRoutes, straits, widen } from './narrow.ts';
import { doors, errorsIn, freshPort, setStage, surroundings } from './odd-stage.ts';
import { parse, quoted } from './packet.ts';
import { readPinned } from './pinned.ts';

const test = anyTest.serial;

for (const { name, options } of surroundings) {
  test(`datagrams of 60,000 bytes and their answers pass the wire, in pieces: ${name}`, async (t) => {
    await using stage = await setStage('oddout', options);
    const { lab, visitor } = stage;
    for (const service of ['near', 'far'] as const) {
      for (const door of doors(lab, service)) {
        for (const connected of [true, false]) {
          const { address, port } = door;
          const plan = { protocol: 'udp', address, port, size: 60_000, echo: true, questions: 5 } as const;
          // a neighbour that has to be found first has no room for so many pieces
          await visitor.request({ ...plan, questions: 1, size: 2, sourcePort: freshPort() });
          // behind a narrower link the first one is lost where no router may cut it, and tells
          if (options.underlay && address.includes(':'))
            await visitor.request({ ...plan, questions: 1, timeout: 300, sourcePort: freshPort() });
          const tally = await visitor.request({ ...plan, connected, sourcePort: freshPort() });
          t.is(tally.ok, 5, `${service} ${door.name} ${JSON.stringify(tally.errors)}`);
        }
      }
    }
    t.is(await droppedInvalid(lab.node('n1')), 0);
  });

  test(`a port of a backend where nobody listens is refused to who is outside: ${name}`, async (t) => {
    await using stage = await setStage('oddout', options);
    const { lab, visitor } = stage;
    const tap = await startCapture(lab, lab.outside, 'eth0', 'icmp or icmp6');
    for (const service of ['deaf', 'deafFar', 'none'] as const) {
      for (const { address, port, name: door } of doors(lab, service)) {
        for (const protocol of ['udp', 'tcp'] as const) {
          const { errors } = await visitor.request({ protocol, address, port, sourcePort: freshPort() });
          t.deepEqual(errors, { ECONNREFUSED: 1 }, `${service} ${protocol} ${door}`);
        }
      }
    }
    const asked = new Set(
      ['deaf', 'deafFar', 'none'].flatMap((service) => doors(lab, service as 'deaf')).map(addressOf),
    );
    const answers = errorsIn(await tap.stop());
    t.is(answers.length, 12);
    for (const answer of answers) {
      t.deepEqual(faults(answer), []);
      t.true(asked.has(answer.ip?.source ?? ''), answer.ip?.source);
    }
  });
}

function addressOf({ address }: Door): string {
  return address;
}

for (const { name, service, node, destinations, learns } of straits) {
  for (const offloads of [true, false]) {
    test(`who is outside finds the path’s MTU, where ${name} is narrow, ${offloads ? 'with' : 'without'} offloads`, async (t) => {
      await using stage = await setStage('oddout', { shape: 'ptp', offloads });
      const { lab, visitor } = stage;
      await narrowRoutes(lab, node, destinations(lab, lab.outside));
      for (const door of doors(lab, service)) {
        await bulk(t, visitor, door, freshPort());
        await datagrams(t, visitor, door, freshPort());
        t.is(await learnt(lab, lab.outside, door.address), learns === 'client' ? NARROW : undefined, door.name);
      }
      t.is(await droppedInvalid(lab.node('n1')), 0);
    });

    if (node === 'n1' && service === 'far')
      test(`an mtu of a route that is not locked is minded, too: ${name} ${offloads ? 'with' : 'without'} offloads`, async (t) => {
        await using stage = await setStage('oddout', { shape: 'ptp', offloads });
        const { lab, visitor } = stage;
        await narrowRoutes(lab, node, destinations(lab, lab.outside), false);
        await eventually(async () => notEqual((await readPinned(lab.node(node).pinDir)).tables.route_mtus.size, 0));
        for (const door of doors(lab, service)) {
          await bulk(t, visitor, door, freshPort());
          await datagrams(t, visitor, door, freshPort());
          /* where it forwards IPv6, the kernel does not look at it */
          const isMinded = learns === 'client' && !door.address.includes(':');
          t.is(await learnt(lab, lab.outside, door.address), isMinded ? NARROW : undefined, door.name);
        }
      });

    test(`what may be cut is, where ${name} is narrow, ${offloads ? 'with' : 'without'} offloads`, async (t) => {
      await using stage = await setStage('oddout', { shape: 'ptp', offloads, mayBeCut: true });
      const { lab, visitor, agent } = stage;
      await narrowRoutes(lab, node, destinations(lab, lab.outside));
      const tap = offloads ? undefined : await startCapture(lab, lab.outside, 'eth0', 'ip');
      const backend = await startCapture(lab, lab.pod(service === 'near' ? 'n1p2' : 'n2p1'), 'eth0', 'ip');
      for (const door of doors(lab, service)) {
        if (door.address.includes(':')) continue; // whose routers do not cut
        await bulk(t, visitor, door, freshPort());
        await datagrams(t, visitor, door, freshPort(), 0);
        const { address, port } = door;
        const large = { protocol: 'udp', address, port, size: 60_000, echo: true, questions: 5 } as const;
        const tally = await visitor.request({ ...large, sourcePort: freshPort() });
        t.is(tally.ok, 5, `60,000 bytes, ${door.name}: ${JSON.stringify(tally.errors)}`);
        t.is(await learnt(lab, lab.outside, address), undefined, 'nobody is told');
      }
      const seen = [...((await tap?.stop()) ?? []), ...(await backend.stop())].map(({ bytes }) => parse(bytes));
      if (!offloads) for (const packet of seen) t.deepEqual(faults(packet), []);
      t.deepEqual(seen.filter((packet) => quoted(packet) !== null).length, 0, 'no ICMP error');
      t.is(await droppedInvalid(lab.node('n1')), 0);
      const events = await agent.bpfsvc('dump', 'services', '-o', 'json');
      t.false(events.stdout.includes('reject_too_big'));
    });
  }
}

for (const offloads of [true, false]) {
  test(`who is outside finds the MTU of a tunnel between nodes, ${offloads ? 'with' : 'without'} offloads`, async (t) => {
    await using stage = await setStage('oddout', { shape: 'ptp', underlay: 'vxlan', offloads });
    const { lab, visitor } = stage;
    await widen(lab);
    for (const door of doors(lab, 'far')) {
      await bulk(t, visitor, door, freshPort());
      await datagrams(t, visitor, door, freshPort());
      t.is(await learnt(lab, lab.outside, door.address), 1450, door.name);
    }
  });
}

const shapes: readonly { readonly name: string; readonly options: LabOptions }[] = surroundings.filter(
  ({ options }) => options.offloads !== false || options.underlay === 'vxlan',
);

for (const { name, options } of shapes) {
  test(`each hop of the way from outside says where it is: ${name}`, async (t) => {
    await using stage = await setStage('oddout', options);
    const { lab, visitor } = stage;
    for (const [service, far] of [
      ['near', 2],
      ['far', 3],
    ] as const) {
      for (const { address, port } of doors(lab, service)) {
        const is6 = address.includes(':');
        const tap = await startCapture(lab, lab.outside, 'eth0', 'icmp or icmp6');
        const sourcePort = freshPort();
        const answers: boolean[] = [];
        for (let ttl = 1; ttl <= far; ttl++) {
          const plan = { protocol: 'udp', address, port, sourcePort, ttl, timeout: 300 } as const;
          answers.push((await visitor.request(plan)).ok === 1);
        }
        t.deepEqual(answers, [...Array(far - 1).fill(false), true], `${service} ${address}`);
        const hops = errorsIn(await tap.stop());
        t.is(hops.length, far - 1);
        const self = is6 ? lab.outside.ip6 : lab.outside.ip4;
        for (const hop of hops) {
          t.deepEqual(faults(hop), []);
          t.like(hop.transport, { type: is6 ? 3 : 11, code: 0 });
          t.like(quoted(hop)?.ip, { source: self, destination: address });
          t.like(quoted(hop)?.transport, { sourcePort, destinationPort: port });
        }
        t.is(new Set(hops.map(({ ip }) => ip?.source)).size, far - 1);
      }
    }
  });
}

test('the wire carries no piece of a Service that names a backend', async (t) => {
  await using stage = await setStage('oddout', { shape: 'ptp', offloads: false });
  const { lab, visitor } = stage;
  const tap = await startCapture(lab, lab.outside, 'eth0', 'ip or ip6');
  for (const service of ['near', 'far'] as const) {
    for (const { address, port } of doors(lab, service)) {
      const plan = { protocol: 'udp', address, port, size: 60_000, echo: true, sourcePort: freshPort() } as const;
      t.is((await visitor.request(plan)).ok, 1);
    }
  }
  const seen = (await tap.stop()).map(({ bytes }) => parse(bytes));
  t.true(seen.length > 600);
  const backends = new Set([...addressesOf(lab, 'n1p2'), ...addressesOf(lab, 'n2p1')]);
  t.deepEqual(seen.filter(({ ip }) => backends.has(ip?.source ?? '') || backends.has(ip?.destination ?? '')).length, 0);
  for (const packet of seen) t.deepEqual(faults(packet), []);
});
