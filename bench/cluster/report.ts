import { cpus, release } from 'node:os';
import { kubeProxyVersion } from '../peers.ts';
import { table } from '../report.ts';
import { judgeCost, type LimitVerdict } from './goals.ts';
import type { Cost, Settings } from './measure.ts';

export interface ClusterReport {
  readonly machine: {
    readonly cpu: string;
    readonly cpus: number;
    readonly kernel: string;
    readonly kubeProxy: string;
  };
  readonly settings: Settings;
  readonly costs: readonly Cost[];
  /** Of bpfsvc, if it was measured. */
  readonly goals: readonly LimitVerdict[];
}

export function makeReport(settings: Settings, costs: readonly Cost[]): ClusterReport {
  const ours = costs.find(({ name }) => name === 'bpfsvc');
  const machine = { cpu: cpus()[0]?.model ?? '', cpus: cpus().length, kernel: release(), kubeProxy: kubeProxyVersion };
  return { machine, settings, costs, goals: ours === undefined ? [] : judgeCost(ours) };
}

/** The report as people read it. */
export function formatReport({ machine, settings, costs, goals }: ClusterReport): string {
  const { services, endpoints } = settings.filling;
  const row = (what: string, show: (cost: Cost) => string) => [what, ...costs.map(show)];
  const figure = (value: number | undefined, digits: number) => (value === undefined ? '-' : value.toFixed(digits));
  const milliseconds = (times: { p50: number; p99: number } | undefined) =>
    `${figure(times?.p50, 1)} / ${figure(times?.p99, 1)}`;
  const slow = `> ${settings.patience}`;
  return [
    `${machine.cpus} x ${machine.cpu}, Linux ${machine.kernel}; ${services} Services of ${endpoints} endpoints; kube-proxy ${machine.kubeProxy}`,
    '',
    ...table([
      ['', ...costs.map(({ name }) => name.toUpperCase())],
      row('start to programmed, s', ({ start }) => (start === null ? slow : figure(start.seconds, 2))),
      row('  CPU until then, s', ({ start }) => figure(start?.cpuSeconds, 2)),
      row('  highest resident, with children, MB', ({ start }) => figure(start?.peakMegabytes, 0)),
      row('  requests', ({ start }) => figure(start?.requests, 0)),
      row('  from the API server, MB', ({ start }) => figure(start?.wireMegabytes, 1)),
      row('one change to kernel, event, p50 / p99, ms', ({ change }) => milliseconds(change?.event)),
      row('  since it was written, p50 / p99, ms', ({ change }) => milliseconds(change?.write)),
      row('  so many', ({ change }) => figure(change?.count, 0)),
      row('resident, idle, MB', (cost) => figure(cost.idleMegabytes, 0)),
      row('resident, loaded, MB', (cost) => figure(cost.loadedMegabytes, 0)),
      row(`${settings.churnPerSecond} changes a second, CPU, %`, ({ churn }) => figure(churn.cpuPercent, 1)),
      row('  highest resident, with children, MB', ({ churn }) => figure(churn.peakMegabytes, 0)),
      row('  requests', ({ churn }) => figure(churn.requests, 0)),
      row('  from the API server, kB/s', ({ churn }) => figure(churn.wireKilobytesPerSecond, 1)),
    ]),
    '',
    ...costs.map(({ name, about }) => `${name}: ${about}`),
    '',
    ...table([
      ['BPFSVC', 'FLOOR', 'GOAL', 'MEASURED', ''],
      ...goals.map(({ what, unit, floor, goal, measured, verdict }) => [
        `${what}, ${unit}`,
        String(floor),
        String(goal),
        figure(measured ?? undefined, 1),
        verdict,
      ]),
    ]),
    '',
  ].join('\n');
}
