import test from 'ava';
import fc from 'fast-check';
import { type Frontend, frontend, scheduler, u32 } from '../layout.gen.ts';
import { roomy, worldOf } from './fixture.ts';
import { maglevTable, poolSlots, tableSize } from './maglev.ts';
import { confirm, endGrace, inventory, makePlan } from './plan.ts';
import { encodePool, slotDigits } from './rows.ts';
import { emptyTables } from './tables.ts';

function rowsOf(count: number, first = 0): string[] {
  const pool = Array.from({ length: count }, (_, n) => ({
    address: `10.1.${(first + n) >> 8}.${(first + n) & 255}`,
    port: 80,
  }));
  const content = encodePool(pool);
  return Array.from({ length: count }, (_, n) => content.slice(n * slotDigits, (n + 1) * slotDigits));
}

test('tableSize() is a power of two, none for who is compared or chosen otherwise', (t) => {
  const sizes = (by: keyof typeof scheduler) =>
    [0, 1, 2, 5, 64, 65, 1024, 1025].map((n) => tableSize(scheduler[by], n));
  t.deepEqual(sizes('maglev'), [0, 0, 128, 512, 4096, 8192, 65_536, 32_768]);
  t.deepEqual(sizes('sh'), [0, 0, 0, 0, 0, 8192, 65_536, 32_768]);
  t.deepEqual(sizes('dh'), sizes('sh'));
  for (const by of ['random', 'rr', 'lc', 'sed', 'nq'] as const) t.deepEqual(new Set(sizes(by)), new Set([0]));
});

test('maglevTable() gives each backend the same share, to one slot', (t) => {
  const counts = fc.tuple(fc.integer({ min: 1, max: 40 }), fc.constantFrom(64, 256, 1024));
  const share = ([count, size]: [number, number]) => {
    const shares = new Array<number>(count).fill(0);
    for (const i of maglevTable(rowsOf(count), size)) shares[i] = (shares[i] ?? 0) + 1;
    t.true(Math.max(...shares) - Math.min(...shares) <= 1);
  };
  fc.assert(fc.property(counts, share), { numRuns: 40 });
});

test('maglevTable() moves little more than the slots of who went', (t) => {
  for (const count of [3, 5, 8, 33, 100, 200]) {
    const size = tableSize(scheduler.maglev, count);
    const rows = rowsOf(count);
    const before = Array.from(maglevTable(rows, size), (i) => rows[i]);
    const gone = rows[count >> 1];
    const left = rows.filter((row) => row !== gone);
    const after = Array.from(maglevTable(left, size), (i) => left[i]);
    const others = before.filter((row, slot) => row !== gone && row !== after[slot]).length;
    t.true(others / size < 0.06, `${count}: ${others} of ${size}`);
  }
});

test('maglevTable() does not look at ports, and knows two of one address apart', (t) => {
  const pool = [1, 2, 3].map((n) => ({ address: `10.1.0.${n}`, port: 80 }));
  const twin = pool.map(({ address }) => ({ address, port: 443 }));
  const table = (of: typeof pool) => {
    const content = encodePool(of);
    return maglevTable(
      [0, 1, 2].map((n) => content.slice(n * slotDigits, (n + 1) * slotDigits)),
      512,
    );
  };
  t.deepEqual(table(pool), table(twin));
  const shared = table([80, 81, 82].map((port) => ({ address: '10.1.0.1', port })));
  t.deepEqual([0, 1, 2].map((i) => shared.filter((one) => one === i).length).sort(), [170, 171, 171]);
});

test('a Service by maglev has its table beside its pool after each step of each plan, and gives the slots back', (t) => {
  const held = inventory(emptyTables());
  const kernel = emptyTables();
  const wholeTable = (row: Frontend): number => {
    const [any] = poolSlots(row);
    const slots = Array.from({ length: any.count }, (_, i) => kernel.backends.get(u32.encode(any.start + i)));
    const pool = new Set(slots.slice(0, row.any.count));
    t.is(pool.size, row.any.count);
    t.true(slots.every((slot) => slot !== undefined && pool.has(slot)));
    return any.count;
  };
  const ends: number[] = [];
  for (const [by, count] of [
    ['maglev', 5],
    ['maglev', 4],
    ['random', 4],
    ['maglev', 4],
    ['maglev', 3],
    ['maglev', 5],
  ] as const) {
    const behind = Array.from({ length: count }, (_, n) => `10.1.0.${n + 1}`);
    const world = worldOf({ web: { scheduler: by, behind } });
    const plan = makePlan(world, held, 'all', roomy, { holdDeletes: false });
    for (const step of plan.steps) {
      if (step.op === 'set') kernel[step.table].set(step.key, step.value);
      else kernel[step.table].delete(step.key);
      for (const value of kernel.frontends.values()) wholeTable(frontend.decode(value));
    }
    confirm(held, plan.steps);
    endGrace(held);
    ends.push(
      ...[...kernel.frontends.values()]
        .map(frontend.decode)
        .filter(({ any }) => any.count > 0)
        .map(wholeTable),
    );
  }
  t.deepEqual(ends, [517, 260, 4, 260, 259, 517]);
  t.true(Math.max(...[...held.segments.live.values()].map(({ start, count }) => start + count)) < 1100);
});
