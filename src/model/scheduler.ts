/** How a new connection gets one of those who may answer: see bpf/schedule.h. */
export const schedulers = ['random', 'rr', 'lc', 'sed', 'nq', 'sh', 'dh', 'maglev'] as const;
export type Scheduler = (typeof schedulers)[number];

export const defaultScheduler: Scheduler = 'random';

/** IPVS's words for the same, in the absence of weights. */
const alsoCalled: Readonly<Record<string, Scheduler>> = { wrr: 'rr', wlc: 'lc', mh: 'maglev' };

/** Null: there is no such scheduler. */
export function parseScheduler(text: string): Scheduler | null {
  if (Object.hasOwn(alsoCalled, text)) return alsoCalled[text] ?? null;
  return schedulers.find((one) => one === text) ?? null;
}

/** Is it chosen by how many connections there are? Without weights all of these are one and the same. */
export function isByConnections(scheduler: Scheduler): boolean {
  return scheduler === 'lc' || scheduler === 'sed' || scheduler === 'nq';
}
