/** NodePorts and outside addresses as processes of the node and of its pods ask for them, and ports that are taken. */

import anyTest from 'ava';
import { BpfLink, netnsCookie } from 'libbpf-ts';
import { frontendFlag } from '../src/layout.gen.ts';
import { addressToHex } from '../src/model/address.ts';
import { inside } from '../test/netns/inside.ts';
import { createLab, type Lab, type Node, type Pod } from '../test/netns/lab.ts';
import { type Client, startClient, startServer, type Tally } from '../test/netns/traffic.ts';
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
  'post_bind4',
  'post_bind6',
] as const;
const NODE_PORT = 30080;
const external = '192.168.50.200';
const sizes = { frontends: 64, backends: 1024, affinity: 64, udp_choices: 1024, socket_reverse: 1024 };
const ways = [{ protocol: 'tcp' }, { protocol: 'udp' }, { protocol: 'udp', connected: false }] as const;

const test = anyTest.serial;
let lab: Lab;
let node: Node;
let pod: Pod;
let server: Pod;
let inHost: Client;
let inPod: Client;
let programs: Programs;
let links: BpfLink[] = [];

test.before(async () => {
  lab = await createLab({ shape: 'ptp', podsPerNode: 2, tag: 'nport' });
  node = lab.node('n1');
  pod = lab.pod('n1p1');
  server = lab.pod('n1p2');
  await startServer(lab, server, [8080]);
  await startServer(lab, node, [8081]);
  inHost = startClient(lab, node, { cgroup: node.cgroup });
  inPod = startClient(lab, pod, { cgroup: node.cgroup });
});
test.after.always(() => lab?.close());

test.beforeEach(() => start());
test.afterEach.always(() => end());

async function start(masqueradeMark = 0): Promise<void> {
  programs = await loadPrograms('connect', sizes, inside(node.netns, netnsCookie), undefined, 1, masqueradeMark);
  links = [];
  for (const attachType of hooks) {
    const program = programs.object.programs[attachType];
    if (program === undefined) throw new Error(attachType);
    links.push(await BpfLink.attach({ kind: 'cgroup', path: node.cgroup, attachType }, program));
  }
  programs.setSwitches({ nodeIpv4: addressToHex(node.ip4), nodeIpv6: addressToHex(node.ip6), podsAtTc: 0 });
}

async function end(): Promise<void> {
  for (const link of links) {
    await link.detach();
    link.close();
  }
  programs?.[Symbol.dispose]();
}

/** Both families and protocols, service port 7; the node's own addresses count, and others as a test says. */
function serveNodePort(addresses: readonly string[] = [node.ip4, node.ip6], of?: readonly [string, string]): void {
  const [ip4, ip6] = of ?? [server.ip4, server.ip6];
  const port = of ? 8081 : 8080;
  for (const protocol of [TCP, UDP]) {
    const facts = { port: NODE_PORT, protocol, servicePort: 7 };
    programs.serveNodePort(4, { ...facts, any: [[ip4, port]] });
    programs.serveNodePort(6, { ...facts, any: [[ip6, port]] });
  }
  for (const address of addresses) programs.addNodeAddress(address);
}

function shown(address: string, port = NODE_PORT): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Asks each way; what answered, and as whom, is for the caller to look at. */
async function askAll(client: Client, address: string, more: object = {}): Promise<Tally[]> {
  const tallies: Tally[] = [];
  for (const way of ways) {
    tallies.push(await client.request({ ...way, address, port: NODE_PORT, timeout: 400, ...more }));
  }
  return tallies;
}

const mapped = (address: string) => `::ffff:${address}`;

for (const [place, client] of [
  ['the node', () => inHost],
  ['a pod', () => inPod],
] as const) {
  test(`${place} reaches a NodePort on the node’s addresses, and sees that address as its peer`, async (t) => {
    serveNodePort();
    for (const address of [node.ip4, node.ip6, mapped(node.ip4)]) {
      for (const tally of await askAll(client(), address)) {
        t.like(tally, { ok: 1, backends: { n1p2: 1 } }, address);
        for (const seen of Object.keys({ ...tally.peers, ...tally.froms })) t.is(seen, shown(address));
      }
    }
    t.is(programs.count(7, 'connected_socket'), 9n);
  });
}

test('a NodePort and an outside address that keep outside traffic on the node give the node and its pods the whole set', async (t) => {
  const flags = frontendFlag.local_outside | frontendFlag.has_endpoint;
  const nobody: BackendText[] = [['192.0.2.99', 9]];
  for (const protocol of [TCP, UDP]) {
    for (const [family, address, backend] of [
      [4, external, server.ip4],
      [6, 'fd00:50::200', server.ip6],
    ] as const) {
      const facts = { protocol, servicePort: 7, any: [[backend, 8080]] as BackendText[], local: nobody, flags };
      programs.serveNodePort(family, { ...facts, port: NODE_PORT });
      programs.serve({ ...facts, address, port: NODE_PORT, external: true });
    }
  }
  for (const address of [node.ip4, node.ip6]) programs.addNodeAddress(address);
  for (const address of [node.ip4, node.ip6, external, 'fd00:50::200']) {
    for (const client of [inHost, inPod]) {
      for (const tally of await askAll(client, address)) t.like(tally, { ok: 1, backends: { n1p2: 1 } }, address);
    }
  }
  t.is(programs.count(7, 'connected_socket'), 24n);
});

