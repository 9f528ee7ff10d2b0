/** What clients from outside do all day: many ports, large packets, long ways, routers that choose among the nodes. */
import anyTest, { type ExecutionContext } from 'ava';
import { serviceRoutes } from './abroad.ts';
import { startCapture } from './capture.ts';
import { faults } from './checksum.ts';
import type { Node } from './lab.ts';
import { counters, families, names, nodePortOf, type Stage, setStage, target } from './outside-stage.ts';
import { parse, quoted } from './packet.ts';
import { type Connection, type Plan, startClient } from './traffic.ts';

const test = anyTest.serial;
const strict = { shape: 'ptp', firewall: true, masquerade: true } as const;

async function throughFirst({ lab, node }: Stage): Promise<void> {
  await lab.exec(lab.outside, ['ip', '-batch', '-'], { input: serviceRoutes([node]).join('\n') });
}

test('31,500 connections from fixed source ports to a NodePort, one of them its own number, over restarts of the agent', async (t) => {
  t.timeout(600_000);
  await using stage = await setStage('ports', strict, 1);
  const { agent, abroad, node } = stage;
  const asked = target('far', 'nodePort', 'ip4', node);
  const first = 20_000;
  const count = 31_500;
  t.true(nodePortOf('far') > first && nodePortOf('far') < first + count);
  const running = abroad.request({
    protocol: 'tcp',
    ...asked,
    sourcePort: first,
    count,
    concurrency: 50,
    timeout: 20_000,
  });
  for (let i = 0; i < 2; i++) {
    await agent.end('SIGKILL');
    await agent.start();
  }
  const tally = await running;
  t.like(tally, { ok: count, errors: {}, backends: { n2p1: count } });
  const events = (await counters(agent))['far tcp'];
  t.is(events?.connected_wire, count);
  t.is(events?.connected_moved, names.length, 'the numbers of the NodePorts');
});

test('one source port to two Services over one backend, and to the backend itself: all of them live', async (t) => {
  await using stage = await setStage('same', strict, 1);
  await throughFirst(stage);
  const { lab, abroad, node } = stage;
  for (const [name, pod] of [
    ['near', lab.pod('n1p1')],
    ['far', lab.pod('n2p1')],
  ] as const) {
    for (const family of families) {
      const sourcePort = name === 'near' ? 23_001 : 23_002;
      const plans = [
        target(name, 'nodePort', family, node),
        target(name, 'externalIP', family, node),
        { address: pod[family], port: 8080 },
        target(name, 'load balancer', family, node),
        target(name, 'clusterIP', family, node),
      ];
      const talks: Connection[] = [];
      for (const plan of plans) talks.push(await abroad.open({ protocol: 'tcp', ...plan, sourcePort }));
      for (let round = 0; round < 3; round++) {
        for (const talk of talks) t.is((await talk.ask()).backend, pod.name);
      }
      t.deepEqual(
        talks.map(({ first }) => first.peer.replace(/^\[?(.*?)\]?:\d+$/, '$1')),
        plans.map(({ address }) => address),
      );
      t.is(new Set(talks.map(({ first }) => first.client)).size, 5, 'each has an end of its own at the backend');
      for (const talk of talks) await talk.close();
    }
  }
});

test('a connection of the node itself and a client from outside share a source port', async (t) => {
  await using stage = await setStage('shared', strict, 1);
  const { lab, abroad, node } = stage;
  const host = startClient(lab, node);
  const backend = lab.pod('n2p1');
  for (const family of families) {
    const direct = { protocol: 'tcp', address: backend[family], port: 8080 } as const;
    const asked = { protocol: 'tcp', ...target('far', 'nodePort', family, node) } as const;
    const clientFirst = await abroad.open({ ...asked, sourcePort: 24_001 });
    t.regex(clientFirst.first.client, /:24001$/);
    const hostSecond = await host.open({ ...direct, sourcePort: 24_001 });
    t.notRegex(hostSecond.first.client, /:24001$/);
    const hostFirst = await host.open({ ...direct, sourcePort: 24_002 });
    const clientSecond = await abroad.open({ ...asked, sourcePort: 24_002 });
    t.notRegex(clientSecond.first.client, /:24002$/);
    for (const talk of [clientFirst, hostSecond, hostFirst, clientSecond, clientFirst]) {
      t.is((await talk.ask()).backend, backend.name);
    }
  }
  const events = await counters(stage.agent);
  t.is(events['far tcp']?.connected_moved, families.length);
});

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

