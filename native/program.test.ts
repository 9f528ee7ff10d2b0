import { join } from 'node:path';
import test from 'ava';
import { loadFixture, makeBpfFs, refusal, u32, u64 } from './fixtures/playground.ts';
import { type BpfMap, type BpfObject, BpfProgram, loadInstructions } from './index.ts';

const fs = makeBpfFs();
test.after.always(() => fs[Symbol.dispose]());

let object: BpfObject;
let packets: BpfMap;
let programs: Record<'count_packet' | 'pass_packet' | 'grow_packet' | 'count_frame', BpfProgram>;
test.before(async () => {
  object = await loadFixture('packet');
  packets = object.maps.packets as BpfMap;
  programs = object.programs as typeof programs;
});

// `mov r0, VALUE; exit`
function returning(value: number): Uint8Array {
  return new Uint8Array([0xb7, 0, 0, 0, ...u32(value), 0x95, 0, 0, 0, 0, 0, 0, 0]);
}

const MARK = 8; // offset in struct __sk_buff
function skBuff(mark: number): Uint8Array {
  const context = new Uint8Array(192);
  context.set(u32(mark), MARK);
  return context;
}

test('info tells what the kernel knows of a program', (t) => {
  const { id, tag, loadedAt, mapIds, verifiedInstructions, translatedBytes, ...rest } = programs.count_packet.info;
  t.deepEqual(rest, { name: 'count_packet', type: 'sched_cls' });
  t.true(id > 0 && loadedAt > 0n && verifiedInstructions > 0 && translatedBytes > 0);
  t.regex(tag, /^[0-9a-f]{16}$/);
  const maps = [object.maps.packets, object.maps.runs, object.maps['.rodata']].map((map) => map?.info.id ?? 0);
  t.deepEqual(mapIds.toSorted(), maps.toSorted());
  t.is(programs.count_frame.info.type, 'xdp');
});

test('testRun() runs the program on a packet and its context', (t) => {
  const result = programs.count_packet.testRun({ data: new Uint8Array(64).fill(5), context: skBuff(77) });
  t.is(result.retval, 0);
  t.deepEqual(result.data, new Uint8Array(64).fill(5));
  t.is(result.context.length, 192);
  t.deepEqual(result.context.slice(MARK, MARK + 4), u32(77));
  t.deepEqual(packets.lookup(u32(77)), u64(1n));
});

test('testRun() repeats, and tells the time of one run', (t) => {
  const result = programs.count_packet.testRun({ data: new Uint8Array(64), context: skBuff(78), repeat: 1000 });
  t.deepEqual(packets.lookup(u32(78)), u64(1000n));
  t.true(result.nanoseconds > 0);
  t.deepEqual(result.data.length, 64);
});

test('testRun() without a context gives an empty one back', (t) => {
  const result = programs.count_frame.testRun({ data: new Uint8Array(64) });
  t.is(result.retval, 2); // XDP_PASS
  t.is(result.context.length, 0);
});

test('testRun() of a packet that outgrows its room is ENOSPC with both sizes', (t) => {
  const run = { data: new Uint8Array(64) };
  t.is(programs.grow_packet.testRun({ ...run, dataOutSize: 1064 }).data.length, 1064);
  const { code, message } = refusal(() => programs.grow_packet.testRun(run));
  t.is(code, 'ENOSPC');
  t.regex(message, /program grow_packet: the packet came out with 1064 bytes, room is for 320/);
});

test('testRun() refuses what the kernel refuses', (t) => {
  t.is(refusal(() => programs.pass_packet.testRun({ data: new Uint8Array(3) })).code, 'EINVAL');
  t.is(refusal(() => programs.pass_packet.testRun({})).code, 'EINVAL');
});

test('testRun() of a type that has none is ENOTSUPP', async (t) => {
  using sockets = await loadFixture('socket', { programs: ['connect4'] });
  const { code, object } = refusal(() => sockets.programs.connect4?.testRun({ context: new Uint8Array(64) }));
  t.deepEqual({ code, object }, { code: 'ENOTSUPP', object: 'program connect4' });
});

test('pin() and openPinned() reach the same program', (t) => {
  const path = join(fs.path, 'pass');
  programs.pass_packet.pin(path);
  using again = BpfProgram.openPinned(path);
  t.deepEqual(again.info, programs.pass_packet.info);
  t.is(again.testRun({ data: new Uint8Array(64) }).retval, 0);
});

test('loadInstructions() loads a probe', (t) => {
  using program = loadInstructions('sched_cls', returning(42));
  t.is(program.testRun({ data: new Uint8Array(64) }).retval, 42);
  using hook = loadInstructions('cgroup_sock_addr', returning(1), { attachType: 'connect4' });
  t.is(hook.info.type, 'cgroup_sock_addr');
});

test('loadInstructions() refused by the verifier carries its log', (t) => {
  const { code, log, message } = refusal(() => loadInstructions('sched_cls', returning(0).slice(0, 8)));
  t.is(code, 'EINVAL');
  t.regex(log ?? '', /last insn is not an exit or jmp/);
  t.regex(message, /^program_load instructions: Invalid argument \(EINVAL\): .*last insn is not an exit or jmp/);
});

test('loadInstructions() refuses half an instruction, none, and a wrong attach type', (t) => {
  t.regex(refusal(() => loadInstructions('xdp', new Uint8Array(12))).message, /multiple of 8 bytes, got 12/);
  t.is(refusal(() => loadInstructions('xdp', new Uint8Array(0))).code, 'EINVAL');
  t.is(refusal(() => loadInstructions('cgroup_sock_addr', returning(1), { attachType: 'xdp' })).code, 'EINVAL');
});
