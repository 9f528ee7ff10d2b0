/** What the way does to packets of clients from outside: offloads, pieces, narrow links, hop limits that end. */
import anyTest, { type ExecutionContext } from 'ava';
import { startCapture } from './capture.ts';
import { faults } from './checksum.ts';
import type { Node } from './lab.ts';
import { families, freshPorts, type Stage, setStage, strict, target, throughFirst } from './outside-stage.ts';
import { parse, quoted } from './packet.ts';
import type { Plan } from './traffic.ts';

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
        await bulk(t, stage, { protocol: 'tcp', ...asked });
        const datagram = { protocol: 'udp', ...asked, size: 60_000, echo: true, timeout: 10_000 } as const;
        const tally = await abroad.request({ ...datagram, count: 3, sourcePort: freshPorts(3) });
        t.is(tally.ok, 3, `60,000 bytes ${name} ${family}: ${JSON.stringify(tally.errors)}`);
      }
    }
    const wrong = (await tap?.stop())?.flatMap(({ bytes }) => faults(parse(bytes))) ?? [];
    t.deepEqual(wrong, []);
  });
}

async function bulk(t: ExecutionContext, { abroad }: Stage, plan: Plan): Promise<void> {
  const whole = { ...plan, size: 2_000_000, echo: true, timeout: 30_000, sourcePort: freshPorts(1) };
  const tally = await abroad.request(whole);
  t.is(tally.ok, 1, `2 MB there and back to ${plan.address}: ${JSON.stringify(tally.errors)}`);
}

/** Where the way is narrow: between the routers, from the node on, on the way back, in the tunnel. */
const straits: readonly { readonly name: string; readonly vxlan?: true; narrow(stage: Stage): Promise<unknown> }[] = [
  {
    name: 'between two routers',
    narrow: async ({ lab }) => {
      await lab.exec(lab.outside, ['ip', 'link', 'set', 'inner', 'mtu', '1280']);
      await lab.exec({ ...lab.outside, netns: `${lab.prefix}-router` }, ['ip', 'link', 'set', 'inner', 'mtu', '1280']);
    },
  },
  {
    name: 'the node itself, towards the other node',
    narrow: ({ lab, node }) => narrowRoutes(stageOf(lab.node('n2')), lab.node('n2').ip4, lab.node('n2').ip6, node, lab),
  },
  {
    name: 'the node itself, towards the client',
    narrow: async ({ lab, node }) => {
      for (const route of ['203.0.113.0/24 via 192.168.50.254', '2001:db8:113::/64 via fd00:50::fe']) {
        await lab.exec(node, ['ip', 'route', 'add', ...route.split(' '), 'mtu', 'lock', '1280']);
      }
    },
  },
  { name: 'the tunnel', vxlan: true, narrow: async () => {} },
];

function stageOf(node: Node): readonly [string, string] {
  return [node.podCidr4, node.podCidr6];
}

async function narrowRoutes(
  [cidr4, cidr6]: readonly [string, string],
  via4: string,
  via6: string,
  node: Node,
  lab: Stage['lab'],
): Promise<void> {
  for (const [cidr, via] of [
    [cidr4, via4],
    [cidr6, via6],
  ] as const) {
    await lab.exec(node, ['ip', 'route', 'replace', cidr, 'via', via, 'mtu', 'lock', '1280']);
  }
}

for (const { name: where, vxlan, narrow } of straits) {
  for (const offloads of [true, false]) {
    test(`the path’s MTU is found from outside: ${where}, ${offloads ? 'with' : 'without'} offloads`, async (t) => {
      await using stage = await setStage('narrow', { ...strict, offloads, ...(vxlan && { underlay: 'vxlan' }) }, 1);
      const { abroad, node } = stage;
      await narrow(stage);
      for (const name of ['near', 'far'] as const) {
        for (const family of families) {
          const asked = target(name, 'nodePort', family, node);
          await bulk(t, stage, { protocol: 'tcp', ...asked });
          const datagram = { protocol: 'udp', ...asked, size: 1400, echo: true, timeout: 500 } as const;
          const sourcePort = freshPorts(1);
          for (let i = 0; i < 3; i++) await abroad.request({ ...datagram, sourcePort });
          const tally = await abroad.request({ ...datagram, sourcePort, questions: 5 });
          t.is(tally.ok, 5, `datagrams to ${name} ${family}: ${JSON.stringify(tally.errors)}`);
        }
      }
    });
  }
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
