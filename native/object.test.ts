import test from 'ava';
import { fixture, loadFixture, refusalOf, turnsDuring, u32 } from './fixtures/playground.ts';
import { BpfMap, BpfProgram, loadObject } from './index.ts';

const packets = { type: 'hash', name: 'packets', keySize: 4, valueSize: 8, maxEntries: 16 } as const;

test('loadObject() gives maps and programs by their names in the source', async (t) => {
  using object = await loadFixture('packet');
  t.deepEqual(Object.keys(object.maps).sort(), ['.rodata', 'events', 'packets', 'runs']);
  t.deepEqual(Object.keys(object.programs).sort(), [
    'count_frame',
    'count_packet',
    'grow_packet',
    'pass_packet',
    'report_packet',
  ]);
  t.true(Object.values(object.maps).every((map) => map instanceof BpfMap));
  t.true(Object.values(object.programs).every((program) => program instanceof BpfProgram));
  t.is(object.maps.packets?.info.maxEntries, 16);
});

test('loadObject() works off the event loop', async (t) => {
  const loading = loadFixture('packet');
  t.true((await turnsDuring(loading)) > 0);
  (await loading).close();
});

test('loadObject() has its own copy of the file', async (t) => {
  const elf = Uint8Array.from(fixture('packet'));
  const loading = loadObject(elf);
  elf.fill(0);
  using object = await loading;
  t.truthy(object.maps.packets);
});

test('loadObject() of many at once keeps them and their logs apart', async (t) => {
  const outcomes = await Promise.allSettled(
    Array.from({ length: 12 }, (_, i) => loadFixture(i % 2 ? 'refused' : 'packet', { name: `n${i}` })),
  );
  outcomes.forEach((outcome, i) => {
    if (outcome.status === 'fulfilled') outcome.value.close();
    else t.regex(outcome.reason.message, new RegExp(`^object_load object n${i}: .*map_value_or_null`));
    t.is(outcome.status, i % 2 ? 'rejected' : 'fulfilled');
  });
});

test('loadObject() loads only the programs asked for', async (t) => {
  using object = await loadFixture('refused', { programs: ['fine'] });
  t.deepEqual(Object.keys(object.programs), ['fine']);
  t.is(object.programs.fine?.testRun({ data: new Uint8Array(64) }).retval, 0);
  using none = await loadFixture('refused', { programs: [] });
  t.deepEqual(none.programs, {});
});

test('loadObject() refused by the verifier has the reason in the message and the whole log', async (t) => {
  const { code, call, object, log, message } = await refusalOf(loadFixture('refused'));
  t.deepEqual({ code, call, object }, { code: 'EACCES', call: 'object_load', object: 'object refused' });
  t.is(message, "object_load object refused: Permission denied (EACCES): R0 invalid mem access 'map_value_or_null'");
  t.regex(log ?? '', /prog 'careless': BPF program load failed/);
  t.regex(log ?? '', /call bpf_map_lookup_elem/);
  t.regex(log ?? '', /processed \d+ insns/);
});

test('loadObject() of something else says that it is no object', async (t) => {
  for (const bytes of [new Uint8Array(64), new TextEncoder().encode('\x7fELF and no more')]) {
    const { call, log, message } = await refusalOf(loadObject(bytes, { name: 'junk' }));
    t.is(call, 'object_open');
    t.regex(message, /^object_open object junk: .*/);
    t.truthy(log);
  }
  t.is((await refusalOf(loadObject(new Uint8Array(0)))).code, 'EINVAL');
});

test('loadObject() survives an object cut off anywhere', async (t) => {
  const elf = fixture('packet');
  for (let length = 0; length < elf.length; length += 997) {
    t.is((await refusalOf(loadObject(elf.subarray(0, length)))).name, 'BpfError');
  }
});

