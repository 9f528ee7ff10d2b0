import test from 'ava';
import { frontend } from '../layout.gen.ts';
import { nothing, reasons, roomy, start, texts, web, webChanged, worldOf } from './fixture.ts';
import { confirm, endGrace, inventory, makePlan, type World } from './plan.ts';
import { byTable, emptyTables } from './tables.ts';

test('makePlan() from nothing: names, slots, ports, addresses, then the node', (t) => {
  const { plan } = start();
  t.deepEqual(texts(plan({ ...web, serviceCidrs: [{ address: '10.96.0.0', prefixLength: 12 }] })), [
    'set names id (default/web)',
    'set backends 0 (default/web)',
    'set backends 1 (default/web)',
    'set frontends 0a6000010050 (default/web)',
    'set frontends 0a6000010000 (default/web)',
    'set service_cidrs 0000ffff0a60 ()',
  ]);
});

test('makePlan() writes the switches first of all, and when the node changes, in any scope', (t) => {
  const tables = emptyTables();
  const held = inventory(tables);
  const plan = (world: World, scope: 'all' | Set<string>) =>
    makePlan(world, held, scope, roomy, { holdDeletes: false });
  t.deepEqual(
    plan(nothing, 'all').steps.map((step) => step.table),
    ['switches'],
  );
  confirm(held, plan(nothing, 'all').steps);
  t.deepEqual(plan(nothing, new Set()).steps, []);
  t.deepEqual(
    plan({ ...nothing, podsAtTc: true }, new Set()).steps.map((step) => step.table),
    ['switches'],
  );
});

test('makePlan() deletes a ServiceCIDR that is gone', (t) => {
  const { plan } = start({ ...nothing, serviceCidrs: [{ address: '10.96.0.0', prefixLength: 12 }] });
  t.deepEqual(texts(plan(nothing, [])), ['delete service_cidrs 0000ffff0a60 ()']);
});

test('makePlan() has nothing to do when nothing changed, whole or by scope, or after a restart', (t) => {
  const { plan, tables } = start(web);
  t.deepEqual(plan(web).steps, []);
  t.false(plan(web).frees);
  t.deepEqual(plan(web, ['default/web']).steps, []);
  t.deepEqual(start(web, tables).plan(web).steps, []);
});

test('makePlan() writes a changed pool into fresh slots and frees the old ones', (t) => {
  const { plan, take } = start(web);
  const changed = plan(webChanged, ['default/web']);
  t.deepEqual(texts(changed), [
    'set backends 2 (default/web)',
    'set backends 3 (default/web)',
    'set frontends 0a6000010050 (default/web)',
  ]);
  t.true(changed.frees);
  take(changed.steps);
  const back = plan(web, ['default/web']);
  t.deepEqual(texts(back).slice(0, 2), ['set backends 4 (default/web)', 'set backends 5 (default/web)']);
});

test('makePlan() leaves a pool where it is when only the row changes', (t) => {
  const { plan } = start(web);
  const changed = plan(worldOf({ web: { behind: ['10.0.0.1', '10.0.0.2'], affinitySeconds: 60 } }), ['default/web']);
  t.deepEqual(texts(changed), ['set frontends 0a6000010050 (default/web)']);
  t.false(changed.frees);
});

test('makePlan() keeps the pool of a Service that gets another address', (t) => {
  const { plan } = start(web);
  const moved = worldOf({ web: { behind: ['10.0.0.1', '10.0.0.2'], clusterIPs: ['10.96.0.2'] } });
  t.deepEqual(texts(plan(moved, ['default/web'])), [
    'set frontends 0a6000020050 (default/web)',
    'set frontends 0a6000020000 (default/web)',
    'delete frontends 0a6000010000 (default/web)',
    'delete frontends 0a6000010050 (default/web)',
  ]);
});

test('makePlan() stores one pool of a Service once', (t) => {
  const port = { name: 'http', protocol: 'TCP', number: 80, nodePort: 0 } as const;
  const ports = [port, { ...port, name: 'alt', number: 81 }];
  const { tables } = start(worldOf({ web: { behind: ['10.0.0.1', '10.0.0.2'], ports, clusterIPs: ['10.96.0.1'] } }));
  t.is(tables.backends.size, 2);
});

