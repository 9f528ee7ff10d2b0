import test from 'ava';
import type { NetLink } from 'libbpf-ts';
import { type Detector, isOfPods, noDetector, sourceClasses, tellsByDevice } from './detector.ts';

const cluster = { address: '10.244.0.0', prefixLength: 16 };
const own = { address: '10.244.1.0', prefixLength: 24 };
const here = ['192.0.2.1', 'fd00::1'];

const cases: readonly [name: string, detector: Detector, expected: readonly string[]][] = [
  ['the node alone without a detector', noDetector, []],
  ['clusterCIDR', { mode: 'ClusterCIDR', cidrs: [cluster] }, ['10.244.0.0/16 pod']],
  ['the Node’s podCIDRs', { mode: 'NodeCIDR' }, ['10.244.1.0/24 own_pod']],
  ['no addresses where a bridge tells', { mode: 'BridgeInterface', bridge: 'br0' }, []],
  ['no addresses where a name tells', { mode: 'InterfaceNamePrefix', prefix: 'cali' }, []],
];
for (const [name, detector, expected] of cases) {
  test(`sourceClasses() has the node’s own addresses, and ${name}`, (t) => {
    const found = sourceClasses(detector, here, [own]);
    const texts = found.map(({ sources, are }) => `${sources.address}/${sources.prefixLength} ${are}`);
    t.deepEqual(texts, [...expected, '192.0.2.1/32 node', 'fd00::1/128 node']);
  });
}

const link = (name: string, ifindex: number, master = 0): NetLink => ({ name, ifindex, master }) as NetLink;
const links = [link('eth0', 1), link('br0', 2), link('tap0', 3, 2), link('br1', 4), link('tap1', 5, 4)];

for (const [detector, expected] of [
  [{ mode: 'BridgeInterface', bridge: 'br0' }, ['br0', 'tap0']],
  [{ mode: 'InterfaceNamePrefix', prefix: 'tap' }, ['tap0', 'tap1']],
  [{ mode: 'NodeCIDR' }, []],
  [{ mode: 'ClusterCIDR', cidrs: [cluster] }, []],
] as const) {
  test(`isOfPods() by ${detector.mode}`, (t) => {
    const found = links.filter((one) => isOfPods(detector, one, links)).map(({ name }) => name);
    t.deepEqual(found, [...expected]);
    t.is(tellsByDevice(detector), expected.length > 0);
  });
}
