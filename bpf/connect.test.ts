import anyTest from 'ava';
import { BpfLink, netnsCookie } from 'libbpf-ts';
import { maps } from '../src/layout.gen.ts';
import { addressToHex } from '../src/model/address.ts';
import { inside } from '../test/netns/inside.ts';
import { createLab, type Lab, type Node, type Pod } from '../test/netns/lab.ts';
import { type Client, startClient, startServer } from '../test/netns/traffic.ts';
import { type BackendText, loadPrograms, type Programs, TCP, UDP } from './fixture.ts';

const hooks = [
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
/** Small tables load faster. */
const sizes = { frontends: 64, backends: 1024, affinity: 64, udp_choices: 1024, socket_reverse: 1024 };
const noAddress = addressToHex('::');

const test = anyTest.serial;
let lab: Lab;
let node: Node;
let pod: Pod;
let servers: readonly [Pod, Pod];
let inHost: Client;
let inPod: Client;
let programs: Programs;
let links: BpfLink[] = [];

test.before(async () => {
  lab = await createLab({ shape: 'ptp', podsPerNode: 3, tag: 'sock' });
  node = lab.node('n1');
  pod = lab.pod('n1p1');
  servers = [lab.pod('n1p2'), lab.pod('n1p3')];
  for (const server of servers) await startServer(lab, server, [8080]);
  inHost = startClient(lab, node, { cgroup: node.cgroup });
  inPod = startClient(lab, pod, { cgroup: node.cgroup });
});
test.after.always(() => lab?.close());

const facts = { podsAtTc: 0, nodeIpv4: noAddress, nodeIpv6: noAddress };

test.beforeEach(async () => {
  facts.nodeIpv4 = addressToHex(node.ip4);
  facts.nodeIpv6 = addressToHex(node.ip6);
  programs = await loadPrograms('connect', sizes, inside(node.netns, netnsCookie));
  links = [];
  for (const attachType of hooks) {
    const program = programs.object.programs[attachType];
    if (program === undefined) throw new Error(attachType);
    links.push(await BpfLink.attach({ kind: 'cgroup', path: node.cgroup, attachType }, program));
  }
  programs.setSwitches(facts);
});
test.afterEach.always(async () => {
  for (const link of links) {
    await link.detach();
    link.close();
  }
  programs?.[Symbol.dispose]();
});

function backends(family: 4 | 6, of: readonly Pod[] = servers): BackendText[] {
  return of.map((one) => [family === 4 ? one.ip4 : one.ip6, 8080]);
}

/** One Service with both families and protocols: service port 7 for TCP, 8 for UDP. */
function serve(of: readonly Pod[] = servers, affinitySeconds = 0): void {
  for (const [protocol, servicePort] of [
    [TCP, 7],
    [UDP, 8],
  ] as const) {
    programs.serve({ address: vips.IPv4, port: 80, protocol, servicePort, any: backends(4, of), affinitySeconds });
    programs.serve({ address: vips.IPv6, port: 80, protocol, servicePort, any: backends(6, of), affinitySeconds });
  }
}

/** From now on flows must leave it. */
function remove(servicePort: number, pod: Pod): void {
  for (const address of [pod.ip4, pod.ip6]) programs.removeBackend(servicePort, [address, 8080]);
  programs.setSwitches({ ...facts, hasRemovedBackends: 1 });
}

function shown(address: string, port = 80): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

for (const kind of kinds) {
  const address = vips[kind];

  for (const [place, client] of [
    ['the node', () => inHost],
    ['a pod', () => inPod],
  ] as const) {
    test(`connect4 and connect6 bring TCP of ${place} to every backend, and the peer is the Service: ${kind}`, async (t) => {
      serve();
      const tally = await client().request({ protocol: 'tcp', address, port: 80, count: 40 });
      t.like(tally, { ok: 40, failed: 0, peers: { [shown(address)]: 40 } });
      t.deepEqual(Object.keys(tally.backends).sort(), ['n1p2', 'n1p3']);
      t.is(programs.count(7, 'connected_socket'), 40n);
    });

    test(`connected and unconnected UDP of ${place} see the Service as their peer: ${kind}`, async (t) => {
      serve();
      for (const connected of [true, false]) {
        const tally = await client().request({
          protocol: 'udp',
          address,
          port: 80,
          connected,
          count: 20,
          questions: 3,
        });
        t.like(tally, { ok: 60, failed: 0, froms: { [shown(address)]: 60 } });
        t.deepEqual(tally.peers, connected ? { [shown(address)]: 60 } : {});
        t.is(Object.keys(tally.backends).length, 2);
      }
      t.is(programs.count(8, 'connected_socket'), 40n, 'one choice a socket');
    });
  }

  test(`an unconnected UDP socket keeps to its backend until that serves no more: ${kind}`, async (t) => {
    serve();
    const socket = await inHost.open({ protocol: 'udp', address, port: 80, connected: false });
    for (let i = 0; i < 20; i++) t.is((await socket.ask()).backend, socket.first.backend);
    const [other] = servers.filter((one) => one.name !== socket.first.backend) as [Pod];
    const [gone] = servers.filter((one) => one.name === socket.first.backend) as [Pod];
    serve([other]);
    t.is((await socket.ask()).backend, gone.name, 'out of the pool, as while it terminates, but it serves');
    remove(8, gone);
    const answer = await socket.ask();
    t.is(answer.backend, other.name, 'the very next datagram');
    t.is(answer.from, shown(address));
    await socket.close();
  });

  test(`without an endpoint, and on a port that is not the Service’s, the caller is refused at once: ${kind}`, async (t) => {
    serve([]);
    for (const port of [80, 81]) {
      for (const plan of [{ protocol: 'tcp' }, { protocol: 'udp' }, { protocol: 'udp', connected: false }] as const) {
        const tally = await inHost.request({ ...plan, address, port });
        t.deepEqual(tally.errors, { ECONNREFUSED: 1 });
        t.true((tally.failures[0]?.after ?? 1000) < 500);
      }
    }
    t.is(programs.count(7, 'reject_no_endpoint'), 1n);
    t.is(programs.count(8, 'reject_no_endpoint'), 2n);
  });
}

test('programs that follow others know the sockets of those: peers, choices, and what was forgotten', async (t) => {
  serve();
  const open = (connected: boolean) => inHost.open({ protocol: 'udp', address: vips.IPv4, port: 80, connected });
  const talks = await Promise.all([true, true, true, true, false, false, false, false].map(open));
  using before = programs;
  programs = await loadPrograms('connect', { ...sizes, socket_reverse: 2048 }, inside(node.netns, netnsCookie), before);
  for (const [i, attachType] of hooks.entries()) {
    await links[i]?.update(programs.object.programs[attachType] as (typeof programs.object.programs)[string]);
  }
  for (const { first, ask } of talks) t.deepEqual(await ask(), first);
  const ownPeers = await rowsOf('socket_reverse');
  t.is(ownPeers, talks.length, 'rows of its own by now');
  for (const talk of talks) await talk.close();
});

async function rowsOf(map: string): Promise<number> {
  let rows = 0;
  for await (const { count } of programs.map(map).entries()) rows += count;
  return rows;
}

test('what is for no Service is not touched', async (t) => {
  serve();
  for (const plan of [{ protocol: 'tcp' }, { protocol: 'udp' }, { protocol: 'udp', connected: false }] as const) {
    const tally = await inHost.request({ ...plan, address: servers[0].ip4, port: 8080, count: 3 });
    t.like(tally, { ok: 3, backends: { n1p2: 3 } });
  }
  t.is(programs.count(7, 'connected_socket') + programs.count(8, 'connected_socket'), 0n);
});

test('an established connection and a connected UDP socket outlive their Service', async (t) => {
  serve();
  for (const protocol of ['tcp', 'udp'] as const) {
    const connection = await inHost.open({ protocol, address: vips.IPv4, port: 80 });
    programs.removeFrontend(vips.IPv4, 80, protocol === 'tcp' ? TCP : UDP);
    const answer = await connection.ask();
    t.is(answer.backend, connection.first.backend);
    t.is(answer.peer, shown(vips.IPv4));
    await connection.close();
  }
});

test('session affinity of the node’s own sockets is the node’s, and of pods without tc their own', async (t) => {
  serve(servers, 100);
  for (const client of [inHost, inPod]) {
    for (const address of [vips.IPv4, vips.IPv6]) {
      const tally = await client.request({ protocol: 'tcp', address, port: 80, count: 30 });
      t.is(Object.keys(tally.backends).length, 1);
      const [chosen] = Object.keys(tally.backends);
      serve(
        servers.filter((one) => one.name !== chosen),
        100,
      );
      const next = await client.request({ protocol: 'tcp', address, port: 80, count: 10 });
      t.deepEqual(next.ok, 10);
      t.not(Object.keys(next.backends)[0], chosen, 'its backend left');
      serve(servers, 100);
    }
  }
  const clients = new Set<string>();
  for await (const { count, keys } of programs.map('affinity').entries()) {
    const hex = Buffer.from(keys).toString('hex');
    for (let at = 0; at < count; at++) {
      const key = hex.slice(at * 2 * maps.affinity.keySize, (at + 1) * 2 * maps.affinity.keySize);
      clients.add(maps.affinity.key.decode(key).client);
    }
  }
  const cookie = Buffer.alloc(8);
  cookie.writeUInt32LE(Number(inside(pod.netns, netnsCookie) >> 32n));
  cookie.writeUInt32LE(Number(inside(pod.netns, netnsCookie) & 0xffffffffn), 4);
  const expected = [addressToHex(node.ip4), addressToHex(node.ip6), `ff00000000000000${cookie.toString('hex')}`];
  t.deepEqual([...clients].sort(), expected.sort());
});

test('without a node address there is nobody to be loyal for: the node’s sockets spread', async (t) => {
  programs.setSwitches({ ...facts, nodeIpv4: noAddress, nodeIpv6: noAddress });
  serve(servers, 100);
  const tally = await inHost.request({ protocol: 'tcp', address: vips.IPv4, port: 80, count: 40 });
  t.is(Object.keys(tally.backends).length, 2);
});

test('pods with tc keep their connected UDP and affinity to that, the node’s sockets and pods’ TCP do not', async (t) => {
  programs.setSwitches({ ...facts, podsAtTc: 1 });
  serve();
  const one = { address: vips.IPv4, port: 80, timeout: 300 } as const;
  t.is((await inPod.request({ ...one, protocol: 'udp' })).ok, 0, 'no tc programs here: nobody answers');
  t.is((await inPod.request({ ...one, protocol: 'udp', connected: false })).ok, 1);
  t.is((await inPod.request({ ...one, protocol: 'tcp' })).ok, 1);
  t.is((await inHost.request({ ...one, protocol: 'udp' })).ok, 1);
  serve(servers, 100);
  t.is((await inPod.request({ ...one, protocol: 'tcp' })).ok, 0);
  t.is((await inHost.request({ ...one, protocol: 'tcp' })).ok, 1);
});

test('a Local policy without a local endpoint is left to tc, which drops and counts', async (t) => {
  programs.serve({
    address: vips.IPv4,
    port: 80,
    protocol: TCP,
    servicePort: 7,
    any: backends(4),
    local: [],
    flags: 2 | 4,
  });
  const tally = await inHost.request({ protocol: 'tcp', address: vips.IPv4, port: 80, timeout: 300 });
  t.is(tally.ok, 0);
  t.is(tally.errors.ECONNREFUSED, undefined, 'it is not a refusal');
  t.is(programs.count(7, 'connected_socket'), 0n);
});
