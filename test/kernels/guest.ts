/**
 * Runs in a guest: loads what ships and runs tests. Every finding is one line of JSON (`Finding`) on standard output, the
 * tests' own lines are TAP.
 */
import { spawn } from 'node:child_process';
import process from 'node:process';
import { kernelRelease, loadObject } from 'libbpf-ts';
import { rodataWith } from '../../src/kernel/elf.ts';
import { packetHooks, socketHooks } from '../../src/kernel/hooks.ts';
import { encodeConfig, readObjects } from '../../src/kernel/objects.ts';
import { features } from '../../src/kernel/probes.ts';
import type { Finding } from './finding.ts';

/** The programs as bytes on packets, the loader, the links, and the rows; then real traffic in one shape of node. */
const suites: readonly (readonly string[])[] = [
  ['bpf/tc.test.ts', 'bpf/connect.test.ts', 'test/layout/*.test.ts'],
  ['src/kernel/*.test.ts'],
  ['test/netns/clusterip.test.ts', '--match=ptp:*'],
];

function tell(finding: Finding): void {
  console.log(JSON.stringify(finding));
}

async function tellPrograms(): Promise<void> {
  const objects = readObjects();
  const hooks = { tc: packetHooks, connect: socketHooks } as const;
  for (const name of ['tc', 'connect'] as const) {
    for (const program of hooks[name]) {
      try {
        const rodata = rodataWith(objects[name], 'config', Buffer.from(encodeConfig(0n), 'hex'));
        using object = await loadObject(objects[name], { name, rodata, programs: [program] });
        tell({
          kind: 'program',
          name: program,
          instructions: object.programs[program]?.info.verifiedInstructions ?? 0,
        });
      } catch (error) {
        tell({ kind: 'refused', name: program, reason: (error as Error).message });
      }
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
for (const words of suites) {
  const started = performance.now();
  const code = await runTests(words);
  tell({ kind: 'suite', name: words[0] ?? '', code, seconds: Math.round((performance.now() - started) / 1000) });
}
tell({ kind: 'end' });
process.exit(0);
