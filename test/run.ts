/**
 * Runs the suites one after the other and ends with one line that sums them: `N passed, N failed`.
 *
 *   node test/run.ts [lint] [unit] [native] [kernel] [netns]
 *
 * Without names, all of them. Exit code 1 if anything failed or a suite ran nothing.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

/** One command that counts as one test. */
interface Check {
  readonly title: string;
  readonly command: readonly string[];
}

type Suite =
  | { readonly name: string; readonly files: readonly string[] }
  | { readonly name: string; readonly checks: readonly Check[] };

const suites: readonly Suite[] = [
  {
    name: 'lint',
    checks: [
      { title: 'biome: format and lint', command: ['biome', 'check', '.'] },
      { title: 'tsc: types', command: ['tsc', '-p', '.'] },
      { title: 'clang-format: programs', command: ['sh', '-c', 'clang-format --dry-run --Werror bpf/*.c bpf/*.h'] },
    ],
  },
  {
    name: 'unit',
    files: [
      'src/layout.test.ts',
      'src/model/*.test.ts',
      'src/plan/*.test.ts',
      'src/kube/*.test.ts',
      'src/takeover/*.test.ts',
      'src/support/*.test.ts',
      'bpf/layout.test.ts',
      'test/*.test.ts',
      'test/api/*.test.ts',
      'test/kernels/*.test.ts',
      'test/cluster/e2e-list.test.ts',
      'bench/*.test.ts',
      'deploy/**/*.test.ts',
    ],
  },
  { name: 'native', files: ['native/*.test.ts'] },
  {
    name: 'kernel',
    files: [
      'bpf/*.test.ts',
      '!bpf/layout.test.ts',
      'src/kernel/*.test.ts',
      'src/*.test.ts',
      '!src/layout.test.ts',
      'src/commands/*.test.ts',
      'src/explain/*.test.ts',
      'test/layout/*.test.ts',
      'test/fuzz/*.test.ts',
      'test/scenarios/*.test.ts',
    ],
  },
  { name: 'netns', files: ['test/netns/*.test.ts'] },
];

function run(command: readonly string[], onLine: (line: string) => void): Promise<number> {
  const [program = '', ...args] = command;
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  createInterface({ input: child.stdout }).on('line', onLine);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve(code ?? 1));
  });
}

async function runCheck(check: Check): Promise<Tally> {
  const output: string[] = [];
  const code = await run(check.command, (line) => output.push(line));
  console.log(`${code === 0 ? '  ✔' : '  ✘'} ${check.title}`);
  if (code !== 0) console.log(output.join('\n'));
  return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 };
}

/** Counts ava's TAP lines; prints what failed with its detail, and one dot-less line a file otherwise. */
async function runAva(files: readonly string[]): Promise<Tally> {
  const tally: Tally = { passed: 0, failed: 0, skipped: 0 };
  let inFailure = false;
  const code = await run(['ava', '--tap', ...files], (line) => {
    if (/^ok \d+.*# SKIP/.test(line)) tally.skipped++;
    else if (/^ok \d+/.test(line)) tally.passed++;
    else if (/^not ok \d+/.test(line)) tally.failed++;
    if (/^(not )?ok \d+/.test(line)) inFailure = line.startsWith('not');
    if (/^# .*(tests|pass|fail) /.test(line)) inFailure = false;
    if (inFailure) console.log(`  ${line}`);
  });
  if (code !== 0 && tally.failed === 0) tally.failed = 1;
  if (tally.passed + tally.failed === 0) tally.failed = 1;
  return tally;
}

async function runSuite(suite: Suite): Promise<Tally> {
  console.log(`${suite.name}`);
  const started = performance.now();
  const total: Tally = { passed: 0, failed: 0, skipped: 0 };
  const parts = 'checks' in suite ? suite.checks.map((check) => () => runCheck(check)) : [() => runAva(suite.files)];
  for (const part of parts) {
    const tally = await part();
    total.passed += tally.passed;
    total.failed += tally.failed;
    total.skipped += tally.skipped;
  }
  const seconds = Math.round((performance.now() - started) / 1000);
  console.log(
    `  ${total.passed} passed, ${total.failed} failed${total.skipped ? `, ${total.skipped} skipped` : ''} (${seconds} s)\n`,
  );
  return total;
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !suites.some((suite) => suite.name === name));
if (unknown.length) {
  console.error(`no such suite: ${unknown.join(', ')}; there are ${suites.map((suite) => suite.name).join(', ')}`);
  process.exit(2);
}
const total: Tally = { passed: 0, failed: 0, skipped: 0 };
for (const suite of suites) {
  if (wanted.length && !wanted.includes(suite.name)) continue;
  const tally = await runSuite(suite);
  total.passed += tally.passed;
  total.failed += tally.failed;
  total.skipped += tally.skipped;
}
console.log(`${total.passed} passed, ${total.failed} failed${total.skipped ? `, ${total.skipped} skipped` : ''}`);
process.exitCode = total.failed === 0 ? 0 : 1;