test('--masquerade-all: sockets of pods are left to tc, but for addresses that keep traffic on the node', async (t) => {
  await end();
  await start(1 << 14);
  const facts = { protocol: TCP, servicePort: 7, any: [[server.ip4, 8080]] as BackendText[], external: true };
  programs.serve({ ...facts, address: external, port: 80 });
  programs.serve({
    ...facts,
    address: '192.168.50.201',
    port: 80,
    flags: frontendFlag.local_outside | frontendFlag.has_endpoint,
  });
  const ask = (client: Client, address: string) =>
    client.request({ protocol: 'tcp', address, port: 80, timeout: 400 }).then(({ ok }) => ok);
  const node4 = { nodeIpv4: addressToHex(node.ip4), nodeIpv6: addressToHex(node.ip6) };
  programs.setSwitches({ ...node4, podsAtTc: 1 });
  t.is(await ask(inHost, external), 1);
  t.is(await ask(inPod, external), 0);
  t.is(await ask(inPod, '192.168.50.201'), 1);
  programs.setSwitches({ ...node4, podsAtTc: 0 });
  t.is(await ask(inPod, external), 1, 'nobody else would do it');
});

const loopbacks = [
  ['127.0.0.1', '127.0.0.1'],
  ['::1', '::1'],
  [mapped('127.0.0.1'), mapped('127.0.0.1')],
  ['0.0.0.0', '127.0.0.1'],
  ['::', '::1'],
] as const;

test('loopback, by its name or as the any-address, is a NodePort’s where it is among the node’s addresses', async (t) => {
  serveNodePort(['127.0.0.1', '::1']);
  for (const [address, peer] of loopbacks) {
    for (const tally of await askAll(inHost, address)) {
      t.like(tally, { ok: 1, backends: { n1p2: 1 } }, address);
      for (const seen of Object.keys({ ...tally.peers, ...tally.froms })) t.is(seen, shown(peer));
    }
  }
});

test('loopback is not a NodePort’s where it is not among them, and the any-address is no way around that', async (t) => {
  serveNodePort();
  for (const [address] of loopbacks) for (const tally of await askAll(inHost, address)) t.is(tally.ok, 0, address);
  t.is(programs.count(7, 'connected_socket'), 0n);
});

test('a pod’s loopback is its own', async (t) => {
  serveNodePort([node.ip4, node.ip6, '127.0.0.1', '::1']);
  for (const [address] of loopbacks) for (const tally of await askAll(inPod, address)) t.is(tally.ok, 0, address);
  t.is(programs.count(7, 'connected_socket'), 0n);
});

test('an address that is not selected, or not the node’s, has no NodePorts', async (t) => {
  serveNodePort([node.ip6]);
  for (const address of [node.ip4, mapped(node.ip4), server.ip4, server.ip6]) {
    for (const tally of await askAll(inHost, address)) t.is(tally.ok, 0, address);
  }
  t.is(programs.count(7, 'connected_socket'), 0n);
});

for (const [address, bound] of [
  ['127.0.0.1', '127.0.0.1'],
  ['::1', '::1'],
] as const) {
  test(`a socket bound to loopback cannot reach a pod, and is told so at once: ${bound}`, async (t) => {
    serveNodePort(['127.0.0.1', '::1']);
    for (const tally of await askAll(inHost, address, { sourceAddress: bound, timeout: 2000 })) {
      t.deepEqual(tally.errors, { ECONNREFUSED: 1 });
      t.true((tally.failures[0]?.after ?? 2000) < 1000);
    }
    t.is(programs.count(7, 'reject_no_endpoint'), 3n);
  });

  test(`a socket bound to loopback reaches a backend on the node itself: ${bound}`, async (t) => {
    serveNodePort(['127.0.0.1', '::1'], [node.ip4, node.ip6]);
    for (const tally of await askAll(inHost, address, { sourceAddress: bound })) t.like(tally, { ok: 1 });
  });
}

/** An externalIP or load balancer address: port 80, and the row that says so. */
function serveExternal(address: string, port: number, flags = 0): void {
  const any: BackendText[] = [[server.ip4, 8080]];
  for (const protocol of [TCP, UDP]) {
    programs.serve({ address, port, protocol, servicePort: 8, any, flags: flags | frontendFlag.has_endpoint });
  }
  const none = { start: 0, count: 0 };
  const row = { any: none, local: none, servicePort: 8, affinitySeconds: 0, flags: frontendFlag.external_address };
  programs.setFrontend(address, 0, 0, row);
}

