// the parts that are used alone: the whole package draws in Node's cluster, worker threads and more, 8 MB of memory
import Counter from '@prometheus-io/client/lib/counter.js';
import Gauge from '@prometheus-io/client/lib/gauge.js';
import Histogram from '@prometheus-io/client/lib/histogram.js';
import Registry from '@prometheus-io/client/lib/registry.js';
import { makeApiMetrics } from './api-metrics.ts';
import { readCounters } from './kernel/counters.ts';
import type { Datapath } from './kernel/datapath.ts';
import type { Generation } from './kernel/generation.ts';
import { type CountedName, countedNames, occupancy } from './kernel/occupancy.ts';
import { readRow } from './kernel/tables.ts';
import type { ApiObserver } from './kube/api/observer.ts';
import { reason, reasonName, servicePortName, u32 } from './layout.gen.ts';
import type { World } from './plan/plan.ts';
import type { TableName } from './plan/tables.ts';
import { makeProcessMetrics } from './process-metrics.ts';
import type { Progress } from './progress.ts';
import { protocolText } from './protocol.ts';
import { makeProxyMetrics, type ProxyMetrics } from './proxy-metrics.ts';
import type { Report } from './report.ts';

/** For so long the rows of large maps are not counted again. */
const OCCUPANCY_MS = 10_000;

const ofService = ['namespace', 'service', 'port', 'protocol'] as const;
type ServiceLabels = Record<(typeof ofService)[number], string>;

const nobody: ServiceLabels = { namespace: '', service: '', port: '', protocol: '' };

/** What the agent and the kernel can tell in numbers. */
export interface Metrics {
  /** A report that is passed on, and counted. */
  watch(report: Report): Report;
  /** Who knows how many rows each service table has. */
  tables(rows: () => Partial<Record<TableName, number>>): void;
  /** Who knows what the agent works towards. */
  world(world: () => World | undefined): void;
  /** Who counts what is not in the kernel yet. */
  follow(progress: Progress): void;
  /** Told how /healthz and /livez were answered. */
  answered: ProxyMetrics['answered'];
  /** Told how it goes with the API server. */
  readonly api: ApiObserver;
  /** In Prometheus' text format. Throws a BpfError where a generation was replaced meanwhile. */
  text(): Promise<string>;
}

