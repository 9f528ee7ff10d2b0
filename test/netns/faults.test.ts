/**
 * The kernel refuses, is full, or is changed behind the agent's back: what packets find in the end is the same, and at no
 * time anything else than before or after.
 */
import assert from 'node:assert/strict';
import { readlinkSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import anyTest, { type ExecutionContext } from 'ava';
import { BpfMap } from 'libbpf-ts';
import { type Write, writeTo } from '../../src/kernel/apply.ts';
import { readRows, readTables } from '../../src/kernel/tables.ts';
import { frontend, frontendKey, u32 } from '../../src/layout.gen.ts';
import { type Address, addressToHex, parseAddress } from '../../src/model/address.ts';
import type { TableName } from '../../src/plan/tables.ts';
import { openPinned, readPinned, runAgentIn } from '../agent.ts';
import { makeSandbox } from '../sandbox.ts';
import { Allowed } from './allowed.ts';
import { crowd } from './crowd.ts';
import { eventually } from './eventually.ts';
import { manifest } from './objects.ts';
import { differences, lookups, readPinned as readNode } from './pinned.ts';
import { isRight, objectsOf, setStage, web } from './scene.ts';

const test = anyTest.serial;
const box = makeSandbox();
test.after.always(() => box.close());

/** Worlds one after the other: each differs from the one before in everything; one is empty. */
const rounds = [0, 1, 6, 12, null, 30].map((round) => (round === null ? [] : crowd(round, 40)));

/** Refuses one row in ten, by dice that fall alike in each run; counts how many. */
function diceWriter(seed: number): { writer: (tables: Parameters<typeof writeTo>[0]) => Write; refused(): number } {
  let state = seed;
  let refused = 0;
  const unlucky = (): boolean => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32 < 0.1;
  };
  const writer = (tables: Parameters<typeof writeTo>[0]): Write => {
    const write = writeTo(tables);
    return (batch) => {
      const lucky = batch.steps.findIndex(unlucky);
      if (lucky < 0) return write(batch);
      refused += 1;
      const { done, error } = lucky > 0 ? write({ ...batch, steps: batch.steps.slice(0, lucky) }) : { done: 0 };
      return { done, error: error ?? new Error('one in ten') };
    };
  };
  return { writer, refused: () => refused };
}

/** At one go: half a file would be a world of its own. */
function write(name: string, objects: readonly object[]): string {
  const path = join(box.directory, name);
  writeFileSync(`${path}.next`, manifest(objects));
  renameSync(`${path}.next`, path);
  return path;
}

/** Of Services: what is over, as the note of a removed backend, goes by itself and later. */
function wroteRows(message: string): boolean {
  return /^[1-9]\d* rows? written for [1-9]/.test(message);
}

/** What there is at one moment, but for rows of frontends that change while their pools are read. */
async function glimpse(name: string): Promise<{ seen: Map<string, string>; moving: Set<string> }> {
  using generation = openPinned(box, name);
  const tables = await readTables(generation.tables);
  const after = await readRows(generation.tables.frontends);
  const keys = new Set([...tables.frontends.keys(), ...after.keys()]);
  const changed = [...keys].filter((key) => tables.frontends.get(key) !== after.get(key));
  return { seen: lookups(tables), moving: new Set(changed.map((key) => `frontends ${key}`)) };
}

/** Looks again and again until there is what is wanted: each row is old or new all the while. Returns how often it looked. */
async function watch(
  t: ExecutionContext,
  name: string,
  before: ReadonlyMap<string, string>,
  wanted: ReadonlyMap<string, string>,
): Promise<number> {
  const allowed = new Allowed(before);
  allowed.add(wanted);
  for (let looks = 1; ; looks += 1) {
    const { seen, moving } = await glimpse(name);
    const strangers = allowed.strangers(seen).filter((key) => !moving.has(key));
    if (strangers.length > 0) t.deepEqual(strangers, [], 'rows that are neither old nor new');
    if (differences(seen, wanted).length === 0) return looks;
    await sleep(2);
  }
}

