import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { BpfLink, netnsCookie } from 'libbpf-ts';
import { makeSandbox } from '../../test/sandbox.ts';
import { flowKey, maps } from '../layout.gen.ts';
import { Datapath, type DatapathOptions } from './datapath.ts';
import type { Device } from './devices.ts';
import { type Generation, openGeneration } from './generation.ts';
import { programNames } from './hooks.ts';
import { loadGeneration } from './load.ts';
import { defaultSizes, encodeConfig, readObjects } from './objects.ts';
import {
  currentGeneration,
  listGenerations,
  listLinkPins,
  listStatePins,
  pinDir,
  removePin,
  setCurrentGeneration,
} from './pins.ts';
import { RefusedError } from './refused.ts';
import { type Sizes, stateNames } from './sizes.ts';
import { unload } from './unload.ts';

const box = makeSandbox();
test.after.always(() => box.close());
box.addPod('pod1');
const devices: Device[] = [
  {
    ifindex: Number(/^\d+/.exec(box.ip('-o', 'link', 'show', 'pod1'))?.[0]),
    name: 'pod1',
    role: 'pod',
    hasLinkHeader: true,
    reason: '',
  },
  { ifindex: 1, name: 'lo', role: 'wire', hasLinkHeader: true, reason: 'for this test' },
];
const small: Sizes = { ...defaultSizes, flows: 1024, half_open: 1024, socket_reverse: 1024, counters: 1024 };

function options(name: string, more: Partial<DatapathOptions> = {}): DatapathOptions {
  const config = encodeConfig(netnsCookie());
  const place = { pinDir: join(box.bpfFs, name), cgroup: box.cgroup };
  return { ...place, objects: readObjects(), config, mechanism: 'tcx', ...more };
}

async function start(name: string, sizes: Sizes = small): Promise<Datapath> {
  const datapath = Datapath.open(options(name));
  await datapath.attach(devices);
  await datapath.replace(sizes, async () => {});
  return datapath;
}

/** Which hooks run which program id. */
function attachedPrograms(name: string): Record<string, number> {
  const dir = pinDir(join(box.bpfFs, name));
  return Object.fromEntries(
    listLinkPins(dir).map((pin) => {
      using link = BpfLink.openPinned(join(dir.links, pin));
      return [pin, link.info().programId];
    }),
  );
}

function expectedPrograms({ programs }: Generation, [pod] = devices): Record<string, number> {
  const sockets = programNames.filter((name) => /[46]$|^sock_/.test(name));
  return {
    ...Object.fromEntries(sockets.map((name) => [`cgroup-${name}`, programs[name].info.id])),
    'tcx-1-egress': programs.to_wire.info.id,
    'tcx-1-ingress': programs.from_wire.info.id,
    [`tcx-${pod?.ifindex}-ingress`]: programs.from_pod.info.id,
    [`tcx-${pod?.ifindex}-egress`]: programs.to_pod.info.id,
  };
}

function current(datapath: Datapath): Generation {
  if (datapath.generation === undefined) throw new Error('nothing is loaded');
  return datapath.generation;
}

const aFlow = Buffer.from(
  flowKey.encode({
    ...flowKey.decode('00'.repeat(flowKey.size)),
    source: `${'00'.repeat(10)}ffff0a010101`,
    destination: `${'00'.repeat(10)}ffff0a600001`,
    sourcePort: 1234,
    destinationPort: 80,
    protocol: 6,
    hook: 1,
  }),
  'hex',
);
const otherFlow = Buffer.from(aFlow).fill(7, 0, 1);
const flowValue = Buffer.alloc(maps.flows.valueSize, 0xab);

test('Datapath.attach() attaches nothing before something is loaded', async (t) => {
  using datapath = Datapath.open(options('empty'));
  t.is(await datapath.attach(devices), undefined);
  t.is(datapath.generation, undefined);
  t.deepEqual(attachedPrograms('empty'), {});
});

test('Datapath.replace() loads, pins and attaches; reopening adopts that and changes nothing', async (t) => {
  const datapath = await start('adopt');
  const { hash } = current(datapath);
  const before = attachedPrograms('adopt');
  t.deepEqual(before, expectedPrograms(current(datapath)));
  t.true(datapath.podsAtTc);
  datapath.close();

  using again = Datapath.open(options('adopt'));
  const attached = await again.attach(devices);
  t.deepEqual(attached, { attached: [], repointed: [], detached: [], failed: [], left: [] });
  t.is(current(again).hash, hash);
  t.true(again.isCurrent(small));
  t.true(again.podsAtTc);
  t.deepEqual(await again.sweep(), []);
  t.deepEqual(attachedPrograms('adopt'), before);
});

