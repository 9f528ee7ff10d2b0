import type { Registry } from '@prometheus-io/client';
import type { ApiObserver } from './kube/api/observer.ts';
import type { Makers } from './proxy-metrics.ts';

/**
 * How it goes with the API server: requests under the name and labels that client-go gives them, so that kube-proxy's dashboards
 * and alerts find them; of lists and watches client-go tells nothing, so those are ours. `now`: milliseconds since the epoch.
 */
export function makeApiMetrics(
  { Counter, Gauge }: Omit<Makers, 'Histogram'>,
  registers: Registry[],
  now: () => number,
): ApiObserver {
  const byResource = ['resource'] as const;
  const metric = (name: string, help: string) => ({ name: `bpfsvc_api_${name}`, help, registers });
  const counter = (name: string, help: string) => new Counter({ ...metric(name, help), labelNames: byResource });
  const requests = new Counter({
    name: 'rest_client_requests_total',
    help: 'Number of HTTP requests, partitioned by status code, method, and host.',
    labelNames: ['code', 'method', 'host'] as const,
    registers,
  });
  const lists = counter('lists_total', 'How often everything was read: once, and again where the place was lost.');
  const resumed = counter('watches_resumed_total', 'Watches that went on where another had ended.');
  const events = counter('events_total', 'Objects told by the API server, those of lists by stream too.');
  const failures = new Counter({
    ...metric('failures_total', 'Lists and watches that failed, and were tried again.'),
    labelNames: ['resource', 'fault'] as const,
  });
  const heard = new Gauge({
    ...metric('last_heard_timestamp_seconds', 'When the API server said something last: a bookmark a minute at least.'),
    labelNames: byResource,
  });
  const followed = new Gauge({
    ...metric('followed', '1: all was read once, and nothing is wrong now. 0: what is known may be out of date.'),
    labelNames: byResource,
  });
  const hear = (resource: string) => heard.set({ resource }, now() / 1000);
  return {
    answered: (method, host, code) => requests.inc({ code: code === null ? '<error>' : String(code), method, host }),
    listed(resource) {
      lists.inc({ resource });
      hear(resource);
    },
    resumed: (resource) => resumed.inc({ resource }),
    heard(resource, isEvent) {
      if (isEvent) events.inc({ resource });
      hear(resource);
    },
    failed: (resource, fault) => failures.inc({ resource, fault }),
    followed: (resource, isFollowed) => followed.set({ resource }, isFollowed ? 1 : 0),
  };
}
