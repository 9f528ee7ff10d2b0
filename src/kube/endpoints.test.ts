import test from 'ava';
import { parseYaml, problemsOf, serviceYaml } from './fixture.ts';
import type { Parsed } from './parse.ts';

/* Slices, mirrored Endpoints and pods: how each becomes endpoints of a Service. */

const service = serviceYaml(
  'clusterIP: 10.0.0.1, ports: [{name: http, port: 80, targetPort: web}, {name: dns, port: 53, protocol: UDP}]',
);
const selecting = serviceYaml(
  'clusterIP: 10.0.0.1, selector: {app: web}, ports: [{name: http, port: 80, targetPort: web}]',
);

function slice(rest: string, name = 'web-1', labels = 'kubernetes.io/service-name: web'): string {
  const type = /addressType/.test(rest) ? '' : ', addressType: IPv4';
  const ports = /\bports:/.test(rest) ? '' : ', ports: [{name: http, port: 8080}]';
  return `{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: ${name}, labels: {${labels}}}${type}${ports}, ${rest}}\n---\n`;
}

function endpoints(subsets: string, metadata = 'name: web'): string {
  return `{apiVersion: v1, kind: Endpoints, metadata: {${metadata}}, subsets: ${subsets}}\n---\n`;
}

function pod(
  status: string,
  metadata = 'name: p1, labels: {app: web}',
  port = '{name: web, containerPort: 8080}',
): string {
  return `{apiVersion: v1, kind: Pod, metadata: {${metadata}}, spec: {nodeName: n1, containers: [{ports: [${port}]}]}, status: {${status}}}\n---\n`;
}

/** 'address:port' with what is not so by default: r for ready, s for serving, t for terminating, in capitals if true. */
function list(parsed: Parsed, key = 'http/TCP', name = 'default/web'): string {
  const found = parsed.endpoints.get(name)?.get(key) ?? [];
  return found
    .map(({ address, port, ready, serving, terminating }) => {
      const flags = `${ready ? '' : 'r'}${serving ? '' : 's'}${terminating ? 'T' : ''}`;
      return `${address.includes(':') ? `[${address}]` : address}:${port}${flags === '' ? '' : ` ${flags}`}`;
    })
    .join(', ');
}

for (const [name, yaml, http, dns] of [
  ['an endpoint without conditions', slice('endpoints: [{addresses: [10.1.0.1]}]'), '10.1.0.1:8080', ''],
  ['the first address only', slice('endpoints: [{addresses: [10.1.0.1, 10.1.0.2]}]'), '10.1.0.1:8080', ''],
  [
    'serving by default, even if not ready',
    slice('endpoints: [{addresses: [10.1.0.1], conditions: {ready: false}}]'),
    '10.1.0.1:8080 r',
    '',
  ],
  ['conditions that are null', slice('endpoints: [{addresses: [10.1.0.1], conditions: null}]'), '10.1.0.1:8080', ''],
  [
    'terminating',
    slice('endpoints: [{addresses: [10.1.0.1], conditions: {ready: false, serving: true, terminating: true}}]'),
    '10.1.0.1:8080 rT',
    '',
  ],
  [
    'the protocol is part of the port',
    slice('ports: [{name: dns, port: 5353}, {name: http, port: 8080}], endpoints: [{addresses: [10.1.0.1]}]'),
    '10.1.0.1:8080',
    '',
  ],
  [
    'ports by name and protocol',
    slice('ports: [{name: dns, port: 5353, protocol: UDP}], endpoints: [{addresses: [10.1.0.1]}]'),
    '',
    '10.1.0.1:5353',
  ],
  [
    'each slice with its own number',
    slice('ports: [{name: http, port: 1}], endpoints: [{addresses: [10.1.0.1]}]') +
      slice('ports: [{name: http, port: 2}], endpoints: [{addresses: [10.1.0.2]}]', 'web-2'),
    '10.1.0.1:1, 10.1.0.2:2',
    '',
  ],
  ['a port without a number', slice('ports: [{name: http}], endpoints: [{addresses: [10.1.0.1]}]'), '', ''],
  ['no ports', slice('ports: [], endpoints: [{addresses: [10.1.0.1]}]'), '', ''],
  ['IPv6', slice('addressType: IPv6, endpoints: [{addresses: ["fd00::0001"]}]'), '[fd00::1]:8080', ''],
  ['names instead of addresses', slice('addressType: FQDN, endpoints: [{addresses: [a.example]}]'), '', ''],
  [
    'labelled headless',
    slice(
      'endpoints: [{addresses: [10.1.0.1]}]',
      'web-1',
      'kubernetes.io/service-name: web, service.kubernetes.io/headless: ""',
    ),
    '',
    '',
  ],
  [
    'of another proxy',
    slice(
      'endpoints: [{addresses: [10.1.0.1]}]',
      'web-1',
      'kubernetes.io/service-name: web, service.kubernetes.io/service-proxy-name: x',
    ),
    '',
    '',
  ],
  [
    'twice: the one that is not terminating',
    slice('endpoints: [{addresses: [10.1.0.1], conditions: {terminating: true}}]') +
      slice('endpoints: [{addresses: [010.1.0.1], conditions: {ready: false}}]', 'web-2'),
    '10.1.0.1:8080 r',
    '',
  ],
  [
    'twice: the ready one',
    slice('endpoints: [{addresses: [10.1.0.1], conditions: {ready: false}}, {addresses: [10.1.0.1]}]'),
    '10.1.0.1:8080',
    '',
  ],
] as const) {
  test(`readEndpoints() slice: ${name}`, (t) => {
    const parsed = parseYaml(service + yaml);
    t.deepEqual([list(parsed), list(parsed, 'dns/UDP')], [http, dns]);
    t.deepEqual(parsed.problems, []);
  });
}

