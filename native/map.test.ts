import { existsSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { loadFixture, makeBpfFs, refusal, u32, u64 } from './fixtures/playground.ts';
import { BpfLink, BpfMap, BpfProgram, type MapOptions, possibleCpus } from './index.ts';

const words: MapOptions = { type: 'hash', name: 'words', keySize: 4, valueSize: 8, maxEntries: 4 };
const fs = makeBpfFs();
test.after.always(() => fs[Symbol.dispose]());

test('create() asks the kernel what came of it', (t) => {
  using map = BpfMap.create({ ...words, flags: 1 });
  const { id, ...facts } = map.info;
  t.true(id > 0);
  t.deepEqual(facts, { type: 'hash', name: 'words', keySize: 4, valueSize: 8, maxEntries: 4, flags: 1 });
  t.is(map.valueSize, 8);
});

test('create() cuts a long name as the kernel stores it, and keeps it whole for errors', (t) => {
  using map = BpfMap.create({ ...words, name: 'longer_than_the_kernel_likes' });
  t.is(map.info.name, 'longer_than_the');
  t.is(refusal(() => map.lookup(u32(1, 2))).object, 'map longer_than_the_kernel_likes');
});

test('create() refuses what the kernel refuses', (t) => {
  const { code, call, object, message } = refusal(() => BpfMap.create({ ...words, maxEntries: 0 }));
  t.deepEqual({ code, call, object }, { code: 'EINVAL', call: 'map_create', object: 'map words' });
  t.is(message, 'map_create map words: Invalid argument (EINVAL)');
});

test('update(), lookup(), delete() by key', (t) => {
  using map = BpfMap.create(words);
  t.is(map.lookup(u32(1)), undefined);
  map.update(u32(1), u64(10n));
  map.update(u32(1), u64(11n));
  t.deepEqual(map.lookup(u32(1)), u64(11n));
  t.true(map.delete(u32(1)));
  t.false(map.delete(u32(1)));
  t.is(map.lookup(u32(1)), undefined);
});

test('update() takes a view into a larger buffer by its own bytes', (t) => {
  using map = BpfMap.create(words);
  map.update(u32(7, 8, 9).subarray(4, 8), Buffer.from(u64(1n, 2n)).subarray(8));
  t.deepEqual(map.lookup(u32(8)), u64(2n));
});

test('update() noexist and exist', (t) => {
  using map = BpfMap.create(words);
  t.is(refusal(() => map.update(u32(1), u64(1n), 'exist')).code, 'ENOENT');
  map.update(u32(1), u64(1n), 'noexist');
  t.is(refusal(() => map.update(u32(1), u64(2n), 'noexist')).code, 'EEXIST');
  map.update(u32(1), u64(3n), 'exist');
  t.deepEqual(map.lookup(u32(1)), u64(3n));
});

test('update() of a full map is E2BIG and changes nothing', (t) => {
  using map = BpfMap.create(words);
  for (let key = 0; key < 4; key += 1) map.update(u32(key), u64(0n));
  const { code, object } = refusal(() => map.update(u32(4), u64(0n)));
  t.deepEqual({ code, object }, { code: 'E2BIG', object: 'map words' });
  t.is(map.lookup(u32(4)), undefined);
  map.update(u32(3), u64(5n)); // one that is there still can
});

test('nextKey() walks each key once', (t) => {
  using map = BpfMap.create(words);
  t.is(map.nextKey(undefined), undefined);
  for (const key of [5, 6, 7]) map.update(u32(key), u64(0n));
  const seen: number[] = [];
  for (let key = map.nextKey(undefined); key; key = map.nextKey(key))
    seen.push(new Uint32Array(key.buffer)[0] as number);
  t.deepEqual(seen.sort(), [5, 6, 7]);
});

test('wrong sizes are EINVAL with object, expected and got, and never reach the kernel', (t) => {
  using map = BpfMap.create(words);
  using cpus = BpfMap.create({ ...words, type: 'percpu_hash', name: 'cpus' });
  const cases: [() => unknown, string][] = [
    [() => map.lookup(u32()), 'map_lookup map words: the key must have 4 bytes, got 0'],
    [() => map.lookup(u32(1, 2)), 'map_lookup map words: the key must have 4 bytes, got 8'],
    [() => map.update(new Uint8Array(3), u64(1n)), 'map_update map words: the key must have 4 bytes, got 3'],
    [() => map.update(u32(1), u32(1)), 'map_update map words: the value must have 8 bytes, got 4'],
    [() => map.update(u32(1), u64(1n, 2n)), 'map_update map words: the value must have 8 bytes, got 16'],
    [() => map.delete(u64(1n)), 'map_delete map words: the key must have 4 bytes, got 8'],
    [() => map.nextKey(u64(1n)), 'map_next_key map words: the key must have 4 bytes, got 8'],
    [
      () => map.updateBatch(new Uint8Array(6), u64(1n)),
      'map_update_batch map words: keys must be a multiple of 4 bytes, got 6',
    ],
    [() => map.updateBatch(u32(1, 2), u64(1n)), 'map_update_batch map words: values must have 16 bytes, got 8'],
    [() => map.deleteBatch(new Uint8Array(5)), 'map_delete_batch map words: keys must be a multiple of 4 bytes, got 5'],
    [
      () => cpus.update(u32(1), new Uint8Array(4)),
      `map_update map cpus: the value must have ${8 * possibleCpus} bytes, got 4`,
    ],
  ];
  for (const [attempt, message] of cases) t.is(refusal(attempt).message, `${message} (EINVAL)`);
  t.is(map.nextKey(undefined), undefined);
});

test('a value of a per-CPU map is one of 8 bytes for each possible CPU', (t) => {
  using map = BpfMap.create({ type: 'percpu_array', name: 'cpus', keySize: 4, valueSize: 4, maxEntries: 1 });
  t.is(map.info.valueSize, 4);
  t.is(map.valueSize, 8 * possibleCpus);
  const each = u64(...Array.from({ length: possibleCpus }, (_, cpu) => BigInt(cpu + 1)));
  map.update(u32(0), each);
  t.deepEqual(map.lookup(u32(0)), each);
});

test('lpm_trie finds the longest prefix', (t) => {
  using map = BpfMap.create({ type: 'lpm_trie', name: 'trie', keySize: 8, valueSize: 4, maxEntries: 4, flags: 1 });
  map.update(new Uint8Array([8, 0, 0, 0, 10, 0, 0, 0]), u32(8));
  map.update(new Uint8Array([16, 0, 0, 0, 10, 1, 0, 0]), u32(16));
  t.deepEqual(map.lookup(new Uint8Array([32, 0, 0, 0, 10, 1, 2, 3])), u32(16));
  t.deepEqual(map.lookup(new Uint8Array([32, 0, 0, 0, 10, 2, 2, 3])), u32(8));
  t.is(map.lookup(new Uint8Array([32, 0, 0, 0, 11, 2, 2, 3])), undefined);
});

test('a value larger than the quick buffer comes whole', (t) => {
  using map = BpfMap.create({ ...words, name: 'large', valueSize: 5000 });
  const value = Uint8Array.from({ length: 5000 }, (_, i) => i);
  map.update(u32(1), value);
  t.deepEqual(map.lookup(u32(1)), value);
});

test('updateInner() puts a map into a map of maps', (t) => {
  using inner = BpfMap.create({ ...words, name: 'inner' });
  using outer = BpfMap.create({
    type: 'array_of_maps',
    name: 'outer',
    keySize: 4,
    valueSize: 4,
    maxEntries: 2,
    innerMap: inner,
  });
  outer.updateInner(u32(1), inner);
  t.deepEqual(outer.lookup(u32(1)), u32(inner.info.id));
  t.is(outer.lookup(u32(0)), undefined);
});

test('updateInner() does not write a descriptor into a map of data', (t) => {
  using inner = BpfMap.create(words);
  using data = BpfMap.create({ type: 'array', name: 'data', keySize: 4, valueSize: 4, maxEntries: 1 });
  t.is(refusal(() => data.updateInner(u32(0), inner)).message, 'map_update_inner map data: not a map of maps (EINVAL)');
});

test('pin() and openPinned() reach the same map', (t) => {
  const path = join(fs.path, 'words');
  using map = BpfMap.create(words);
  map.pin(path);
  map.update(u32(1), u64(2n));
  using again = BpfMap.openPinned(path);
  t.is(again.info.id, map.info.id);
  t.deepEqual(again.lookup(u32(1)), u64(2n));
  t.is(refusal(() => map.pin(path)).code, 'EEXIST');
  unlinkSync(path);
  t.false(existsSync(path));
  t.deepEqual(again.lookup(u32(1)), u64(2n));
});

test('pin() outside a bpffs and openPinned() of nothing say so', (t) => {
  using map = BpfMap.create(words);
  const outside = refusal(() => map.pin('/tmp/libbpf-ts-no-bpffs'));
  t.is(outside.object, '/tmp/libbpf-ts-no-bpffs');
  t.not(outside.code, 'EEXIST');
  const path = join(fs.path, 'missing');
  for (const noun of [BpfMap, BpfProgram, BpfLink]) {
    const { code, object } = refusal(() => noun.openPinned(path));
    t.deepEqual({ code, object }, { code: 'ENOENT', object: path });
  }
});

test('openPinned() refuses a pin of another kind', async (t) => {
  using object = await loadFixture('packet', { programs: ['pass_packet'] });
  object.programs.pass_packet?.pin(join(fs.path, 'program'));
  object.maps.packets?.pin(join(fs.path, 'map'));
  const asMap = refusal(() => BpfMap.openPinned(join(fs.path, 'program')));
  t.is(asMap.message, `map_open ${fs.path}/program: not a map but anon_inode:bpf-prog (EINVAL)`);
  t.is(refusal(() => BpfProgram.openPinned(join(fs.path, 'map'))).code, 'EINVAL');
  t.is(refusal(() => BpfLink.openPinned(join(fs.path, 'map'))).code, 'EINVAL');
});
