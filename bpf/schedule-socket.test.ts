/** Schedulers where sockets choose: counts that are exact however a socket ends, and hashes that agree with those of packets. */

import assert from 'node:assert/strict';
import anyTest from 'ava';
import { BpfLink, netnsCookie } from 'libbpf-ts';
import { connections, connectionsKey } from '../src/layout.gen.ts';
import { addressToHex, endpointText } from '../src/model/address.ts';
import type { Scheduler } from '../src/model/scheduler.ts';
import { eventually } from '../test/netns/eventually.ts';
import { inside } from '../test/netns/inside.ts';
import { createLab, type Lab, type Node, type Pod } from '../test/netns/lab.ts';
import { parse } from '../test/netns/packet.ts';
import { type Client, type Connection, startClient, startServer } from '../test/netns/traffic.ts';
import { type BackendText, loadPrograms, type Programs, TCP, UDP } from './fixture.ts';
import { packet, wayOf } from './way.ts';

const hooks = [
  'sock_release',
  'connect4',
  'connect6',
  'sendmsg4',
  'sendmsg6',
  'recvmsg4',
  'recvmsg6',
  'getpeername4',
  'getpeername6',
] as const;
const vips = { IPv4: '10.96.0.1', IPv6: 'fd00:96::1', 'mapped IPv4': '::ffff:10.96.0.1' } as const;
const kinds = ['IPv4', 'IPv6', 'mapped IPv4'] as const;
const sizes = { frontends: 64, backends: 4096, affinity: 64, udp_choices: 1024, socket_reverse: 1024 };

/** For an answer, however busy this machine is. */
const timeout = 20_000;

const test = anyTest.serial;
let lab: Lab;
let node: Node;
let pod: Pod;
let servers: readonly Pod[];
let programs: Programs;
let links: BpfLink[] = [];

test.before(async () => {
  lab = await createLab({ shape: 'ptp', podsPerNode: 4, tag: 'sched' });
  node = lab.node('n1');
  pod = lab.pod('n1p1');
  servers = ['n1p2', 'n1p3', 'n1p4'].map((name) => lab.pod(name));
  for (const server of servers) await startServer(lab, server, [8080]);
});
test.after.always(() => lab?.close());

test.beforeEach(async () => {
  programs = await loadPrograms('connect', sizes, inside(node.netns, netnsCookie));
  links = [];
  for (const attachType of hooks) {
    const target = { kind: 'cgroup', path: node.cgroup, attachType } as const;
    links.push(await BpfLink.attach(target, programs.program(attachType)));
  }
  programs.setSwitches({ podsAtTc: 0, nodeIpv4: addressToHex(node.ip4), nodeIpv6: addressToHex(node.ip6) });
});
test.afterEach.always(async () => {
  for (const link of links) {
    await link.detach();
    link.close();
  }
  programs?.[Symbol.dispose]();
});

const pool = (family: 4 | 6): BackendText[] => servers.map((one) => [family === 4 ? one.ip4 : one.ip6, 8080]);

/** 7 is TCP, 8 UDP. */
function serve(scheduler: Scheduler, into: Programs = programs): void {
  for (const [protocol, servicePort] of [
    [TCP, 7],
    [UDP, 8],
  ] as const) {
    into.serve({ address: vips.IPv4, port: 80, protocol, servicePort, any: pool(4), scheduler });
    into.serve({ address: vips.IPv6, port: 80, protocol, servicePort, any: pool(6), scheduler });
  }
}

/** How many sockets are counted at each server, by port of the Service. */
function counts(family: 4 | 6, servicePort: number): number[] {
  return pool(family).map(([address, port]) => {
    const key = connectionsKey.encode({ address: addressToHex(address), servicePort, port });
    const row = programs.map('socket_connections').lookup(Buffer.from(key, 'hex'));
    return row === undefined ? 0 : connections.decode(Buffer.from(row).toString('hex')) | 0;
  });
}

const sum = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0);

async function open(client: Client, target: Parameters<Client['open']>[0], count: number): Promise<Connection[]> {
  const opened: Connection[] = [];
  for (let n = 0; n < count; n++) opened.push(await client.open(target));
  return opened;
}

