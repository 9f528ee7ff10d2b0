/** A flood of connections that nobody means, beside some that are meant. */
import anyTest from 'ava';
import { startAgent } from './agent.ts';
import { craft } from './craft.ts';
import { injectFlood, macOf } from './inject.ts';
import { createLab } from './lab.ts';
import { manifest, nodeObjects, serviceObjects } from './objects.ts';
import { counters } from './outside-stage.ts';
import { type Connection, startClient, startServer } from './traffic.ts';

const test = anyTest.serial;

const each = 500_000;
const idleFor = 125_000;

test('a million SYNs from as many sources end none of 1,000 busy and of 1,000 idle connections', async (t) => {
  t.timeout(400_000);
  await using lab = await createLab({ shape: 'ptp', nodes: 2, podsPerNode: 2, tag: 'synflood' });
  const [node, pod] = [lab.node('n1'), lab.pod('n1p2')];
  const doors = { near: 30_001, far: 30_002 };
  const clusterIPs = { near: '10.96.0.1', far: '10.96.0.2' };
  const backends = { near: lab.pod('n1p1'), far: lab.pod('n2p1') };
  for (const backend of Object.values(backends)) await startServer(lab, backend, [8080]);
  const services = (['near', 'far'] as const).flatMap((name) => {
    const ports = [{ name: 'tcp', protocol: 'TCP' as const, port: 80, targetPort: 8080, nodePort: doors[name] }];
    return serviceObjects({ name, clusterIPs: [clusterIPs[name]], ports, spec: { type: 'NodePort' } }, [
      backends[name],
    ]);
  });
  // what the flood takes for its answers goes nowhere
  await lab.exec(lab.outside, ['ip', 'route', 'add', 'blackhole', '172.16.0.0/12']);
  await using agent = await startAgent(lab, node, manifest([...nodeObjects(lab), ...services]));
  await using visitor = startClient(lab, lab.outside);
  await using inside = startClient(lab, pod);

  const idle: { connection: Connection; name: 'near' | 'far' }[] = [];
  const began = Date.now();
  for (const name of ['near', 'far'] as const) {
    for (let i = 0; i < 500; i++) {
      const [client, address, port] =
        i % 2 ? ([visitor, node.ip4, doors[name]] as const) : ([inside, clusterIPs[name], 80] as const);
      idle.push({
        connection: await client.open({ protocol: 'tcp', address, port, timeout: 20_000 }),
        name,
      });
    }
  }
  const busy = { protocol: 'tcp', count: 250, concurrency: 250, questions: 60, pause: 1500, timeout: 20_000 } as const;
  const running = (['near', 'far'] as const).flatMap((name) => [
    visitor.request({ ...busy, address: node.ip4, port: doors[name] }),
    inside.request({ ...busy, address: clusterIPs[name], port: 80 }),
  ]);
  const macs = { source: await macOf(lab, lab.outside, 'eth0'), destination: await macOf(lab, node, 'eth0') };
  for (const name of ['near', 'far'] as const) {
    const syn = craft({
      ethernet: macs,
      ip: { source: '172.16.0.0', destination: node.ip4 },
      tcp: { sourcePort: 1024, destinationPort: doors[name], flags: 'S' },
    });
    await injectFlood(lab, lab.outside, 'eth0', syn, each);
  }
  const events = await counters(agent);
  t.true((events['near tcp']?.connected_wire ?? 0) > 0.99 * each, JSON.stringify(events));
  const tallies = await Promise.all(running);
  for (const tally of tallies) t.like(tally, { asked: 15_000, ok: 15_000, errors: {} });

  await new Promise((resolve) => setTimeout(resolve, Math.max(0, began + idleFor - Date.now())));
  for (const { connection, name } of idle) {
    t.is((await connection.ask()).backend, backends[name].name);
  }
  t.log(`${JSON.stringify(events)}; ${Math.round((Date.now() - began) / 1000)} s`);
});