test('readEndpoints() an unnamed Service port is answered by unnamed slice ports only', (t) => {
  const yaml =
    serviceYaml('') +
    slice(
      'ports: [{port: 8080}, {name: "", port: 8081, protocol: UDP}, {name: http, port: 1}], endpoints: [{addresses: [10.1.0.1]}]',
    );
  t.is(list(parseYaml(yaml), '/TCP'), '10.1.0.1:8080');
});

test('readEndpoints() node, zones and hints are those of the endpoint', (t) => {
  const hints = 'hints: {forZones: [{name: z1}, {name: z2}], forNodes: [{name: n2}]}';
  const { endpoints: all } = parseYaml(service + slice(`endpoints: [{addresses: [10.1.0.1], nodeName: n1, ${hints}}]`));
  const [endpoint] = all.get('default/web')?.get('http/TCP') ?? [];
  t.deepEqual([endpoint?.nodeName, endpoint?.zoneHints, endpoint?.nodeHints], ['n1', ['z1', 'z2'], ['n2']]);
});

test('readEndpoints() has an entry, if an empty one, for every port of every Service that is served', (t) => {
  const { endpoints: all } = parseYaml(service + serviceYaml('clusterIP: None', 'name: headless'));
  t.deepEqual(
    [...all].map(([name, ports]) => [name, [...ports.keys()].map((key) => [key, ports.get(key)])]),
    [
      [
        'default/web',
        [
          ['http/TCP', []],
          ['dns/UDP', []],
        ],
      ],
    ],
  );
});

for (const [name, rest, problem] of [
  [
    'an address of the wrong family',
    'endpoints: [{addresses: ["fd00::1"]}, {addresses: [10.1.0.2]}]',
    'endpoint: fd00::1 is not an IPv4 address: left out',
  ],
  ['no address', 'endpoints: [{addresses: []}, {addresses: [10.1.0.2]}]', 'endpoint: it has no address: left out'],
  [
    'no address of its own',
    'endpoints: [{addresses: [127.0.0.1]}, {addresses: [10.1.0.2]}]',
    'endpoint: 127.0.0.1 is a loopback address: left out',
  ],
  [
    'an address of the link',
    'endpoints: [{addresses: [169.254.169.254]}, {addresses: [10.1.0.2]}]',
    'endpoint: 169.254.169.254 is a link-local address: left out',
  ],
  [
    'port 65536',
    'ports: [{name: dns, port: 65536}, {name: http, port: 8080}], endpoints: [{addresses: [10.1.0.2]}]',
    'ports[0].port: "65536" is not a port number (1 to 65535): left out',
  ],
  [
    'port 0',
    'ports: [{name: dns, port: 0}, {name: http, port: 8080}], endpoints: [{addresses: [10.1.0.2]}]',
    'ports[0].port: "0" is not a port number (1 to 65535): left out',
  ],
  [
    'an unknown protocol',
    'ports: [{name: dns, port: 1, protocol: X}, {name: http, port: 8080}], endpoints: [{addresses: [10.1.0.2]}]',
    'ports[0].protocol: "X" is unknown: left out',
  ],
] as const) {
  test(`readEndpoints() reports ${name} and keeps its neighbour`, (t) => {
    const parsed = parseYaml(service + slice(rest));
    t.is(list(parsed), '10.1.0.2:8080');
    t.deepEqual(problemsOf(parsed), [`EndpointSlice default/web-1: ${problem}`]);
  });
}

