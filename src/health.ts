import type { KubeNode } from './kube/parse.ts';
import { families, makeProgress, type Progress } from './progress.ts';

/** A change that is not in the kernel after so long makes the proxy unhealthy. */
const PATIENCE_MS = 60_000;

/** Go's point in time that is none. */
const NEVER = '0001-01-01T00:00:00Z';

/** What kube-proxy answers at /livez; at /healthz with `nodeEligible`. Times are RFC 3339. */
export interface HealthReport {
  readonly lastUpdated: string;
  readonly currentTime: string;
  readonly nodeEligible?: boolean;
  readonly healthy: boolean;
  /** Of families whose state is known. */
  readonly status: Readonly<
    Partial<Record<'IPv4' | 'IPv6', { readonly lastUpdated: string; readonly healthy: boolean }>>
  >;
}

export interface HealthAnswer {
  readonly code: 200 | 503;
  readonly report: HealthReport;
}

export interface Health {
  readonly progress: Progress;
  /** The own Node, as the cluster tells it; undefined: it is unknown. */
  node: KubeNode | undefined;
  /** Whether what the cluster wants gets into the kernel in time, whatever becomes of the Node. */
  isHealthy(): boolean;
  /** Also: whether load balancers are to send anything to this node. */
  healthz(): HealthAnswer;
  livez(): HealthAnswer;
}

export function makeHealth(progress: Progress = makeProgress(), now: () => number = Date.now): Health {
  const statuses = () => families.map((family) => ({ family, ...progress.of(family) }));

  function answer(isEligible: boolean, more: { readonly nodeEligible?: boolean }): HealthAnswer {
    const all = statuses();
    const healthy = all.every(isInTime);
    const isGood = healthy && isEligible;
    const last = all.flatMap(({ lastApplied }) => lastApplied ?? []).reduce((a, b) => Math.max(a, b), 0);
    const currentTime = now();
    const known = all.filter((status) => status.lastApplied !== null || !isInTime(status));
    const status = known.map((one) => [
      `IPv${one.family}`,
      { lastUpdated: timeText(one.lastApplied), healthy: isInTime(one) },
    ]);
    return {
      code: isGood ? 200 : 503,
      report: {
        /* As kube-proxy has it: while all is well nothing is out of date, even if nothing has changed for long. */
        lastUpdated: timeText(isGood ? currentTime : last || null),
        currentTime: timeText(currentTime),
        ...more,
        healthy,
        status: Object.fromEntries(status),
      },
    };
  }

  return {
    progress,
    node: undefined,
    isHealthy: () => statuses().every(isInTime),
    healthz() {
      const nodeEligible = this.node !== undefined && !this.node.isLeaving;
      return answer(nodeEligible, { nodeEligible });
    },
    livez: () => answer(true, {}),
  };
}

function isInTime({ oldestPending }: { readonly oldestPending: number | null }): boolean {
  return oldestPending === null || oldestPending < PATIENCE_MS;
}

function timeText(milliseconds: number | null): string {
  return milliseconds === null ? NEVER : new Date(milliseconds).toISOString();
}
