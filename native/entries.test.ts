import test from 'ava';
import fc from 'fast-check';
import { refusal, refusalOf, turnsDuring, u32, u64 } from './fixtures/playground.ts';
import { BpfMap, type MapOptions } from './index.ts';

const hash: MapOptions = { type: 'hash', name: 'rows', keySize: 4, valueSize: 8, maxEntries: 1000 };

/** All rows by key in hex, and how many came in the largest chunk. */
async function read(map: BpfMap, chunk?: number): Promise<{ rows: Map<string, string>; largest: number }> {
  const rows = new Map<string, string>();
  const { keySize } = map.info;
  let largest = 0;
  for await (const { count, keys, values } of map.entries(chunk)) {
    if (keys.length !== count * keySize || values.length !== count * map.valueSize) throw new Error('not packed');
    largest = Math.max(largest, count);
    for (let row = 0; row < count; row += 1) {
      const key = Buffer.from(keys.subarray(row * keySize, (row + 1) * keySize)).toString('hex');
      if (rows.has(key)) throw new Error(`${key} came twice`);
      rows.set(key, Buffer.from(values.subarray(row * map.valueSize, (row + 1) * map.valueSize)).toString('hex'));
    }
  }
  return { rows, largest };
}

/** The same, one call per row. */
function walk(map: BpfMap): Map<string, string> {
  const rows = new Map<string, string>();
  for (let key = map.nextKey(undefined); key; key = map.nextKey(key)) {
    const value = map.lookup(key);
    if (value) rows.set(Buffer.from(key).toString('hex'), Buffer.from(value).toString('hex'));
  }
  return rows;
}

function trieKey(i: number): Uint8Array {
  return new Uint8Array([32, 0, 0, 0, 10, 0, i >> 8, i & 255]);
}

const types: { options: MapOptions; key: (i: number) => Uint8Array; rows: number }[] = [
  { options: hash, key: (i) => u32(i), rows: 300 },
  { options: { ...hash, flags: 1 }, key: (i) => u32(i), rows: 300 },
  { options: { ...hash, keySize: 3 }, key: (i) => u32(i).subarray(0, 3), rows: 300 },
  { options: { ...hash, type: 'lru_hash' }, key: (i) => u32(i), rows: 300 },
  { options: { ...hash, type: 'percpu_hash' }, key: (i) => u32(i), rows: 300 },
  { options: { ...hash, type: 'lru_percpu_hash' }, key: (i) => u32(i), rows: 300 },
  { options: { ...hash, type: 'array', maxEntries: 300 }, key: (i) => u32(i), rows: 300 },
  { options: { ...hash, type: 'percpu_array', maxEntries: 300 }, key: (i) => u32(i), rows: 300 },
  { options: { ...hash, type: 'lpm_trie', keySize: 8, flags: 1 }, key: trieKey, rows: 300 },
];

for (const { options, key, rows } of types)
  for (const chunk of [1, 7, 300, 1024])
    test(`entries() ${options.type}, key of ${options.keySize}, flags ${options.flags ?? 0}, in chunks of ${chunk}`, async (t) => {
      using map = BpfMap.create(options);
      const value = new Uint8Array(map.valueSize);
      for (let i = 0; i < rows; i += 1) map.update(key(i), value.fill(i));
      const all = await read(map, chunk);
      t.is(all.rows.size, rows);
      t.deepEqual(new Map([...all.rows].sort()), new Map([...walk(map)].sort()));
    });

test('entries() of an empty map ends at once', async (t) => {
  for (const { options } of types) {
    if (options.type === 'array' || options.type === 'percpu_array') continue;
    using map = BpfMap.create(options);
    t.is((await read(map)).rows.size, 0);
  }
});

test('entries() gives more than a chunk only where one hash bucket holds more', async (t) => {
  using map = BpfMap.create({ ...hash, maxEntries: 4096 });
  const keys = u32(...Array.from({ length: 4096 }, (_, i) => i));
  map.updateBatch(keys, new Uint8Array(4096 * 8));
  const { rows, largest } = await read(map, 1);
  t.is(rows.size, 4096);
  t.true(largest > 1 && largest < 64);
});

test('entries() of a type without batches falls back to single rows', async (t) => {
  using map = BpfMap.create({ type: 'cpumap', name: 'cpus', keySize: 4, valueSize: 4, maxEntries: 2 });
  map.update(u32(1), u32(192));
  const { rows } = await read(map, 1);
  t.deepEqual([...rows], [['01000000', 'c0000000']]);
  t.is(map.updateBatch(u32(0, 1), u32(64, 128)), 2);
  t.deepEqual([...(await read(map)).rows.values()], ['40000000', '80000000']);
});

test('entries() of a map without rows says so', async (t) => {
  using ring = BpfMap.create({ type: 'ringbuf', name: 'ring', keySize: 0, valueSize: 0, maxEntries: 4096 });
  t.regex((await refusalOf(ring.entries().next())).message, /map ring: this type of map has no rows/);
});

