/**
 * Runs in a guest: loads what ships and runs tests. Every finding is one line of JSON (`Finding`) on standard output, the
 * tests' own lines are TAP.
 */
import { spawn } from 'node:child_process';
import process from 'node:process';
import { kernelRelease, loadObject } from 'libbpf-ts';
import { rodataWith } from '../../src/kernel/elf.ts';
import { podHooks, socketHooks, wireHooks, xdpHooks } from '../../src/kernel/hooks.ts';
import { encodeConfig, readObjects } from '../../src/kernel/objects.ts';
import { chooseMechanism, features } from '../../src/kernel/probes.ts';
import { maps } from '../../src/layout.gen.ts';
import type { Finding } from './finding.ts';

/**
 * What depends on the kernel, no more: a test that loads programs has them verified, which takes the emulator seconds. The
 * bytes of packets, sockets, rows, and then real traffic in one shape of node.
 */
const files = ['bpf/{tc,wire,cut,xdp,connect}.test.ts', 'src/kernel/{attach,datapath,machine,tables}.test.ts'];
const titles = [
  'from_pod sends a *',
  'from_pod answers a *',
  'a VIP connection over * moves, *',
  'from_wire sends TCP *',
  'from_wire gives UDP *',
  'UDP that is too big is cut *',
  'TCP over * of a living flow is sent on both ways, *',
  'programs that follow others *',
  'connect4 and connect6 bring TCP *',
  'connected and unconnected UDP *',
  'requireKernel() accepts *',
  'readTables() *',
  'attachHooks() uses clsact *',
];
const tcxTitles = ['attachHooks() *', 'Datapath.replace() loads, *', 'Datapath.replace() points every link *'];
const traffic = [
  ['test/netns/clusterip.test.ts', '--match=every kind of client *: ptp'],
  ['test/netns/outside-devices.test.ts', '--match=clients that come by a device of a VLAN *'],
];

const hooks = { tc: podHooks, wire: wireHooks, connect: socketHooks, xdp: xdpHooks } as const;

function tell(finding: Finding): void {
  console.log(JSON.stringify(finding));
}

/** On small maps: what the verifier does is the same. One at a time, so that one that is refused hides no other. */
async function tellPrograms(): Promise<void> {
  const objects = readObjects();
  const sizes = Object.fromEntries(
    Object.entries(maps).map(([name, map]) => [name, { maxEntries: Math.min(64, map.maxEntries) }]),
  );
  const load = async (name: keyof typeof hooks, programs: readonly string[]): Promise<void> => {
    const rodata = rodataWith(objects[name], 'config', Buffer.from(encodeConfig(0n), 'hex'));
    using object = await loadObject(objects[name], { name, rodata, maps: sizes, programs: [...programs] });
    for (const program of programs) {
      const instructions = object.programs[program]?.info.verifiedInstructions ?? 0;
      tell({ kind: 'program', name: program, instructions });
    }
  };
  for (const name of ['tc', 'wire', 'connect', 'xdp'] as const) {
    for (const program of hooks[name]) {
      await load(name, [program]).catch((error: Error) =>
        tell({ kind: 'refused', name: program, reason: error.message }),
      );
    }
  }
}

async function tellFeatures(): Promise<void> {
  for (const feature of features) {
    if (!(await feature.isThere())) tell({ kind: 'missing', name: feature.name });
  }
}

/** Each has a while to itself: an emulated processor is slow, and ava counts the time since the last result. */
function runTests(words: readonly string[]): Promise<number> {
  const child = spawn('ava', ['--tap', '--timeout=10m', ...words], { stdio: ['ignore', 'inherit', 'inherit'] });
  return new Promise((resolve) => child.on('close', (code) => resolve(code ?? 1)));
}

tell({ kind: 'kernel', release: kernelRelease().text });
await tellFeatures();
await tellPrograms();
const wanted = (await chooseMechanism()) === 'tcx' ? [...titles, ...tcxTitles] : titles;
for (const words of [[...files, ...wanted.map((title) => `--match=${title}`)], ...traffic]) {
  const started = performance.now();
  const code = await runTests(words);
  tell({ kind: 'suite', name: words[0] ?? '', code, seconds: Math.round((performance.now() - started) / 1000) });
}
tell({ kind: 'end' });
process.exit(0);
