/** The node's own processes and NodePorts, with the agent at work: asking for one, and taking one for oneself. */
import anyTest from 'ava';
import { type Agent, startAgent } from './agent.ts';
import { createLab, type Lab, type Node, type Pod } from './lab.ts';
import { manifest, nodeObjects, serviceObjects } from './objects.ts';
import { type Client, startClient, startServer } from './traffic.ts';

const test = anyTest.serial;
const NODE_PORT = 30080;

let lab: Lab;
let node: Node;
let agent: Agent;
let host: Client;
let pod: Client;

function objects(): string {
  const ports = (['TCP', 'UDP'] as const).map((protocol) => ({
    name: protocol.toLowerCase(),
    port: 80,
    targetPort: 8080,
    protocol,
    nodePort: NODE_PORT,
  }));
  const clusterIPs = ['10.96.0.1', 'fd00:10:96::1'];
  const web = serviceObjects({ name: 'web', clusterIPs, ports, spec: { type: 'NodePort' } }, lab.node('n2').pods);
  return manifest([...nodeObjects(lab), ...web]);
}

test.before(async () => {
  lab = await createLab({ shape: 'ptp', nodes: 2, podsPerNode: 1, rpFilter: 1, masquerade: true, tag: 'ownnp' });
  node = lab.node('n1');
  const [client] = node.pods as [Pod];
  const [server] = lab.node('n2').pods as [Pod];
  await startServer(lab, server, [8080]);
  agent = await startAgent(lab, node, objects(), ['--nodeport-addresses', 'primary,localhost']);
  host = startClient(lab, node, { cgroup: node.cgroup });
  pod = startClient(lab, client, { cgroup: node.cgroup });
});
test.after.always(async () => {
  await agent?.[Symbol.asyncDispose]();
  await lab?.close();
});

const ways = [{ protocol: 'tcp' }, { protocol: 'udp' }, { protocol: 'udp', connected: false }] as const;

test('the node reaches NodePorts at its address and at loopback, from an address that the backend can answer', async (t) => {
  for (const address of [node.ip4, node.ip6, '127.0.0.1', '::1', '0.0.0.0', '::']) {
    for (const way of ways) {
      const tally = await host.request({ ...way, address, port: NODE_PORT });
      t.like(tally, { ok: 1, failed: 0 }, `${address} ${JSON.stringify(tally.errors)}`);
      const seen = Object.keys(tally.clients)[0] ?? '';
      t.true([node.ip4, `[${node.ip6}]`].includes(seen), seen);
    }
  }
});

test('a pod reaches them at the node’s address, and its loopback is its own', async (t) => {
  for (const address of [node.ip4, node.ip6]) {
    for (const way of ways) {
      const tally = await pod.request({ ...way, address, port: NODE_PORT });
      t.like(tally, { ok: 1, failed: 0 }, `${address} ${JSON.stringify(way)} ${JSON.stringify(tally.errors)}`);
    }
  }
  for (const address of ['127.0.0.1', '::1']) {
    for (const way of ways) t.is((await pod.request({ ...way, address, port: NODE_PORT, timeout: 300 })).ok, 0);
  }
});

test('a process of the node that takes a NodePort for itself is refused, and a person can read why', async (t) => {
  for (const protocol of ['tcp', 'udp'] as const) {
    const told = agent.logged(
      new RegExp(`port ${NODE_PORT}/${protocol.toUpperCase()}.*NodePort of Service default/web`),
    );
    const tally = await host.request({ protocol, address: node.ip4, port: 8080, sourcePort: NODE_PORT });
    t.deepEqual(tally.errors, { EADDRINUSE: 1 });
    t.is((await told).level, 'warn');
  }
});