test('entries() leaves the loop a turn between chunks', async (t) => {
  using map = BpfMap.create(hash);
  map.updateBatch(u32(...Array.from({ length: 1000 }, (_, i) => i)), new Uint8Array(8000));
  t.true((await turnsDuring(read(map, 50))) >= 10);
});

test('entries() survives rows that vanish while it reads', async (t) => {
  using map = BpfMap.create(hash);
  const keys = u32(...Array.from({ length: 1000 }, (_, i) => i));
  map.updateBatch(keys, new Uint8Array(8000));
  let seen = 0;
  for await (const { count } of map.entries(10)) {
    seen += count;
    if (seen > 100) map.deleteBatch(keys);
  }
  t.true(seen >= 100 && seen < 1000);
});

test('a map closed between chunks ends entries() with EBADF', async (t) => {
  const map = BpfMap.create(hash);
  map.updateBatch(u32(...Array.from({ length: 100 }, (_, i) => i)), new Uint8Array(800));
  const rows = map.entries(10);
  await rows.next();
  map.close();
  t.is((await refusalOf(rows.next())).code, 'EBADF');
});

test('updateBatch() and entries() are inverse for any rows and chunks', async (t) => {
  const keys = fc.uniqueArray(fc.nat(0xffffffff), { maxLength: 200 });
  await fc.assert(
    fc.asyncProperty(keys, fc.integer({ min: 1, max: 64 }), async (numbers, chunk) => {
      using map = BpfMap.create({ ...hash, maxEntries: 256 });
      const values = u64(...numbers.map((n) => BigInt(n) * 3n));
      t.is(map.updateBatch(u32(...numbers), values), numbers.length);
      const { rows } = await read(map, chunk);
      const expected = numbers.map((n) => [u32(n), u64(BigInt(n) * 3n)].map((b) => Buffer.from(b).toString('hex')));
      t.deepEqual([...rows].sort(), expected.sort() as [string, string][]);
    }),
    { numRuns: 40 },
  );
});

test('100,000 rows go in and out in chunks', async (t) => {
  const total = 100_000;
  using map = BpfMap.create({ ...hash, maxEntries: total, flags: 1 });
  for (let at = 0; at < total; at += 1024) {
    const count = Math.min(1024, total - at);
    const numbers = Array.from({ length: count }, (_, i) => at + i);
    t.is(map.updateBatch(u32(...numbers), u64(...numbers.map(BigInt))), count);
  }
  let sum = 0n;
  let seen = 0;
  for await (const { count, values } of map.entries()) {
    seen += count;
    for (const value of new BigUint64Array(values.buffer, 0, count)) sum += value;
  }
  t.is(seen, total);
  t.is(sum, (BigInt(total) * BigInt(total - 1)) / 2n);
  t.is(map.deleteBatch(u32(...Array.from({ length: 50_000 }, (_, i) => 2 * i))), 50_000);
  t.is((await read(map)).rows.size, 50_000);
});

test('updateBatch() that does not fit tells how many rows were written', async (t) => {
  using map = BpfMap.create({ ...hash, maxEntries: 10, flags: 1 });
  const { code, done } = refusal(() => map.updateBatch(u32(...Array(32).keys()), new Uint8Array(32 * 8)));
  t.is(code, 'E2BIG');
  t.is(done, 10);
  t.is((await read(map)).rows.size, 10);
});

test('updateBatch() refused before its first row has done none', (t) => {
  using map = BpfMap.create({ ...hash, type: 'array', maxEntries: 4 });
  const { code, done } = refusal(() => map.updateBatch(u32(9), u64(1n)));
  t.deepEqual({ code, done }, { code: 'E2BIG', done: 0 });
});

test('updateBatch() and deleteBatch() of a map that user space may only read have done none', (t) => {
  using map = BpfMap.create({ ...hash, flags: 1 << 3 }); // BPF_F_RDONLY
  for (const attempt of [() => map.updateBatch(u32(1, 2), u64(1n, 2n)), () => map.deleteBatch(u32(1, 2))]) {
    const { code, done } = refusal(attempt);
    t.deepEqual({ code, done }, { code: 'EPERM', done: 0 });
  }
});

test('updateBatch() and deleteBatch() of nothing do nothing', (t) => {
  using map = BpfMap.create(hash);
  t.is(map.updateBatch(u32(), u64()), 0);
  t.is(map.deleteBatch(u32()), 0);
});

test('deleteBatch() passes over keys that are not there', (t) => {
  using map = BpfMap.create(hash);
  map.updateBatch(u32(1, 2, 3), u64(1n, 2n, 3n));
  t.is(map.deleteBatch(u32(9, 1, 8, 3, 7)), 2);
  t.deepEqual(map.nextKey(undefined), u32(2));
});

test('deleteBatch() of an array is refused', (t) => {
  using map = BpfMap.create({ ...hash, type: 'array', maxEntries: 4 });
  t.is(refusal(() => map.deleteBatch(u32(0))).done, 0);
});
