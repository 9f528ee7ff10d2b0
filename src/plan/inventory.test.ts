import test from 'ava';
import { servicePortName, u32 } from '../layout.gen.ts';
import { roomy, start, texts, web, webChanged, worldOf } from './fixture.ts';
import { beginGrace, confirm, endGrace, inventory, makePlan } from './plan.ts';
import { emptyTables, type Tables } from './tables.ts';

test('endGrace() ends only what was free when that grace period began', (t) => {
  const { plan, take, held } = start(web);
  take(plan(webChanged).steps);
  const grace = beginGrace(held);
  take(plan(web).steps);
  endGrace(held, grace);
  const next = plan(worldOf({ web: { behind: ['10.0.0.7', '10.0.0.8'] } }));
  t.deepEqual(texts(next).slice(0, 2), ['set backends 0 (default/web)', 'set backends 1 (default/web)']);
  t.is(next.required.backends, 6);
});

test('inventory() keeps ids with their names in a new generation', (t) => {
  const twin = (name: string) =>
    worldOf({ [name]: { ports: [{ name: '', protocol: 'TCP', number: 80, nodePort: 0 }] } });
  const idsOf = (tables: Tables) =>
    new Map([...tables.names].map(([key, value]) => [servicePortName.decode(value).service, u32.decode(key)]));
  const first = start(twin('service-258999'));
  const second = start(twin('service-1624490'));
  const collision = idsOf(first.tables).get('service-258999');
  t.is(idsOf(second.tables).get('service-1624490'), collision);

  const tables = emptyTables();
  const held = inventory(tables, first.tables.names);
  const { steps } = makePlan(twin('service-1624490'), held, 'all', roomy, { holdDeletes: false });
  const named = steps.find((step) => step.table === 'names');
  t.is(named && u32.decode(named.key), (collision ?? 0) + 1);
  t.is(held.rows.names.size, 0);
});

test('inventory() ignores slots of no pool', (t) => {
  const { tables } = start(web);
  tables.backends.set(u32.encode(7), 'ff'.repeat(20));
  t.deepEqual(start(web, tables).plan(web).steps, []);
});

test('inventory() takes a pool with slots that are not there for damaged', (t) => {
  const { tables } = start(web);
  tables.backends.delete(u32.encode(1));
  t.deepEqual(texts(makePlan(web, inventory(tables), 'all', roomy, { holdDeletes: false })), [
    'set backends 1 (default/web)',
    'set backends 2 (default/web)',
    'set frontends 0a6000010050 (default/web)',
  ]);
});

test('inventory() never writes to a live slot to repair it', (t) => {
  const { tables } = start(web);
  tables.backends.set(u32.encode(1), 'ff'.repeat(20));
  t.deepEqual(texts(makePlan(web, inventory(tables), 'all', roomy, { holdDeletes: false })), [
    'set backends 2 (default/web)',
    'set backends 3 (default/web)',
    'set frontends 0a6000010050 (default/web)',
  ]);
});

test('confirm() records nothing that the kernel did not take', (t) => {
  const { plan, held } = start();
  const { steps } = plan(web);
  confirm(held, steps.slice(0, 2));
  t.deepEqual(texts(plan(web)), [
    'set backends 1 (default/web)',
    'set frontends 0a6000010050 (default/web)',
    'set frontends 0a6000010000 (default/web)',
  ]);
});
