import type { Cost } from './measure.ts';

/** What must not be exceeded, and what we aim at; less is better. */
export interface Limit {
  readonly what: string;
  readonly unit: 's' | 'ms' | 'MB';
  readonly floor: number;
  readonly goal: number;
  readonly of: (cost: Cost) => number | undefined;
}

/** For 10,000 Services of ten endpoints. */
export const limits: readonly Limit[] = [
  { what: 'start to programmed', unit: 's', floor: 3, goal: 1, of: ({ start }) => start?.seconds },
  { what: 'one change, event to kernel, p99', unit: 'ms', floor: 50, goal: 5, of: ({ change }) => change?.event.p99 },
  { what: 'resident, 100,000 endpoints', unit: 'MB', floor: 140, goal: 100, of: (cost) => cost.loadedMegabytes },
  { what: 'resident, idle', unit: 'MB', floor: 80, goal: 65, of: (cost) => cost.idleMegabytes },
];

export interface LimitVerdict {
  readonly what: string;
  readonly unit: Limit['unit'];
  readonly floor: number;
  readonly goal: number;
  /** null: it never came to that. */
  readonly measured: number | null;
  readonly verdict: 'reached' | 'above the floor' | 'below the floor';
}

export function judgeCost(cost: Cost): LimitVerdict[] {
  return limits.map(({ what, unit, floor, goal, of }) => {
    const measured = of(cost) ?? null;
    const shown = measured === null ? Infinity : Math.round(measured * 10) / 10;
    const verdict = shown <= goal ? 'reached' : shown <= floor ? 'above the floor' : 'below the floor';
    return { what, unit, floor, goal, measured, verdict };
  });
}
