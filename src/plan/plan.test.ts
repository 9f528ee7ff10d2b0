import test from 'ava';
import { frontend, servicePortName, u32 } from '../layout.gen.ts';
import type { Endpoint, Service } from '../model/service.ts';
import { beginGrace, type Capacity, confirm, endGrace, inventory, makePlan, type Plan, type World } from './plan.ts';
import { emptyTables, type Step, type Tables } from './tables.ts';

const roomy: Capacity = { names: 100, backends: 200_000, frontends: 100, service_cidrs: 10, switches: 1 };
const nothing: World = {
  services: new Map(),
  endpoints: new Map(),
  node: { name: 'here', zone: null, addresses: ['192.0.2.1'], localAddresses: new Set() },
  serviceCidrs: [],
  podsAtTc: false,
};

function endpoint(address: string): Endpoint {
  return {
    address,
    port: 8080,
    ready: true,
    serving: true,
    terminating: false,
    nodeName: 'there',
    zoneHints: [],
    nodeHints: [],
  };
}

/** A world of Services with one port http (80/TCP) at 10.96.0.1, and what stands behind it. */
function worldOf(services: Record<string, Partial<Service> & { behind?: readonly string[] }>): World {
  const entries = Object.entries(services).map(([name, { behind = [], ...more }]) => {
    const service: Service = {
      namespace: 'default',
      name,
      created: '',
      clusterIPs: ['10.96.0.1'],
      externalIPs: [],
      loadBalancerIPs: [],
      sourceRanges: [],
      ports: [{ name: 'http', protocol: 'TCP', number: 80, nodePort: 0 }],
      affinitySeconds: 0,
      internalLocal: false,
      externalLocal: false,
      ...more,
    };
    const endpoints = behind.map(endpoint);
    const ports = service.ports.map((port) => [`${port.name}/${port.protocol}`, endpoints] as const);
    return { name: `default/${name}`, service, endpoints: new Map(ports) };
  });
  return {
    ...nothing,
    services: new Map(entries.map(({ name, service }) => [name, service])),
    endpoints: new Map(entries.map(({ name, endpoints }) => [name, endpoints])),
  };
}

/** A kernel that takes everything, and what is known of it. */
function start(world: World = nothing, tables: Tables = emptyTables()) {
  const held = inventory(tables);
  const plan = (world: World, scope: 'all' | readonly string[] = 'all', options = {}, capacity = roomy): Plan =>
    makePlan(world, held, scope === 'all' ? 'all' : new Set(scope), capacity, { holdDeletes: false, ...options });
  const take = (steps: readonly Step[]) => {
    for (const step of steps) {
      if (step.op === 'set') tables[step.table].set(step.key, step.value);
      else tables[step.table].delete(step.key);
    }
    confirm(held, steps);
  };
  take(plan(world).steps);
  return { tables, held, plan, take };
}

function text(step: Step): string {
  const key = step.table === 'names' ? 'id' : step.table === 'backends' ? u32.decode(step.key) : step.key.slice(24, 36);
  return `${step.op} ${step.table} ${key} (${step.owner})`;
}

const texts = (plan: Plan) => plan.steps.map(text);
const reasons = (plan: Plan) =>
  Object.fromEntries([...plan.problems].map(([name, problems]) => [name, problems.map(({ reason }) => reason)]));

const web = worldOf({ web: { behind: ['10.0.0.1', '10.0.0.2'] } });
const webChanged = worldOf({ web: { behind: ['10.0.0.1', '10.0.0.3'] } });

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
  t.deepEqual(changed.required, { names: 1, backends: 4, frontends: 2, service_cidrs: 0, switches: 1 });
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
    'set backends 0 (default/web)',
    'set backends 1 (default/web)',
    'set frontends 0a6000010050 (default/web)',
    'set frontends 0a6000010000 (default/web)',
  ]);
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
