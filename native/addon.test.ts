import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import test from 'ava';
import { loadFixture, refusal, refusalOf, u32, until } from './fixtures/playground.ts';
import {
  BpfLink,
  BpfMap,
  BpfProgram,
  clsactAttach,
  clsactQuery,
  isBpfFs,
  loadInstructions,
  loadObject,
  lockPath,
  NetWatch,
  RingBuffer,
  setNetns,
} from './index.ts';

const map = BpfMap.create({ type: 'hash', name: 'misused', keySize: 4, valueSize: 4, maxEntries: 1 });

// Each as a JavaScript caller without types could write it; none may reach the kernel, or end the process.
const any = (value: unknown) => value as never;
const misuses: [string, () => unknown][] = [
  ['map type', () => BpfMap.create(any({ type: 'hashish', name: 'x', keySize: 4, valueSize: 4, maxEntries: 1 }))],
  ['map name', () => BpfMap.create(any({ type: 'hash', name: 7, keySize: 4, valueSize: 4, maxEntries: 1 }))],
  ['negative size', () => BpfMap.create({ type: 'hash', name: 'x', keySize: -4, valueSize: 4, maxEntries: 1 })],
  ['fractional size', () => BpfMap.create({ type: 'hash', name: 'x', keySize: 4.5, valueSize: 4, maxEntries: 1 })],
  ['huge size', () => BpfMap.create({ type: 'hash', name: 'x', keySize: 2 ** 32, valueSize: 4, maxEntries: 1 })],
  ['NaN size', () => BpfMap.create({ type: 'hash', name: 'x', keySize: Number.NaN, valueSize: 4, maxEntries: 1 })],
  ['key missing', () => map.lookup(any(undefined))],
  ['key of text', () => map.lookup(any('abcd'))],
  ['key of numbers', () => map.lookup(any([1, 2, 3, 4]))],
  ['key of another typed array', () => map.lookup(any(new Uint32Array(1)))],
  ['key of an ArrayBuffer', () => map.lookup(any(new ArrayBuffer(4)))],
  ['value missing', () => map.update(u32(1), any(undefined))],
  ['keys as an object', () => map.updateBatch(any({ length: 4 }), u32(1))],
  ['inner map that is none', () => map.updateInner(u32(0), any({}))],
  ['method on a stranger', () => BpfMap.prototype.lookup.call(any({}), u32(0))],
  ['another class as a map', () => new RingBuffer(any(new Map()), () => {})],
  ['ring callback', () => new RingBuffer(map, any('not a function'))],
  ['watch callback', () => new NetWatch(any(undefined))],
  ['path missing', () => BpfMap.openPinned(any(undefined))],
  ['path with NUL', () => BpfProgram.openPinned('/sys/fs/bpf/\0x')],
  ['path too long', () => BpfLink.openPinned('/x'.repeat(4096))],
  ['path of a number', () => isBpfFs(any(5))],
  ['lock on nothing', () => lockPath(any(null))],
  ['namespace of nothing', () => setNetns(any({}))],
  ['program type', () => loadInstructions(any('kernel'), new Uint8Array(8))],
  ['attach type', () => loadInstructions('xdp', new Uint8Array(8), { attachType: any('nowhere') })],
  ['instructions as text', () => loadInstructions('xdp', any('exit'))],
  ['object as text', () => loadObject(any('ELF'))],
  ['reuse of no map', () => loadObject(new Uint8Array(8), { maps: { a: { reuse: any({}) } } })],
  ['entries as text', () => loadObject(new Uint8Array(8), { maps: { a: { maxEntries: any('many') } } })],
  ['programs as text', () => loadObject(new Uint8Array(8), { programs: any('all') })],
  ['programs of numbers', () => loadObject(new Uint8Array(8), { programs: [any(1)] })],
  ['rodata as text', () => loadObject(new Uint8Array(8), { rodata: any('0000') })],
  ['filter without a device', () => clsactQuery(any({ direction: 'ingress', handle: 1, priority: 1 }))],
  [
    'filter without a program',
    () => clsactAttach({ ifindex: 1, direction: 'egress', handle: 1, priority: 1 }, any({}), 'x'),
  ],
  ['link without a program', () => BpfLink.attach({ kind: 'tcx', ifindex: 1, direction: 'ingress' }, any({}))],
];

