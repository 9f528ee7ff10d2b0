/**
 * Upstream's own tests, `[sig-network]` of e2e.test, on a cluster of ours, of three nodes since some ask for three zones: e2e-tests.txt says which, in parts.
 *
 *   node test/cluster/e2e.ts [PART...]         all parts, unless some are named
 *   PROXY=bpfsvc|nftables|iptables             default bpfsvc
 *   E2E_PROCESSES=N                            how many tests at a time; default 4 for each CPU
 *   E2E_FOCUS=REGEX                            of the chosen ones only those whose name it matches
 *
 * Tells what passed, failed and was skipped and why; exit code 1 if anything failed. Logs and reports stay in build/cluster.
 */
import { mkdirSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { type Cluster, clustersFolder, startCluster } from './cluster.ts';
import {
  focusOn,
  type Outcome,
  parseReport,
  parseTestList,
  type TestList,
  type TestPart,
  testsOf,
} from './e2e-list.ts';
import { parseProxy } from './proxy.ts';

const list: TestList = parseTestList(readFileSync(new URL('e2e-tests.txt', import.meta.url), 'utf8'));
const processes = Number(process.env.E2E_PROCESSES || 4 * availableParallelism());
const upstream = new Set<string>();
const focus = new RegExp(process.env.E2E_FOCUS ?? '');

function chosenParts(words: readonly string[]): TestPart[] {
  const unknown = words.find((word) => !list.parts.some(({ name }) => name === word));
  if (unknown !== undefined) {
    throw new RangeError(`no part ${unknown}; there are ${list.parts.map(({ name }) => name).join(', ')}`);
  }
  const parts = list.parts.filter(({ name }) => words.length === 0 || words.includes(name));
  const focused = parts.map((part) => ({ ...part, tests: part.tests.filter((test) => focus.test(test)) }));
  return focused.filter(({ tests }) => tests.length > 0);
}

/** Runs them together to the end, and reads the report. Tests marked Serial run alone, after the others. */
async function run(cluster: Cluster, together: readonly TestPart[], folder: string): Promise<Outcome[]> {
  const { lab, control, programs } = cluster;
  const reports = join(folder, together.map(({ name }) => name).join('-'));
  rmSync(reports, { recursive: true, force: true });
  mkdirSync(reports, { recursive: true });
  const ginkgo = [join(programs.tests, 'ginkgo'), '-v', '--no-color', '--timeout=60m', `--procs=${processes}`];
  const about = [
    '--provider=skeleton',
    `--kubeconfig=${control.kubeconfig('admin')}`,
    `--kubectl-path=${programs.kubernetes}/kubectl`,
    `--report-dir=${reports}`,
    `--num-nodes=${lab.nodes.length}`,
    '--allowed-not-ready-nodes=0',
    '--node-os-distro=debian',
  ];
  const command = [
    ...ginkgo,
    `--focus=${focusOn(together.flatMap(({ tests }) => tests))}`,
    join(programs.tests, 'e2e.test'),
    '--',
    ...about,
  ];
  const log = openSync(join(reports, 'log'), 'w');
  const child = lab.spawn(lab.outside, command, { stdio: ['ignore', log, log] });
  await new Promise((resolve) => child.once('close', resolve));
  const xml = readdirSync(reports).filter((name) => name.endsWith('.xml'));
  const texts = xml.map((name) => readFileSync(join(reports, name), 'utf8'));
  for (const test of texts.flatMap(testsOf)) upstream.add(test);
  return texts.flatMap(parseReport);
}

/** One line a test; one that is in no report did not run to its end. */
function tell(part: TestPart, outcomes: readonly Outcome[]): { passed: number; failed: number; skipped: number } {
  const tally = { passed: 0, failed: 0, skipped: 0 };
  for (const test of part.tests) {
    const outcome = outcomes.find((candidate) => candidate.test === test);
    const { result, seconds, reason } = outcome ?? { result: 'failed', seconds: 0, reason: 'did not end' };
    tally[result]++;
    const mark = { passed: '✔', failed: '✘', skipped: '-' }[result];
    console.log(
      `  ${mark} ${seconds.toFixed(0).padStart(4)} s  ${test}${reason === '' ? '' : `\n            ${reason}`}`,
    );
  }
  return tally;
}

/** Why the others do not run. Returns how many have no reason: upstream has a test that nobody has looked at. */
function tellSkips(tests: ReadonlySet<string>): number {
  const left = [...tests].filter((test) => !list.parts.some((part) => part.tests.includes(test)));
  const reasonOf = (test: string): string => list.skips.find((rule) => rule.tests.test(test))?.reason ?? '';
  console.log(`\nof the ${tests.size} tests of [sig-network], ${left.length} are left out:`);
  for (const [reason, of] of Map.groupBy(left, reasonOf)) {
    console.log(`  - ${of.length}: ${reason === '' ? 'NO REASON' : reason}`);
    for (const test of of) console.log(`        ${test}`);
  }
  return left.filter((test) => reasonOf(test) === '').length;
}

const proxy = parseProxy(process.env.PROXY || 'bpfsvc');
const parts = chosenParts(process.argv.slice(2));
const folder = join(clustersFolder, `e2e-${proxy}`);
const began = performance.now();
const minutes = (since: number): string => `${((performance.now() - since) / 60_000).toFixed(1)} min`;
const cluster = await startCluster({ tag: 'e2e', proxy, nodes: 3, tell: (text) => console.log(`  ${text}`) });
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130)); // the reaper cleans up
const total = { passed: 0, failed: 0, skipped: 0 };
// what needs a proxy comes first; the rest together, for some of it takes minutes of waiting
for (const together of [parts.slice(0, 1), parts.slice(1)].filter(({ length }) => length > 0)) {
  const count = together.reduce((sum, { tests }) => sum + tests.length, 0);
  console.log(`\nrunning ${count} tests, ${processes} at a time`);
  const start = performance.now();
  const outcomes = await run(cluster, together, folder);
  for (const part of together) {
    console.log(`\n${part.name}: ${part.about}`);
    const tally = tell(part, outcomes);
    console.log(`  ${tally.passed} passed, ${tally.failed} failed, ${tally.skipped} skipped`);
    for (const key of ['passed', 'failed', 'skipped'] as const) total[key] += tally[key];
  }
  console.log(`  in ${minutes(start)}`);
}
await cluster[Symbol.asyncDispose]();
const unknown = tellSkips(upstream);
console.log(
  `\nunder ${proxy}: ${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped (${minutes(began)}); logs in ${folder}`,
);
process.exitCode = total.failed + unknown === 0 ? 0 : 1;
