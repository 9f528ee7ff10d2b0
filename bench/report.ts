import { cpus, release } from 'node:os';
import { judge, type Verdict } from './goals.ts';
import type { PacketCost } from './packets.ts';
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
    readonly base: Variant['base'];
    /** Speed in terms of the base. */
    readonly toBase: Readonly<Record<(typeof tests)[number], Ratio>>;
  }[];
  readonly goals: readonly Verdict[];
  readonly packets: readonly (PacketCost & { readonly verdict: Verdict['verdict'] })[];
}

export function makeReport(
  variants: readonly Pick<Variant, 'name' | 'about' | 'base'>[],
  rounds: Rounds,
  packets: readonly PacketCost[],
): Report {
  const perTest = <T>(value: (test: (typeof tests)[number]) => T) => ({ rr: value('rr'), connect: value('connect') });
  return {
    machine: { cpu: cpus()[0]?.model ?? '', kernel: release(), kubeProxyRules: kubeProxyVersion },
    rounds: figures(rounds, 'rr', 'direct').length,
    variants: variants.map(({ name, about, base }) => ({
      name,
      about,
      base,
      microseconds: perTest((test) => quantile(figures(rounds, test, name), 0.5) / 1000),
      toBase: perTest((test) => ratio(rounds, test, name, base)),
    })),
    goals: judge(rounds),
    packets: packets.map((cost) => ({ ...cost, verdict: verdictOf(cost) })),
  };
}

/** The report as people read it. */
export function formatReport(report: Report): string {
  const { machine, variants, goals, packets, rounds } = report;
  const us = (value: number): string => value.toFixed(1);
  const spread = ({ median, quartiles: [low, high] }: Ratio): string =>
    `${median.toFixed(3)} ±${((high - low) / 2).toFixed(3)}`;
  return [
    `${machine.cpu}, Linux ${machine.kernel}; one core, ${rounds} rounds, medians; peers: kube-proxy ${machine.kubeProxyRules}`,
    '',
    ...table([
      ['VARIANT', 'RR US', 'TO BASE', 'CONNECT US', 'TO BASE', 'BASE', ''],
      ...variants.map(({ name, about, base, microseconds, toBase }) => [
        name,
        us(microseconds.rr),
        spread(toBase.rr),
        us(microseconds.connect),
        spread(toBase.connect),
        base,
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
    ...table([
      ['PROGRAM', 'PACKET', 'FLOOR NS', 'GOAL NS', 'MEASURED', ''],
      ...packets.map(({ program, packet, floor, goal, nanoseconds, verdict }) => [
        program,
        packet,
        String(floor),
        String(goal),
        nanoseconds.toFixed(0),
        verdict,
      ]),
    ]),
    '',
  ].join('\n');
}

/** Less is better here. */
function verdictOf({ nanoseconds, floor, goal }: PacketCost): Verdict['verdict'] {
  const shown = Math.round(nanoseconds);
  return shown <= goal ? 'reached' : shown <= floor ? 'above the floor' : 'below the floor';
}

/** Lines with the cells of a column below each other. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('   ')
      .trimEnd(),
  );
}
