import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import test from 'ava';
import { loadFixture, refusal, u32, until } from './fixtures/playground.ts';
import { BpfMap, type BpfObject, type BpfProgram, RingBuffer } from './index.ts';

const MARK = 8; // offset in struct __sk_buff

/** The fixture's ring, and `send`: a record per run, {mark, packet length}. */
async function makeRing(): Promise<{ object: BpfObject; ring: BpfMap; send: (mark: number, repeat?: number) => void }> {
  const object = await loadFixture('packet', { programs: ['report_packet'] });
  const program = object.programs.report_packet as BpfProgram;
  const send = (mark: number, repeat = 1) => {
    const context = new Uint8Array(192);
    context.set(u32(mark), MARK);
    program.testRun({ data: new Uint8Array(64), context, repeat });
  };
  return { object, ring: object.maps.events as BpfMap, send };
}

test('RingBuffer hands over each record as it came', async (t) => {
  const { object, ring, send } = await makeRing();
  using _object = object;
  const records: Uint8Array[] = [];
  using _ring = new RingBuffer(ring, (record) => records.push(record));
  for (const mark of [11, 22, 33]) send(mark);
  await until(() => records.length === 3);
  t.deepEqual(records, [u32(11, 64), u32(22, 64), u32(33, 64)]);
});

test('RingBuffer records are copies: later ones leave them alone', async (t) => {
  const { object, ring, send } = await makeRing();
  using _object = object;
  const records: Uint8Array[] = [];
  using _ring = new RingBuffer(ring, (record) => records.push(record));
  send(1);
  await until(() => records.length === 1);
  send(2, 100_000); // many times around
  await until(() => records.length > 1000);
  t.deepEqual(records[0], u32(1, 64));
});

test('RingBuffer has what was written before it was opened', async (t) => {
  const { object, ring, send } = await makeRing();
  using _object = object;
  send(5);
  const records: Uint8Array[] = [];
  using _ring = new RingBuffer(ring, (record) => records.push(record));
  await until(() => records.length === 1);
  t.deepEqual(records, [u32(5, 64)]);
});

test('RingBuffer reads a full ring in bursts, in order, and loses none that the kernel took', async (t) => {
  const { object, ring, send } = await makeRing();
  using _object = object;
  const total = 60_000; // 16 bytes each: just fits
  send(7, total);
  let seen = 0;
  using _ring = new RingBuffer(ring, () => {
    seen += 1;
  });
  await until(() => seen === total);
  send(8);
  await until(() => seen === total + 1);
  t.is(seen, total + 1);
});

test('RingBuffer is silent once it is closed, from within its callback too', async (t) => {
  const { object, ring, send } = await makeRing();
  using _object = object;
  let calls = 0;
  const first: RingBuffer = new RingBuffer(ring, () => {
    calls += 1;
    first.close();
  });
  send(1, 10);
  await until(() => calls === 1);
  const records: Uint8Array[] = [];
  using _second = new RingBuffer(ring, (record) => records.push(record));
  send(2);
  await until(() => records.length > 0);
  t.is(calls, 1);
  first.close();
});

test('RingBuffer goes on when the map it was made from is closed', async (t) => {
  const { object, ring, send } = await makeRing();
  using _object = object;
  const records: Uint8Array[] = [];
  using _ring = new RingBuffer(ring, (record) => records.push(record));
  ring.close();
  send(3);
  await until(() => records.length === 1);
  t.deepEqual(records, [u32(3, 64)]);
});

test('RingBuffer keeps listening though nobody else holds it', async (t) => {
  const { object, ring, send } = await makeRing();
  using _object = object;
  const arrived = new Promise((resolve) => {
    const unheld: RingBuffer = new RingBuffer(ring, (record) => {
      unheld.close();
      resolve(record);
    });
  });
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  send(4);
  t.deepEqual(await arrived, u32(4, 64));
});

test('RingBuffer of another map is refused', (t) => {
  using map = BpfMap.create({ type: 'hash', name: 'no_ring', keySize: 4, valueSize: 4, maxEntries: 1 });
  const { code, object, message } = refusal(() => new RingBuffer(map, () => {}));
  t.deepEqual({ code, object }, { code: 'EINVAL', object: 'map no_ring' });
  t.regex(message, /not a ring buffer/);
});
