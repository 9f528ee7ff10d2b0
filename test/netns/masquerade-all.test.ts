/** --masquerade-all by real packets: every backend sees the node, and every answer finds its client. */
import anyTest from 'ava';
import { startAgent } from './agent.ts';
import { createLab, type LabOptions, type Pod } from './lab.ts';
import { manifest, nodeObjects, serviceObjects } from './objects.ts';
import { startClient, startServer } from './traffic.ts';

const test = anyTest.serial;
const shapes: Record<string, LabOptions> = {
  ptp: { shape: 'ptp', rpFilter: 1, firewall: true },
  bridge: { shape: 'bridge', rpFilter: 1, firewall: true },
  vxlan: { shape: 'bridge', underlay: 'vxlan', rpFilter: 1 },
};
const clusterIPs = { near: ['10.96.0.1', 'fd00:10:96::1'], far: ['10.96.0.2', 'fd00:10:96::2'] } as const;

for (const [name, options] of Object.entries(shapes)) {
  test(`pods are asked by the node, here and elsewhere (${name})`, async (t) => {
    await using lab = await createLab({ ...options, nodes: 2, podsPerNode: 2, tag: `masq${name}` });
    const node = lab.node('n1');
    const [client, near, far] = [lab.pod('n1p1'), lab.pod('n1p2'), lab.pod('n2p1')] as [Pod, Pod, Pod];
    for (const pod of [client, near, far]) await startServer(lab, pod, [8080]);
    const objects = [
      ...nodeObjects(lab),
      ...serviceObjects({ name: 'near', clusterIPs: clusterIPs.near }, [near]),
      ...serviceObjects({ name: 'far', clusterIPs: clusterIPs.far }, [far]),
    ];
    await using agent = await startAgent(lab, node, manifest(objects), ['--masquerade-all']);
    const pods = new Set([client.ip4, `[${client.ip6}]`]);
    const clients = { pod: startClient(lab, client), socket: startClient(lab, client, { cgroup: node.cgroup }) };
    for (const [who, one] of Object.entries(clients)) {
      for (const [to, backend] of [
        ['near', near],
        ['far', far],
      ] as const) {
        for (const address of clusterIPs[to]) {
          for (const protocol of ['tcp', 'udp'] as const) {
            const text = `${who} to ${to} ${address} ${protocol}`;
            const tally = await one.request({ protocol, address, port: 80, questions: 5, count: 3 });
            t.like(tally, { ok: 15, failed: 0 }, `${text} ${JSON.stringify(tally.errors)}`);
            t.deepEqual(Object.keys(tally.backends), [backend.name], text);
            t.deepEqual(Object.values(tally.clients), [15], text);
            t.false(pods.has(Object.keys(tally.clients)[0] ?? ''), `${text}: ${JSON.stringify(tally.clients)}`);
          }
        }
      }
    }
    const talk = await clients.pod.open({ protocol: 'tcp', address: clusterIPs.far[0], port: 80 });
    await agent.end('SIGKILL');
    await agent.start();
    t.is((await talk.ask()).backend, far.name);
  });
}
