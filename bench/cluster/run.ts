/**
 * usage: bench/cluster/run.ts [--services N] [--endpoints N] [--changes N] [--seconds N] [--patience N] [--rest N] [--proxies A,B] [--json FILE]
 *                             [--floor]
 *
 * A real API server with etcd and controllers, full of Services, and one after the other on nodes of their own bpfsvc and
 * kube-proxy: how long each takes until everything works, until one change does, and what they cost meanwhile. What counts as
 * working is a connection that a client on the node gets. Times are the machine's: compare columns, not runs. --floor exits with 1
 * if one is undercut. Needs root, and KUBERNETES_BIN, which `make bench-cluster` sets.
 */
import { writeFileSync } from 'node:fs';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { buildPoll } from './answering.ts';
import { type Cost, measureIdle, measureLoaded, probePorts, type Settings } from './measure.ts';
import { probeService, probeSlice, probesOf } from './objects.ts';
import { proxies } from './proxies.ts';
import { formatReport, makeReport } from './report.ts';
import { setStage } from './stage.ts';

const { values } = parseArgs({
  options: {
    services: { type: 'string', default: '10000' },
    endpoints: { type: 'string', default: '10' },
    changes: { type: 'string', default: '300' },
    seconds: { type: 'string', default: '30' },
    patience: { type: 'string', default: '900' },
    rest: { type: 'string', default: '20' },
    proxies: { type: 'string', default: proxies.map(({ name }) => name).join(',') },
    json: { type: 'string' },
    floor: { type: 'boolean', default: false },
  },
});

function say(what: string): void {
  process.stderr.write(`${what}\n`);
}

const settings: Settings = {
  filling: { services: Number(values.services), endpoints: Number(values.endpoints) },
  changes: Number(values.changes),
  patience: Number(values.patience),
  churnPerSecond: 20,
  churnSeconds: Number(values.seconds),
  rest: Number(values.rest),
};
const wanted = values.proxies.split(',');
const measured = proxies.filter(({ name }) => wanted.includes(name));

buildPoll();
await using stage = await setStage(measured);
const { lab, write } = stage;
const idle = new Map<string, number>();
for (const proxy of measured) {
  say(`${proxy.name}: idle`);
  idle.set(proxy.name, await measureIdle(stage, lab.node(`node-${proxy.name}`), proxy, settings));
}
say(`filling the API server with ${settings.filling.services} Services of ${settings.filling.endpoints} endpoints`);
await write({ task: 'fill', filling: settings.filling });
const objects = lab.nodes.flatMap((node) =>
  probesOf(node.index).flatMap((probe, i) => {
    const at = { node: node.name, address: node.ip4, port: probePorts[i] ?? 0 };
    return [probeService(probe), probeSlice(probe, at)];
  }),
);
await write({ task: 'put', objects });
const costs: Cost[] = [];
for (const proxy of measured) {
  const node = lab.node(`node-${proxy.name}`);
  costs.push(await measureLoaded(stage, node, proxy, idle.get(proxy.name) ?? Number.NaN, settings, say));
}
const report = makeReport(settings, costs);
process.stdout.write(`\n${formatReport(report)}`);
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
if (values.floor && report.goals.some(({ verdict }) => verdict === 'below the floor')) process.exitCode = 1;