let lastPort = 30_100;

function freshPorts(count: number): number {
  lastPort += count;
  return lastPort - count;
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

test('pods and the node reach NodePorts and outside addresses, their own node’s and the other’s', async (t) => {
  await using stage = await setStage('inner', strict, 2);
  const { lab, node } = stage;
  const pod = lab.pod('n1p1');
  const clients = {
    pod: startClient(lab, pod),
    socket: startClient(lab, pod, { cgroup: node.cgroup }),
    host: startClient(lab, node, { cgroup: node.cgroup }),
  };
  for (const [who, client] of Object.entries(clients)) {
    for (const family of families) {
      for (const protocol of ['tcp', 'udp'] as const) {
        for (const [name, backend] of [
          ['near', 'n1p1'],
          ['far', 'n2p1'],
          ['host', 'n1'],
          ['other', 'n2'],
        ] as const) {
          const asked = {
            'own nodePort': target(name, 'nodePort', family, node),
            'other nodePort': target(name, 'nodePort', family, lab.node('n2')),
            externalIP: target(name, 'externalIP', family, node),
            'load balancer': target(name, 'load balancer', family, node),
          };
          for (const [manner, plan] of Object.entries(asked)) {
            const tally = await client.request({ protocol, ...plan, sourcePort: freshPorts(1) });
            t.deepEqual(
              tally.backends,
              { [backend]: 1 },
              `${who} to ${name} by ${manner} ${family} ${protocol}: ${JSON.stringify(tally.errors)}`,
            );
          }
        }
      }
    }
  }
});

test('routers spread connections over both nodes, while the agent of one is restarted', async (t) => {
  await using stage = await setStage('ecmp', strict, 2);
  const { abroad, agents } = stage;
  const streams = families.flatMap((family) =>
    (['tcp', 'udp'] as const).flatMap((protocol) =>
      (['near', 'far'] as const).map((name) => {
        const asked = target(name, 'clusterIP', family, stage.node);
        return abroad.stream({ protocol, ...asked, sourcePort: freshPorts(3000), perSecond: 20, timeout: 20_000 });
      }),
    ),
  );
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    await agents[1]?.end(signal);
    await new Promise((resolve) => setTimeout(resolve, 500));
    await agents[1]?.start();
  }
  for (const stream of streams) {
    const tally = await stream.stop();
    t.is(tally.failed, 0, JSON.stringify(tally.errors));
    t.true(tally.ok > 20);
  }
  for (const agent of agents) {
    const events = await counters(agent);
    for (const port of ['near tcp', 'near udp', 'far tcp', 'far udp'])
      t.true((events[port]?.connected_wire ?? 0) > 5, port);
  }
});

test('what kube-proxy left in netfilter does no harm', async (t) => {
  await using stage = await setStage('rest', strict, 1);
  await throughFirst(stage);
  const { lab, abroad, node } = stage;
  for (const family of families) {
    const tool = family === 'ip4' ? 'iptables' : 'ip6tables';
    const dead = family === 'ip4' ? '10.1.1.99:1' : '[fd00:1:1::99]:1';
    for (const manner of ['nodePort', 'clusterIP', 'load balancer'] as const) {
      for (const name of ['near', 'far'] as const) {
        const { address, port } = target(name, manner, family, node);
        const match = ['-d', address, '-p', 'tcp', '--dport', `${port}`];
        await lab.exec(node, [
          tool,
          '-w',
          '-t',
          'nat',
          '-A',
          'PREROUTING',
          ...match,
          '-j',
          'DNAT',
          '--to-destination',
          dead,
        ]);
        await lab.exec(node, [tool, '-w', '-A', 'FORWARD', ...match, '-j', 'REJECT']);
      }
    }
    for (const manner of ['nodePort', 'clusterIP', 'load balancer'] as const) {
      for (const [name, backend] of [
        ['near', 'n1p1'],
        ['far', 'n2p1'],
      ] as const) {
        const tally = await abroad.request({ protocol: 'tcp', ...target(name, manner, family, node), count: 3 });
        t.deepEqual(tally.backends, { [backend]: 3 }, `${name} ${manner} ${family} ${JSON.stringify(tally.errors)}`);
      }
    }
  }
});