test('readEndpoints() reports an unknown addressType', (t) => {
  const parsed = parseYaml(service + slice('addressType: IPX, endpoints: [{addresses: [10.1.0.1]}]'));
  t.deepEqual(problemsOf(parsed), ['EndpointSlice default/web-1: addressType "IPX" is unknown: left out']);
});

test('parse() a slice without its Service is a Problem until the Service comes', (t) => {
  const yaml = slice('endpoints: [{addresses: [10.1.0.1]}]');
  t.deepEqual(problemsOf(parseYaml(yaml)), ['EndpointSlice default/web-1: its Service default/web does not exist']);
  t.deepEqual(problemsOf(parseYaml(yaml + service)), []);
  t.deepEqual(problemsOf(parseYaml(yaml + serviceYaml('clusterIP: None'))), []);
});

test('parse() a slice without the label that names its Service is a Problem, for nobody would miss it otherwise', (t) => {
  for (const labels of ['', 'kubernetes.io/service-name: ""']) {
    const parsed = parseYaml(service + slice('endpoints: [{addresses: [10.1.0.1]}]', 'web-1', labels));
    t.deepEqual([list(parsed), list(parsed, 'dns/UDP')], ['', '']);
    t.deepEqual(problemsOf(parsed), [
      'EndpointSlice default/web-1: without the label kubernetes.io/service-name it is of no Service',
    ]);
  }
});

for (const [name, yaml, expected] of [
  [
    'subsets, ready and not',
    endpoints(
      '[{addresses: [{ip: 10.1.0.1}], notReadyAddresses: [{ip: 10.1.0.2}], ports: [{name: http, port: 8080}]}, {addresses: [{ip: 10.1.0.3}], ports: [{name: http, port: 9090}]}]',
    ),
    '10.1.0.1:8080, 10.1.0.2:8080 r, 10.1.0.3:9090',
  ],
  [
    'both families',
    endpoints('[{addresses: [{ip: "fd00::1"}, {ip: 10.1.0.1}], ports: [{name: http, port: 8080}]}]'),
    '10.1.0.1:8080, [fd00::1]:8080',
  ],
  [
    'ready and not ready at once',
    endpoints(
      '[{addresses: [{ip: 10.1.0.1}], notReadyAddresses: [{ip: 10.1.0.1}], ports: [{name: http, port: 8080}]}]',
    ),
    '10.1.0.1:8080',
  ],
  ['no subsets', endpoints('null'), ''],
  [
    'not to be mirrored',
    endpoints(
      '[{addresses: [{ip: 10.1.0.1}], ports: [{name: http, port: 8080}]}]',
      'name: web, labels: {endpointslice.kubernetes.io/skip-mirror: "true"}',
    ),
    '',
  ],
  [
    'beside slices of a Service without a selector',
    endpoints('[{addresses: [{ip: 10.1.0.1}], ports: [{name: http, port: 8080}]}]') +
      slice('endpoints: [{addresses: [10.1.0.9]}]'),
    '10.1.0.9:8080, 10.1.0.1:8080',
  ],
] as const) {
  test(`mirrorEndpoints() ${name}`, (t) => {
    const parsed = parseYaml(service + yaml);
    t.is(list(parsed), expected);
    t.deepEqual(parsed.problems, []);
  });
}

test('mirrorEndpoints() reports a bad address under the name of the Endpoints', (t) => {
  const parsed = parseYaml(service + endpoints('[{addresses: [{ip: 10.1.0.300}], ports: [{name: http, port: 8080}]}]'));
  t.deepEqual(problemsOf(parsed), ['Endpoints default/web: endpoint: "10.1.0.300" is not an IP address: left out']);
});

