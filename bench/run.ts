/**
 * usage: bench/run.ts [--rounds N] [--seconds S] [--json FILE] [--floor]
 *
 * Measures bpfsvc beside a plain path and beside the rules of kube-proxy. Client and server share one core, so that the
 * time of a transaction is the cost of its whole path; every round visits every variant, forwards and backwards in turn,
 * and only ratios within a round are compared: absolute times are the machine's. --floor exits with 1 if one is undercut.
 */
import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { measureFrames } from './frames.ts';
import { measurePackets } from './packets.ts';
import { buildTools, type Test } from './prober.ts';
import { formatReport, makeReport } from './report.ts';
import { type Rounds, tests } from './statistics.ts';
import { setStage, type Variant } from './variants.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '11' },
    seconds: { type: 'string', default: '0.25' },
    json: { type: 'string' },
    floor: { type: 'boolean', default: false },
  },
});

function say(what: string): void {
  process.stderr.write(`${what}\n`);
}

async function visit(variant: Variant, test: Test, seconds: number): Promise<number> {
  const { name, prober, address, port } = variant;
  const sample = await prober.measure(test, address, port, seconds);
  if (sample.count === 0 || sample.errors > 0) {
    throw new Error(`${name}, ${test} to ${address}:${port}: ${sample.errors} failed, ${sample.errno}`);
  }
  return sample.p50;
}

async function measure(variants: readonly Variant[], count: number, seconds: number): Promise<Rounds> {
  const rounds = new Map(variants.map(({ name }) => [name, { rr: [] as number[], connect: [] as number[] }]));
  for (let round = 0; round < count; round++) {
    process.stderr.write(`\rround ${round + 1} of ${count} `);
    for (const variant of round % 2 === 0 ? variants : variants.toReversed()) {
      for (const test of tests) rounds.get(variant.name)?.[test].push(await visit(variant, test, seconds));
    }
  }
  process.stderr.write('\n');
  return rounds;
}

buildTools();
await using stage = await setStage(availableParallelism() - 1, say);
const rounds = await measure(stage.variants, Number(values.rounds), Number(values.seconds));
await stage.verify();
const packets = [...(await measurePackets(Number(values.rounds))), ...(await measureFrames(Number(values.rounds)))];
const report = makeReport(stage.variants, rounds, packets);
process.stdout.write(`\n${formatReport(report)}`);
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
const verdicts = [...report.goals, ...report.packets];
if (values.floor && verdicts.some(({ verdict }) => verdict === 'below the floor')) process.exitCode = 1;
