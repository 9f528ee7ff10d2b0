import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import test from 'ava';
import { possibleCpus } from 'libbpf-ts';
import { openPinned, pinPath, runAgentIn, service, writeManifest } from '../../test/agent.ts';
import { runCli, startCli } from '../../test/cli.ts';
import { type Schema, schemaErrors } from '../../test/json-schema.ts';
import { eventually } from '../../test/netns/eventually.ts';
import { makeSandbox } from '../../test/sandbox.ts';
import {
  affinity,
  affinityKey,
  connections,
  connectionsKey,
  counterKey,
  flow,
  flowFlag,
  flowKey,
  maps,
  reason,
  u32,
} from '../layout.gen.ts';
import { addressToHex } from '../model/address.ts';

const schema = JSON.parse(readFileSync(new URL('dump.schema.json', import.meta.url), 'utf8')) as Schema;
const box = makeSandbox();
const pins = ['--pin-dir', pinPath(box)];

const dns = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'dns', namespace: 'kube-system' },
  spec: {
    clusterIPs: ['10.96.0.53', 'fd00:10:96::53'],
    ipFamilies: ['IPv4', 'IPv6'],
    ipFamilyPolicy: 'PreferDualStack',
    internalTrafficPolicy: 'Local',
    sessionAffinity: 'ClientIP',
    sessionAffinityConfig: { clientIP: { timeoutSeconds: 600 } },
    ports: [
      { name: 'udp', port: 53, protocol: 'UDP' },
      { name: 'tcp', port: 53, protocol: 'TCP' },
    ],
  },
};

/** A slice of each family: addresses that the map's order mixes. */
const both = {
  ...dns,
  metadata: { name: 'both', namespace: 'default', annotations: { 'bpfsvc.dev/scheduler': 'lc' } },
  spec: {
    ...dns.spec,
    internalTrafficPolicy: 'Cluster',
    clusterIPs: ['fd00:10:96::2', '10.96.0.2'],
    ipFamilies: ['IPv6', 'IPv4'],
    ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
  },
};
const slices = ['10.2.0.1', 'fd00:2::1'].map((address, i) => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: `both-${i}`, labels: { 'kubernetes.io/service-name': 'both' } },
  addressType: i === 0 ? 'IPv4' : 'IPv6',
  ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
  endpoints: [{ addresses: [address] }],
}));

test.before(async () => {
  const web = service('web', '10.96.0.1', ['10.1.0.1', '10.1.0.2', '10.1.0.3', '10.1.0.4', '10.1.0.5']);
  const agent = runAgentIn(box, { manifests: writeManifest(box, 'dump.json', [...web, dns, both, ...slices]) });
  await eventually(() => {
    if (!agent.messages.some((text) => /rows? written/.test(text))) throw new Error('not yet');
  }, 60);
  await agent.stop();
  fillState();
});
test.after.always(() => box.close());

/** Rows as the programs would write them, since no packet is sent here. */
function fillState(): void {
  using generation = openPinned(box);
  const { flows, affinity: choices, counters } = generation.state;
  const names = [...generation.tables.names.info.name];
  if (names.length === 0) throw new Error('no names');
  const id = idOf(generation.tables.names, 'web');
  const client = addressToHex('10.1.0.9');
  const vip = addressToHex('10.96.0.1');
  const backend = addressToHex('10.1.0.1');
  const bytes = (hex: string) => Buffer.from(hex, 'hex');
  const there = { ...flowKey.decode('00'.repeat(maps.flows.keySize)), protocol: 6, hook: 1 };
  const row = { ...flow.decode('00'.repeat(maps.flows.valueSize)), servicePort: id, state: 1 };
  flows.update(
    bytes(flowKey.encode({ ...there, source: client, sourcePort: 40000, destination: vip, destinationPort: 80 })),
    bytes(flow.encode({ ...row, source: client, sourcePort: 40000, destination: backend, destinationPort: 8080 })),
  );
  flows.update(
    bytes(
      flowKey.encode({
        ...there,
        hook: 2,
        source: backend,
        sourcePort: 8080,
        destination: client,
        destinationPort: 40000,
      }),
    ),
    bytes(
      flow.encode({
        ...row,
        flags: flowFlag.reply,
        source: vip,
        sourcePort: 80,
        destination: client,
        destinationPort: 40000,
      }),
    ),
  );
  choices.update(
    bytes(affinityKey.encode({ client, servicePort: id })),
    bytes(affinity.encode({ backend, backendPort: 8080, seen: 1 })),
  );
  const key = connectionsKey.encode({
    address: addressToHex('10.2.0.1'),
    servicePort: idOf(generation.tables.names, 'both'),
    port: 8080,
  });
  generation.state.socket_connections.update(bytes(key), bytes(connections.encode(2)));
  generation.state.flow_connections.update(bytes(key), bytes(connections.encode(3)));
  const perCpu = Buffer.alloc(8 * possibleCpus);
  for (let cpu = 0; cpu < possibleCpus; cpu += 1) perCpu.writeBigUInt64LE(3n, 8 * cpu);
  counters.update(bytes(counterKey.encode({ servicePort: id, reason: reason.connected_pod })), perCpu);
  counters.update(bytes(counterKey.encode({ servicePort: id, reason: reason.reject_undefined_port })), perCpu);
}

