import test from 'ava';
import { frontend } from '../layout.gen.ts';
import { reasons, start, texts, worldOf } from './fixture.ts';

const both = worldOf({ a: { behind: ['10.0.0.1'] }, b: { behind: ['10.0.0.2'] } });
const onlyB = worldOf({ b: { behind: ['10.0.0.2'] } });

test('makePlan() tells the loser of a claim, and gives it to him when the winner goes', (t) => {
  const { plan, take, tables } = start(onlyB);
  const contested = plan(both, ['default/a']);
  t.deepEqual(reasons(contested), {
    '': [],
    'default/a': [],
    'default/b': ['port http (80/TCP) of clusterIP 10.96.0.1 belongs to Service default/a'],
  });
  take(contested.steps);
  const released = plan(onlyB, ['default/a']);
  t.deepEqual(reasons(released), { '': [], 'default/a': [], 'default/b': [] });
  take(released.steps);
  take(plan(onlyB, []).steps);
  t.is(tables.names.size, 1);
  t.is(tables.frontends.size, 2);
});

test('makePlan() keeps the name of a row that goes over to another Service until that is done', (t) => {
  const { plan, take } = start(worldOf({ a: { behind: ['10.0.0.1'] } }));
  const handover = plan(onlyB, ['default/a', 'default/b']);
  t.deepEqual(texts(handover), [
    'set names id (default/b)',
    'set backends 1 (default/b)',
    'set frontends 0a6000010050 (default/b)',
    'set frontends 0a6000010000 (default/b)',
  ]);
  take(handover.steps);
  t.deepEqual(texts(plan(onlyB, [])), ['delete names id (default/a)']);
});

test('makePlan() finds who still holds a row when its heir goes before it was handed over', (t) => {
  const { plan, take, tables } = start(worldOf({ b: { behind: ['10.0.0.1'] } }));
  const inherited = worldOf({ a: { behind: ['10.0.0.2'] }, b: { clusterIPs: ['10.96.0.2'] } });
  take(plan(inherited, ['default/a', 'default/b']).steps.filter((step) => step.owner !== 'default/a'));
  const left = worldOf({ b: { clusterIPs: ['10.96.0.2'] } });
  take(plan(left, ['default/a']).steps);
  t.deepEqual(
    [...tables.frontends.keys()].map((key) => key.slice(24, 36)),
    ['0a6000020050', '0a6000020000'],
  );
});

test('makePlan() finds who still holds a nodePort when its heir goes before it was handed over', (t) => {
  const ports = [{ name: 'http', protocol: 'TCP', number: 80, nodePort: 30080 }] as const;
  const b = { clusterIPs: ['10.96.0.2'] };
  const { plan, take, tables } = start(worldOf({ b: { ...b, ports } }));
  t.is(tables.frontends.size, 3);
  const inherited = worldOf({ a: { ports }, b });
  take(plan(inherited, ['default/a', 'default/b']).steps.filter((step) => step.owner !== 'default/a'));
  take(plan(worldOf({ b }), ['default/a']).steps);
  t.deepEqual(
    [...tables.frontends.keys()].map((key) => key.slice(24, 36)),
    ['0a6000020050', '0a6000020000'],
  );
});

test('makePlan() writes the ranges of a guarded address, and takes them away with it', (t) => {
  const guarded = (more: object) =>
    worldOf({ web: { loadBalancerIPs: ['203.0.113.1'], sourceRanges: ranges, behind: ['10.0.0.1'], ...more } });
  const ranges = [{ address: '10.1.0.0', prefixLength: 16 }];
  const { plan, take, tables } = start(guarded({}));
  t.is(tables.source_ranges.size, 1);
  const other = plan(guarded({ sourceRanges: [{ address: '10.2.0.0', prefixLength: 16 }] }), ['default/web']);
  t.deepEqual(
    other.steps.map(({ op, table, owner }) => `${op} ${table} ${owner}`),
    ['set source_ranges default/web', 'delete source_ranges default/web'],
  );
  take(other.steps);
  const open = plan(guarded({ sourceRanges: [] }), ['default/web']);
  t.deepEqual(
    open.steps.map(({ op, table }) => `${op} ${table}`),
    ['set frontends', 'delete source_ranges'],
  );
  take(open.steps);
  take(plan(guarded({}), ['default/web']).steps);
  take(plan(worldOf({}), ['default/web']).steps);
  t.is(tables.source_ranges.size + tables.frontends.size + tables.names.size, 0);
});

