import type { Counter, Gauge, Histogram, Registry } from '@prometheus-io/client';
import type { HealthPath } from './health-server.ts';
import { noLocalOf } from './model/no-local.ts';
import type { World } from './plan/plan.ts';
import { type Family, families, type Progress } from './progress.ts';

/** The classes, as whoever loads them gives them. */
export interface Makers {
  readonly Counter: typeof Counter;
  readonly Gauge: typeof Gauge;
  readonly Histogram: typeof Histogram;
}

/** What kube-proxy counts and we too, under kube-proxy's names, labels and buckets (those of Kubernetes 1.36). */
export interface ProxyMetrics {
  synced(seconds: number, isFull: boolean): void;
  answered(path: HealthPath, code: number): void;
  follow(progress: Progress): void;
  /** Makes gauges and counters true now. */
  collect(world: World | undefined): void;
}

const syncBuckets = Array.from({ length: 15 }, (_, i) => 0.001 * 2 ** i);

/** The 0 is kube-proxy's, too. */
const programmingBuckets = [
  0,
  ...linear(0.25, 0.25, 2),
  ...linear(1, 1, 59),
  ...linear(60, 5, 12),
  ...linear(120, 30, 7),
];

export function makeProxyMetrics({ Counter, Gauge, Histogram }: Makers, registers: Registry[]): ProxyMetrics {
  const metric = (name: string, help: string) => ({ name: `kubeproxy_${name}`, help, registers });
  const byFamily = ['ip_family'] as const;
  const histogram = (name: string, help: string, buckets: number[]) =>
    new Histogram({ ...metric(name, help), labelNames: byFamily, buckets });
  const syncs = 'sync_proxy_rules';
  const latency = 'SyncProxyRules latency in seconds';
  const duration = histogram(`${syncs}_duration_seconds`, latency, syncBuckets);
  const full = histogram('sync_full_proxy_rules_duration_seconds', `${latency} for full resyncs`, syncBuckets);
  const partial = histogram('sync_partial_proxy_rules_duration_seconds', `${latency} for partial resyncs`, syncBuckets);
  const programming = histogram(
    'network_programming_duration_seconds',
    'In Cluster Network Programming Latency in seconds',
    programmingBuckets,
  );
  const lastQueued = new Gauge({
    ...metric(`${syncs}_last_queued_timestamp_seconds`, 'The last time a sync of proxy rules was queued'),
    labelNames: byFamily,
  });
  const lastSynced = new Gauge({
    ...metric(`${syncs}_last_timestamp_seconds`, 'The last time proxy rules were successfully synced'),
    labelNames: byFamily,
  });
  const endpointsPending = new Gauge(
    metric(`${syncs}_endpoint_changes_pending`, 'Pending proxy rules Endpoint changes'),
  );
  const endpointsTotal = new Counter(
    metric(`${syncs}_endpoint_changes_total`, 'Cumulative proxy rules Endpoint changes'),
  );
  const servicesPending = new Gauge(metric(`${syncs}_service_changes_pending`, 'Pending proxy rules Service changes'));
  const servicesTotal = new Counter(metric(`${syncs}_service_changes_total`, 'Cumulative proxy rules Service changes'));
  const noLocal = new Gauge({
    ...metric(`${syncs}_no_local_endpoints_total`, 'Number of services with a Local traffic policy and no endpoints'),
    labelNames: ['ip_family', 'traffic_policy'] as const,
  });
  const answers = {
    healthz: new Counter({
      ...metric('proxy_healthz_total', 'Cumulative proxy healthz HTTP status'),
      labelNames: ['code'],
    }),
    livez: new Counter({ ...metric('proxy_livez_total', 'Cumulative proxy livez HTTP status'), labelNames: ['code'] }),
  };
  let progress: Progress | undefined;

  function collectProgress({ services, endpoints, of }: Progress): void {
    for (const family of families) {
      const { lastQueued: queued, lastApplied } = of(family);
      if (queued !== null) lastQueued.set(labelOf(family), queued / 1000);
      if (lastApplied !== null) lastSynced.set(labelOf(family), lastApplied / 1000);
    }
    for (const [counter, { total }] of [
      [endpointsTotal, endpoints],
      [servicesTotal, services],
    ] as const) {
      counter.reset();
      counter.inc(total);
    }
    endpointsPending.set(endpoints.pending);
    servicesPending.set(services.pending);
  }

  return {
    synced(seconds, isFull) {
      for (const family of families) {
        duration.observe(labelOf(family), seconds);
        (isFull ? full : partial).observe(labelOf(family), seconds);
      }
    },
    answered: (path, code) => answers[path].inc({ code: String(code) }),
    follow(followed) {
      progress = followed;
      followed.onProgrammed = (family, seconds) => programming.observe(labelOf(family), seconds);
    },
    collect(world) {
      if (progress !== undefined) collectProgress(progress);
      if (world === undefined) return;
      const found = countNoLocal(world);
      for (const family of families) {
        for (const policy of ['internal', 'external']) {
          noLocal.set({ ...labelOf(family), traffic_policy: policy }, found.get(`${family} ${policy}`) ?? 0);
        }
      }
    },
  };
}

function countNoLocal({ services, endpoints, node }: World): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [name, service] of services) {
    for (const { family, policy } of noLocalOf(service, endpoints.get(name) ?? new Map(), node)) {
      const key = `${family} ${policy}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
  return counts;
}

function labelOf(family: Family): { ip_family: string } {
  return { ip_family: `IPv${family}` };
}

function linear(start: number, width: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => start + i * width);
}
