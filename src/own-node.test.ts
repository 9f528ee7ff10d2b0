import test from 'ava';
import { noDetector } from './kernel/detector.ts';
import type { Network } from './kernel/devices.ts';
import { defaultNodePorts } from './kernel/node-ports.ts';
import { parseYaml } from './kube/fixture.ts';
import { healthCheckAddresses, makeWorld } from './own-node.ts';
import type { World } from './plan/plan.ts';

const network: Network = { links: [], addresses: [], routes: [] };
const node = `{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {addresses: [
  {type: InternalIP, address: 192.0.2.1}, {type: InternalIP, address: 192.0.2.2}, {type: InternalIP, address: "fd00::1"}]}}`;

function world(primaryAddress: string | null): World {
  const what = { name: 'n1', serviceCidrs: [], network, devices: [], nodePorts: defaultNodePorts };
  return makeWorld(parseYaml(node), { ...what, detector: noDetector, podsAtTc: false, primaryAddress });
}

for (const [primary, addresses, nodePorts] of [
  [null, ['192.0.2.1', '192.0.2.2', 'fd00::1'], ['192.0.2.1', 'fd00::1']],
  ['192.0.2.2', ['192.0.2.2', '192.0.2.1', 'fd00::1'], ['192.0.2.2', 'fd00::1']],
  ['fd00::2', ['fd00::2', '192.0.2.1', '192.0.2.2', 'fd00::1'], ['192.0.2.1', 'fd00::2']],
] as const) {
  test(`makeWorld() with --bind-address ${primary}: the node is ${addresses.join(', ')}`, (t) => {
    const { node, nodePortAddresses } = world(primary);
    t.deepEqual(node.addresses, [...addresses]);
    t.deepEqual(nodePortAddresses, [...nodePorts]);
  });
}

test('healthCheckAddresses() are all there are, or those of NodePorts', (t) => {
  t.deepEqual(healthCheckAddresses(world(null), false), ['0.0.0.0', '::']);
  t.deepEqual(healthCheckAddresses(world(null), true), ['192.0.2.1', 'fd00::1']);
});
