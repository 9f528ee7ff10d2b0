import type { Test } from './prober.ts';
import { type Ratio, type Rounds, ratio } from './statistics.ts';

/** What must not be undercut, and what we aim at, as a ratio of speeds. */
export interface Goal {
  readonly what: string;
  readonly test: Test;
  readonly variant: string;
  readonly base: string;
  readonly floor: number;
  readonly goal: number;
}

function both(what: string, variant: string, base: string, rr: [number, number], connect: [number, number]): Goal[] {
  return [
    { what: `RR, ${what}`, test: 'rr', variant, base, floor: rr[0], goal: rr[1] },
    { what: `connect, ${what}`, test: 'connect', variant, base, floor: connect[0], goal: connect[1] },
  ];
}

/**
 * The socket hook is judged by itself, and beside tc programs against pod to pod beside the same programs: what those
 * cost to traffic that is not theirs has a goal of its own.
 */
export const goals: readonly Goal[] = [
  ...both('socket hook to direct', 'socket alone@10k', 'direct', [0.97, 1.0], [0.95, 0.98]),
  ...both('socket hook beside tc to pod to pod beside tc', 'socket@10k', 'not ours', [0.97, 1.0], [0.95, 0.98]),
  ...both('tc to direct', 'tc@10k', 'direct', [0.93, 0.96], [0.91, 0.96]),
  ...both('tc with bypass to direct', 'tc bypass@10k', 'direct', [1.03, 1.08], [0.99, 1.04]),
  ...both('nodePort to routed', 'bpfsvc@10k nodePort', 'routed', [0.86, 0.9], [0.87, 0.91]),
  ...both('nodePort, 10k services to 1', 'bpfsvc@10k nodePort', 'bpfsvc@1 nodePort', [0.97, 1.0], [0.97, 1.0]),
  ...both('socket hook, 10k services to 1', 'socket@10k', 'socket@1', [0.97, 1.0], [0.97, 1.0]),
  ...both('tc, 10k services to 1', 'tc@10k', 'tc@1', [0.97, 1.0], [0.97, 1.0]),
  {
    what: 'connect, socket hook to iptables, 10k',
    test: 'connect',
    variant: 'socket alone@10k',
    base: 'iptables@10k',
    floor: 1.6,
    goal: 1.8,
  },
  {
    what: 'connect, socket hook to nftables, 10k',
    test: 'connect',
    variant: 'socket alone@10k',
    base: 'nftables@10k',
    floor: 1.1,
    goal: 1.2,
  },
  {
    what: 'RR, pod to pod with programs attached',
    test: 'rr',
    variant: 'not ours',
    base: 'direct',
    floor: 0.96,
    goal: 0.99,
  },
];

export interface Verdict extends Goal {
  readonly measured: Ratio;
  readonly verdict: 'reached' | 'above the floor' | 'below the floor';
}

/** Judged to three digits, as printed. */
export function judge(rounds: Rounds): Verdict[] {
  return goals.map((goal) => {
    const measured = ratio(rounds, goal.test, goal.variant, goal.base);
    const shown = Math.round(measured.median * 1000) / 1000;
    const verdict = shown >= goal.goal ? 'reached' : shown >= goal.floor ? 'above the floor' : 'below the floor';
    return { ...goal, measured, verdict };
  });
}