for (const [what, sizes] of [
  ['with room for all', {}],
  ['with maps that have to grow meanwhile', { frontends: 16, backends: 32, names: 16 }],
] as const) {
  test(`one write in ten refused, ${what}: each look-up finds old or new, and the end is the same`, async (t) => {
    t.timeout(300_000);
    const place = `dice-${what.length}`;
    const dice = diceWriter(what.length);
    const manifests = { plain: write('plain.json', []), refusing: write('refusing.json', []) };
    const plain = runAgentIn(box, { name: `${place}-plain`, manifests: manifests.plain });
    t.teardown(async () => await plain.stop().catch(() => {}));
    const options = { manifests: manifests.refusing, sizes, writer: dice.writer };
    const refusing = runAgentIn(box, { name: `${place}-refusing`, ...options });
    t.teardown(async () => await refusing.stop().catch(() => {}));
    const held = async (name: string) => lookups(await readPinned(box, name));
    await eventually(async () => assert.ok((await held(`${place}-plain`)).size > 0));
    await eventually(async () => assert.ok((await held(`${place}-refusing`)).size > 0));
    let looks = 0;
    for (const objects of rounds) {
      const before = await held(`${place}-refusing`);
      const passes = plain.messages.filter(wroteRows).length;
      write('plain.json', objects);
      await eventually(() => assert.ok(plain.messages.filter(wroteRows).length > passes));
      write('refusing.json', objects);
      looks += await watch(t, `${place}-refusing`, before, await held(`${place}-plain`));
    }
    t.log(`${dice.refused()} writes were refused; looked ${looks} times`);
    t.true(dice.refused() > 30);
  });
}

/** Opens a table of a node's current generation. */
function openTable(pinPath: string, name: TableName): BpfMap {
  return BpfMap.openPinned(join(pinPath, readlinkSync(join(pinPath, 'current')), name));
}

test('rows changed, deleted and added by hand: the audit says so and mends them, and requests succeed again', async (t) => {
  await using stage = await setStage('audit', ['--audit-interval', '2s', '--verbose']);
  const { agent, lab, node, backends, visitors } = stage;
  const { pinDir } = node;
  const right = lookups((await readNode(pinDir)).tables);
  const ask = async () => {
    const plan = { protocol: 'tcp', address: web[0], port: 80, count: 20, timeout: 300 } as const;
    return (await visitors.socket.request(plan)).ok + (await visitors.pod.request(plan)).ok;
  };
  const keyOf = (address: string): string =>
    frontendKey.encode({ address: addressToHex(parseAddress(address) as Address), port: 80, protocol: 6 });
  const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex');
  const key = bytes(keyOf(web[0]));
  const slot = bytes('00000000');
  const harms: readonly { what: string; table: TableName; noticed?: true; harm(map: BpfMap): void }[] = [
    { what: 'a frontend is gone', table: 'frontends', noticed: true, harm: (map) => void map.delete(key) },
    {
      what: 'a frontend is another',
      table: 'frontends',
      noticed: true,
      harm: (map) => map.update(key, Buffer.alloc(map.valueSize, 1)),
    },
    {
      what: 'its backends are others',
      table: 'backends',
      noticed: true,
      harm: (map) => {
        using frontends = openTable(pinDir, 'frontends');
        const { any } = frontend.decode(Buffer.from(frontends.lookup(key) ?? []).toString('hex'));
        for (let i = 0; i < any.count; i += 1)
          map.update(bytes(u32.encode(any.start + i)), Buffer.alloc(map.info.valueSize, 9));
      },
    },
    {
      what: 'a frontend is too many',
      table: 'frontends',
      harm: (map) => map.update(bytes(keyOf('10.96.77.77')), map.lookup(key) ?? Buffer.alloc(0)),
    },
    { what: 'a name is gone', table: 'names', harm: (map) => void map.delete(map.nextKey(undefined) ?? slot) },
    { what: 'the switches are off', table: 'switches', harm: (map) => map.update(slot, Buffer.alloc(map.valueSize)) },
    { what: 'a range is gone', table: 'service_cidrs', harm: (map) => void map.delete(map.nextKey(undefined) ?? slot) },
  ];
  await agent.logged(/^audit: every row is as it should be$/);
  for (const { what, table, harm, noticed } of harms) {
    const said = agent.logged(/^audit: \d+ rows? not as it should be: repairing$/);
    said.catch(() => {}); // A test that fails meanwhile does not wait for it.
    using map = openTable(pinDir, table);
    harm(map);
    if (noticed) t.true((await ask()) < 40, `${what}: requests suffer`);
    await said;
    await eventually(async () =>
      assert.deepEqual(differences(lookups((await readNode(pinDir)).tables), right), [], what),
    );
    t.is(await ask(), 40, `${what}: requests succeed again`);
  }
  await isRight(t, stage, objectsOf(lab, backends, 0));
});