test('inputsOf() Endpoints beside a selector count until pods or slices say otherwise', (t) => {
  const both = selecting + endpoints('[{addresses: [{ip: 10.1.0.1}], ports: [{name: http, port: 8080}]}]');
  t.is(list(parseYaml(both)), '10.1.0.1:8080');
  t.is(list(parseYaml(both + pod('podIP: 10.2.0.1'))), '10.2.0.1:8080');
  t.is(list(parseYaml(both + slice('endpoints: [{addresses: [10.3.0.1]}]'))), '10.3.0.1:8080');
  t.is(list(parseYaml(both + pod(''))), '10.1.0.1:8080', 'a pod without an address says nothing');
});

test('inputsOf() slices and pods of one Service are one set, and the slice knows better', (t) => {
  const yaml =
    selecting +
    slice('endpoints: [{addresses: [10.2.0.1], nodeName: n7}, {addresses: [10.3.0.1]}]') +
    pod('podIP: 10.2.0.1');
  const parsed = parseYaml(yaml);
  t.is(list(parsed), '10.2.0.1:8080, 10.3.0.1:8080');
  t.is(parsed.endpoints.get('default/web')?.get('http/TCP')?.[0]?.nodeName, 'n7');
});

for (const [name, yaml, expected] of [
  ['without conditions', pod('podIP: 10.2.0.1'), '10.2.0.1:8080'],
  ['ready', pod('podIP: 10.2.0.1, conditions: [{type: Ready, status: "True"}]'), '10.2.0.1:8080'],
  ['not ready', pod('podIP: 10.2.0.1, conditions: [{type: Ready, status: "False"}]'), '10.2.0.1:8080 rs'],
  [
    'with other conditions only',
    pod('podIP: 10.2.0.1, conditions: [{type: PodScheduled, status: "True"}]'),
    '10.2.0.1:8080 rs',
  ],
  [
    'terminating',
    pod('podIP: 10.2.0.1', 'name: p1, deletionTimestamp: "2024-05-01T10:00:00Z", labels: {app: web}'),
    '10.2.0.1:8080 rT',
  ],
  [
    'terminating and not ready',
    pod(
      'podIP: 10.2.0.1, conditions: [{type: Ready, status: "False"}]',
      'name: p1, deletionTimestamp: "2024-05-01T10:00:00Z", labels: {app: web}',
    ),
    '10.2.0.1:8080 rsT',
  ],
  [
    'of both families',
    pod('podIP: 10.2.0.1, podIPs: [{ip: 10.2.0.1}, {ip: "fd00::1"}]'),
    '10.2.0.1:8080, [fd00::1]:8080',
  ],
  ['without an address', pod('phase: Pending'), ''],
  ['finished', pod('podIP: 10.2.0.1, phase: Succeeded'), ''],
  ['failed', pod('podIP: 10.2.0.1, phase: Failed'), ''],
  ['of another label', pod('podIP: 10.2.0.1', 'name: p1, labels: {app: other}'), ''],
  ['of another namespace', pod('podIP: 10.2.0.1', 'name: p1, namespace: other, labels: {app: web}'), ''],
  [
    'whose ports differ',
    pod('podIP: 10.2.0.1') + pod('podIP: 10.2.0.2', 'name: p2, labels: {app: web}', '{name: web, containerPort: 9090}'),
    '10.2.0.1:8080, 10.2.0.2:9090',
  ],
] as const) {
  test(`slicesOfPods() a pod ${name}`, (t) => {
    const parsed = parseYaml(selecting + yaml);
    t.is(list(parsed), expected);
    t.deepEqual(parsed.problems, []);
  });
}

test('slicesOfPods() publishNotReadyAddresses makes any pod ready', (t) => {
  const yaml = serviceYaml('clusterIP: 10.0.0.1, publishNotReadyAddresses: true, selector: {app: web}');
  const unready = pod(
    'podIP: 10.2.0.1, conditions: [{type: Ready, status: "False"}]',
    'name: p1, deletionTimestamp: "2024-05-01T10:00:00Z", labels: {app: web}',
  );
  t.is(list(parseYaml(yaml + unready), '/TCP'), '10.2.0.1:80 sT');
});

test('slicesOfPods() every label of the selector must match', (t) => {
  const yaml =
    serviceYaml('clusterIP: 10.0.0.1, selector: {app: web, tier: front}') +
    pod('podIP: 10.2.0.1') +
    pod('podIP: 10.2.0.2', 'name: p2, labels: {app: web, tier: front, more: x}');
  t.is(list(parseYaml(yaml), '/TCP'), '10.2.0.2:80');
});

