import test from 'ava';
import { affinity, affinityKey, flow, flowFlag, flowKey, flowState, hook } from '../layout.gen.ts';
import { addressToHex } from '../model/address.ts';
import { emptyTables, type Rows } from '../plan/tables.ts';
import { affinityItems, flowItems } from './dump-flows.ts';
import { affinityText, flowsText, noServiceText, servicesText } from './dump-text.ts';
import type { Reading } from './service-ref.ts';

type Place = readonly [address: string, port: number];

interface RowFacts {
  readonly at: keyof typeof hook;
  readonly from: readonly [Place, Place];
  readonly to: readonly [Place, Place];
  readonly flags?: number;
}

function rowsOf(facts: readonly RowFacts[]): Rows {
  const rows: Rows = new Map();
  for (const { at, from, to, flags = 0 } of facts) {
    const tuple = ([[source, sourcePort], [destination, destinationPort]]: RowFacts['from']) => ({
      source: addressToHex(source),
      sourcePort,
      destination: addressToHex(destination),
      destinationPort,
    });
    const key = flowKey.encode({ ...tuple(from), protocol: 6, hook: hook[at], device: 0 });
    const rest = { servicePort: 7, state: flowState.replied, flags, nextHop: '0'.repeat(12), check: 0, seen: 90 };
    rows.set(key, flow.encode({ ...tuple(to), ...rest }));
  }
  return rows;
}

const none: Rows = new Map();
const reading: Reading = {
  tables: emptyTables(),
  counters: new Map(),
  connections: new Map(),
  flows: none,
  halfOpen: none,
  affinity: none,
  nowSeconds: 100,
};

const outside: Place = ['203.0.113.9', 40000];
const nodePort: Place = ['192.0.2.1', 30080];
const node: Place = ['10.1.0.254', 1025];
const backend: Place = ['10.2.0.1', 8080];
const masqueraded = rowsOf([
  { at: 'from_wire', from: [backend, node], to: [nodePort, outside], flags: flowFlag.masquerade | flowFlag.reply },
  { at: 'from_wire', from: [outside, nodePort], to: [node, backend], flags: flowFlag.masquerade },
]);

test('flowItems() has the twins of a masqueraded flow side by side, the way there first', (t) => {
  const [there, back] = flowItems({ ...reading, flows: masqueraded });
  t.like(there, {
    masquerade: true,
    reply: false,
    from: { source: '203.0.113.9:40000', destination: '192.0.2.1:30080' },
  });
  t.like(back, {
    masquerade: true,
    reply: true,
    becomes: { source: '192.0.2.1:30080', destination: '203.0.113.9:40000' },
  });
});

test('flowsText() shows what a backend elsewhere sees of a client', (t) => {
  const items = flowItems({ ...reading, flows: masqueraded });
  const [, short = '', ...more] = flowsText(items, false).split('\n');
  t.deepEqual(short.split(/ {3,}/), [
    '<none>',
    'TCP',
    '203.0.113.9:40000',
    '192.0.2.1:30080',
    '10.2.0.1:8080 as 10.1.0.254:1025',
    'replied,masquerade',
    '10s',
  ]);
  t.deepEqual(more, [''], 'one line a flow');
  const wide = flowsText(items, true).split('\n');
  t.is(wide.length, 4);
  t.regex(wide[1] ?? '', / 10\.2\.0\.1:8080 +replied,masquerade +10s +from_wire +there +10\.1\.0\.254:1025$/);
});

test('flowsText() shows no other address where there is none', (t) => {
  const client: Place = ['10.1.0.9', 40000];
  const direct = rowsOf([{ at: 'from_pod', from: [client, ['10.96.0.1', 80]], to: [client, backend] }]);
  t.notRegex(flowsText(flowItems({ ...reading, flows: direct }), false), / as /);
});

test('flowItems() shows a flow that stands in both tables once, as confirmed', (t) => {
  t.is(flowItems({ ...reading, flows: masqueraded, halfOpen: masqueraded }).length, 2);
  const open = flowItems({ ...reading, halfOpen: masqueraded });
  t.deepEqual(
    open.map(({ halfOpen }) => halfOpen),
    [true, true],
  );
});

test('affinityText() names a network namespace that is one client', (t) => {
  const choice = affinity.encode({ backend: addressToHex('10.2.0.1'), backendPort: 8080, seen: 95 });
  const rows: Rows = new Map([
    [affinityKey.encode({ client: addressToHex('10.1.0.9'), servicePort: 7 }), choice],
    [affinityKey.encode({ client: addressToHex('ff00::1:2'), servicePort: 7 }), choice],
  ]);
  const items = affinityItems({ ...reading, affinity: rows });
  t.deepEqual(
    items.map(({ client, netns }) => [client, netns]),
    [
      ['10.1.0.9', null],
      ['ff00::1:2', String(0x1_0002)],
    ],
  );
  t.regex(affinityText(items, false), /<none> +netns 65538 +10\.2\.0\.1:8080 +5s\n$/);
});

test('servicesText() counts a connection that was given another source port once', (t) => {
  const item = {
    namespace: 'default',
    name: 'web',
    portName: '',
    id: 7,
    type: 'ClusterIP',
    port: 80,
    protocol: 'TCP',
    nodePort: null,
    clusterIPs: ['10.96.0.1'],
    externalIPs: [],
    pool: 'any',
    affinitySeconds: 0,
    scheduler: 'random',
    backends: [],
    counters: { connected_wire: 3, connected_pod: 2, connected_moved: 2, drop_no_route: 1 },
  } as const;
  t.regex(servicesText([item], false), / +5 +0 +1\n$/);
  t.regex(servicesText([item], true), /connected_wire=3,connected_pod=2,connected_moved=2,drop_no_route=1/);
});

test('noServiceText() tells what nobody owns, if anything', (t) => {
  t.is(noServiceText({}), '');
  t.is(
    noServiceText({ drop_unallocated: 2, connected_direct: 1 }),
    '\nof no Service: drop_unallocated=2,connected_direct=1\n',
  );
});