test('Datapath.isCurrent() is false for other sizes, settings and programs', async (t) => {
  (await start('differs')).close();
  const { config, objects } = options('differs');
  const asIs = Datapath.open(options('differs'));
  t.true(asIs.isCurrent(small));
  t.false(asIs.isCurrent({ ...small, frontends: 32_768 }));
  asIs.close();
  const otherConfig = Datapath.open(options('differs', { config: encodeConfig(1n) }));
  t.false(otherConfig.isCurrent(small));
  t.not(encodeConfig(1n), config);
  otherConfig.close();
  const tc = Buffer.concat([objects.tc, Buffer.from('x')]);
  using otherProgram = Datapath.open(options('differs', { objects: { ...objects, tc } }));
  t.false(otherProgram.isCurrent(small));
});

test('Datapath.replace() points every link at the new programs, keeps state and drops the old generation', async (t) => {
  using datapath = await start('replace');
  const old = current(datapath).hash;
  current(datapath).state.flows.update(aFlow, flowValue);
  const filled: string[] = [];
  await datapath.replace({ ...small, frontends: 32_768 }, async (next) => {
    filled.push(next.hash);
    t.is(next.tables.frontends.info.maxEntries, 32_768);
    t.deepEqual(listGenerations(pinDir(join(box.bpfFs, 'replace'))).sort(), [old, next.hash].sort());
    t.not(attachedPrograms('replace')['cgroup-connect4'], next.programs.connect4.info.id);
  });
  t.deepEqual(listGenerations(pinDir(join(box.bpfFs, 'replace'))), filled);
  t.deepEqual(attachedPrograms('replace'), expectedPrograms(current(datapath)));
  t.deepEqual(Buffer.from(current(datapath).state.flows.lookup(aFlow) ?? []), flowValue);
});

test('Datapath.replace() copies the rows of a state map whose size changes, also those of the last moment', async (t) => {
  using datapath = await start('resize');
  current(datapath).state.flows.update(aFlow, flowValue);
  const before = current(datapath);
  const isFirst = () => current(datapath).hash === before.hash;
  await datapath.replace({ ...small, flows: 2048 }, async () => {
    if (isFirst()) before.state.flows.update(otherFlow, flowValue);
  });
  const { flows } = current(datapath).state;
  t.is(flows.info.maxEntries, 2048);
  t.truthy(flows.lookup(aFlow));
  t.truthy(flows.lookup(otherFlow));
  const pins = listStatePins(pinDir(join(box.bpfFs, 'resize'))).filter(({ name }) => name === 'flows');
  t.deepEqual(
    pins.map(({ size }) => size),
    [2048],
  );
});

test('Datapath.replace() leaves the old generation in charge, and nothing of the new one, if filling fails', async (t) => {
  using datapath = await start('unfilled');
  const { hash } = current(datapath);
  const before = attachedPrograms('unfilled');
  const fill = () => Promise.reject(new RefusedError('no'));
  await t.throwsAsync(datapath.replace({ ...small, flows: 4096 }, fill), { message: 'no' });
  t.is(current(datapath).hash, hash);
  t.deepEqual(attachedPrograms('unfilled'), before);
  t.deepEqual(listGenerations(pinDir(join(box.bpfFs, 'unfilled'))), [hash]);
  t.false(listStatePins(pinDir(join(box.bpfFs, 'unfilled'))).some(({ size }) => size === 4096));
});

test('Datapath heals a crash before the new generation was whole', async (t) => {
  const datapath = await start('half');
  const { hash } = current(datapath);
  datapath.close();
  const dir = pinDir(join(box.bpfFs, 'half'));
  const recipe = { objects: readObjects(), config: encodeConfig(netnsCookie()), sizes: { ...small, flows: 4096 } };
  const half = await loadGeneration(dir, recipe);
  half[Symbol.dispose]();
  removePin(join(dir.path, `generation-${half.hash}`, 'to_pod'));

  using again = Datapath.open(options('half'));
  await again.attach(devices);
  const removed = await again.sweep();
  t.true(removed.includes(`generation-${half.hash}`));
  t.deepEqual(listGenerations(dir), [hash]);
  t.deepEqual(attachedPrograms('half'), expectedPrograms(current(again)));
});

test('Datapath heals a crash between naming the new generation and pointing links at it', async (t) => {
  const datapath = await start('torn');
  const old = current(datapath);
  const dir = pinDir(join(box.bpfFs, 'torn'));
  const recipe = { objects: readObjects(), config: encodeConfig(netnsCookie()), sizes: { ...small, flows: 4096 } };
  const next = await loadGeneration(dir, recipe);
  old.state.flows.update(aFlow, flowValue);
  setCurrentGeneration(dir, next.hash);
  const { links } = dir;
  using connect4 = BpfLink.openPinned(join(links, 'cgroup-connect4'));
  await connect4.update(next.programs.connect4);
  datapath.close();

  using again = Datapath.open(options('torn'));
  t.is(current(again).hash, next.hash);
  const attached = await again.attach(devices);
  t.is(attached?.repointed.length, Object.keys(attachedPrograms('torn')).length - 1);
  t.deepEqual(attachedPrograms('torn'), expectedPrograms(current(again)));
  await again.sweep();
  t.truthy(current(again).state.flows.lookup(aFlow));
  t.deepEqual(listGenerations(dir), [next.hash]);
  next[Symbol.dispose]();
});