for (const [wish, node, zones, nodes] of [
  ['', 'n1', [], []],
  ['PreferClose', 'n1', ['z1'], []],
  ['PreferSameZone', 'n1', ['z1'], []],
  ['PreferSameNode', 'n1', ['z1'], ['n1']],
  ['PreferSameNode', 'n9', [], ['n9']],
  ['PreferFar', 'n1', [], []],
] as const) {
  test(`slicesOfPods() trafficDistribution ${wish || 'absent'} gives a pod of ${node} hints`, (t) => {
    const yaml =
      serviceYaml(`clusterIP: 10.0.0.1, selector: {app: web}, trafficDistribution: "${wish}"`) +
      '{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {topology.kubernetes.io/zone: z1}}}\n---\n' +
      pod('podIP: 10.2.0.1').replace('n1', node) +
      pod('podIP: 10.2.0.2, conditions: [{type: Ready, status: "False"}]', 'name: p2, labels: {app: web}');
    const found = parseYaml(yaml).endpoints.get('default/web')?.get('/TCP');
    t.deepEqual(
      found?.map(({ zoneHints, nodeHints }) => [zoneHints, nodeHints]),
      [
        [[...zones], [...nodes]],
        [[], []],
      ],
    );
  });
}

test('slicesOfPods() an empty selector selects nothing', (t) => {
  t.is(list(parseYaml(serviceYaml('clusterIP: 10.0.0.1, selector: {}') + pod('podIP: 10.2.0.1')), '/TCP'), '');
});

for (const [target, expected] of [
  ['8080', '10.2.0.1:8080'],
  ['"8080"', '10.2.0.1:8080'],
  ['0', '10.2.0.1:80'],
  ['null', '10.2.0.1:80'],
  ['web', '10.2.0.1:8080'],
  ['side', '10.2.0.1:7000'],
  ['init', ''],
] as const) {
  test(`slicesOfPods() targetPort ${target} is ${expected || 'nowhere'}`, (t) => {
    const yaml = `${serviceYaml(`clusterIP: 10.0.0.1, selector: {app: web}, ports: [{port: 80, targetPort: ${target}}]`)}
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {app: web}}
spec:
  initContainers:
  - {ports: [{name: init, containerPort: 7001}]}
  - {restartPolicy: Always, ports: [{name: side, containerPort: 7000}]}
  containers:
  - {ports: [{name: x, containerPort: 1}]}
  - {ports: [{name: web, containerPort: 8080}]}
status: {podIP: 10.2.0.1}
`;
    const parsed = parseYaml(yaml);
    t.is(list(parsed, '/TCP'), expected);
    const missing = `Service default/web: ports[0].targetPort: no pod that it selects has a TCP port named "${target}"`;
    t.deepEqual(problemsOf(parsed), expected === '' ? [missing] : []);
  });
}

test('slicesOfPods() a named targetPort that some of its pods have, or that no pod is there to have, is no Problem', (t) => {
  t.deepEqual(problemsOf(parseYaml(selecting)), []);
  const without = pod('podIP: 10.2.0.1', 'name: p2, labels: {app: web}', '{name: other, containerPort: 8080}');
  t.deepEqual(problemsOf(parseYaml(selecting + pod('podIP: 10.2.0.2') + without)), []);
});

for (const [name, port] of [
  ['of another name', '{name: other, containerPort: 8080}'],
  ['of another protocol', '{name: web, containerPort: 8080, protocol: UDP}'],
  ['of a number that cannot be', '{name: web, containerPort: 99999}'],
] as const) {
  test(`slicesOfPods() a named targetPort is a Problem if all pods have but one ${name}`, (t) => {
    const parsed = parseYaml(selecting + pod('podIP: 10.2.0.1', undefined, port));
    t.is(list(parsed), '');
    t.deepEqual(problemsOf(parsed), [
      'Service default/web: ports[0].targetPort: no pod that it selects has a TCP port named "web"',
    ]);
  });
}

test('slicesOfPods() reports a targetPort that cannot be, and a pod an address that cannot', (t) => {
  const yaml =
    serviceYaml('clusterIP: 10.0.0.1, selector: {app: web}, ports: [{port: 80, targetPort: 65536}]') +
    pod('podIPs: [{ip: x}, {ip: "fd00::1"}]');
  t.deepEqual(problemsOf(parseYaml(yaml)), [
    'Pod default/p1: status: "x" is not an IP address: left out',
    'Service default/web: ports[0].targetPort: 65536 is not a port number (1 to 65535): no pod has it',
  ]);
});
