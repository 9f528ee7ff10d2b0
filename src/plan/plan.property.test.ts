import test from 'ava';
import fc from 'fast-check';
import { frontend, frontendFlag, frontendKey, servicePortName, sourceRangeKey, u32 } from '../layout.gen.ts';
import { addressToHex, familyOf, parseCidr } from '../model/address.ts';
import type { Scheduler } from '../model/scheduler.ts';
import type { Endpoint, Endpoints, Problem, Service, ServicePort } from '../model/service.ts';
import { poolSlots } from './maglev.ts';
import { type Capacity, confirm, endGrace, type Inventory, inventory, makePlan, type World } from './plan.ts';
import { byTable, emptyTables, type Step, type Tables } from './tables.ts';

/*
 * Random worlds change again and again; plans for them are applied to plain maps, in part or whole. What a program
 * would find in these maps is what counts, not which slots it lies in.
 */

const addresses = ['10.96.0.1', '10.96.0.2', 'fd00::1'];
/** One of them is a clusterIP too, now and then. */
const external = ['198.51.100.1', '10.96.0.2', 'fd02::1'];
const balanced = ['203.0.113.1', '198.51.100.1', 'fd02::1'];
const numbers = [80, 81];
const nodePorts = [30080, 30081];
/** The second has the node itself in it. */
const ranges = ['10.1.0.0/16', '192.0.2.0/24', 'fd03::/64'].flatMap((text) => parseCidr(text) ?? []);
const clients = ['10.1.0.1', '192.0.2.9', '203.0.113.1', 'fd03::1', 'fd04::1'];
const protocols = { TCP: 6, UDP: 17 } as const;
const serviceNames = ['default/a', 'default/b', 'kube/c', 'kube/d'];
const roomy: Capacity = { ...byTable(() => 1000), backends: 10_000 };

/** Mostly none. */
function few<T>(all: readonly T[]): fc.Arbitrary<T[]> {
  return fc.oneof({ weight: 2, arbitrary: fc.constant<T[]>([]) }, { weight: 1, arbitrary: fc.subarray([...all]) });
}

const anyPort: fc.Arbitrary<ServicePort> = fc.record({
  name: fc.constantFrom('', 'http'),
  protocol: fc.constantFrom('TCP', 'UDP'),
  number: fc.constantFrom(...numbers),
  nodePort: fc.constantFrom(0, 0, ...nodePorts),
});

const anyService = fc.record({
  created: fc.constantFrom('', '2025-01-01T00:00:00Z', '2024-01-01T00:00:00Z'),
  clusterIPs: fc.subarray(addresses),
  externalIPs: few(external),
  loadBalancerIPs: few(balanced),
  sourceRanges: few(ranges),
  ports: fc.array(anyPort, { maxLength: 3 }),
  affinitySeconds: fc.constantFrom(0, 60),
  scheduler: fc.constantFrom<Scheduler>('random', 'rr'),
  internalLocal: fc.boolean(),
  externalLocal: fc.integer({ min: 0, max: 4 }).map((one) => one === 0),
  healthCheckNodePort: fc.constant(0),
});

const anyEndpoint: fc.Arbitrary<Endpoint> = fc.record({
  // one of them is a Service now and then
  address: fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.3', '10.96.0.2', 'fd01::1', 'fd01::2'),
  port: fc.constantFrom(8080, 9090),
  ready: fc.boolean(),
  serving: fc.boolean(),
  terminating: fc.boolean(),
  nodeName: fc.constantFrom('here', 'there'),
  zoneHints: fc.constant([]),
  nodeHints: fc.constant([]),
});

const anyEndpoints: fc.Arbitrary<Endpoints> = fc
  .array(fc.tuple(fc.constantFrom('/TCP', '/UDP', 'http/TCP', 'http/UDP'), fc.array(anyEndpoint, { maxLength: 5 })))
  .map((entries) => new Map(entries));

interface Change {
  readonly name: string;
  /** Null: gone. */
  readonly service: Omit<Service, 'namespace' | 'name'> | null;
  readonly endpoints: Endpoints;
}

const anyChange: fc.Arbitrary<Change> = fc.record({
  name: fc.constantFrom(...serviceNames),
  service: fc.option(anyService, { freq: 4 }),
  endpoints: anyEndpoints,
});
const anyChanges = fc.array(anyChange, { minLength: 1, maxLength: 4 });

