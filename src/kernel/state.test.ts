import test from 'ava';
import { BpfMap, possibleCpus } from 'libbpf-ts';
import { copyRows } from './state.ts';

const number = (n: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(n);
  return bytes;
};

function makeMap(rows: Readonly<Record<number, number>>, maxEntries = 4096, flags = 0): BpfMap {
  const map = BpfMap.create({ type: 'lru_hash', name: 'rows', keySize: 4, valueSize: 4, maxEntries, flags });
  for (const [key, value] of Object.entries(rows)) map.update(number(Number(key)), number(value));
  return map;
}

const valueIn = (map: BpfMap, key: number) => Buffer.from(map.lookup(number(key)) ?? []);

test('copyRows() adds what is missing and leaves what is newer', async (t) => {
  using from = makeMap({ 1: 10, 2: 20, 3: 30 });
  using to = makeMap({ 2: 21 });
  t.is(await copyRows(from, to), 2);
  t.deepEqual(
    [1, 2, 3].map((key) => valueIn(to, key)),
    [number(10), number(21), number(30)],
  );
});

test('copyRows() does not bring back a row that programs delete while it is copied', async (t) => {
  using from = makeMap({ 1: 10, 2: 20 });
  using to = makeMap({});
  /* Between its being read and its being written, which no test can hit from outside. */
  to.update = (key, value, mode) => {
    if (Buffer.from(key).equals(number(1))) from.delete(key);
    BpfMap.prototype.update.call(to, key, value, mode);
  };
  t.is(await copyRows(from, to), 1);
  t.deepEqual(
    [1, 2].map((key) => valueIn(to, key)),
    [Buffer.alloc(0), number(20)],
  );
});

for (const [name, flags, lists] of [
  ['one list', 0, 1],
  ['lists by CPU', 2, possibleCpus],
] as const) {
  test(`copyRows() evicts nothing from an LRU map with ${name}: the youngest rows that leave it room are copied`, async (t) => {
    using from = makeMap(Object.fromEntries(Array.from({ length: 8192 }, (_, i) => [i, (i * 4099) % 8192])), 16_384);
    const mine = Array.from({ length: 100 }, (_, i) => 10_000 + i);
    using to = makeMap(Object.fromEntries(mine.map((key) => [key, key])), 4096, flags);
    const copied = await copyRows(from, to, (value) => Buffer.from(value).readUInt32LE());
    t.is(copied, Math.ceil(3072 / lists));
    t.deepEqual(
      mine.filter((key) => to.lookup(number(key)) === undefined),
      [],
    );
    const stamps: number[] = [];
    for await (const { count, values } of to.entries()) {
      for (let i = 0; i < count; i += 1) stamps.push(Buffer.from(values).readUInt32LE(4 * i));
    }
    t.is(Math.min(...stamps), 8192 - copied);
  });
}
