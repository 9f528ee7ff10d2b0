/** What a load balancer in front of two nodes is told of them, at their own addresses, while an endpoint moves. */
import assert from 'node:assert/strict';
import test from 'ava';
import { startAgent } from './agent.ts';
import { eventually } from './eventually.ts';
import { createLab, type Lab, type Node, type Place, type Pod } from './lab.ts';
import { manifest, nodeObjects, serviceObjects } from './objects.ts';

/** '200 1': code and weight; 'refused': nobody listens. */
async function probe(lab: Lab, from: Place, address: string, port: number, path = '/'): Promise<string> {
  const host = address.includes(':') ? `[${address}]` : address;
  const script = `
    const answer = await fetch(${JSON.stringify(`http://${host}:${port}${path}`)}).catch(() => null);
    const weight = answer?.headers.get('x-load-balancing-endpoint-weight');
    process.stdout.write(answer === null ? 'refused' : [answer.status, weight].filter((one) => one !== null).join(' '));`;
  return await lab.exec(from, [process.execPath, '--input-type=module', '-e', script]);
}

test('load balancers are told which node has an endpoint, in both families, and nothing once the agent is gone', async (t) => {
  await using lab = await createLab({
    shape: 'ptp',
    nodes: 2,
    podsPerNode: 1,
    tag: 'health',
    rpFilter: 1,
    firewall: true,
  });
  const [first, second] = lab.nodes as [Node, Node];
  const [near, far] = [lab.pod('n1p1'), lab.pod('n2p1')];
  const text = (...endpoints: Pod[]) => {
    const spec = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 32_100 };
    const facts = { name: 'lb', clusterIPs: ['10.96.0.1', 'fd00:10:96::1'], spec, ingress: ['198.51.100.1'] };
    return manifest([...nodeObjects(lab), ...serviceObjects(facts, endpoints)]);
  };
  await using one = await startAgent(lab, first, text(near));
  await using two = await startAgent(lab, second, text(near));
  const told = async (port: number, path?: string): Promise<string[]> => {
    const asked = [first, second].flatMap(({ ip4, ip6 }) => [ip4, ip6]);
    return await Promise.all(asked.map((address) => probe(lab, lab.outside, address, port, path)));
  };
  const become = async (expected: readonly string[]) =>
    await eventually(async () => assert.deepEqual(await told(32_100), expected), 60);
  await become(['200 1', '200 1', '503 0', '503 0']);
  t.is(await probe(lab, near, first.ip4, 32_100), '200 1', 'a pod may ask, too');
  t.deepEqual(await told(10_256, '/healthz'), ['200', '200', '200', '200']);
  t.deepEqual(await told(10_249, '/metrics'), ['refused', 'refused', 'refused', 'refused'], 'not from outside');
  for (const agent of [one, two]) agent.write(text(far));
  await become(['503 0', '503 0', '200 1', '200 1']);
  await two.end('SIGKILL');
  await one.end();
  t.deepEqual(await told(32_100), ['refused', 'refused', 'refused', 'refused']);
  await two.start();
  await become(['refused', 'refused', '200 1', '200 1']);
});