export function makeMetrics(
  datapath: Pick<Datapath, 'generation'>,
  version: string,
  registry: InstanceType<typeof Registry> = new Registry(),
): Metrics {
  const registers = [registry];
  const metric = (name: string, help: string) => ({ name: `bpfsvc_${name}`, help, registers });
  const gauge = <Label extends string = never>(name: string, help: string, labelNames: readonly Label[] = []) =>
    new Gauge({ ...metric(name, help), labelNames });
  const counter = <Label extends string = never>(name: string, help: string, labelNames: readonly Label[] = []) =>
    new Counter({ ...metric(name, help), labelNames });

  const byReason = [...ofService, 'reason'] as const;
  const connections = counter('connections_total', 'Backends chosen, by service port and by where.', byReason);
  const rejections = counter(
    'rejections_total',
    'Packets and calls whose sender was told that nobody answers.',
    byReason,
  );
  const drops = counter(
    'drops_total',
    'Packets dropped in silence; for want of a source port: drop_no_source_port.',
    byReason,
  );
  const moved = counter('source_ports_moved_total', 'Flows given another source port, theirs being taken.', ofService);
  const lost = counter('trace_events_lost_total', 'Events for bpfsvc trace that found its ring full.');
  const stateRows = gauge('map_rows', 'Rows of a map. Of flows two each; those whose time is over count, too.', [
    'map',
  ]);
  const stateSize = gauge('map_max_rows', 'Rows that a map has room for: a full flow table evicts.', ['map']);
  const generation = gauge('generation_info', 'What is loaded: 1.', ['generation']);
  const build = gauge('build_info', 'The agent: 1.', ['version']);

  const passes = new Histogram({
    ...metric('pass_duration_seconds', 'From objects to rows in the kernel.'),
    labelNames: ['scope'] as const,
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5, 10],
  });
  const written = counter('rows_written_total', 'Rows of service tables set and deleted.');
  const refused = gauge('rows_refused', 'Rows that the kernel refused in the last pass, and that are tried again.');
  const drifted = counter('rows_drifted_total', 'Rows that an audit found changed by somebody else.');
  const problems = gauge('problems', 'Things wrong in objects and files now, each in the log.');

  const proxy = makeProxyMetrics({ Counter, Gauge, Histogram }, registers);
  const api = makeApiMetrics({ Counter, Gauge }, registers, Date.now);
  const measureProcess = makeProcessMetrics({ Counter, Gauge }, registers);

  let worldNow = (): World | undefined => undefined;
  let tableRows = (): Partial<Record<TableName, number>> => ({});
  const labelsOf = labelCache();
  const count = freshFor(OCCUPANCY_MS, occupancy);

  async function collect({ state, sizes, hash, tables }: Generation, rows: Partial<Record<CountedName, number>>) {
    const counts = await readCounters(state.counters);
    for (const one of [connections, rejections, drops, moved, lost, stateRows, stateSize, generation]) one.reset();
    for (const [id, reasons] of counts) {
      const labels = labelsOf(id, tables.names);
      for (const [why, number] of reasons) {
        const value = Number(number);
        const name = reasonName(why);
        if (why === reason.connected_moved) moved.inc(labels, value);
        else if (why === reason.event_lost) lost.inc(value);
        else if (name.startsWith('connected_')) connections.inc({ ...labels, reason: name }, value);
        else if (name.startsWith('reject_')) rejections.inc({ ...labels, reason: name }, value);
        else drops.inc({ ...labels, reason: name }, value);
      }
    }
    for (const name of countedNames) stateSize.set({ map: name }, state[name].info.maxEntries);
    for (const [map, value] of Object.entries({ ...tableRows(), ...rows })) stateRows.set({ map }, value);
    for (const name of Object.keys(tableRows())) stateSize.set({ map: name }, sizes[name as TableName]);
    generation.set({ generation: hash }, 1);
  }

  async function render(): Promise<string> {
    const current = datapath.generation;
    if (current !== undefined) await collect(current, await count(current));
    build.set({ version }, 1);
    proxy.collect(worldNow());
    measureProcess();
    return await registry.metrics();
  }

  let rendering: Promise<string> | undefined;
  return {
    watch: (report) => ({
      ...report,
      pass(pass, scope) {
        passes.observe({ scope: scope.isAll ? 'all' : 'changed' }, scope.milliseconds / 1000);
        proxy.synced(scope.milliseconds / 1000, scope.isAll);
        written.inc(pass.rows);
        refused.set(pass.failed.length);
        report.pass(pass, scope);
      },
      drift(steps) {
        drifted.inc(steps.length);
        report.drift(steps);
      },
      problems(snapshot, parsed, more) {
        const number = report.problems(snapshot, parsed, more);
        problems.set(number);
        return number;
      },
    }),
    tables(rows) {
      tableRows = rows;
    },
    world(world) {
      worldNow = world;
    },
    follow: proxy.follow,
    answered: proxy.answered,
    api,
    /* One at a time: it works on numbers that all share. */
    text() {
      rendering ??= render().finally(() => {
        rendering = undefined;
      });
      return rendering;
    },
  };
}

/** Whose a service port is. Ids stay with their names, so that each is asked of the kernel once. */
function labelCache(): (id: number, names: Generation['tables']['names']) => ServiceLabels {
  const known = new Map<number, ServiceLabels>([[0, nobody]]);
  return (id, names) => {
    const cached = known.get(id);
    if (cached !== undefined) return cached;
    const row = readRow(names, u32.encode(id));
    if (row === undefined) return nobody;
    const { namespace, service, port, number, protocol } = servicePortName.decode(row);
    const labels = { namespace, service, port: port || String(number), protocol: protocolText(protocol) };
    known.set(id, labels);
    return labels;
  };
}

/** Remembers what `read` gave for a while; it is told anew of another generation only then. */
function freshFor<Value>(
  milliseconds: number,
  read: (generation: Generation) => Promise<Value>,
): (generation: Generation) => Promise<Value> {
  let last: { readonly at: number; readonly value: Value } | undefined;
  return async (generation) => {
    if (last === undefined || performance.now() - last.at > milliseconds) {
      last = { at: performance.now(), value: await read(generation) };
    }
    return last.value;
  };
}
