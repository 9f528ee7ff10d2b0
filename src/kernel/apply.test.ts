import test from 'ava';
import fc from 'fast-check';
import { BpfMap } from 'libbpf-ts';
import { makeTables } from '../../test/tables.ts';
import type { Step, TableName } from '../plan/tables.ts';
import { apply, type Batch, type Write, writeTo } from './apply.ts';

function set(table: TableName, key: string, owner: string): Step {
  return { op: 'set', table, key, value: '00', owner };
}

function recorder(refuse: (step: Step) => boolean = () => false): { write: Write; batches: Batch[]; written: Step[] } {
  const batches: Batch[] = [];
  const written: Step[] = [];
  return {
    batches,
    written,
    write: (batch) => {
      batches.push(batch);
      const refused = batch.steps.findIndex(refuse);
      const done = refused < 0 ? batch.steps.length : refused;
      written.push(...batch.steps.slice(0, done));
      return refused < 0 ? { done } : { done, error: new Error('refused') };
    },
  };
}

test('apply() writes consecutive steps of one table and kind in one batch, at most 1,024', async (t) => {
  const steps = [
    ...Array.from({ length: 1500 }, (_, i) => set('backends', String(i), 'a/a')),
    set('frontends', 'x', 'a/a'),
    set('names', 'y', 'a/a'),
    { op: 'delete', table: 'names', key: 'z', owner: 'a/a' } as const,
  ];
  const { write, batches, written } = recorder();
  const { confirmed, failed } = await apply(steps, write);
  t.deepEqual(
    batches.map(({ table, op, steps }) => [table, op, steps.length]),
    [
      ['backends', 'set', 1024],
      ['backends', 'set', 476],
      ['frontends', 'set', 1],
      ['names', 'set', 1],
      ['names', 'delete', 1],
    ],
  );
  t.deepEqual(written, steps);
  t.deepEqual(confirmed, steps);
  t.deepEqual(failed, []);
});

test('apply() records a refused row, does not try later ones of its owner, and goes on with the rest', async (t) => {
  const steps = [
    set('backends', '1', 'a/a'),
    set('backends', '2', 'b/b'),
    set('backends', '3', 'c/c'),
    set('backends', '4', 'b/b'),
    set('frontends', '5', 'a/a'),
    set('frontends', '6', 'b/b'),
    set('frontends', '7', 'c/c'),
  ];
  const { write } = recorder(({ key }) => key === '2');
  const { confirmed, failed } = await apply(steps, write);
  t.deepEqual(
    confirmed.map(({ key }) => key),
    ['1', '3', '5', '7'],
  );
  t.deepEqual(
    failed.map(({ step, error }) => [step.key, error.message]),
    [
      ['2', 'refused'],
      ['4', 'not tried after refused'],
      ['6', 'not tried after refused'],
    ],
  );
});

test('apply() tells each step once, as confirmed or as failed, whatever is refused', async (t) => {
  const step = fc.record({
    op: fc.constantFrom('set', 'delete'),
    table: fc.constantFrom('names', 'backends', 'frontends'),
    key: fc.string({ minLength: 1 }),
    value: fc.constant('00'),
    owner: fc.constantFrom('a/a', 'b/b', 'c/c', ''),
  }) as fc.Arbitrary<Step>;
  await fc.assert(
    fc.asyncProperty(fc.array(step), fc.infiniteStream(fc.boolean()), async (steps, refusals) => {
      const refused = new Set<Step>();
      const { write, written } = recorder((one) => {
        if (!refusals.next().value) return false;
        refused.add(one);
        return true;
      });
      const { confirmed, failed } = await apply(steps, write);
      t.deepEqual(confirmed, written);
      t.is(confirmed.length + failed.length, steps.length);
      t.is(new Set([...confirmed, ...failed.map((one) => one.step)]).size, steps.length);
      for (const first of refused) {
        const later = steps.slice(steps.indexOf(first)).filter(({ owner }) => owner === first.owner);
        t.true(later.every((one) => !confirmed.includes(one)));
      }
    }),
  );
});

test('apply() begins no batch after it was told to stop, and says nothing of those', async (t) => {
  const stop = new AbortController();
  const { write, written } = recorder();
  const steps = [set('names', '1', 'a/a'), set('backends', '2', 'a/a'), set('frontends', '3', 'a/a')];
  const stopping: Write = (batch) => {
    if (batch.table === 'backends') stop.abort();
    return write(batch);
  };
  const { confirmed, failed } = await apply(steps, stopping, stop.signal);
  t.is(written.length, 2);
  t.is(confirmed.length, 2);
  t.deepEqual(failed, []);
});

test('writeTo() writes and deletes rows of real maps, and tells the first that the kernel refuses', async (t) => {
  const names = BpfMap.create({ type: 'hash', name: 'names', keySize: 4, valueSize: 1, maxEntries: 2, flags: 1 });
  const write = writeTo({ ...makeTables(), names });
  const steps = ['00000001', '00000002', '00000003'].map((key) => set('names', key, ''));
  const { done, error } = write({ table: 'names', op: 'set', steps });
  t.is(done, 2);
  t.like(error, { code: 'E2BIG' });
  t.deepEqual(Buffer.from(names.lookup(Buffer.from('00000002', 'hex')) ?? []), Buffer.from('00', 'hex'));
  t.deepEqual(write({ table: 'names', op: 'delete', steps }), { done: 3 });
  t.is(names.nextKey(undefined), undefined);
});

test('writeTo() throws what is our own fault', (t) => {
  const names = BpfMap.create({ type: 'hash', name: 'names', keySize: 4, valueSize: 1, maxEntries: 2, flags: 1 });
  const write = writeTo({ ...makeTables(), names });
  t.throws(() => write({ table: 'names', op: 'set', steps: [undefined as never] }), { instanceOf: TypeError });
});