function changeWorld(world: World, changes: readonly Change[]): World {
  const [services, endpoints] = [new Map(world.services), new Map(world.endpoints)];
  for (const { name, service, endpoints: behind } of changes) {
    const [namespace = '', short = ''] = name.split('/');
    if (service === null) services.delete(name);
    else services.set(name, { ...service, namespace, name: short });
    endpoints.set(name, behind);
  }
  return { ...world, services, endpoints };
}

const emptyWorld: World = {
  services: new Map(),
  endpoints: new Map(),
  node: { name: 'here', zone: null, addresses: ['192.0.2.1'], localAddresses: new Set() },
  serviceCidrs: [{ address: '10.96.0.0', prefixLength: 12 }],
  podsAtTc: true,
  nodePortAddresses: [],
  wires: [],
  sourceClasses: [],
  removedBackends: [],
};

const namesOf = (changes: readonly Change[]) => new Set(changes.map(({ name }) => name));

/** Everything that a client could ask for. */
const places = [...new Set([...addresses, ...external, ...balanced])];
const questions = [
  ...places.flatMap((address) => [...numbers, 99].map((number) => ({ address, number }))),
  ...['0.0.0.0', '::'].flatMap((address) => nodePorts.map((number) => ({ address, number }))),
].flatMap((asked) => Object.values(protocols).map((protocol) => ({ ...asked, protocol })));

/** What a program finds, as text: whose port, under which flags, with which pools. Throws on a row that points nowhere. */
function lookUp(tables: Tables, address: string, port: number, protocol: number): string {
  const at = (port: number, protocol: number) =>
    tables.frontends.get(frontendKey.encode({ address: addressToHex(address), port, protocol }));
  const value = at(port, protocol) ?? at(0, 0);
  if (value === undefined) return 'none';
  const row = frontend.decode(value);
  const name = tables.names.get(u32.encode(row.servicePort));
  if (name === undefined) throw new Error(`${address} ${port} bears the id ${row.servicePort}, which has no name`);
  const { namespace, service, port: portName } = servicePortName.decode(name);
  const pools = poolSlots(row).map((segment) => slots(tables, segment).join(' '));
  return `${namespace}/${service} ${portName} flags ${row.flags} affinity ${row.affinitySeconds} by ${row.scheduler} ${pools.join(' | ')}`;
}

function slots(tables: Tables, { start, count }: { start: number; count: number }): string[] {
  return Array.from({ length: count }, (_, i) => {
    const slot = tables.backends.get(u32.encode(start + i));
    if (slot === undefined) throw new Error(`slot ${start + i} was never written`);
    return slot;
  });
}

const answers = (tables: Tables) => questions.map((q) => lookUp(tables, q.address, q.number, q.protocol));

/** May the client ask there? As the longest prefix match map would say, whose rows of one service port may be any. */
function access(tables: Tables, { address, number, protocol }: (typeof questions)[number], client: string): string {
  const key = frontendKey.encode({ address: addressToHex(address), port: number, protocol });
  const value = tables.frontends.get(key);
  if (value === undefined || familyOf(client) !== familyOf(address)) return 'none';
  const { flags, servicePort } = frontend.decode(value);
  if ((flags & frontendFlag.source_ranges) === 0) return 'open';
  const fits = [...tables.source_ranges.keys()].some((row) => {
    const range = sourceRangeKey.decode(row);
    const [bits, digits] = [range.prefixLength - 32, addressToHex(client)];
    return range.servicePort === servicePort && range.source.slice(0, bits / 4) === digits.slice(0, bits / 4);
  });
  return fits ? 'open' : 'closed';
}

const accesses = (tables: Tables) =>
  questions.map((question) => clients.map((client) => access(tables, question, client)));

/** Who may ask where he may now, or will: what comes or goes as a whole may be ahead of the ranges, or behind. */
function checkAccess(now: string[][], old: string[][], wanted: string[][]): void {
  for (const [i, row] of now.entries()) {
    for (const [j, answer] of row.entries()) {
      const [before, after] = [old[i]?.[j], wanted[i]?.[j]];
      if (before === 'none' || after === 'none' || answer === before || answer === after) continue;
      throw new Error(`${clients[j]} at ${JSON.stringify(questions[i])}: ${answer}, not ${before} or ${after}`);
    }
  }
}

/** What a plan from nothing leads to. */
function fromScratch(world: World): Tables {
  const tables = emptyTables();
  const { steps } = makePlan(world, inventory(emptyTables()), 'all', roomy, { holdDeletes: false });
  for (const step of steps) write(tables, step);
  return tables;
}

