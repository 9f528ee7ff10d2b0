import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import {
  type AgentSettings,
  openPinned,
  pinPath,
  type RunningAgent,
  readPinned,
  runAgentIn,
  service,
  writeManifest,
} from '../test/agent.ts';
import { eventually } from '../test/netns/eventually.ts';
import { makeSandbox } from '../test/sandbox.ts';
import { unreliable } from '../test/unreliable.ts';
import { serviceItems } from './commands/dump-items.ts';
import type { Reading } from './commands/service-ref.ts';
import { currentGeneration, listGenerations, listLinkPins, pinDir } from './kernel/pins.ts';
import { defaultRanges } from './kube/allocate.ts';
import { counterKey, frontendKey, reason, switches, u32 } from './layout.gen.ts';
import type { Tables } from './plan/tables.ts';

const box = makeSandbox();
test.after.always(() => box.close());

/** However busy this machine is. */
async function settles(attempt: () => void | Promise<void>): Promise<void> {
  await eventually(attempt, 60);
}

/** An agent that does not outlive its test. */
function start(t: ExecutionContext, settings: AgentSettings): RunningAgent {
  const agent = runAgentIn(box, settings);
  t.teardown(async () => await agent.stop().catch(() => {}));
  return agent;
}

/** 'web: 10.1.0.1:8080', sorted: what a dump tells of Services, without ids and slots. */
function told(tables: Tables): string[] {
  const empty = new Map<string, string>();
  const reading: Reading = {
    tables,
    counters: new Map(),
    connections: new Map(),
    flows: empty,
    halfOpen: empty,
    affinity: empty,
    nowSeconds: 0,
  };
  return serviceItems(reading).map(({ name, clusterIPs, backends }) => `${name} ${clusterIPs}: ${backends.join(' ')}`);
}

function many(count: number, backend: (i: number) => string): unknown[] {
  return Array.from({ length: count }, (_, i) => service(`s${i}`, `10.96.1.${i}`, [backend(i), '10.1.0.9'])).flat();
}

test.serial('runAgent() programs a manifest, follows its edits, and takes away what is deleted', async (t) => {
  const name = 'edits';
  const manifests = writeManifest(box, 'edits.json', service('web', '10.96.0.1', ['10.1.0.1']));
  const agent = start(t, { name, manifests });
  await settles(async () => assert.deepEqual(told(await readPinned(box, name)), ['web 10.96.0.1: 10.1.0.1:8080']));
  writeManifest(box, 'edits.json', service('web', '10.96.0.1', ['10.1.0.2', '10.1.0.3']));
  await settles(async () =>
    assert.deepEqual(told(await readPinned(box, name)), ['web 10.96.0.1: 10.1.0.2:8080 10.1.0.3:8080']),
  );
  writeManifest(box, 'edits.json', service('other', '10.96.0.2', []));
  await settles(async () => assert.deepEqual(told(await readPinned(box, name)), ['other 10.96.0.2: ']));
  await agent.stop();
  t.is(agent.messages.at(-1), 'stopped: everything stays pinned and at work');
});

test.serial('runAgent() adopts what is pinned and writes nothing that is already true', async (t) => {
  const name = 'adopt';
  const manifests = writeManifest(
    box,
    'adopt.json',
    many(20, (i) => `10.1.1.${i}`),
  );
  const first = start(t, { name, manifests });
  await settles(() => assert.ok(first.messages.some((text) => /rows? written for 20/.test(text))));
  await first.stop();
  const before = await readPinned(box, name);
  const hash = currentGeneration(pinDir(pinPath(box, name)));

  const second = start(t, { name, manifests });
  await settles(() => assert.ok(second.messages.some((text) => /^0 rows? written for 20/.test(text))));
  await second.stop();
  t.is(currentGeneration(pinDir(pinPath(box, name))), hash);
  t.deepEqual(await readPinned(box, name), before);
  t.false(
    second.messages.some((text) => /attached|generation|[1-9] rows? written/.test(text)),
    second.messages.join('\n'),
  );
});

test.serial('runAgent() grows a generation before a map overflows, and keeps ids and links', async (t) => {
  const name = 'grow';
  const sizes = { frontends: 16, backends: 16, names: 16 };
  const manifests = writeManifest(
    box,
    'grow.json',
    many(4, (i) => `10.1.1.${i}`),
  );
  const agent = start(t, { name, manifests, sizes });
  await settles(async () => assert.equal(told(await readPinned(box, name)).length, 4));
  const before = await readPinned(box, name);
  const hash = currentGeneration(pinDir(pinPath(box, name)));
  writeManifest(
    box,
    'grow.json',
    many(40, (i) => `10.1.1.${i}`),
  );
  await settles(async () => assert.equal(told(await readPinned(box, name)).length, 40));
  await agent.stop();
  t.not(currentGeneration(pinDir(pinPath(box, name))), hash);
  t.is(listGenerations(pinDir(pinPath(box, name))).length, 1);
  using generation = openPinned(box, name);
  t.deepEqual([generation.sizes.frontends, generation.sizes.backends, generation.sizes.names], [128, 128, 64]);
  const after = await readPinned(box, name);
  for (const [key, value] of before.names) t.is(after.names.get(key), value);
  t.false(agent.messages.some((text) => /E2BIG|refused/.test(text)));
});

