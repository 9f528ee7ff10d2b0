/** What the way does to packets of clients from outside: offloads, pieces, narrow links, hop limits that end. */
import anyTest from 'ava';
import { startCapture } from './capture.ts';
import { faults } from './checksum.ts';
import { bulk, datagrams } from './narrow.ts';
import { families, freshPorts, setStage, strict, target, throughFirst } from './outside-stage.ts';
import { parse, quoted } from './packet.ts';

const test = anyTest.serial;

for (const offloads of [true, false]) {
  test(`bulk and large datagrams pass from outside, ${offloads ? 'with' : 'without'} offloads`, async (t) => {
    await using stage = await setStage('bulk', { ...strict, offloads }, 1);
    await throughFirst(stage);
    const { lab, abroad, node } = stage;
    const tap = offloads ? undefined : await startCapture(lab, lab.abroad, 'eth0');
    for (const name of ['near', 'far', 'host'] as const) {
      for (const family of families) {
        const asked = target(name, 'nodePort', family, node);
        await bulk(t, abroad, { name, ...asked }, freshPorts(1));
        const datagram = { protocol: 'udp', ...asked, size: 60_000, echo: true, timeout: 10_000 } as const;
        const tally = await abroad.request({ ...datagram, count: 3, sourcePort: freshPorts(3) });
        t.is(tally.ok, 3, `60,000 bytes ${name} ${family}: ${JSON.stringify(tally.errors)}`);
      }
    }
    const wrong = (await tap?.stop())?.flatMap(({ bytes }) => faults(parse(bytes))) ?? [];
    t.deepEqual(wrong, []);
  });
}

for (const offloads of [true, false]) {
  test(`the path’s MTU is found between two routers, ${offloads ? 'with' : 'without'} offloads`, async (t) => {
    await using stage = await setStage('narrow', { ...strict, offloads }, 1);
    const { lab, abroad, node } = stage;
    for (const end of [lab.outside, { ...lab.outside, netns: `${lab.prefix}-router` }])
      await lab.exec(end, ['ip', 'link', 'set', 'inner', 'mtu', '1280']);
    for (const name of ['near', 'far'] as const) {
      for (const family of families) {
        const door = { name, ...target(name, 'nodePort', family, node) };
        await bulk(t, abroad, door, freshPorts(1));
        await datagrams(t, abroad, door, freshPorts(1));
      }
    }
  });
}

test('a traceroute to a NodePort shows the node, and no address of a backend in what is quoted', async (t) => {
  await using stage = await setStage('trace', { ...strict, offloads: false }, 1);
  const { lab, abroad, node } = stage;
  for (const family of families) {
    for (const [name, expected] of [
      ['near', { ip4: ['192.168.50.1'], ip6: ['fd00:50::1'] }],
      ['far', { ip4: ['192.168.50.1', '192.168.50.2'], ip6: ['fd00:50::1', 'fd00:50::2'] }],
    ] as const) {
      const asked = target(name, 'nodePort', family, node);
      const tap = await startCapture(lab, lab.abroad, 'eth0');
      const sourcePort = freshPorts(10);
      for (let ttl = 3; ttl <= 4; ttl++) {
        await abroad.request({ protocol: 'udp', ...asked, ttl, sourcePort: sourcePort + ttl, timeout: 300 });
      }
      const hops = (await tap.stop()).flatMap(({ bytes }) => {
        const packet = parse(bytes);
        const inner = quoted(packet);
        if (inner === null) return [];
        t.deepEqual(faults(packet), []);
        t.is(inner.ip?.destination, asked.address);
        t.like(inner.transport, { destinationPort: asked.port });
        return [packet.ip?.source];
      });
      t.deepEqual(hops, expected[family], `${name} ${family}`);
    }
  }
});