function problemsFromScratch(world: World): ReadonlyMap<string, readonly Problem[]> {
  return makePlan(world, inventory(emptyTables()), 'all', roomy, { holdDeletes: false }).problems;
}

function told(problems: ReadonlyMap<string, readonly Problem[]>): string[] {
  return [...problems.values()].flatMap((some) => some.map(({ object, reason }) => `${object}: ${reason}`)).sort();
}

function write(tables: Tables, step: Step): void {
  if (step.op === 'delete') tables[step.table].delete(step.key);
  else tables[step.table].set(step.key, step.value);
}

/** Programs that read a row when it was there, and are still at it: until a grace period has passed they must find its pool. */
class Readers {
  readonly #pools = new Map<string, string>();

  check(tables: Tables): void {
    for (const [key, content] of this.#pools) {
      const [start = 0, count = 0] = key.split('+').map(Number);
      const now = slots(tables, { start, count }).join(' ');
      if (now !== content) throw new Error(`segment ${key} was written under a reader: ${content} became ${now}`);
    }
  }

  enter(tables: Tables): void {
    for (const value of tables.frontends.values()) {
      const { any, local } = frontend.decode(value);
      for (const segment of [any, local]) {
        this.#pools.set(`${segment.start}+${segment.count}`, slots(tables, segment).join(' '));
      }
    }
  }

  leave(): void {
    this.#pools.clear();
  }
}

/** Applies like the kernel stage: once a step of an owner is refused, its later ones are not tried. */
function apply(tables: Tables, steps: readonly Step[], refused: (step: number) => boolean, after: () => void): Step[] {
  const confirmed: Step[] = [];
  const stopped = new Set<string>();
  for (const [i, step] of steps.entries()) {
    if (stopped.has(step.owner)) continue;
    if (refused(i)) {
      stopped.add(step.owner);
      continue;
    }
    write(tables, step);
    confirmed.push(step);
    after();
  }
  return confirmed;
}

function settle(world: World, held: Inventory, tables: Tables): number {
  for (let rounds = 0; ; rounds++) {
    const { steps } = makePlan(world, held, 'all', roomy, { holdDeletes: false });
    if (steps.length === 0) return rounds;
    if (rounds > 3) throw new Error(`still ${JSON.stringify(steps)}`);
    for (const step of steps) write(tables, step);
    confirm(held, steps);
    endGrace(held);
  }
}

test('makePlan() leads every look-up from the old answer to the new, after each prefix of its steps', (t) => {
  fc.assert(
    fc.property(fc.array(anyChanges, { minLength: 1, maxLength: 6 }), fc.boolean(), (rounds, scoped) => {
      let world = emptyWorld;
      const tables = emptyTables();
      const held = inventory(tables);
      const readers = new Readers();
      const problems = new Map<string, readonly Problem[]>();
      for (const changes of rounds) {
        world = changeWorld(world, changes);
        const old = answers(tables);
        const wanted = answers(fromScratch(world));
        const [oldAccess, wantedAccess] = [accesses(tables), accesses(fromScratch(world))];
        const plan = makePlan(world, held, scoped ? namesOf(changes) : 'all', roomy, { holdDeletes: false });
        t.true(plan.fits);
        if (!scoped) problems.clear();
        for (const [name, reasons] of plan.problems) problems.set(name, reasons);
        t.deepEqual(told(problems), told(problemsFromScratch(world)));
        const confirmed = apply(
          tables,
          plan.steps,
          () => false,
          () => {
            for (const [i, answer] of answers(tables).entries()) {
              if (answer !== old[i] && answer !== wanted[i]) {
                throw new Error(`${JSON.stringify(questions[i])}: '${answer}', not '${old[i]}' or '${wanted[i]}'`);
              }
            }
            checkAccess(accesses(tables), oldAccess, wantedAccess);
            readers.check(tables);
            readers.enter(tables);
          },
        );
        confirm(held, confirmed);
        t.deepEqual(answers(tables), wanted);
        t.deepEqual(accesses(tables), wantedAccess);
        t.is(plan.frees, held.segments.quarantine.size > 0);
        if (plan.frees && changes.length % 2 === 0) {
          readers.leave();
          endGrace(held);
        }
      }
      t.true(settle(world, held, tables) <= 1);
      t.is(tables.names.size, fromScratch(world).names.size);
      t.is(tables.source_ranges.size, fromScratch(world).source_ranges.size);
    }),
    { numRuns: 400 },
  );
});

interface Round {
  readonly changes: readonly Change[];
  readonly refusals: readonly number[];
  readonly restart: boolean;
  readonly grace: boolean;
}

