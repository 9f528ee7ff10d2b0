/**
 * Random worlds and packets: the programs against the reference.
 *
 *   node test/fuzz/run.ts [--seed N] [--path P] [--worlds N] [--minutes N]
 *
 * Without --seed a new one, which is printed. Exit code 1 if they differ somewhere, or if something was never met.
 */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { type Case, caseArbitrary } from './arbitraries.ts';
import { compare, Difference } from './compare.ts';
import { Coverage } from './coverage.ts';
import { writeFailure } from './report.ts';
import { openTheatre } from './theatre.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    path: { type: 'string' },
    worlds: { type: 'string' },
    minutes: { type: 'string' },
  },
});
process.exitCode = (await main()) ? 0 : 1;

async function main(): Promise<boolean> {
  const seed = values.seed === undefined ? Math.trunc(Math.random() * 2 ** 31) : Number(values.seed);
  const milliseconds = values.minutes === undefined ? undefined : Number(values.minutes) * 60_000;
  const worlds = values.worlds === undefined ? (milliseconds === undefined ? 300 : 1e9) : Number(values.worlds);
  const coverage = new Coverage();
  await using theatre = await openTheatre();
  console.log(`seed ${seed}`);
  const property = fc.asyncProperty(caseArbitrary, async (one) => {
    for (const met of await compare(theatre, one)) coverage.add(met);
    coverage.worlds += 1;
  });
  const started = performance.now();
  const result = await fc.check(property, {
    seed,
    numRuns: worlds,
    ...(values.path !== undefined && { path: values.path }),
    ...(milliseconds !== undefined && { interruptAfterTimeLimit: milliseconds }),
  });
  const seconds = (performance.now() - started) / 1000;
  console.log(coverage.table());
  console.log(`${coverage.worlds} worlds, ${coverage.flows} flows in ${seconds.toFixed(1)} s`);
  if (result.counterexample !== null) {
    tellFailure(result);
    return false;
  }
  const missing = coverage.missing();
  if (missing.length > 0) console.log(`never met:\n  ${missing.join('\n  ')}`);
  return missing.length === 0;
}

function tellFailure(result: fc.RunDetails<[Case]>): void {
  const { counterexample, errorInstance, seed, counterexamplePath } = result;
  const [found] = counterexample ?? [];
  console.log(`again: node test/fuzz/run.ts --seed ${seed} --path ${counterexamplePath}`);
  if (found !== undefined && errorInstance instanceof Difference) {
    const file = join(tmpdir(), `bpfsvc-fuzz-${seed}.yaml`);
    console.log(writeFailure(file, found.world, errorInstance.flow));
  } else if (found !== undefined) {
    console.log(JSON.stringify(found, null, 1));
  }
  console.log(errorInstance instanceof Difference ? errorInstance.message : errorInstance);
}
