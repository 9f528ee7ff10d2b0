import test from 'ava';
import fc from 'fast-check';
import { frontend, frontendFlag } from '../layout.gen.ts';
import { addressFromHex } from '../model/address.ts';
import type { PortFrontend } from '../model/frontends.ts';
import type { ServicePort } from '../model/service.ts';
import { checkOf } from './check.ts';
import { nothing } from './fixture.ts';
import {
  cidrRow,
  encodeFrontend,
  encodeFrontendKey,
  encodeName,
  encodePool,
  isAddressKey,
  nodeAddressRow,
  removedBackendRow,
  slotDigits,
  slotRows,
  sourceClassRow,
  sourceRow,
  switchesRow,
  wireRow,
} from './rows.ts';
import { noSegment } from './segments.ts';

const http: ServicePort = { name: 'http', protocol: 'TCP', number: 80, nodePort: 0 };
const port: PortFrontend = {
  kind: 'port',
  place: 'cluster',
  address: '10.96.0.1',
  number: 80,
  port: http,
  any: [],
  local: null,
  localFor: 'nobody',
  hasEndpoint: true,
  affinitySeconds: 10800,
  scheduler: 'sh',
  guarded: false,
};
const address = { kind: 'address', place: 'cluster', address: 'fd00::1', port: http } as const;

test('encodeFrontendKey() is address, port and protocol in network order; zeros for an address as such', (t) => {
  t.is(encodeFrontendKey(port), '00000000000000000000ffff0a600001' + '0050' + '06' + '00');
  t.is(encodeFrontendKey({ ...port, number: 53, port: { ...http, protocol: 'UDP' } }).slice(32), '00351100');
  t.is(encodeFrontendKey(address), `fd${'00'.repeat(14)}0100000000`);
  t.true(isAddressKey(encodeFrontendKey(address)));
  t.false(isAddressKey(encodeFrontendKey(port)));
});

test('encodeFrontend() is ranges, id, affinity, flags and the check of key and row', (t) => {
  const key = encodeFrontendKey(port);
  const row = encodeFrontend(key, port, 0xdeadbeef, { start: 0, count: 3 }, noSegment);
  const words = ['00000000', '03000000', '00000000', '00000000', 'efbeadde', '302a0000', '04000500'];
  t.is(row.slice(0, -8), words.join(''));
  t.is(frontend.decode(row).check, checkOf(key, words.join('')));
});

test('encodeFrontend() says in flags what decides between pools, drop and reject', (t) => {
  const flags = (more: Partial<PortFrontend>) => {
    const of = { ...port, ...more };
    return frontend.decode(encodeFrontend(encodeFrontendKey(of), of, 1, noSegment, noSegment)).flags;
  };
  t.is(flags({}), 4);
  t.is(flags({ localFor: 'everybody' }), 6);
  t.is(flags({ localFor: 'outside' }), 4 + 64);
  t.is(flags({ localFor: 'everybody', hasEndpoint: false }), 2);
  t.is(flags({ hasEndpoint: false }), 0);
  t.like(frontend.decode(encodeFrontend(encodeFrontendKey(address), address, 7, { start: 1, count: 1 }, noSegment)), {
    flags: 1,
    servicePort: 7,
    any: noSegment,
    local: noSegment,
    affinitySeconds: 0,
    scheduler: 0,
  });
});

test('encodePool() is sorted as the programs compare: by the bytes of the address, then of the port', (t) => {
  const pool = ['10.0.0.10 80', '10.0.0.9 80', '10.0.0.9 8', 'fd00::1 80', '9.255.0.1 65535', '::1 80'];
  const content = encodePool(
    pool.map((text) => ({ address: text.split(' ')[0] ?? '', port: Number(text.split(' ')[1]) })),
  );
  const order = slotRows({ start: 5, count: pool.length }, content).map(([, row]) => {
    return `${addressFromHex(row.slice(0, 32))} ${Number.parseInt(row.slice(32, 36), 16)}`;
  });
  t.deepEqual(order, ['::1 80', '9.255.0.1 65535', '10.0.0.9 8', '10.0.0.9 80', '10.0.0.10 80', 'fd00::1 80']);
  t.is(slotDigits, 40);
});

test('encodePool() does not depend on the order of the pool', (t) => {
  const backends = fc.array(fc.record({ address: fc.ipV4(), port: fc.integer({ min: 1, max: 65535 }) }));
  fc.assert(fc.property(backends, (pool) => t.is(encodePool(pool), encodePool(pool.toReversed()))));
  t.is(encodePool([]), '');
});

test('slotRows() numbers the slots little-endian', (t) => {
  t.deepEqual(slotRows({ start: 255, count: 2 }, 'a'.repeat(40) + 'b'.repeat(40)), [
    ['ff000000', 'a'.repeat(40)],
    ['00010000', 'b'.repeat(40)],
  ]);
});

test('encodeName() is NUL padded text, port and protocol', (t) => {
  const hexOf = (text: string) => Buffer.from(text).toString('hex').padEnd(128, '0');
  const service = { namespace: 'default', name: 'w'.repeat(63) } as Parameters<typeof encodeName>[0];
  t.is(
    encodeName(service, { ...http, name: '', protocol: 'SCTP', number: 258 }),
    `${hexOf('default') + hexOf('w'.repeat(63)) + hexOf('')}01028400`,
  );
});