const anyRound: fc.Arbitrary<Round> = fc.record({
  changes: anyChanges,
  refusals: fc.array(fc.nat(30), { maxLength: 3 }),
  restart: fc.boolean(),
  grace: fc.boolean(),
});

test('makePlan() ends in the same answers however many steps are refused, with restarts, by scope or whole', (t) => {
  fc.assert(
    fc.property(fc.array(anyRound, { minLength: 1, maxLength: 8 }), fc.boolean(), (rounds, scoped) => {
      let world = emptyWorld;
      const tables = emptyTables();
      let held = inventory(tables);
      let again = new Set<string>();
      const readers = new Readers();
      for (const { changes, refusals, restart, grace } of rounds) {
        world = changeWorld(world, changes);
        const scope = new Set([...namesOf(changes), ...again]);
        const { steps } = makePlan(world, held, scoped && !restart ? scope : 'all', roomy, { holdDeletes: false });
        const confirmed = apply(
          tables,
          steps,
          (i) => refusals.includes(i),
          () => {
            answers(tables);
            readers.check(tables);
            readers.enter(tables);
          },
        );
        confirm(held, confirmed);
        const done = new Set(confirmed);
        again = new Set(steps.filter((step) => !done.has(step)).map((step) => step.owner));
        if (grace || restart) {
          readers.leave();
          endGrace(held);
        }
        if (restart) held = inventory(tables);
      }
      const final = makePlan(world, held, scoped ? again : 'all', roomy, { holdDeletes: false });
      apply(
        tables,
        final.steps,
        () => false,
        () => answers(tables),
      );
      confirm(held, final.steps);
      t.deepEqual(answers(tables), answers(fromScratch(world)));
      t.true(settle(world, held, tables) <= 1);
      t.is(tables.names.size, fromScratch(world).names.size);
      t.is(tables.frontends.size, fromScratch(world).frontends.size);
      t.is(tables.source_ranges.size, fromScratch(world).source_ranges.size);
      t.deepEqual(accesses(tables), accesses(fromScratch(world)));
      t.deepEqual(makePlan(world, inventory(tables), 'all', roomy, { holdDeletes: false }).steps, []);
    }),
    { numRuns: 400 },
  );
});

test('makePlan() does not depend on the order of the world', (t) => {
  fc.assert(
    fc.property(anyChanges, (changes) => {
      const world = changeWorld(emptyWorld, changes);
      const reversed = {
        ...world,
        services: new Map([...world.services].reverse()),
        endpoints: new Map(
          [...world.endpoints].map(([name, ports]) => [name, reverseEndpoints(ports)] as const).reverse(),
        ),
      };
      t.deepEqual(fromScratch(world), fromScratch(reversed));
    }),
  );
});

function reverseEndpoints(endpoints: Endpoints): Endpoints {
  return new Map([...endpoints.keys()].map((port) => [port, endpoints.get(port)?.toReversed() ?? []]));
}

test('makePlan() repairs tables that somebody else wrote', (t) => {
  const damage = fc.record({
    table: fc.constantFrom('names', 'frontends', 'backends', 'source_ranges', 'service_cidrs', 'switches'),
    row: fc.nat(20),
    at: fc.nat(200),
    digit: fc.constantFrom('0', '1', '7', 'f'),
    gone: fc.boolean(),
  });
  fc.assert(
    fc.property(anyChanges, fc.array(damage, { minLength: 1, maxLength: 5 }), (changes, damages) => {
      const world = changeWorld(emptyWorld, changes);
      const tables = fromScratch(world);
      for (const { table, row, at, digit, gone } of damages) {
        const rows = tables[table];
        const [key, value] = [...rows][row % Math.max(rows.size, 1)] ?? [];
        if (key === undefined || value === undefined) continue;
        const place = at % value.length;
        if (gone && table !== 'backends' && table !== 'switches') rows.delete(key);
        else rows.set(key, value.slice(0, place) + digit + value.slice(place + 1));
      }
      const held = inventory(tables);
      settle(world, held, tables);
      t.deepEqual(answers(tables), answers(fromScratch(world)));
      t.deepEqual(tables.frontends.size, fromScratch(world).frontends.size);
      t.is(tables.source_ranges.size, fromScratch(world).source_ranges.size);
      t.deepEqual(accesses(tables), accesses(fromScratch(world)));
      t.deepEqual(tables.service_cidrs, fromScratch(world).service_cidrs);
    }),
    { numRuns: 300 },
  );
});
