import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { BpfLink } from 'libbpf-ts';
import { openPinned, pinPath, readPinned, service, writeManifest } from '../test/agent.ts';
import { runCli, startCli, untilSays } from '../test/cli.ts';
import { makeSandbox } from '../test/sandbox.ts';
import { currentGeneration, listGenerations, listLinkPins, listStatePins, pinDir } from './kernel/pins.ts';
import { stateNames } from './kernel/sizes.ts';
import { frontend } from './layout.gen.ts';

const box = makeSandbox();
test.after.always(() => box.close());
box.addPod('pod1');
box.addPod('pod2');

const KILLS = 20;
/** To load, fill and swap a generation takes about so long. */
const SWAP_MS = 500;

function manifest(stage: number): string {
  const services = Array.from({ length: 50 }, (_, i) =>
    service(`s${i}`, `10.96.1.${i}`, [`10.1.${stage}.${i}`, '10.1.0.9']),
  );
  return writeManifest(box, 'crash.json', services.flat());
}

function flags(frontends: number, flows: number): string[] {
  const sizes = `frontends=${frontends},flows=${flows}`;
  const place = ['--pin-dir', pinPath(box), '--cgroup', box.cgroup, '--map-size', sizes];
  return ['run', '--manifests', join(box.directory, 'crash.json'), '--node', 'n1', '--log-format', 'text', ...place];
}

/** Every frontend of whatever generation is current has a whole pool behind it. */
async function brokenPools(): Promise<string[]> {
  if (currentGeneration(pinDir(pinPath(box))) === undefined) return [];
  const { frontends, backends } = await readPinned(box);
  return [...frontends].flatMap(([key, value]) => {
    const { any } = frontend.decode(value);
    const slots = Array.from({ length: any.count }, (_, i) => backends.get(slotKey(any.start + i)));
    return slots.every((slot) => slot !== undefined && !/^0+$/.test(slot)) ? [] : [key];
  });
}

function slotKey(slot: number): string {
  const key = Buffer.alloc(4);
  key.writeUInt32LE(slot);
  return key.toString('hex');
}

/** Where programs run that are of no pinned generation. */
function strayHooks(): string[] {
  const dir = pinDir(pinPath(box));
  using generation = openPinned(box);
  const ours = new Set(Object.values(generation.programs).map((program) => program.info.id));
  return listLinkPins(dir).filter((pin) => {
    using link = BpfLink.openPinned(join(dir.links, pin));
    return !ours.has(link.info().programId);
  });
}

test(`an agent that is killed ${KILLS} times amid changes and new generations leaves whole pools, and heals`, async (t) => {
  for (let kill = 0; kill < KILLS; kill += 1) {
    manifest(kill);
    // Never a size that is there: whether the one before came to its swap depends on the machine.
    const agent = startCli(flags(1024 + 128 * kill, kill % 2 === 0 ? 1024 : 2048));
    const exited = once(agent, 'exit');
    await untilSays(agent, /loading a new generation/);
    await sleep((SWAP_MS * kill) / KILLS);
    manifest(kill + 100);
    agent.kill('SIGKILL');
    t.deepEqual(await exited, [null, 'SIGKILL']);
    t.deepEqual(await brokenPools(), [], `after kill ${kill}`);
  }
  manifest(200);
  const agent = startCli(flags(4096, 4096));
  t.teardown(() => agent.kill('SIGKILL'));
  await untilSays(agent, /rows? written for 50 Services/);
  agent.kill('SIGTERM');
  await once(agent, 'exit');

  const dir = pinDir(pinPath(box));
  t.deepEqual(
    listGenerations(dir),
    [currentGeneration(dir)].flatMap((hash) => hash ?? []),
  );
  t.deepEqual(strayHooks(), []);
  t.is(listLinkPins(dir).length, 15);
  t.is(listStatePins(dir).length, stateNames.length);
  t.deepEqual(await brokenPools(), []);
  const dump = await runCli('dump', '--pin-dir', pinPath(box), '-o', 'json');
  const items = JSON.parse(dump.stdout).items as { name: string; backends: string[] }[];
  t.is(items.length, 50);
  for (const { name, backends } of items) {
    t.deepEqual(backends, ['10.1.0.9:8080', `10.1.200.${name.slice(1)}:8080`].sort());
  }
  /* The first one may have been stopped before it told the programs that pods have hooks. */
  await startAndStop(/ [01] rows? written for 50 Services/);
  t.deepEqual(await startAndStop(/ 0 rows? written for 50 Services/), [0, null]);
});

async function startAndStop(says: RegExp): Promise<unknown[]> {
  const agent = startCli(flags(4096, 4096));
  const exited = once(agent, 'exit');
  try {
    await untilSays(agent, says);
  } finally {
    agent.kill('SIGTERM');
  }
  return await exited;
}