test.serial('runAgent() keeps grown sizes when it starts again, and takes those that a person asks for', async (t) => {
  const name = 'grow';
  const manifests = writeManifest(
    box,
    'grow.json',
    many(4, (i) => `10.1.1.${i}`),
  );
  for (const [sizes, expected] of [
    [{}, 128],
    [{ frontends: 32 }, 32],
    [{ frontends: 4 }, 8],
  ] as const) {
    const agent = start(t, { name, manifests, sizes });
    await settles(() => assert.ok(agent.messages.some((text) => /rows? written for 4/.test(text))));
    await agent.stop();
    using generation = openPinned(box, name);
    t.is(generation.sizes.frontends, expected);
  }
});

test.serial(
  'runAgent() fills both generations that other sizes of state maps take, also when one write in ten fails',
  async (t) => {
    const stage = many(20, (i) => `10.1.1.${i}`);
    const manifests = writeManifest(box, 'resized.json', stage);
    const { writer, refused } = unreliable();
    const outcomes: string[][] = [];
    for (const settings of [{ sizes: { flows: 1024 } }, { sizes: { flows: 2048 }, writer }]) {
      const agent = start(t, { name: 'resized', manifests, ...settings });
      await settles(() => assert.ok(agent.messages.some((text) => /rows written for 20/.test(text))));
      outcomes.push(told(await readPinned(box, 'resized')));
      await agent.stop();
    }
    t.is(outcomes[0]?.length, stage.length / 2);
    t.deepEqual(outcomes[1], outcomes[0]);
    t.true(refused() > 4);
  },
);

test.serial('runAgent() ends in the same state when one write in ten fails', async (t) => {
  const stages = [many(30, (i) => `10.1.1.${i}`), many(25, (i) => `10.1.2.${i}`), many(28, () => '10.1.3.1')];
  const plain = writeManifest(box, 'plain.json', []);
  const failing = writeManifest(box, 'failing.json', []);
  const { writer, refused } = unreliable();
  const sizes = { frontends: 32, backends: 64 };
  const agents = [
    start(t, { name: 'plain', manifests: plain, sizes }),
    start(t, { name: 'failing', manifests: failing, sizes, writer }),
  ];
  for (const stage of stages) {
    writeManifest(box, 'plain.json', stage);
    writeManifest(box, 'failing.json', stage);
    await settles(async () => {
      const expected = told(await readPinned(box, 'plain'));
      assert.equal(expected.length, stage.length / 2);
      assert.deepEqual(told(await readPinned(box, 'failing')), expected);
    });
  }
  await Promise.all(agents.map((agent) => agent.stop()));
  t.true(refused() > 10, `${refused()} writes were refused`);
  const [a, b] = [await readPinned(box, 'plain'), await readPinned(box, 'failing')];
  t.deepEqual([...b.names].sort(), [...a.names].sort());
  t.deepEqual([...b.frontends.keys()].sort(), [...a.frontends.keys()].sort());
  t.deepEqual(b.switches, a.switches);
});

test.serial('runAgent() repairs what somebody else changed, and says so', async (t) => {
  const name = 'drift';
  const manifests = writeManifest(
    box,
    'drift.json',
    many(5, (i) => `10.1.1.${i}`),
  );
  const agent = start(t, { name, manifests, auditSeconds: 0.2 });
  await settles(() => assert.ok(agent.messages.some((text) => /every row is as it should be/.test(text))));
  const before = await readPinned(box, name);
  using generation = openPinned(box, name);
  const { frontends, names, switches: node } = generation.tables;
  const [frontend] = [...before.frontends.keys()];
  const stranger = frontendKey.encode({ address: 'ab'.repeat(16), port: 1, protocol: 6 });
  frontends.delete(Buffer.from(frontend ?? '', 'hex'));
  frontends.update(Buffer.from(stranger, 'hex'), Buffer.alloc(32));
  names.delete(Buffer.from([...before.names.keys()][2] ?? '', 'hex'));
  node.update(Buffer.alloc(4), Buffer.alloc(36, 1));
  const { counters } = generation.state;
  const orphan = Buffer.from(counterKey.encode({ servicePort: 7, reason: reason.drop_malformed }), 'hex');
  counters.update(orphan, Buffer.alloc(counters.valueSize, 1));
  await settles(async () => {
    assert.equal(counters.lookup(orphan), undefined, 'what was counted for nobody');
    const { frontends, ...others } = await readPinned(box, name);
    assert.deepEqual(told({ ...others, frontends }), told(before));
    assert.equal(frontends.has(stranger), false);
    assert.deepEqual([others.names, others.switches], [before.names, before.switches]);
  });
  t.true(agent.messages.some((text) => /audit: \d+ rows? not as it should be/.test(text)));
  await agent.stop();
});