test('an outside address is served; its other ports are whose they are', async (t) => {
  serveExternal(external, 80);
  for (const client of [inHost, inPod]) {
    for (const tally of await askAll(client, external, { port: 80 })) t.like(tally, { ok: 1, backends: { n1p2: 1 } });
    for (const tally of await askAll(client, external, { port: 81 })) t.is(tally.errors.ECONNREFUSED, undefined);
  }
  t.is(programs.count(8, 'reject_undefined_port'), 0n);
});

test('an outside address that is the node’s own goes before a NodePort, port by port', async (t) => {
  serveNodePort([node.ip4]);
  serveExternal(node.ip4, NODE_PORT);
  await askAll(inHost, node.ip4);
  t.is(programs.count(8, 'connected_socket'), 3n);
  programs.removeFrontend(node.ip4, NODE_PORT, TCP);
  programs.removeFrontend(node.ip4, NODE_PORT, UDP);
  for (const tally of await askAll(inHost, node.ip4)) t.is(tally.ok, 1);
  t.is(programs.count(7, 'connected_socket'), 3n, 'an undefined port of the outside address, but a NodePort');
});

test('source ranges: the node is asked for by its address, a pod is left to tc, and who may not is not translated', async (t) => {
  serveExternal(external, 80, frontendFlag.source_ranges);
  for (const client of [inHost, inPod]) {
    for (const tally of await askAll(client, external, { port: 80 })) {
      t.is(tally.ok, 0);
      t.is(tally.errors.ECONNREFUSED, undefined, 'it is not a refusal');
    }
  }
  programs.addSourceRange(9, node.ip4, 128);
  for (const tally of await askAll(inHost, external, { port: 80 })) t.is(tally.ok, 0, 'another service port’s range');
  programs.addSourceRange(8, '192.168.50.0', 96 + 24);
  for (const tally of await askAll(inHost, external, { port: 80 })) t.like(tally, { ok: 1, backends: { n1p2: 1 } });
  programs.addSourceRange(8, '10.1.0.0', 96 + 16);
  for (const tally of await askAll(inPod, external, { port: 80 })) t.is(tally.ok, 0, 'its address is not known here');
  t.is(programs.count(8, 'connected_socket'), 3n);
});

/** What becomes of a socket that binds first and then asks the server directly. */
async function bind(client: Client, sourceAddress: string | undefined, ipv6: boolean, sourcePort = NODE_PORT) {
  const results: string[] = [];
  for (const way of [{ protocol: 'tcp' }, { protocol: 'udp' }] as const) {
    const address = ipv6 ? server.ip6 : server.ip4;
    const source = sourceAddress === undefined ? {} : { sourceAddress };
    const tally = await client.request({ ...way, address, port: 8080, sourcePort, ...source, ending: 'rst' });
    results.push(tally.ok ? 'ok' : Object.keys(tally.errors).join());
  }
  return results;
}

const taken = ['EADDRINUSE', 'EADDRINUSE'];
const free = ['ok', 'ok'];

test('post_bind4 and post_bind6: a process of the node cannot take a NodePort', async (t) => {
  serveNodePort();
  t.deepEqual(await bind(inHost, '0.0.0.0', false), taken);
  t.deepEqual(await bind(inHost, node.ip4, false), taken);
  t.is(programs.count(7, 'reject_bind'), 4n);
  t.deepEqual(await bind(inHost, '::', true), taken);
  t.deepEqual(await bind(inHost, node.ip6, true), taken);
  t.is(programs.count(7, 'reject_bind'), 8n);
});

test('post_bind4 and post_bind6: other ports, other addresses and other namespaces are free', async (t) => {
  serveNodePort([node.ip6]);
  t.deepEqual(await bind(inHost, '0.0.0.0', false, NODE_PORT + 1), free);
  t.deepEqual(await bind(inHost, '::', true, NODE_PORT + 1), free);
  t.deepEqual(await bind(inHost, node.ip4, false), free, 'no NodePorts are on that address');
  t.deepEqual(await bind(inPod, '0.0.0.0', false), free);
  t.deepEqual(await bind(inPod, '::', true), free);
  t.is(programs.count(7, 'reject_bind'), 0n);
});

test('post_bind6: a socket on :: would take the NodePort of the other family too', async (t) => {
  const any: BackendText[] = [[server.ip4, 8080]];
  programs.serveNodePort(4, { port: NODE_PORT, protocol: TCP, servicePort: 7, any });
  t.deepEqual(await bind(inHost, '::', true), ['EADDRINUSE', 'ok'], 'TCP is a NodePort, UDP is not');
});
