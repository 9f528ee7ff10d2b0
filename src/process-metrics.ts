import type { Registry } from '@prometheus-io/client';
import type { Makers } from './proxy-metrics.ts';

/** What the agent takes of its machine, under the names that all Prometheus clients have for it. Returns what makes them true now. */
export function makeProcessMetrics({ Counter, Gauge }: Omit<Makers, 'Histogram'>, registers: Registry[]): () => void {
  const metric = (name: string, help: string) => ({ name: `process_${name}`, help, registers });
  const memory = new Gauge(metric('resident_memory_bytes', 'Resident memory size in bytes.'));
  const cpu = new Counter(metric('cpu_seconds_total', 'Total user and system CPU time spent in seconds.'));
  const started = new Gauge(metric('start_time_seconds', 'Start time of the process since unix epoch in seconds.'));
  started.set(Math.round(performance.timeOrigin) / 1000);
  return () => {
    const { user, system } = process.cpuUsage();
    memory.set(process.memoryUsage.rss());
    cpu.reset();
    cpu.inc((user + system) / 1e6);
  };
}