function idOf(names: ReturnType<typeof openPinned>['tables']['names'], name: string): number {
  for (let key = names.nextKey(undefined); key !== undefined; key = names.nextKey(key)) {
    const value = Buffer.from(names.lookup(key) ?? []);
    if (value.includes(name)) return u32.decode(Buffer.from(key).toString('hex'));
  }
  throw new Error(`${name} has no id`);
}

async function json(...args: string[]): Promise<{ kind: string; items: Record<string, unknown>[] }> {
  const { code, stdout, stderr } = await runCli('dump', ...args, '-o', 'json', ...pins);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

for (const [kind, count] of [
  ['services', 4],
  ['frontends', 12],
  ['backends', 7],
  ['flows', 2],
  ['affinity', 1],
] as const) {
  test(`dump ${kind} -o json is valid by the committed schema, and not empty`, async (t) => {
    const document = await json(kind);
    t.deepEqual(schemaErrors(document, schema), []);
    t.is(document.kind, kind);
    t.is(document.items.length, count);
  });
}

test('dump.schema.json finds what is wrong', async (t) => {
  const document = await json('services');
  const [first] = document.items;
  t.notDeepEqual(schemaErrors({ ...document, kind: 'else' }, schema), []);
  t.notDeepEqual(schemaErrors({ ...document, items: [{ ...first, port: 0 }] }, schema), []);
  t.notDeepEqual(schemaErrors({ ...document, items: [{ ...first, backends: ['10.0.0.1'] }] }, schema), []);
  const { namespace, ...nameless } = first ?? {};
  t.notDeepEqual(schemaErrors({ ...document, items: [nameless] }, schema), []);
  t.truthy(namespace);
});

test('dump names Services with the agent dead', async (t) => {
  const { items } = await json();
  t.like(items[0], {
    namespace: 'default',
    name: 'both',
    portName: 'http',
    clusterIPs: ['10.96.0.2', 'fd00:10:96::2'],
    backends: ['10.2.0.1:8080', '[fd00:2::1]:8080'],
  });
  t.like(items[1], {
    namespace: 'default',
    name: 'web',
    portName: 'http',
    port: 80,
    protocol: 'TCP',
    clusterIPs: ['10.96.0.1'],
    pool: 'any',
    affinitySeconds: 0,
    backends: ['10.1.0.1:8080', '10.1.0.2:8080', '10.1.0.3:8080', '10.1.0.4:8080', '10.1.0.5:8080'],
    counters: { connected_pod: 3 * possibleCpus, reject_undefined_port: 3 * possibleCpus },
  });
  t.like(items[3], {
    namespace: 'kube-system',
    name: 'dns',
    portName: 'udp',
    protocol: 'UDP',
    clusterIPs: ['10.96.0.53', 'fd00:10:96::53'],
    pool: 'local',
    affinitySeconds: 600,
    backends: [],
  });
});

test('dump tells the scheduler, and of one that asks for them the connections of each backend', async (t) => {
  const { items: services } = await json();
  t.deepEqual(
    services.map(({ scheduler }) => scheduler),
    ['lc', 'random', 'random', 'random'],
  );
  const { items } = await json('backends');
  t.deepEqual(items.map(({ name, address, connections: count }) => [name, address, count]).slice(0, 3), [
    ['both', '10.2.0.1', 5],
    ['both', 'fd00:2::1', 0],
    ['web', '10.1.0.1', null],
  ]);
  const { stdout } = await runCli('dump', 'backends', ...pins);
  t.regex(stdout, /TARGET-PORT +POOLS +CONNECTIONS/);
  t.regex(stdout, /10\.2\.0\.1 +8080 +any +5\n/);
  const wide = await runCli('dump', 'default/both', '-o', 'wide', ...pins);
  t.regex(wide.stdout, /SCHEDULER/);
  t.regex(wide.stdout, / lc /);
});

test('dump flows tells both ways and what becomes of a packet', async (t) => {
  const { items } = await json('flows');
  t.like(items[0], {
    name: 'web',
    hook: 'from_pod',
    from: { source: '10.1.0.9:40000', destination: '10.96.0.1:80' },
    becomes: { source: '10.1.0.9:40000', destination: '10.1.0.1:8080' },
    reply: false,
    state: ['replied'],
  });
  t.like(items[1], { hook: 'to_pod', reply: true, becomes: { source: '10.96.0.1:80', destination: '10.1.0.9:40000' } });
});

test('dump prints tables as kubectl does, short and wide', async (t) => {
  const cpus = 3 * possibleCpus;
  const short = await runCli('dump', 'default/web', ...pins);
  t.deepEqual(
    short.stdout.split('\n').map((line) => line.split(/ {3,}/)),
    [
      'NAMESPACE NAME TYPE CLUSTER-IP EXTERNAL-IP PORT BACKENDS CONNECTIONS REFUSED DROPPED'.split(' '),
      [
        ...'default web ClusterIP 10.96.0.1 <none> http:80/TCP'.split(' '),
        '10.1.0.1:8080 +4',
        `${cpus}`,
        `${cpus}`,
        '0',
      ],
      [''],
    ],
  );
  const wide = await runCli('dump', 'services', 'default/web', '-o', 'wide', ...pins);
  t.regex(wide.stdout, /10\.1\.0\.5:8080 .* any +random +<none> +connected_pod=\d+,reject_undefined_port=\d+ +\d+\n$/);
  const nobody = await runCli('dump', 'kube-system/dns', ...pins);
  t.regex(nobody.stdout, /udp:53\/UDP +<none> +0 +0 +0\n/);
  const empty = await runCli('dump', '-o', 'wide', 'kube-system/dns', ...pins);
  t.regex(empty.stdout, / +<none> .* local +random +600s +<none> /);
  for (const line of (await runCli('dump', ...pins)).stdout.split('\n')) t.true(line.length <= 140, line);
  const flows = await runCli('dump', 'flows', ...pins);
  t.is(flows.stdout.split('\n').length, 3, 'twins are only shown in wide tables');
});

test('dump narrows by namespace and by Service', async (t) => {
  t.is((await json('frontends', '-n', 'kube-system')).items.length, 6);
  t.is((await json('-A')).items.length, 4);
  t.is((await json('backends', 'kube-system/dns').catch(() => ({ items: [] }))).items.length, 0);
});

test('dump of a Service that the kernel does not have, or of nothing, exits with 1 and a sentence', async (t) => {
  const unknown = await runCli('dump', 'default/nobody', ...pins);
  t.is(unknown.code, 1);
  t.is(unknown.stderr, 'bpfsvc: the kernel holds nothing of Service default/nobody among its services\n');
  const nothing = await runCli('dump', '--pin-dir', `${box.bpfFs}/nothing`);
  t.is(nothing.code, 1);
  t.regex(nothing.stderr, /^bpfsvc: nothing is loaded below .*nothing: start 'bpfsvc run'/);
});

test('dump of an unknown kind is wrong usage: exit code 2', async (t) => {
  for (const args of [
    ['dump', 'pods'],
    ['dump', 'services', 'web'],
    ['dump', '-o', 'yaml'],
    ['dump', '--colour'],
  ]) {
    const { code, stdout, stderr } = await runCli(...args, ...pins);
    t.is(code, 2, args.join(' '));
    t.is(stdout, '');
    t.regex(stderr, /^bpfsvc: [^\n]+\n$/);
  }
});

test.serial('dump --watch shows it again when it changed', async (t) => {
  const child = startCli(['dump', 'affinity', '--watch', ...pins]);
  t.teardown(() => child.kill('SIGKILL'));
  const shown: string[] = [];
  child.stdout?.on('data', (text) => shown.push(String(text)));
  await once(child.stdout ?? child, 'data');
  using generation = openPinned(box);
  const key = affinityKey.encode({
    client: addressToHex('10.1.0.77'),
    servicePort: idOf(generation.tables.names, 'web'),
  });
  const choice = affinity.encode({ backend: addressToHex('10.1.0.2'), backendPort: 8080, seen: 1 });
  generation.state.affinity.update(Buffer.from(key, 'hex'), Buffer.from(choice, 'hex'));
  t.teardown(() => openPinned(box).state.affinity.delete(Buffer.from(key, 'hex')));
  while (!shown.at(-1)?.includes('10.1.0.77')) await once(child.stdout ?? child, 'data');
  t.false(shown[0]?.includes('10.1.0.77'));
  t.regex(shown.at(-1) ?? '', /default\/web:http +10\.1\.0\.77 +10\.1\.0\.2:8080/);
});
