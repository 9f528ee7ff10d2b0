import test from 'ava';
import pino from 'pino';
import type { Device } from './kernel/devices.ts';
import { defaultRanges } from './kube/allocate.ts';
import type { ManifestSnapshot } from './kube/manifests.ts';
import { objectKey } from './kube/objects.ts';
import { parse } from './kube/parse.ts';
import { readObjects } from './kube/reader.ts';
import { makeReport, type Report } from './report.ts';

function listen(): { report: Report; lines: string[] } {
  const lines: string[] = [];
  const write = (line: string) => {
    const { level, msg } = JSON.parse(line) as { level: number; msg: string };
    lines.push(`${pino.levels.labels[level]} ${msg}`);
  };
  return { report: makeReport(pino({ level: 'debug' }, { write })), lines };
}

const devices: readonly Device[] = [
  { ifindex: 2, name: 'eth0', role: 'wire', hasLinkHeader: true, reason: 'carries the default route' },
  { ifindex: 3, name: 'veth1', role: 'pod', hasLinkHeader: true, reason: 'a veth' },
  { ifindex: 4, name: 'veth2', role: 'pod', hasLinkHeader: true, reason: 'a veth' },
];
const sockets = ['connect4 of /sys/fs/cgroup', 'connect6 of /sys/fs/cgroup'];
const none = { attached: [], repointed: [], detached: [], failed: [], left: [] };

for (const [name, attached, text] of [
  [
    'everything by its number',
    ['eth0 egress', 'veth1 ingress', 'veth1 egress', 'veth2 ingress', 'veth2 egress', ...sockets],
    '1 wire device, 2 pod devices, 2 socket hooks',
  ],
  ['one device by its name', ['eth0 egress', ...sockets], 'eth0 (wire: carries the default route), 2 socket hooks'],
  ['a pod that came', ['veth2 ingress', 'veth2 egress'], 'veth2 (pod: a veth)'],
  ['XDP', ['eth0 xdp'], 'eth0 (wire: carries the default route), XDP of eth0'],
  ['sockets alone', sockets.slice(1), '1 socket hook'],
] as const) {
  test(`attached() tells in one line of ${name}, and the hooks to who looks for a fault`, (t) => {
    const { report, lines } = listen();
    report.attached({ ...none, attached: [...attached] }, devices, 'info');
    t.deepEqual(lines, [`info attached at ${text}`, `debug attached at ${attached.join(', ')}`]);
  });
}

test('pass() counts one row and several', (t) => {
  const { report, lines } = listen();
  const scope = { services: 1, isAll: false, isFirst: true, milliseconds: 1.25 };
  report.pass({ rows: 1, failed: [], problems: new Map() }, scope);
  report.pass({ rows: 2, failed: [], problems: new Map() }, { ...scope, services: 0 });
  t.deepEqual(lines, ['info 1 row written for 1 Service in 1.3 ms', 'info 2 rows written for 0 Services in 1.3 ms']);
});

function snapshotOf(ready: boolean | null): ManifestSnapshot {
  const metadata = { name: 'web' };
  const ports = [
    { name: 'http', port: 80 },
    { name: 'admin', port: 81 },
  ];
  const slice = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'web-1', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080 }],
    endpoints: [{ addresses: ['10.1.0.1'], conditions: { ready: ready === true, serving: false } }],
  };
  const service = { apiVersion: 'v1', kind: 'Service', metadata, spec: { ports } };
  const { objects } = readObjects({ apiVersion: 'v1', kind: 'List', items: ready === null ? [] : [service, slice] });
  return { objects: new Map(objects.map((object) => [objectKey(object), object])), problems: [], synced: true };
}

test('problems() tells of a Service with nobody behind it when it begins and when it is over', (t) => {
  const { report, lines } = listen();
  const settings = { serviceProxyName: null, ranges: defaultRanges };
  const say = (ready: boolean | null) => {
    lines.length = 0;
    const snapshot = snapshotOf(ready);
    report.problems(snapshot, parse(snapshot.objects, settings, null), []);
    return [...lines];
  };
  const web = 'Service default/web: nobody is behind';
  const fate = 'new connections are refused';
  t.deepEqual(say(true), [`info ${web} port admin (81/TCP): ${fate}`]);
  t.deepEqual(say(true), []);
  t.deepEqual(say(false), [`info ${web} it: ${fate}`, `info no longer: ${web} port admin (81/TCP): ${fate}`]);
  t.deepEqual(say(null), [`info no longer: ${web} it: ${fate}`]);
});