test.serial(
  'runAgent() attaches to pods that appear, lets go of those that leave, and tells the programs',
  async (t) => {
    const name = 'pods';
    const manifests = writeManifest(box, 'pods.json', service('web', '10.96.0.1', ['10.1.0.1']));
    const agent = start(t, { name, manifests });
    const podsAtTc = async () =>
      switches.decode((await readPinned(box, name)).switches.get(u32.encode(0)) ?? '').podsAtTc;
    const devicePins = () => listLinkPins(pinDir(pinPath(box, name))).filter((pin) => pin.startsWith('tcx-'));
    await settles(async () => assert.equal(await podsAtTc(), 0));
    t.deepEqual(devicePins(), []);
    box.addPod('late1');
    await settles(async () => assert.equal(await podsAtTc(), 1));
    t.is(devicePins().length, 2);
    t.true(agent.messages.some((text) => /^attached at late1 \(pod: /.test(text)));
    box.ip('link', 'del', 'late1');
    await settles(async () => assert.equal(await podsAtTc(), 0));
    t.deepEqual(devicePins(), []);
    await agent.stop();
  },
);

test.serial('runAgent() serves by clsact filters where there is no tcx', async (t) => {
  const name = 'clsact';
  box.addPod('clsact2');
  t.teardown(() => box.ip('link', 'del', 'clsact2'));
  const manifests = writeManifest(box, 'clsact.json', service('web', '10.96.0.1', ['10.1.0.1']));
  const agent = start(t, { name, manifests, mechanism: 'clsact' });
  await settles(() => assert.ok(agent.messages.some((text) => /^1 rows? written/.test(text))));
  t.true(agent.messages.some((text) => /^attached at clsact2 \(/.test(text)));
  await agent.stop();
  const again = start(t, { name, manifests, mechanism: 'clsact' });
  await settles(() => assert.ok(again.messages.some((text) => /^0 rows? written/.test(text))));
  await again.stop();
  t.false(again.messages.some((text) => /attached/.test(text)));
});

test.serial('runAgent() reports a bad file once, serves its neighbours, and says when it is mended', async (t) => {
  const name = 'bad';
  mkdirSync(`${box.directory}/bad`);
  writeManifest(box, 'bad/a.json', service('web', '10.96.0.1', ['10.1.0.1']));
  writeFileSync(join(box.directory, 'bad/b.yaml'), '}{ not yaml: [');
  const agent = start(t, { name, manifests: `${box.directory}/bad` });
  await settles(async () => assert.equal(told(await readPinned(box, name)).length, 1));
  const about = () => agent.messages.filter((text) => text.includes('b.yaml'));
  await settles(() => assert.equal(about().length, 1));
  writeManifest(box, 'bad/b.yaml', service('more', '10.96.0.2', []));
  await settles(async () => assert.equal(told(await readPinned(box, name)).length, 2));
  await settles(() => assert.match(about().at(-1) ?? '', /^no longer: /));
  t.is(about().length, 2);
  await agent.stop();
});

test.serial('runAgent() refuses manifests that are not there', async (t) => {
  const agent = start(t, { name: 'missing', manifests: '/nowhere/at/all.yaml' });
  await t.throwsAsync(agent.stop(), { message: /\/nowhere\/at\/all.yaml/ });
});

test.serial('runAgent() does not delete while a file was never read, and waits with a new generation', async (t) => {
  const name = 'hold';
  mkdirSync(`${box.directory}/hold`);
  writeManifest(box, 'hold/a.json', service('web', '10.96.0.1', ['10.1.0.1']));
  writeManifest(box, 'hold/b.json', service('more', '10.96.0.2', ['10.1.0.2']));
  const settings = {
    name,
    manifests: `${box.directory}/hold`,
    parse: { serviceProxyName: null, ranges: defaultRanges },
  };
  const first = start(t, settings);
  await settles(async () => assert.equal(told(await readPinned(box, name)).length, 2));
  await first.stop();
  const hash = currentGeneration(pinDir(pinPath(box, name)));
  writeFileSync(join(box.directory, 'hold/b.json'), '{ "kind": [');
  const second = start(t, { ...settings, sizes: { frontends: 64 } });
  await settles(() => assert.ok(second.messages.some((text) => /^0 rows? written/.test(text))));
  t.is(told(await readPinned(box, name)).length, 2);
  t.is(currentGeneration(pinDir(pinPath(box, name))), hash);
  writeManifest(box, 'hold/b.json', service('more', '10.96.0.2', ['10.1.0.3']));
  await settles(() => assert.notEqual(currentGeneration(pinDir(pinPath(box, name))), hash));
  await settles(async () => assert.match(told(await readPinned(box, name)).join(), /10\.1\.0\.3/));
  await second.stop();
});
