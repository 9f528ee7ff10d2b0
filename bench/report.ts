import { cpus, release } from 'node:os';
import { judge, type Verdict } from './goals.ts';
import { kubeProxyVersion } from './peers.ts';
import { figures, quantile, type Ratio, type Rounds, ratio, type tests } from './statistics.ts';
import type { Variant } from './variants.ts';

export interface Report {
  readonly machine: { readonly cpu: string; readonly kernel: string; readonly kubeProxyRules: string };
  readonly rounds: number;
  readonly variants: readonly {
    readonly name: string;
    readonly about: string;
    /** Microseconds of one transaction: the median over the rounds of each round's median. */
    readonly microseconds: Readonly<Record<(typeof tests)[number], number>>;
    /** Speed in terms of direct. */
    readonly toDirect: Readonly<Record<(typeof tests)[number], Ratio>>;
  }[];
  readonly goals: readonly Verdict[];
}

export function makeReport(variants: readonly Pick<Variant, 'name' | 'about'>[], rounds: Rounds): Report {
  const perTest = <T>(value: (test: (typeof tests)[number]) => T) => ({ rr: value('rr'), connect: value('connect') });
  return {
    machine: { cpu: cpus()[0]?.model ?? '', kernel: release(), kubeProxyRules: kubeProxyVersion },
    rounds: figures(rounds, 'rr', 'direct').length,
    variants: variants.map(({ name, about }) => ({
      name,
      about,
      microseconds: perTest((test) => quantile(figures(rounds, test, name), 0.5) / 1000),
      toDirect: perTest((test) => ratio(rounds, test, name, 'direct')),
    })),
    goals: judge(rounds),
  };
}

/** The report as people read it. */
export function formatReport(report: Report): string {
  const { machine, variants, goals, rounds } = report;
  const us = (value: number): string => value.toFixed(1);
  const spread = ({ median, quartiles: [low, high] }: Ratio): string =>
    `${median.toFixed(3)} ±${((high - low) / 2).toFixed(3)}`;
  return [
    `${machine.cpu}, Linux ${machine.kernel}; one core, ${rounds} rounds, medians; peers: kube-proxy ${machine.kubeProxyRules}`,
    '',
    ...table([
      ['VARIANT', 'RR US', 'TO DIRECT', 'CONNECT US', 'TO DIRECT', ''],
      ...variants.map(({ name, about, microseconds, toDirect }) => [
        name,
        us(microseconds.rr),
        spread(toDirect.rr),
        us(microseconds.connect),
        spread(toDirect.connect),
        about,
      ]),
    ]),
    '',
    ...table([
      ['GOAL', 'FLOOR', 'GOAL', 'MEASURED', ''],
      ...goals.map(({ what, floor, goal, measured, verdict }) => [
        what,
        floor.toFixed(2),
        goal.toFixed(2),
        spread(measured),
        verdict,
      ]),
    ]),
    '',
  ].join('\n');
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('   ')
      .trimEnd(),
  );
}
