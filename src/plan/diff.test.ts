import test from 'ava';
import fc from 'fast-check';
import { diff, emptyDesired } from './diff.ts';
import { emptyTables, type Step, type TableName, tableNames } from './tables.ts';

type Row = readonly [table: TableName, key: string, value: string];

const ports = ['aa00500600', 'bb00500600'];
const addresses = ['aa00000000', 'bb00000000'];

function steps(desired: readonly Row[], actual: readonly Row[]): Step[] {
  const [wanted, held] = [emptyDesired(), emptyTables()];
  for (const [table, key, value] of desired) wanted[table].push({ op: 'set', table, key, value, owner: 'new' });
  for (const [table, key, value] of actual) held[table].set(key, value);
  return diff(wanted, held, (table, key) => `old ${table} ${key}`);
}

const text = (step: Step) => `${step.op} ${step.table} ${step.key}`;

test('diff() sets what is missing or different and deletes what nobody wants, each with its owner', (t) => {
  const desired: Row[] = [
    ['names', '01', 'same'],
    ['names', '02', 'new value'],
    ['names', '03', 'new'],
  ];
  const actual: Row[] = [
    ['names', '01', 'same'],
    ['names', '02', 'old value'],
    ['names', '04', 'old'],
  ];
  t.deepEqual(steps(desired, actual), [
    { op: 'set', table: 'names', key: '02', value: 'new value', owner: 'new' },
    { op: 'set', table: 'names', key: '03', value: 'new', owner: 'new' },
    { op: 'delete', table: 'names', key: '04', owner: 'old names 04' },
  ]);
});

test('diff() sets from leaf to root, ports before addresses', (t) => {
  const rows: Row[] = [
    ['switches', '00', 'x'],
    ['frontends', addresses[0] ?? '', 'x'],
    ['frontends', ports[0] ?? '', 'x'],
    ['service_cidrs', 'cc', 'x'],
    ['frontends', addresses[1] ?? '', 'x'],
    ['frontends', ports[1] ?? '', 'x'],
    ['backends', '01', 'x'],
    ['names', '02', 'x'],
    ['removed_backends', '05', 'x'],
    ['node_addresses', '04', 'x'],
    ['wires', '06', 'x'],
    ['source_ranges', '03', 'x'],
  ];
  t.deepEqual(steps(rows, []).map(text), [
    'set names 02',
    'set backends 01',
    'set source_ranges 03',
    'set wires 06',
    'set frontends aa00500600',
    'set frontends bb00500600',
    'set frontends aa00000000',
    'set frontends bb00000000',
    'set node_addresses 04',
    'set service_cidrs cc',
    'set removed_backends 05',
    'set switches 00',
  ]);
});

test('diff() deletes from root to leaf, addresses before ports, after all sets', (t) => {
  const gone: Row[] = [
    ['names', '02', 'x'],
    ['frontends', ports[0] ?? '', 'x'],
    ['frontends', addresses[0] ?? '', 'x'],
    ['service_cidrs', 'cc', 'x'],
    ['source_ranges', '03', 'x'],
  ];
  t.deepEqual(steps([['switches', '00', 'x']], gone).map(text), [
    'set switches 00',
    'delete service_cidrs cc',
    'delete frontends aa00000000',
    'delete frontends aa00500600',
    'delete source_ranges 03',
    'delete names 02',
  ]);
});

const anyRow: fc.Arbitrary<Row> = fc.oneof(
  fc.tuple(
    fc.constantFrom('names' as const, 'service_cidrs' as const),
    fc.constantFrom('01', '02', '03'),
    fc.constantFrom('x', 'y'),
  ),
  fc.tuple(fc.constant('frontends' as const), fc.constantFrom(...ports, ...addresses), fc.constantFrom('x', 'y')),
);
const anyRows = fc.uniqueArray(anyRow, { selector: ([table, key]) => `${table} ${key}` });

test('diff() leads from any rows to any others, touching each row at most once and no row that is right', (t) => {
  fc.assert(
    fc.property(anyRows, anyRows, (desired, actual) => {
      const tables = emptyTables();
      const wanted = emptyTables();
      for (const [table, key, value] of actual) tables[table].set(key, value);
      for (const [table, key, value] of desired) wanted[table].set(key, value);
      const touched = new Set<string>();
      for (const step of steps(desired, actual)) {
        t.false(touched.has(`${step.table} ${step.key}`));
        touched.add(`${step.table} ${step.key}`);
        if (step.op === 'delete') t.true(tables[step.table].delete(step.key));
        else t.not(tables[step.table].get(step.key), step.value);
        if (step.op === 'set') tables[step.table].set(step.key, step.value);
      }
      for (const table of tableNames)
        t.deepEqual(new Map([...tables[table]].sort()), new Map([...wanted[table]].sort()));
      t.deepEqual(steps(desired, desired), []);
    }),
  );
});
