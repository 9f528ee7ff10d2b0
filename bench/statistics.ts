import type { Test } from './prober.ts';

export const tests: readonly Test[] = ['rr', 'connect'];

/** Medians of the 50th percentiles of each visit, in nanoseconds: variant → test → one figure for each round. */
export type Rounds = ReadonlyMap<string, Readonly<Record<Test, readonly number[]>>>;

/** The q-quantile of numbers in any order, between neighbours if need be; NaN of none. */
export function quantile(numbers: readonly number[], q: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const at = q * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(at)] ?? Number.NaN, sorted[Math.ceil(at)] ?? Number.NaN];
  return low + (high - low) * (at - Math.floor(at));
}

export interface Ratio {
  readonly median: number;
  readonly quartiles: readonly [number, number];
}

/** How fast `variant` is in terms of `base`, 1 as fast, more is better: ratios within each round, then their median. */
export function ratio(rounds: Rounds, test: Test, variant: string, base: string): Ratio {
  const [mine, theirs] = [figures(rounds, test, variant), figures(rounds, test, base)];
  const ratios = mine.map((nanoseconds, round) => (theirs[round] ?? Number.NaN) / nanoseconds);
  return { median: quantile(ratios, 0.5), quartiles: [quantile(ratios, 0.25), quantile(ratios, 0.75)] };
}

export function figures(rounds: Rounds, test: Test, variant: string): readonly number[] {
  const found = rounds.get(variant);
  if (found === undefined) throw new RangeError(`no variant ${variant}`);
  return found[test];
}
