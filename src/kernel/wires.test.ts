import test from 'ava';
import type { NetAddress, NetLink, NetRoute } from 'libbpf-ts';
import { noDetector } from './detector.ts';
import type { Device } from './devices.ts';
import { wiresOf } from './wires.ts';

const eth0: Device = { ifindex: 2, name: 'eth0', role: 'wire', hasLinkHeader: true, reason: '' };
const node = ['192.0.2.1', 'fd00::1'];

function address(text: string, more: Partial<NetAddress> = {}): NetAddress {
  const family = text.includes(':') ? 6 : 4;
  return { ifindex: 2, family, address: text, prefixLength: 24, scope: 0, flags: 0, ...more };
}

function route(more: Partial<NetRoute>): NetRoute {
  return {
    family: 4,
    destination: '10.1.0.0',
    prefixLength: 16,
    ifindex: 2,
    ifindexes: [2],
    gateway: undefined,
    source: undefined,
    table: 254,
    type: 1,
    protocol: 4,
    scope: 0,
    priority: 0,
    mtu: 0,
    mtuLocked: false,
    ...more,
  };
}

const gateway = '192.0.2.254';
const cases: readonly [name: string, addresses: NetAddress[], routes: NetRoute[], ipv4: string | null][] = [
  ['the node’s own where the device has none', [], [], '192.0.2.1'],
  ['the first of the device', [address('192.0.2.7'), address('192.0.2.8')], [], '192.0.2.7'],
  ['one that is not secondary', [address('192.0.2.7', { flags: 1 }), address('192.0.2.8')], [], '192.0.2.8'],
  ['a secondary one sooner than none', [address('192.0.2.7', { flags: 1 })], [], '192.0.2.7'],
  ['no link-local one', [address('169.254.1.1', { scope: 253 })], [], '192.0.2.1'],
  ['no other device’s', [address('192.0.2.7', { ifindex: 3 })], [], '192.0.2.1'],
  ['what a route prefers', [address('192.0.2.7')], [route({ source: '192.0.2.9' })], '192.0.2.9'],
  ['no address of a route that prefers none', [address('192.0.2.7')], [route({ gateway })], '192.0.2.7'],
  [
    'what a route by way of a gateway prefers, before the net on the link',
    [],
    [route({ prefixLength: 8, source: '192.0.2.7' }), route({ prefixLength: 24, source: '192.0.2.9', gateway })],
    '192.0.2.9',
  ],
  [
    'what the broader route prefers, and of equals that with the lesser metric',
    [],
    [
      route({ gateway, source: '192.0.2.6' }),
      route({ gateway, prefixLength: 0, priority: 100, source: '192.0.2.7' }),
      route({ gateway, prefixLength: 0, priority: 50, source: '192.0.2.8' }),
    ],
    '192.0.2.8',
  ],
  [
    'nothing from routes to the node itself, of other devices and of other families',
    [],
    [
      route({ source: '192.0.2.6', table: 255, type: 2 }),
      route({ source: '192.0.2.7', ifindex: 3 }),
      route({ source: 'fd00::7', family: 6 }),
    ],
    '192.0.2.1',
  ],
];

for (const [name, addresses, routes, ipv4] of cases) {
  test(`wiresOf() takes for a source ${name}`, (t) => {
    const [wire] = wiresOf({ links: [], addresses, routes }, [eth0], node, noDetector);
    t.is(wire?.ipv4, ipv4);
  });
}

test('wiresOf() is of wires only, each family by itself; null where nothing is known', (t) => {
  const pod: Device = { ...eth0, ifindex: 3, role: 'pod' };
  const addresses = [address('fd00::7', { flags: 0x20 }), address('fd00::8')];
  t.deepEqual(wiresOf({ links: [], addresses, routes: [] }, [eth0, pod], [], noDetector), [
    {
      ifindex: 2,
      ipv4: null,
      ipv6: 'fd00::8',
      ofPods: false,
      mac: null,
      takesFrames: false,
      returnsFrames: false,
      routeMtus: false,
    },
  ]);
});

test('wiresOf() says of which wires the detector holds that pods are behind them', (t) => {
  const links = [{ name: 'eth0', ifindex: 2, master: 0, address: '' } as NetLink];
  const of = (bridge: string) =>
    wiresOf({ links, addresses: [], routes: [] }, [eth0], [], { mode: 'BridgeInterface', bridge }).map(
      ({ ofPods }) => ofPods,
    );
  t.deepEqual(of('eth0'), [true]);
  t.deepEqual(of('eth1'), [false]);
});

test('wiresOf() knows the MAC of an Ethernet device, and how XDP may send by it', (t) => {
  const link = { ifindex: 2, address: '02:00:00:00:00:07', kind: '' } as NetLink;
  const able = { native: true, takesFrames: true };
  const of = (more: Partial<NetLink>, features: typeof able | undefined = able, device: Device = eth0) => {
    const known = features && new Map([[2, features]]);
    const [wire] = wiresOf(
      { links: [{ ...link, ...more }], addresses: [], routes: [] },
      [device],
      [],
      noDetector,
      known,
    );
    return [wire?.mac, wire?.takesFrames, wire?.returnsFrames];
  };
  t.deepEqual(of({}), [link.address, true, true]);
  t.deepEqual(of({}, { native: true, takesFrames: false }), [link.address, false, true]);
  t.deepEqual(of({}, { native: false, takesFrames: false }), [link.address, false, false]);
  t.deepEqual(of({ kind: 'veth' }), [link.address, true, false]);
  for (const [more, device] of [
    [{}, { ...eth0, hasLinkHeader: false }],
    [{ address: '' }, eth0],
    [{ address: '00:'.repeat(19).concat('00') }, eth0],
  ] as const) {
    t.deepEqual(of(more, able, device), [null, false, false]);
  }
  const [unknown] = wiresOf({ links: [link], addresses: [], routes: [] }, [eth0], [], noDetector);
  t.like(unknown, { takesFrames: false, returnsFrames: true }, 'a kernel that does not tell');
});