test('rodata is set before the load, so that programs see it as constants', async (t) => {
  using object = await loadFixture('packet', { rodata: u32(7, 9), programs: ['count_packet'] });
  const { retval, context } = object.programs.count_packet?.testRun({
    data: new Uint8Array(64),
    context: new Uint8Array(192),
  }) ?? { context: new Uint8Array() };
  t.is(retval, 7);
  t.deepEqual(context.slice(8, 12), u32(9));
  t.deepEqual(object.maps['.rodata']?.lookup(u32(0)), u32(7, 9));
});

test('rodata of another size is refused with both sizes', async (t) => {
  for (const rodata of [u32(1), u32(1, 2, 3), new Uint8Array(0)]) {
    const { code, message } = await refusalOf(loadFixture('packet', { rodata }));
    t.is(code, 'EINVAL');
    t.is(message, `object_load map .rodata of packet: must have 8 bytes, got ${rodata.length} (EINVAL)`);
  }
});

test('rodata for an object without any is refused', async (t) => {
  const { code, object } = await refusalOf(loadFixture('refused', { rodata: u32(1), programs: [] }));
  t.deepEqual({ code, object }, { code: 'ENOENT', object: 'map .rodata of refused' });
});

test('names that the object does not have are refused', async (t) => {
  const program = await refusalOf(loadFixture('packet', { programs: ['count_packet', 'count_packets'] }));
  t.is(program.message, 'object_load program count_packets of packet: the object has no such program (ENOENT)');
  const map = await refusalOf(loadFixture('packet', { maps: { packet: { maxEntries: 1 } } }));
  t.is(map.message, 'object_load map packet of packet: the object has no such map (ENOENT)');
});

test('maxEntries replaces the size in the source', async (t) => {
  using object = await loadFixture('packet', { maps: { packets: { maxEntries: 5000 } } });
  t.is(object.maps.packets?.info.maxEntries, 5000);
  t.is((await refusalOf(loadFixture('packet', { maps: { packets: { maxEntries: 0 } } }))).code, 'EINVAL');
});

test('a reused map is the one the programs write, whatever its number of entries', async (t) => {
  using mine = BpfMap.create({ ...packets, maxEntries: 99 });
  const object = await loadFixture('packet', { maps: { packets: { reuse: mine } } });
  object.programs.count_packet?.testRun({ data: new Uint8Array(64) });
  t.is(object.maps.packets?.info.id, mine.info.id);
  object.close();
  t.deepEqual(mine.lookup(u32(0)), u32(1, 0));
});

test('a reused map is known by the name that the object has for it', async (t) => {
  using mine = BpfMap.create({ ...packets, name: 'mine' });
  using object = await loadFixture('packet', { maps: { packets: { reuse: mine } }, programs: [] });
  t.is(object.maps.packets?.info.id, mine.info.id);
  t.is(object.maps.mine, undefined);
});

test('a map of another shape is not reused', async (t) => {
  const others = [
    { ...packets, keySize: 8 },
    { ...packets, valueSize: 4 },
    { ...packets, flags: 1 },
    { ...packets, type: 'lru_hash' as const },
  ];
  for (const other of others) {
    using map = BpfMap.create(other);
    const { code, message } = await refusalOf(loadFixture('packet', { maps: { packets: { reuse: map } } }));
    t.is(code, 'EINVAL');
    t.regex(message, /^object_load map packets of packet: cannot be reused: type, key size, value size, flags are /);
  }
});

test('a map may be closed while the load that reuses it runs', async (t) => {
  const mine = BpfMap.create(packets);
  const loading = loadFixture('packet', { maps: { packets: { reuse: mine } } });
  mine.close();
  using object = await loading;
  t.is(object.maps.packets?.lookup(u32(0)), undefined);
});

test('close() closes all of its maps and programs, twice without harm', async (t) => {
  const object = await loadFixture('packet');
  object.close();
  object.close();
  for (const open of [...Object.values(object.maps), ...Object.values(object.programs)])
    t.throws(() => open.pin('/nowhere'), { code: 'EBADF' });
});