for (const [title, attempt] of misuses)
  test(`misuse is a TypeError: ${title}`, async (t) => {
    await t.throwsAsync(async () => attempt(), { instanceOf: TypeError });
  });

test('misuse: a handle of another kind is refused by name', async (t) => {
  using object = await loadFixture('packet', { programs: ['pass_packet'] });
  const program = object.programs.pass_packet as unknown as BpfMap;
  t.throws(() => new RingBuffer(program, () => {}), { instanceOf: TypeError, message: /needs a map/ });
  t.throws(() => BpfMap.prototype.lookup.call(program, u32(0)), { instanceOf: TypeError, message: /needs a map/ });
});

test('close() twice is harmless, and every later call says EBADF and whose', async (t) => {
  const closed = BpfMap.create({ type: 'hash', name: 'closed', keySize: 4, valueSize: 4, maxEntries: 1 });
  using object = await loadFixture('packet', { programs: ['pass_packet'] });
  const program = object.programs.pass_packet as BpfProgram;
  for (const open of [closed, program]) {
    open.close();
    open.close();
  }
  const attempts = [
    () => closed.lookup(u32(0)),
    () => closed.update(u32(0), u32(0)),
    () => closed.delete(u32(0)),
    () => closed.nextKey(undefined),
    () => closed.updateBatch(u32(0), u32(0)),
    () => closed.deleteBatch(u32(0)),
    () => closed.pin('/nowhere'),
    () => new RingBuffer(closed, () => {}),
    () => program.testRun({ data: new Uint8Array(64) }),
    () => program.pin('/nowhere'),
  ];
  for (const attempt of attempts) {
    const { code, object, message } = refusal(attempt);
    t.is(code, 'EBADF');
    t.regex(message, /it is closed/);
    t.regex(object, /^(map closed|program pass_packet)$/);
  }
  t.is((await refusalOf(closed.entries().next())).code, 'EBADF');
  t.is((await refusalOf(BpfLink.attach({ kind: 'xdp', ifindex: 1 }, program))).code, 'EBADF');
  t.is((await refusalOf(loadFixture('packet', { maps: { packets: { reuse: closed } } }))).code, 'EBADF');
});

test('a forgotten map is closed by the garbage collector', async (t) => {
  setFlagsFromString('--expose-gc');
  const collect: () => void = runInNewContext('gc');
  const id = BpfMap.create({ type: 'hash', name: 'forgotten', keySize: 4, valueSize: 4, maxEntries: 1 }).info.id;
  const isOpen = () =>
    readdirSync('/proc/self/fdinfo').some((fd) => {
      try {
        return readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8').includes(`map_id:\t${id}\n`);
      } catch {
        return false; // a descriptor of another thread, gone meanwhile
      }
    });
  t.true(isOpen());
  await until(() => {
    collect();
    return !isOpen();
  });
});

for (const how of ['terminate', 'exit', 'busy'])
  test(`a thread may end with everything open: ${how}`, async (t) => {
    const worker = new Worker(new URL('./fixtures/dying-worker.ts', import.meta.url), { workerData: how });
    const ended = new Promise((resolve) => worker.once('exit', resolve));
    t.is(await new Promise((resolve) => worker.once('message', resolve)), 2);
    if (how !== 'exit') await worker.terminate();
    await ended;
  });

test('what a callback throws is an uncaught exception of its thread', async (t) => {
  const worker = new Worker(new URL('./fixtures/dying-worker.ts', import.meta.url), { workerData: 'throw' });
  const error: Error = await new Promise((resolve) => worker.once('error', resolve));
  t.is(error.message, 'thrown by a callback');
});

test('without the compiled part the error says what to type', (t) => {
  const copy = mkdtempSync(join(tmpdir(), 'libbpf-ts-unbuilt-'));
  t.teardown(() => rmSync(copy, { recursive: true }));
  const here = fileURLToPath(new URL('.', import.meta.url));
  for (const name of readdirSync(here)) if (/\.(ts|json)$/.test(name)) cpSync(join(here, name), join(copy, name));
  const error = t.throws(() =>
    execFileSync(process.execPath, ['-e', `import(${JSON.stringify(join(copy, 'index.ts'))})`], { stdio: 'pipe' }),
  ) as Error & { stderr: Buffer };
  t.regex(error.stderr.toString(), /libbpf-ts\.node; build it with `make -C native`/);
});
