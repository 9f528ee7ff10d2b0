import test from 'ava';
import type { Endpoint, Endpoints, Service } from '../model/service.ts';
import { nothing, roomy } from './fixture.ts';
import { emptyIds, idOf } from './ids.ts';
import { confirm, type Inventory, inventory, makePlan, type World } from './plan.ts';
import { heldRemovals, makeServes, noteRemovals, type Removals, reviewRemovals } from './removals.ts';
import { emptyTables } from './tables.ts';

const everybody = { holdDeletes: false };

function endpoint(address: string, more: Partial<Endpoint> = {}): Endpoint {
  return {
    address,
    port: 5353,
    ready: true,
    serving: true,
    terminating: false,
    nodeName: '',
    zoneHints: [],
    nodeHints: [],
    ...more,
  };
}

function service(name: string, clusterIP: string): Service {
  return {
    namespace: 'kube-system',
    name,
    created: '',
    clusterIPs: [clusterIP],
    externalIPs: [],
    loadBalancerIPs: [],
    sourceRanges: [],
    ports: [
      { name: 'dns', protocol: 'UDP', number: 53, nodePort: 0 },
      { name: 'dns-tcp', protocol: 'TCP', number: 53, nodePort: 0 },
    ],
    affinitySeconds: 0,
    scheduler: 'random',
    internalLocal: false,
    externalLocal: false,
    healthCheckNodePort: 0,
  };
}

const dns = service('dns', '10.96.0.10');
const twin = service('twin', '10.96.0.11');

/** A world in which these answer for kube-system/dns, over both protocols, and those for a twin of it. */
function world(of: readonly Endpoint[] | null, ofTwin: readonly Endpoint[] = []): World {
  const both = (some: readonly Endpoint[]): Endpoints =>
    new Map([
      ['dns/UDP', some],
      ['dns-tcp/TCP', some],
    ]);
  const services = new Map([['kube-system/twin', twin]]);
  const endpoints = new Map([['kube-system/twin', both(ofTwin)]]);
  if (of !== null) {
    services.set('kube-system/dns', dns);
    endpoints.set('kube-system/dns', both(of));
  }
  return { ...nothing, services, endpoints };
}

const idOfPort = (owner: string): number => idOf(emptyIds(), emptyIds(), { owner, port: 'dns', protocol: 17 });
const dnsId = idOfPort('kube-system/dns');

function held(of: World): Inventory {
  const empty = inventory(emptyTables());
  confirm(empty, makePlan(of, empty, 'all', roomy, everybody).steps);
  return empty;
}

const told = (removals: Removals): string[] =>
  [...removals.values()].map((one) => `${one.servicePort === dnsId ? 'dns' : 'other'} ${one.address} ${one.removed}`);

const [one, two] = [endpoint('10.1.1.1'), endpoint('10.1.1.2')];

/** What is noted when `before` becomes `after`. */
const changes: readonly (readonly [string, World, World, readonly string[]])[] = [
  ['an endpoint that is gone', world([one, two]), world([two]), ['dns 10.1.1.1 7']],
  [
    'one that is not ready any more',
    world([one, two]),
    world([{ ...one, ready: false, serving: false }, two]),
    ['dns 10.1.1.1 7'],
  ],
  ['none that only terminates', world([one, two]), world([{ ...one, ready: false, terminating: true }, two]), []],
  [
    'one that terminated and is gone',
    world([{ ...one, ready: false, terminating: true }, two]),
    world([two]),
    ['dns 10.1.1.1 7'],
  ],
  ['one that serves on another port', world([one]), world([{ ...one, port: 53 }]), ['dns 10.1.1.1 7']],
  ['one that serves another Service still', world([one], [one]), world([], [one]), ['dns 10.1.1.1 7']],
  [
    'none that a hint keeps from new flows',
    world([one, two]),
    world([
      { ...one, nodeHints: ['there'] },
      { ...two, nodeHints: ['here'] },
    ]),
    [],
  ],
  ['those of a Service that is gone', world([one]), world(null), ['dns 10.1.1.1 7']],
  ['IPv6 too', world([endpoint('fd00::1')]), world([]), ['dns fd00::1 7']],
  ['nobody who comes', world([one]), world([one, two]), []],
];