for (const kind of kinds) {
  const address = vips[kind];
  const family = kind === 'IPv6' ? 6 : 4;

  test(`lc counts TCP sockets that stay open, and lets go of those that are closed: ${kind}`, async (t) => {
    await using client = startClient(lab, pod, { cgroup: node.cgroup });
    serve('lc');
    const opened = await open(client, { protocol: 'tcp', address, port: 80, timeout }, 9);
    t.deepEqual(counts(family, 7), [3, 3, 3]);
    t.deepEqual(
      [...Map.groupBy(opened, ({ first }) => first.backend).values()].map(({ length }) => length),
      [3, 3, 3],
    );
    const ofOne = opened.filter(({ first }) => first.backend === 'n1p3');
    for (const one of ofOne) await one.close();
    await eventually(() => assert.deepEqual(counts(family, 7), [3, 0, 3]));
    const again = await open(client, { protocol: 'tcp', address, port: 80, timeout }, 3);
    t.deepEqual(
      again.map(({ first }) => first.backend),
      ['n1p3', 'n1p3', 'n1p3'],
    );
    await client.request({ protocol: 'tcp', address, port: 80, timeout, count: 60 });
    await eventually(() => assert.deepEqual(counts(family, 7), [3, 3, 3], '60 that came and went'));
  });

  test(`no count is left of a process that was killed, TCP and UDP: ${kind}`, async (t) => {
    await using client = startClient(lab, node, { cgroup: node.cgroup });
    serve('lc');
    await open(client, { protocol: 'tcp', address, port: 80, timeout }, 6);
    await open(client, { protocol: 'udp', address, port: 80, timeout, connected: true }, 6);
    t.deepEqual(
      [counts(family, 7), counts(family, 8)],
      [
        [2, 2, 2],
        [2, 2, 2],
      ],
    );
    await client.close();
    await eventually(() => assert.deepEqual([sum(counts(family, 7)), sum(counts(family, 8))], [0, 0]));
  });

  test(`no count is left of connections that are refused or broken off: ${kind}`, async (t) => {
    await using client = startClient(lab, pod, { cgroup: node.cgroup });
    serve('lc');
    const closed = servers.map((one): BackendText => [family === 4 ? one.ip4 : one.ip6, 8081]);
    programs.serve({ address: vips.IPv4, port: 90, protocol: TCP, servicePort: 9, any: closed, scheduler: 'lc' });
    programs.serve({ address: vips.IPv6, port: 90, protocol: TCP, servicePort: 9, any: closed, scheduler: 'lc' });
    const refused = await client.request({ protocol: 'tcp', address, port: 90, timeout, count: 9 });
    t.deepEqual(refused.errors, { ECONNREFUSED: 9 });
    const broken = await client.request({ protocol: 'tcp', address, port: 80, timeout, count: 9, ending: 'rst' });
    t.is(broken.ok, 9);
    await eventually(async () => {
      let rows = 0;
      for await (const { count, values } of programs.map('socket_connections').entries()) {
        rows += count;
        for (let n = 0; n < count; n++) assert.equal(Buffer.from(values).readInt32LE(4 * n), 0);
      }
      assert.ok(rows >= 2, 'somebody was chosen of both Services');
    });
  });

  test(`an unconnected UDP socket counts where it chose last, and no more once it is closed: ${kind}`, async (t) => {
    await using client = startClient(lab, pod, { cgroup: node.cgroup });
    serve('lc');
    const opened = await open(client, { protocol: 'udp', address, port: 80, timeout, connected: false }, 6);
    for (const one of opened) await one.ask();
    t.deepEqual(counts(family, 8), [2, 2, 2]);
    for (const one of opened) await one.close();
    await eventually(() => assert.deepEqual(counts(family, 8), [0, 0, 0]));
  });

  test(`rr gives sockets their turns: ${kind}`, async (t) => {
    await using client = startClient(lab, pod, { cgroup: node.cgroup });
    serve('rr');
    const tally = await client.request({ protocol: 'tcp', address, port: 80, timeout, count: 30 });
    t.deepEqual(tally.backends, { n1p2: 10, n1p3: 10, n1p4: 10 });
  });

  for (const scheduler of ['sh', 'maglev', 'dh'] as const) {
    test(`${scheduler} gives a socket of the node whom a packet of the node's address gets: ${kind}`, async (t) => {
      await using client = startClient(lab, node, { cgroup: node.cgroup });
      using atPod = await loadPrograms('tc', { backends: 4096 });
      serve(scheduler);
      serve(scheduler, atPod);
      const tally = await client.request({ protocol: 'tcp', address, port: 80, timeout, count: 12 });
      const source = family === 4 ? node.ip4 : node.ip6;
      const destination = family === 4 ? vips.IPv4 : vips.IPv6;
      const way = { source, sport: 4001, destination, dport: 80 };
      const chosen = wayOf(parse(Buffer.from(atPod.run('from_pod', packet(TCP, way)).data)));
      const index = pool(family).findIndex(([one]) => one === chosen.destination);
      t.deepEqual(tally.backends, { [servers[index]?.name ?? endpointText(chosen.destination, 0)]: 12 });
    });
  }

  test(`sh of pods is left to the packets where programs are at their veths, and else is the same for all of a pod: ${kind}`, async (t) => {
    await using client = startClient(lab, pod, { cgroup: node.cgroup });
    serve('sh');
    const tally = await client.request({ protocol: 'tcp', address, port: 80, timeout, count: 12 });
    t.deepEqual(Object.values(tally.backends), [12]);
    programs.setSwitches({ podsAtTc: 1, nodeIpv4: addressToHex(node.ip4), nodeIpv6: addressToHex(node.ip6) });
    const left = await client.request({ protocol: 'tcp', address, port: 80, timeout: 300 });
    t.is(left.ok, 0);
    t.is(programs.count(7, 'connected_socket'), 12n);
  });
}
