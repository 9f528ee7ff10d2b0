import test from 'ava';
import type { NetRoute } from 'libbpf-ts';
import type { Device, Network } from './devices.ts';
import { hasRouteMtus, routeMtusOf } from './route-mtus.ts';

const wire: Device = { ifindex: 2, name: 'eth0', role: 'wire', hasLinkHeader: true, reason: '' };
const pod: Device = { ...wire, ifindex: 5, name: 'cali1', role: 'pod' };

function route(destination: string, prefixLength: number, more: Partial<NetRoute> = {}): NetRoute {
  const ifindex = more.ifindex ?? 2;
  const ways = { ifindex, ifindexes: [ifindex], gateway: undefined, source: undefined };
  const kind = { table: 254, type: 1, protocol: 4, scope: 0, priority: 0 };
  return { family: 4, destination, prefixLength, ...ways, ...kind, mtu: 0, mtuLocked: false, ...more };
}

function told(...routes: NetRoute[]): string[] {
  const network: Network = { links: [], addresses: [], routes };
  return routeMtusOf(network, [wire, pod]).map(
    ({ destination: { address, prefixLength }, mtu }) => `${address}/${prefixLength} ${mtu}`,
  );
}

const cases: readonly [name: string, routes: readonly NetRoute[], told: readonly string[]][] = [
  ['nothing where no route has one', [route('', 0), route('10.1.0.0', 16)], []],
  ['nothing where it is locked, which the kernel tells', [route('', 0, { mtu: 1400, mtuLocked: true })], []],
  [
    'it, and that others have none',
    [route('', 0, { mtu: 1400 }), route('10.1.0.0', 16)],
    ['0.0.0.0/0 1400', '10.1.0.0/16 0'],
  ],
  [
    'of a locked one beside it that the kernel knows',
    [route('', 0, { mtu: 1400 }), route('10.1.0.0', 16, { mtu: 1300, mtuLocked: true })],
    ['0.0.0.0/0 1400', '10.1.0.0/16 0'],
  ],
  [
    'of several to one destination that with the least metric',
    [route('10.1.0.0', 16, { mtu: 1400, priority: 20 }), route('10.1.0.0', 16, { mtu: 1300, priority: 10 })],
    ['10.1.0.0/16 1300'],
  ],
  [
    'nothing of pods, IPv6, other tables and other kinds',
    [
      route('10.1.1.11', 32, { mtu: 1400, ifindex: 5 }),
      route('fd00::', 16, { mtu: 1400, family: 6 }),
      route('10.1.0.0', 16, { mtu: 1400, table: 100 }),
      route('192.0.2.1', 32, { mtu: 1400, table: 255, type: 2 }),
    ],
    [],
  ],
  [
    'one with several nexthops, if a wire is among them',
    [route('10.1.0.0', 16, { mtu: 1400, ifindex: 9, ifindexes: [9, 2] })],
    ['10.1.0.0/16 1400'],
  ],
];

for (const [name, routes, expected] of cases)
  test(`routeMtusOf() tells ${name}`, (t) => t.deepEqual(told(...routes), expected));

test('hasRouteMtus() tells the devices of such routes', (t) => {
  const routes = [route('', 0, { mtu: 1400, ifindexes: [2, 3] }), route('10.1.0.0', 16, { ifindex: 4 })];
  t.deepEqual(
    [2, 3, 4].map((ifindex) => hasRouteMtus({ routes }, ifindex)),
    [true, true, false],
  );
});