const origins: readonly [name: string, of: Parameters<typeof encodeFrontend>[1], flags: number][] = [
  ['a clusterIP', address, frontendFlag.address],
  ['an externalIP', { ...address, place: 'external' }, frontendFlag.external_address],
  ['a load balancer IP', { ...address, place: 'loadBalancer' }, frontendFlag.external_address | frontendFlag.assigned],
  [
    'a guarded port of one',
    { ...port, place: 'loadBalancer', guarded: true },
    frontendFlag.assigned | frontendFlag.source_ranges | frontendFlag.has_endpoint,
  ],
  ['a nodePort', { ...port, place: 'node', address: '0.0.0.0', number: 30080 }, frontendFlag.has_endpoint],
];

for (const [name, of, flags] of origins) {
  test(`encodeFrontend() flags ${name} as such`, (t) => {
    t.is(frontend.decode(encodeFrontend(encodeFrontendKey(of), of, 7, noSegment, noSegment)).flags, flags);
  });
}

test('encodeFrontendKey() of a nodePort is its number at the any-address of its family', (t) => {
  const nodePort = { ...port, place: 'node', number: 30080 } as const;
  t.is(encodeFrontendKey({ ...nodePort, address: '0.0.0.0' }), '00000000000000000000ffff00000000' + '7580' + '0600');
  t.is(encodeFrontendKey({ ...nodePort, address: '::' }), `${'00'.repeat(16)}75800600`);
  t.false(isAddressKey(encodeFrontendKey({ ...nodePort, address: '::' })));
});

test('sourceRow() counts the service port and the prefix in 128 bits', (t) => {
  t.deepEqual(sourceRow(7, { address: '10.1.0.0', prefixLength: 16 }), [
    '90000000' + '07000000' + '00000000000000000000ffff0a010000',
    '01000000',
  ]);
  t.is(sourceRow(7, { address: 'fd00::', prefixLength: 64 })[0].slice(0, 16), '60000000' + '07000000');
});

test('cidrRow() counts the prefix in 128 bits', (t) => {
  t.deepEqual(cidrRow({ address: '10.96.0.0', prefixLength: 12 }), [
    '6c000000' + '00000000000000000000ffff0a600000',
    '01000000',
  ]);
  t.is(cidrRow({ address: 'fd00::', prefixLength: 112 })[0].slice(0, 8), '70000000');
});

test('switchesRow() takes the first address of each family, all zero for none', (t) => {
  const node = { name: 'n', zone: null, localAddresses: new Set<string>() };
  const two = { ...node, addresses: ['fd00::1', '192.0.2.1', '192.0.2.2'] };
  t.deepEqual(switchesRow({ ...nothing, node: two, podsAtTc: true }), [
    '00000000',
    `00000000000000000000ffffc0000201fd${'00'.repeat(14)}0101000000`,
  ]);
  t.deepEqual(switchesRow({ ...nothing, node: { ...node, addresses: [] } }), ['00000000', '00'.repeat(36)]);
});

test('switchesRow() sends the programs to removed backends only if there are some', (t) => {
  const removed = { address: '10.0.0.1', port: 53, servicePort: 1, removed: 1 };
  t.is(switchesRow({ ...nothing, removedBackends: [removed] })[1].slice(-8), '00010000');
});

test('nodeAddressRow() and wireRow() are of 16 byte addresses, all zero for none', (t) => {
  t.deepEqual(nodeAddressRow('192.0.2.1'), ['00000000000000000000ffffc0000201', '00000000']);
  for (const address of ['127.0.0.1', '::1']) t.is(nodeAddressRow(address)[1], '01000000', 'for sockets alone');
  const wire = {
    ifindex: 258,
    ipv4: '192.0.2.1',
    ipv6: null,
    ofPods: false,
    mac: null,
    takesFrames: false,
    returnsFrames: false,
  };
  const addresses = `00000000000000000000ffffc0000201${'00'.repeat(16)}`;
  t.deepEqual(wireRow(wire), ['02010000', `${addresses}00000000${'00'.repeat(8)}`]);
  t.deepEqual(wireRow({ ...wire, ofPods: true }), ['02010000', `${addresses}01000000${'00'.repeat(8)}`]);
  const frames = wireRow({ ...wire, mac: '02:00:00:00:00:fe', takesFrames: true });
  t.is(frames[1], `${addresses}020000000200000000fe0000`);
  t.is(wireRow({ ...wire, returnsFrames: true })[1], `${addresses}04000000${'00'.repeat(8)}`);
});

test('sourceClassRow() is a prefix, in bits of the mapped address, and who sends from there', (t) => {
  const pods = { address: '10.244.0.0', prefixLength: 16 };
  t.deepEqual(sourceClassRow({ sources: pods, are: 'pod' }), [
    '70000000' + '00000000000000000000ffff0af40000',
    '02000000',
  ]);
  const node = { address: 'fd00::1', prefixLength: 128 };
  t.deepEqual(sourceClassRow({ sources: node, are: 'node' }), [`80000000fd${'00'.repeat(14)}01`, '01000000']);
  t.is(sourceClassRow({ sources: node, are: 'own_pod' })[1], '03000000');
});

test('removedBackendRow() is address, service port and port, and when', (t) => {
  const row = removedBackendRow({ address: '10.0.0.1', port: 53, servicePort: 1, removed: 258 });
  t.deepEqual(row, ['00000000000000000000ffff0a000001' + '01000000' + '0035' + '0000', '02010000']);
});
