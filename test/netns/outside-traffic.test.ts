/** What clients from outside do all day: many ports, the same ports, routers that choose among the nodes. */
import anyTest from 'ava';
import {
  counters,
  families,
  freshPorts,
  names,
  nodePortOf,
  setStage,
  strict,
  target,
  throughFirst,
} from './outside-stage.ts';
import { type Connection, startClient } from './traffic.ts';

const test = anyTest.serial;

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

/** Whose packets get the node's address by somebody else: netfilter, for the CNI, or nobody, for they are the node's own. */
for (const who of ['a pod that the CNI masquerades', 'the node itself']) {
  test(`${who} and a client from outside ask one backend from one port: both are answered`, async (t) => {
    await using stage = await setStage('clash', strict, 1);
    const { lab, abroad, node } = stage;
    const straight = startClient(lab, who === 'the node itself' ? node : lab.pod('n1p1'));
    for (const protocol of ['tcp', 'udp'] as const) {
      for (const family of families) {
        for (const first of ['straight', 'outside'] as const) {
          const sourcePort = freshPorts(1);
          const asks = {
            straight: () => straight.open({ protocol, address: lab.node('n2')[family], port: 8080, sourcePort }),
            outside: () => abroad.open({ protocol, ...target('other', 'nodePort', family, node), sourcePort }),
          };
          const [one, other] = [await asks[first](), await asks[first === 'straight' ? 'outside' : 'straight']()];
          const seen = [one.first];
          for (const talk of [one, other, other, one]) seen.push(await talk.ask());
          const what = `${protocol} ${family}, ${first} first`;
          t.true(
            seen.every(({ backend }) => backend === 'n2'),
            what,
          );
          const at = (port: string | number): string => `${family === 'ip6' ? `[${node.ip6}]` : node.ip4}:${port}`;
          const [a, b, c, d, e] = seen.map(({ client }) => client);
          t.is(a, at(sourcePort), what);
          t.deepEqual([e, d], [b, c], what);
          // of UDP nothing shows whose an answer is: who was there first moves away with its next datagram
          const gives = protocol === 'udp' && first === 'straight' && who !== 'the node itself';
          t.is(gives ? c : b, at(sourcePort), what);
          t.not(b, c, what);
          await Promise.all([one.close(), other.close()]);
        }
      }
    }
  });
}

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
