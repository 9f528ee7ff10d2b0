/**
 * Puts each fault of list.ts into a copy of the tree, one at a time, and demands that its tests turn red.
 *
 *   node test/mutants/run.ts [PART-OF-A-NAME-OR-FILE...]
 *
 * Exit code 1 if a fault survives, does not apply or wrecks everything, or if the tests are red without any fault.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, sep } from 'node:path';
import { mutants } from './list.ts';
import { applyMutant, type Mutant, rebuildOf } from './mutant.ts';

const root = join(import.meta.dirname, '../..');

interface Outcome {
  readonly passed: number;
  /** Titles, without the file, which ava tells only if there are several. */
  readonly red: readonly string[];
  readonly output: string;
}

/** The tree with what is built. Packages are links, but for libbpf-ts, which is the copy's own. */
function copyTree(from: string, to: string): void {
  const left = new Set(['node_modules', '.git', '.cache', 'bin', join('build', 'cluster'), join('build', 'image')]);
  rmSync(to, { recursive: true, force: true });
  cpSync(from, to, {
    recursive: true,
    preserveTimestamps: true, // else make builds everything again
    filter: (path) => [1, 2].every((depth) => !left.has(relative(from, path).split(sep).slice(0, depth).join(sep))),
  });
  const packages = join(to, 'node_modules');
  mkdirSync(packages);
  for (const name of readdirSync(join(root, 'node_modules')))
    symlinkSync(name === 'libbpf-ts' ? '../native' : join(root, 'node_modules', name), join(packages, name));
}

/** Throws with the compiler's words if it does not build. */
function rebuild(folder: string, what: 'bpf' | 'native'): void {
  const installed = ['-o', 'node_modules/.package-lock.json', '-o', 'build/.packages'];
  const objects = readdirSync(join(folder, 'bpf')).filter((name) => name.endsWith('.bpf.c'));
  const targets = objects.map((name) => `build/bpf/${name.replace(/c$/, 'o')}`);
  const args = what === 'native' ? ['-C', 'native'] : [...installed, ...targets];
  const { status, stderr } = spawnSync('make', args, { cwd: folder, encoding: 'utf8' });
  if (status !== 0) throw new Error(`does not build: ${stderr}`);
}

function runTests(folder: string, files: readonly string[]): Outcome {
  const { stdout, stderr } = spawnSync('ava', ['--tap', ...files], {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    env: { ...process.env, PATH: `${join(root, 'node_modules/.bin')}:${process.env.PATH}` },
  });
  const lines = stdout.split('\n');
  return {
    passed: lines.filter((line) => /^ok \d/.test(line)).length,
    red: lines.filter((line) => /^not ok \d/.test(line)).map((line) => line.replace(/^not ok \d+ - (.* › )?/, '')),
    output: stdout + stderr,
  };
}

/** What became of one fault: the tests that it turned red, or why it does not count. */
function tryMutant(
  sound: string,
  mutant: Mutant,
  redBefore: ReadonlySet<string>,
): { red: readonly string[] } | { fault: string } {
  const folder = `${sound}-mutant`;
  const compiled = rebuildOf(mutant);
  copyTree(sound, folder);
  try {
    const path = join(folder, mutant.file);
    writeFileSync(path, applyMutant(mutant, readFileSync(path, 'utf8')));
    if (compiled !== null) rebuild(folder, compiled);
  } catch (error) {
    return { fault: error instanceof Error ? error.message : String(error) };
  }
  const { passed, red: redNow } = runTests(folder, [mutant.tests]);
  const red = redNow.filter((title) => !redBefore.has(title));
  if (red.length === 0) return { fault: passed === 0 ? 'no test ran' : 'SURVIVES' };
  /* a program that is not even loaded says nothing about the test that should have noticed */
  if (compiled !== null && passed === 0) return { fault: 'wrecks everything: no test passes' };
  return { red };
}

/** What is red without any fault. */
function findRed(sound: string, tests: readonly string[]): ReadonlySet<string> {
  const { passed, red, output } = runTests(sound, tests);
  console.log(`without a fault: ${passed} passed, ${red.length} failed`);
  for (const title of red) console.log(`  ✘ ${title}`);
  if (passed === 0) throw new Error(`no test passes without a fault:\n${output}`);
  return new Set(red);
}

function main(parts: readonly string[]): boolean {
  const wanted = mutants.filter(
    ({ name, file }) => parts.length === 0 || parts.some((part) => name.includes(part) || file.includes(part)),
  );
  if (wanted.length === 0) throw new Error(`no fault is called ${parts.join(' or ')}`);
  const folder = mkdtempSync(join(tmpdir(), 'mutants-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1));

  const tests = [...new Set(wanted.map((mutant) => mutant.tests))].sort();
  /* a copy that stands still while the tree may be worked on */
  const sound = join(folder, 'tree');
  copyTree(root, sound);
  rebuild(sound, 'bpf');
  rebuild(sound, 'native');
  const redBefore = findRed(sound, tests);
  let noticed = 0;
  for (const mutant of wanted) {
    const result = tryMutant(sound, mutant, redBefore);
    if ('red' in result) noticed++;
    const verdict = 'red' in result ? `${result.red.length} red: ${result.red[0]}` : result.fault;
    console.log(`${'red' in result ? '✔' : '✘'} ${mutant.file}: ${mutant.name}\n    ${verdict}`);
  }
  console.log(`\n${noticed} of ${wanted.length} faults noticed`);
  /* once more: a machine on which they fail by themselves would notice every fault */
  const redAfter = findRed(sound, tests);
  return noticed === wanted.length && redBefore.size + redAfter.size === 0;
}

process.exitCode = main(process.argv.slice(2)) ? 0 : 1;