test('Datapath.replace() gives other sizes of state maps first to programs that find the rows before, then to plain ones', async (t) => {
  using datapath = await start('twice');
  const { flows } = current(datapath).state;
  const before = flows.info.id;
  const dir = pinDir(join(box.bpfFs, 'twice'));
  const found: boolean[] = [];
  await datapath.replace({ ...small, flows: 512 }, async ({ programs }) => {
    found.push(programs.from_pod.info.mapIds.includes(before));
    const running = openGeneration(dir, currentGeneration(dir) ?? '');
    found.push(running?.programs.from_pod.info.mapIds.includes(before) ?? false);
    running?.[Symbol.dispose]();
  });
  t.deepEqual(found, [true, true, false, true], 'next and current, of the two times');
  t.true(datapath.isCurrent({ ...small, flows: 512 }));
  t.deepEqual(listGenerations(dir), [current(datapath).hash]);
  await datapath.replace({ ...small, flows: 512, counters: 2048 }, async () => void found.push(true));
  t.is(found.length, 5, 'once, where programs have nothing to find');
});

test('Datapath heals a crash between the two replacements that give a state map another size', async (t) => {
  const datapath = await start('between');
  const old = current(datapath);
  const dir = pinDir(join(box.bpfFs, 'between'));
  const sizes = { ...small, flows: 512 };
  const recipe = { objects: readObjects(), config: encodeConfig(netnsCookie()), sizes };
  const next = await loadGeneration(dir, recipe, old);
  setCurrentGeneration(dir, next.hash);
  using connect4 = BpfLink.openPinned(join(dir.links, 'cgroup-connect4'));
  await connect4.update(next.programs.connect4);
  old.state.flows.update(aFlow, flowValue);
  datapath.close();
  next[Symbol.dispose]();

  using again = Datapath.open(options('between'));
  t.is(current(again).hash, next.hash);
  t.is(current(again).sizes.flows, 512, 'its own map, not that of before, which its programs use too');
  t.false(again.isCurrent(sizes));
  await again.attach(devices);
  t.deepEqual(attachedPrograms('between'), expectedPrograms(current(again)));
  await again.replace(sizes, async ({ state }) => {
    t.truthy(state.flows.lookup(aFlow), 'what was not copied when it died is there before the programs are');
  });
  t.true(again.isCurrent(sizes));
  t.deepEqual(attachedPrograms('between'), expectedPrograms(current(again)));
  t.deepEqual(listGenerations(dir), [current(again).hash]);
  t.is(listStatePins(dir).filter(({ name }) => name === 'flows').length, 1);
});

test('Datapath takes a generation that lost a pin for none, and replaces it without a gap', async (t) => {
  const datapath = await start('broken');
  const before = attachedPrograms('broken');
  const { hash } = current(datapath);
  datapath.close();
  const dir = pinDir(join(box.bpfFs, 'broken'));
  removePin(join(dir.path, `generation-${hash}`, 'frontends'));

  using again = Datapath.open(options('broken'));
  t.is(again.generation, undefined);
  t.is(await again.attach(devices), undefined);
  t.deepEqual(attachedPrograms('broken'), before);
  t.is(again.pinnedSizes().flows, 1024);
  const attached = await again.replace(small, async () => {});
  t.is(attached?.repointed.length, Object.keys(before).length);
  t.deepEqual(attachedPrograms('broken'), expectedPrograms(current(again)));
});

test('unload() leaves nothing, tells what there was, and is content with nothing', async (t) => {
  (await start('unload')).close();
  const path = join(box.bpfFs, 'unload');
  const found = await unload(path);
  t.is(found.links.length, 15);
  t.is(found.generations.length, 1);
  t.is(found.state.length, stateNames.length);
  t.false(existsSync(path));
  t.deepEqual(await unload(path), { links: [], filters: [], generations: [], state: [] });
});

test('unload() removes what half an agent left', async (t) => {
  const path = join(box.bpfFs, 'debris');
  const dir = pinDir(path);
  const datapath = Datapath.open(options('debris'));
  const recipe = { objects: readObjects(), config: encodeConfig(netnsCookie()), sizes: small };
  (await loadGeneration(dir, recipe))[Symbol.dispose]();
  datapath.close();
  t.is((await unload(path)).generations.length, 1);
  t.false(existsSync(path));
});

test('unload() and a second Datapath are refused while one is open', async (t) => {
  using _datapath = await start('held');
  const path = join(box.bpfFs, 'held');
  await t.throwsAsync(unload(path), { instanceOf: RefusedError });
  t.throws(() => Datapath.open(options('held')), { instanceOf: RefusedError });
  t.true(readdirSync(path).length > 0);
});
