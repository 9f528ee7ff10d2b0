import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Node } from '../../test/netns/lab.ts';
import { quantile } from '../statistics.ts';
import { type Answering, watchAnswering } from './answering.ts';
import { bytesReceived } from './api-load.ts';
import { type Filling, type Probe, probeSlice, probesOf } from './objects.ts';
import { cpuSeconds, residentMegabytes, watchPeak } from './process-cost.ts';
import { type Contender, type Running, startProxy } from './proxies.ts';
import type { Stage } from './stage.ts';

export interface Settings {
  readonly filling: Filling;
  /** Of one endpoint, one after the other. */
  readonly changes: number;
  /** Seconds until a start is given up, and a series of changes. */
  readonly patience: number;
  /** Of endpoints all over, at once, for `churnSeconds`. */
  readonly churnPerSecond: number;
  readonly churnSeconds: number;
  /** Seconds until a process counts as being at rest. */
  readonly rest: number;
}

/** What one of them takes. Megabytes are 2^20, but of bytes on the wire 10^6. */
export interface Cost {
  readonly name: string;
  readonly about: string;
  readonly idleMegabytes: number;
  /** null: it took longer than anybody would wait. */
  readonly start: {
    readonly seconds: number;
    readonly cpuSeconds: number;
    readonly peakMegabytes: number;
    readonly requests: number;
    readonly wireMegabytes: number;
  } | null;
  readonly loadedMegabytes: number;
  /** Milliseconds. `event`: since a watch told of it; `write`: since before it was sent. null: none was seen. */
  readonly change: {
    readonly count: number;
    readonly event: { readonly p50: number; readonly p99: number };
    readonly write: { readonly p50: number; readonly p99: number };
  } | null;
  readonly churn: {
    readonly cpuPercent: number;
    readonly peakMegabytes: number;
    readonly requests: number;
    readonly wireKilobytesPerSecond: number;
  };
}

/** Ports of the backends, one for each probe. */
export const probePorts: readonly number[] = [9001, 9002, 9003];

/** Megabytes in a cluster without Services of anybody's. */
export async function measureIdle(stage: Stage, node: Node, proxy: Contender, { rest }: Settings): Promise<number> {
  const running = startProxy(stage.lab, node, proxy, stage.cluster.kubeconfig(proxy.user));
  await sleep(rest * 1000);
  running.check();
  const megabytes = residentMegabytes(running.pid);
  await running.end();
  return megabytes;
}

/** In a cluster that is full. What the proxy leaves behind at its end stays on its node. */
export async function measureLoaded(
  stage: Stage,
  node: Node,
  proxy: Contender,
  idleMegabytes: number,
  settings: Settings,
  say: (what: string) => void,
): Promise<Cost> {
  const { lab, audit } = stage;
  const probes = probesOf(node.index);
  const watchers = probes.map((probe, i) => watchAnswering(lab, node, probe, probePorts[i] ?? 0));
  const asked = async () => ({ requests: audit.requests(proxy.user), bytes: await bytesReceived(lab, node) });
  const [before, begun] = [await asked(), process.hrtime.bigint()];
  const running = startProxy(lab, node, proxy, stage.cluster.kubeconfig(proxy.user));
  try {
    const endPeak = watchPeak(running.pid);
    say(`${proxy.name}: starts`);
    const at = await allAnswer(watchers, running, settings.patience);
    const cpu = cpuSeconds(running.pid);
    const peakMegabytes = endPeak();
    const after = await asked();
    const start =
      at === undefined
        ? null
        : {
            seconds: seconds(at - begun),
            cpuSeconds: cpu,
            peakMegabytes,
            requests: after.requests - before.requests,
            wireMegabytes: (after.bytes - before.bytes) / 1e6,
          };
    await Promise.all(watchers.slice(1).map((watcher) => watcher.end()));
    await sleep(settings.rest * 1000);
    running.check();
    const loadedMegabytes = residentMegabytes(running.pid);
    say(`${proxy.name}: changes one by one`);
    const [watcher, probe] = [watchers[0], probes[0]] as [Answering, Probe];
    const change = at === undefined ? null : await measureChanges(stage, node, probe, watcher, settings);
    await watcher.end();
    say(`${proxy.name}: changes by the dozen`);
    const churn = await measureChurn(stage, running, settings, asked);
    return { name: proxy.name, about: proxy.about, idleMegabytes, start, loadedMegabytes, change, churn };
  } finally {
    await Promise.all([running.end(), ...watchers.map((watcher) => watcher.end())]);
  }
}

async function allAnswer(
  watchers: readonly Answering[],
  running: Running,
  patience: number,
): Promise<bigint | undefined> {
  const times = await Promise.all(watchers.map((watcher) => watcher.becomes(true, patience)));
  running.check();
  const found = times.filter((time) => time !== undefined).sort((a, b) => Number(a - b));
  return found.length < times.length ? undefined : found.at(-1);
}

/** The one endpoint of a Service goes and comes; the client sees refusals and connections. */
async function measureChanges(
  { write }: Stage,
  node: Node,
  probe: Probe,
  watcher: Answering,
  { changes, patience }: Settings,
): Promise<Cost['change']> {
  const here = { node: node.name, address: node.ip4, port: probePorts[0] ?? 0 };
  const [event, whole]: [number[], number[]] = [[], []];
  const until = performance.now() + patience * 1000;
  for (let i = 0; (i < changes || i % 2 === 1) && performance.now() < until; i++) {
    const answers = i % 2 === 1;
    const { sent, told = sent } = await write({ task: 'change', slice: probeSlice(probe, answers ? here : null) });
    const at = await watcher.becomes(answers, patience);
    if (at === undefined) break;
    event.push(1000 * seconds(at - BigInt(told)));
    whole.push(1000 * seconds(at - BigInt(sent)));
    await sleep(20 + 60 * Math.random());
  }
  if (event.length === 0) return null;
  const both = (times: number[]) => ({ p50: quantile(times, 0.5), p99: quantile(times, 0.99) });
  return { count: event.length, event: both(event), write: both(whole) };
}

async function measureChurn(
  { write }: Stage,
  { pid, check }: Running,
  { filling, churnPerSecond: perSecond, churnSeconds }: Settings,
  asked: () => Promise<{ requests: number; bytes: number }>,
): Promise<Cost['churn']> {
  const [before, cpu, begun] = [await asked(), cpuSeconds(pid), performance.now()];
  const endPeak = watchPeak(pid);
  await write({ task: 'churn', filling, perSecond, seconds: churnSeconds });
  await sleep(2000); // what is under way, and what kube-proxy holds back
  const took = (performance.now() - begun) / 1000;
  check();
  const after = await asked();
  return {
    cpuPercent: (100 * (cpuSeconds(pid) - cpu)) / took,
    peakMegabytes: endPeak(),
    requests: after.requests - before.requests,
    wireKilobytesPerSecond: (after.bytes - before.bytes) / 1000 / took,
  };
}

function seconds(nanoseconds: bigint): number {
  return Number(nanoseconds) / 1e9;
}
