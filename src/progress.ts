import type { Trigger } from './kube/triggers.ts';

export type Family = 4 | 6;

export const families: readonly Family[] = [4, 6];

/** What became of one Service. */
export interface Change {
  /** 'namespace/name'; '' is what belongs to none of them. */
  readonly name: string;
  readonly families: readonly Family[];
  readonly isService: boolean;
  readonly isEndpoints: boolean;
}

interface Pending extends Change {
  /** By the steady clock. */
  readonly since: number;
}

export interface FamilyProgress {
  /** Milliseconds since 1970; null: never. */
  readonly lastQueued: number | null;
  readonly lastApplied: number | null;
  /** How long the oldest change waits that is not in the kernel, in milliseconds; null: none does. */
  readonly oldestPending: number | null;
}

/** Counts what arrives against what the kernel has confirmed. */
export interface Progress {
  queued(changes: readonly Change[], triggers: readonly Trigger[]): void;
  /** A pass begins with all that was queued until now. */
  begun(): void;
  /** It ended: what is named here, or all of it, is not in the kernel yet. */
  ended(failed: 'all' | ReadonlySet<string>): void;
  of(family: Family): FamilyProgress;
  readonly services: { readonly total: number; readonly pending: number };
  readonly endpoints: { readonly total: number; readonly pending: number };
  /** Who is told how many seconds a change took from its cause to the kernel. */
  onProgrammed: (family: Family, seconds: number) => void;
}

/** Wall: milliseconds since 1970. Steady: milliseconds since whenever, and never back. */
export interface Clock {
  wall(): number;
  steady(): number;
}

const realClock: Clock = { wall: () => Date.now(), steady: () => performance.now() };

export function makeProgress(clock: Clock = realClock): Progress {
  const started = clock.wall();
  const lastQueued = new Map<Family, number>();
  const lastApplied = new Map<Family, number>();
  let waiting = new Map<string, Pending>();
  let underWay = new Map<string, Pending>();
  let newTriggers: Trigger[] = [];
  let triggersUnderWay: Trigger[] = [];
  let services = 0;
  let endpoints = 0;

  const wait = (change: Pending) => waiting.set(change.name, merged(waiting.get(change.name), change));
  const pending = () => [...waiting.values(), ...underWay.values()];
  const count = (is: (change: Change) => boolean) =>
    new Set(
      pending()
        .filter(is)
        .map(({ name }) => name),
    ).size;

  return {
    queued(changes, triggers) {
      const since = clock.steady();
      for (const change of changes) {
        wait({ ...change, since });
        services += Number(change.isService);
        endpoints += Number(change.isEndpoints);
        for (const family of change.families) lastQueued.set(family, clock.wall());
      }
      // what changed before there was an agent says nothing of it
      newTriggers.push(...triggers.filter(({ at }) => at > started));
    },
    begun() {
      underWay = new Map([...underWay, ...waiting]);
      waiting = new Map();
      triggersUnderWay.push(...newTriggers);
      newTriggers = [];
    },
    ended(failed) {
      const since = clock.steady();
      const left = new Set(failed === 'all' ? underWay.keys() : failed);
      for (const name of left) {
        const unknown = { name, families, isService: false, isEndpoints: false, since };
        wait(underWay.get(name) ?? unknown);
      }
      const unfinished = new Set([...left].flatMap((name) => waiting.get(name)?.families ?? []));
      if (failed === 'all') newTriggers.unshift(...triggersUnderWay);
      else {
        for (const family of families) if (!unfinished.has(family)) lastApplied.set(family, clock.wall());
        for (const { family, at } of triggersUnderWay) this.onProgrammed(family, Math.max(0, clock.wall() - at) / 1000);
      }
      underWay = new Map();
      triggersUnderWay = [];
    },
    of(family) {
      const since = pending().flatMap((change) => (change.families.includes(family) ? change.since : []));
      return {
        lastQueued: lastQueued.get(family) ?? null,
        lastApplied: lastApplied.get(family) ?? null,
        oldestPending: since.length === 0 ? null : clock.steady() - since.reduce((a, b) => Math.min(a, b)),
      };
    },
    get services() {
      return { total: services, pending: count(({ isService }) => isService) };
    },
    get endpoints() {
      return { total: endpoints, pending: count(({ isEndpoints }) => isEndpoints) };
    },
    onProgrammed: () => {},
  };
}

function merged(earlier: Pending | undefined, later: Pending): Pending {
  if (earlier === undefined) return later;
  return {
    name: later.name,
    families: families.filter((family) => earlier.families.includes(family) || later.families.includes(family)),
    isService: earlier.isService || later.isService,
    isEndpoints: earlier.isEndpoints || later.isEndpoints,
    since: Math.min(earlier.since, later.since),
  };
}