for (const [what, before, after, expected] of changes) {
  for (const scope of ['all', new Set(['kube-system/dns'])] as const) {
    test(`noteRemovals() notes ${what}: scope ${scope === 'all' ? 'all' : 'one'}`, (t) => {
      const removals: Removals = new Map();
      t.is(noteRemovals(removals, held(before), { before, after }, scope, 7), expected.length);
      t.deepEqual(told(removals), expected);
    });
  }
}

test('noteRemovals() lets go of who is back, and leaves the others', (t) => {
  const removals: Removals = new Map();
  const inventory = held(world([one, two]));
  noteRemovals(removals, inventory, { before: world([one, two]), after: world([]) }, 'all', 7);
  noteRemovals(removals, inventory, { before: world([]), after: world([one]) }, 'all', 8);
  t.deepEqual(told(removals), ['dns 10.1.1.2 7']);
});

test('noteRemovals() counts from the last time that somebody left', (t) => {
  const removals: Removals = new Map();
  const inventory = held(world([one]));
  noteRemovals(removals, inventory, { before: world([one]), after: world([]) }, 'all', 7);
  t.is(noteRemovals(removals, inventory, { before: world([one]), after: world([]) }, 'all', 9), 0, 'known already');
  t.deepEqual(told(removals), ['dns 10.1.1.1 9']);
});

const choice = (address: string, servicePort = dnsId) => ({ address, port: 5353, servicePort });

test('reviewRemovals() finds in the flows what nobody saw leave', (t) => {
  const removals: Removals = new Map();
  const inventory = held(world([one]));
  const choices = [choice('10.1.1.1'), choice('10.1.1.9'), choice('10.1.1.1', 12345)];
  t.is(reviewRemovals(removals, inventory, world([one]), choices, { now: 300, settled: 100 }), 2);
  t.deepEqual(told(removals), ['dns 10.1.1.9 300', 'other 10.1.1.1 300']);
});

test('reviewRemovals() keeps what a flow points at and what is young, and lets go of the rest', (t) => {
  const removals: Removals = new Map();
  const inventory = held(world([one, two]));
  const three = endpoint('10.1.1.3');
  const [begin, end] = [world([one, two, three]), world([])];
  noteRemovals(removals, inventory, { before: world([one, two]), after: end }, 'all', 10);
  noteRemovals(removals, inventory, { before: begin, after: world([one, two]) }, 'all', 150);
  t.deepEqual(told(removals), ['dns 10.1.1.3 150'], 'they were back');
  noteRemovals(removals, inventory, { before: world([one, two]), after: end }, 'all', 10);
  reviewRemovals(removals, inventory, end, [choice('10.1.1.1')], { now: 300, settled: 100 });
  t.deepEqual(told(removals).sort(), ['dns 10.1.1.1 10', 'dns 10.1.1.3 150']);
});

test('heldRemovals() are the rows that stand in the kernel', (t) => {
  const removals: Removals = new Map();
  const before = world([one, endpoint('fd00::1')]);
  const inventory = held(before);
  noteRemovals(removals, inventory, { before, after: world([]) }, 'all', 7);
  const after = { ...world([]), removedBackends: [...removals.values()] };
  confirm(inventory, makePlan(after, inventory, 'all', roomy, everybody).steps);
  t.deepEqual(heldRemovals(inventory), removals);
  t.deepEqual(heldRemovals(held(before)), new Map());
});

test('makeServes() knows mapped addresses, and nobody for TCP or an unknown id', (t) => {
  const of = world([one]);
  const inventory = held(of);
  const serves = makeServes(inventory, of);
  t.true(serves(choice('10.1.1.1')));
  t.true(serves(choice('::ffff:10.1.1.1')));
  t.false(serves({ ...choice('10.1.1.1'), port: 53 }));
  t.false(serves(choice('10.1.1.1', 1)));
  const tcp = idOf(emptyIds(), emptyIds(), { owner: 'kube-system/dns', port: 'dns-tcp', protocol: 6 });
  t.false(serves(choice('10.1.1.1', tcp)));
});