test('makePlan() deletes a Service from root to leaf', (t) => {
  const { plan } = start(web);
  const gone = plan(nothing, ['default/web']);
  t.deepEqual(texts(gone), [
    'delete frontends 0a6000010000 (default/web)',
    'delete frontends 0a6000010050 (default/web)',
    'delete names id (default/web)',
  ]);
  t.true(gone.frees);
  t.deepEqual(reasons(gone), { '': [], 'default/web': [] });
});

test('makePlan() deletes rows of nobody when it looks at everything', (t) => {
  const { tables } = start(web);
  tables.names.clear();
  t.deepEqual(texts(start(nothing, tables).plan(nothing)), []);
  const held = inventory(start(web).tables);
  t.is(makePlan(nothing, held, 'all', roomy, { holdDeletes: false }).steps.length, 3);
  const orphans = start(web).tables;
  orphans.names.clear();
  const plan = makePlan(nothing, inventory(orphans), 'all', roomy, { holdDeletes: false });
  t.deepEqual(texts(plan), ['delete frontends 0a6000010000 ()', 'delete frontends 0a6000010050 ()']);
});

test('makePlan() deletes nothing while deletes are held', (t) => {
  const { plan } = start(web);
  t.deepEqual(plan(nothing, 'all', { holdDeletes: true }).steps, []);
  t.deepEqual(plan(nothing, ['default/web'], { holdDeletes: true }).steps, []);
});

test('makePlan() does not give a row away while its Service may only not be listed yet', (t) => {
  const { plan } = start(worldOf({ a: { behind: ['10.0.0.1'] } }));
  const incomplete = worldOf({ b: { behind: ['10.0.0.2'] } });
  t.deepEqual(plan(incomplete, 'all', { holdDeletes: true }).steps, []);
  t.true(plan(incomplete).steps.length > 0);
});

test('makePlan() gives a row away while deletes are held if its Service is listed without it', (t) => {
  const { plan } = start(worldOf({ a: { behind: ['10.0.0.1'] } }));
  const moved = worldOf({ a: { clusterIPs: ['10.96.0.2'] }, b: { behind: ['10.0.0.2'] } });
  t.true(texts(plan(moved, 'all', { holdDeletes: true })).includes('set frontends 0a6000010050 (default/b)'));
});

test('makePlan() counts the rows that are needed while old and new stand side by side', (t) => {
  const { plan } = start(web);
  const changed = plan(webChanged);
  t.deepEqual(changed.required, { ...byTable(() => 0), names: 1, backends: 4, frontends: 2, switches: 1 });
  t.true(plan(webChanged, 'all', {}, changed.required).fits);
  for (const table of ['names', 'backends', 'frontends', 'switches'] as const) {
    const lacking = { ...changed.required, [table]: changed.required[table] - 1 };
    t.false(plan(webChanged, 'all', {}, lacking).fits, table);
  }
  const moved = plan(worldOf({ web: { clusterIPs: ['10.96.0.2'] }, api: { clusterIPs: ['10.96.0.3'] } }));
  t.like(moved.required, { names: 2, frontends: 6 });
});

test('makePlan() needs room for what is in quarantine until the grace period has ended', (t) => {
  const { plan, take, held } = start(web);
  take(plan(webChanged).steps);
  t.is(plan(web).required.backends, 6);
  t.true(plan(webChanged).frees);
  endGrace(held);
  t.is(plan(web).required.backends, 4);
  t.false(plan(webChanged).frees);
});

test('makePlan() reports a change of local addresses in a whole plan', (t) => {
  const { plan } = start(web);
  const cached = { ...web, node: { ...web.node, localAddresses: new Set(['10.96.0.1']) } };
  const changed = plan(cached);
  t.deepEqual(reasons(changed)['default/web'], ['clusterIP 10.96.0.1 is not served: it is an address of this node']);
  t.deepEqual(
    changed.steps.map((step) => step.op),
    ['delete', 'delete', 'delete'],
  );
});

test('makePlan() takes 100,000 endpoints in one Service', (t) => {
  const behind = Array.from({ length: 100_000 }, (_, i) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`);
  const { tables, plan } = start(worldOf({ web: { behind } }));
  t.is(tables.backends.size, 100_000);
  const pools = [...tables.frontends.values()].map((value) => frontend.decode(value).any.count);
  t.deepEqual(pools, [100_000, 0]);
  const less = plan(worldOf({ web: { behind: behind.slice(1) } }), ['default/web']);
  t.is(less.required.backends, 199_999);
  t.false(plan(worldOf({ web: { behind: behind.slice(1) } }), 'all', {}, { ...roomy, backends: 131_072 }).fits);
});