test('makePlan() does not let a Service that cannot be served keep others from their address', (t) => {
  const ports = [{ name: 'x'.repeat(64), protocol: 'TCP', number: 80, nodePort: 0 }] as const;
  const { plan, tables } = start(worldOf({ a: { ports, created: '2020-01-01T00:00:00Z' }, b: {} }));
  t.is(tables.frontends.size, 2);
  const shown = plan(worldOf({ a: { ports: [] }, b: {} }));
  t.deepEqual(reasons(shown), { '': [], 'default/a': ['it has no port'], 'default/b': [] });
});

test('makePlan() serves the address of two Services with different ports once, for as long as one is left', (t) => {
  const dns = [{ name: 'dns', protocol: 'UDP', number: 53, nodePort: 0 }] as const;
  const shared = worldOf({ a: { behind: ['10.0.0.1'] }, b: { ports: dns } });
  const { plan, take, tables } = start(shared);
  t.is(tables.frontends.size, 3);
  t.deepEqual(reasons(plan(shared)), { '': [], 'default/a': [], 'default/b': [] });
  const left = worldOf({ b: { ports: dns } });
  const steps = plan(left, ['default/a']);
  t.deepEqual(texts(steps), ['set frontends 0a6000010000 (default/b)', 'delete frontends 0a6000010050 (default/a)']);
  take(steps.steps);
  t.deepEqual(texts(plan(left, [])), ['delete names id (default/a)']);
});

test('makePlan() leaves out an endpoint that becomes a Service, and takes it back when that goes', (t) => {
  const web = { behind: ['10.0.0.1', '10.96.0.2'] };
  const alone = worldOf({ web });
  const nested = worldOf({ web, api: { clusterIPs: ['10.96.0.2'] } });
  const heir = worldOf({ web, older: { clusterIPs: ['10.96.0.2'] } });
  const reason = (owner: string) =>
    `endpoint 10.96.0.2:8080 is left out: it is the clusterIP of Service ${owner}, and a Service has no Services behind it`;
  const { plan, take, tables } = start(alone);
  const backends = () => [...tables.frontends.values()].map((row) => frontend.decode(row).any.count);

  const appeared = plan(nested, ['default/api']);
  t.deepEqual(reasons(appeared), { '': [], 'default/api': [], 'default/web': [reason('default/api')] });
  take(appeared.steps);
  t.deepEqual(backends(), [1, 0, 0, 0]);

  const inherited = plan(heir, ['default/api', 'default/older']);
  t.deepEqual(reasons(inherited)['default/web'], [reason('default/older')]);
  take(inherited.steps);

  const gone = plan(alone, ['default/older']);
  t.deepEqual(reasons(gone)['default/web'], []);
  take(gone.steps);
  t.is(backends()[0], 2);
});

test('makePlan() does not look for nested Services when nobody got or lost an address', (t) => {
  const web = { behind: ['10.0.0.1', '10.96.0.2'] };
  const before = worldOf({ web, api: { clusterIPs: ['10.96.0.2'] } });
  const after = worldOf({ web, api: { clusterIPs: ['10.96.0.2'], behind: ['10.0.0.9'] } });
  t.deepEqual(Object.keys(reasons(start(before).plan(after, ['default/api']))).sort(), ['', 'default/api']);
});

test('makePlan() has nothing against a Service that is gone, also when no other one claims anything', (t) => {
  const { plan } = start(worldOf({ web: { ports: [] } }));
  t.deepEqual(reasons(plan(worldOf({}), ['default/web'])), { '': [], 'default/web': [] });
});
