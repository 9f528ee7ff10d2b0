import test from 'ava';
import { parseYaml, problemsOf, serviceYaml } from './fixture.ts';
import type { Parsed } from './parse.ts';

function web({ services }: Parsed): unknown {
  return services.get('default/web');
}

test('readService() fills in what an API server would', (t) => {
  const parsed = parseYaml(serviceYaml('clusterIP: 10.0.0.1, sessionAffinity: ClientIP'));
  t.deepEqual(web(parsed), {
    namespace: 'default',
    name: 'web',
    created: '',
    clusterIPs: ['10.0.0.1'],
    externalIPs: [],
    loadBalancerIPs: [],
    sourceRanges: [],
    ports: [{ name: '', protocol: 'TCP', number: 80, nodePort: 0 }],
    affinitySeconds: 10800,
    scheduler: 'random',
    internalLocal: false,
    externalLocal: false,
    healthCheckNodePort: 0,
  });
  t.deepEqual(parsed.problems, []);
});

test('readService() reads what is written', (t) => {
  const parsed = parseYaml(`
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, creationTimestamp: "2024-05-01T10:00:00Z"}
spec:
  type: LoadBalancer
  clusterIPs: [10.0.0.1, fd00::1]
  ipFamilies: [IPv4, IPv6]
  ipFamilyPolicy: RequireDualStack
  externalIPs: [192.0.2.9, 2001:db8::9, 192.0.2.9]
  loadBalancerSourceRanges: [" 203.0.113.0/25 ", "2001:db8::/64"]
  internalTrafficPolicy: Local
  externalTrafficPolicy: Local
  healthCheckNodePort: 30100
  sessionAffinity: ClientIP
  sessionAffinityConfig: {clientIP: {timeoutSeconds: 60}}
  ports:
  - {name: dns, protocol: UDP, port: 53, nodePort: 30053}
  - {name: dns-tcp, protocol: TCP, port: 53}
  - {name: bulk, protocol: SCTP, port: 7, nodePort: 30007}
status:
  loadBalancer:
    ingress:
    - {ip: 198.51.100.7}
    - {ip: 198.51.100.8, ipMode: VIP}
    - {ip: 198.51.100.9, ipMode: Proxy}
    - {hostname: lb.example}
`);
  t.deepEqual(parsed.services.get('shop/web'), {
    namespace: 'shop',
    name: 'web',
    created: '2024-05-01T10:00:00Z',
    clusterIPs: ['10.0.0.1', 'fd00::1'],
    externalIPs: ['192.0.2.9', '2001:db8::9'],
    loadBalancerIPs: ['198.51.100.7', '198.51.100.8'],
    sourceRanges: [
      { address: '203.0.113.0', prefixLength: 25 },
      { address: '2001:db8::', prefixLength: 64 },
    ],
    ports: [
      { name: 'dns', protocol: 'UDP', number: 53, nodePort: 30053 },
      { name: 'dns-tcp', protocol: 'TCP', number: 53, nodePort: 30053 },
      { name: 'bulk', protocol: 'SCTP', number: 7, nodePort: 30007 },
    ],
    affinitySeconds: 60,
    scheduler: 'random',
    internalLocal: true,
    externalLocal: true,
    healthCheckNodePort: 30100,
  });
  t.deepEqual(parsed.problems, []);
});

for (const [name, spec, port, problems] of [
  ['as it is written', 'type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: 30100', 30100, []],
  ['that is absent', 'type: LoadBalancer, externalTrafficPolicy: Local', 0, []],
  ['of policy Cluster', 'type: LoadBalancer, healthCheckNodePort: 30100', 0, []],
  ['of type NodePort', 'type: NodePort, externalTrafficPolicy: Local, healthCheckNodePort: 30100', 0, []],
  [
    'that is no port',
    'type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: 70000',
    0,
    ['Service default/web: healthCheckNodePort: "70000" is not a port number (1 to 65535): left out'],
  ],
] as const) {
  test(`readService() a healthCheckNodePort ${name}: ${port}`, (t) => {
    const parsed = parseYaml(serviceYaml(`clusterIP: 10.0.0.1, ${spec}`));
    t.is(parsed.services.get('default/web')?.healthCheckNodePort, port);
    t.deepEqual(problemsOf(parsed), [...problems]);
  });
}

test('readService() hands out no nodePort that is somebody’s healthCheckNodePort', (t) => {
  const [asked] = parseYaml(serviceYaml('type: NodePort')).services.get('default/web')?.ports ?? [];
  const checked = `type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: ${asked?.nodePort}`;
  const parsed = parseYaml(serviceYaml('type: NodePort') + serviceYaml(checked, 'name: lb'));
  t.not(parsed.services.get('default/web')?.ports[0]?.nodePort, asked?.nodePort);
});

for (const [name, spec, metadata, reason] of [
  ['headless', 'clusterIP: None', 'name: web', /^headless/],
  ['headless by clusterIPs', 'clusterIPs: [None]', 'name: web', /^headless/],
  ['ExternalName, even with a clusterIP', 'type: ExternalName, clusterIP: 10.0.0.1', 'name: web', /^type ExternalName/],
  [
    'of another proxy',
    '',
    'name: web, labels: {service.kubernetes.io/service-proxy-name: cilium}',
    /another proxy serves it/,
  ],
  [
    'of another proxy without a name',
    '',
    'name: web, labels: {service.kubernetes.io/service-proxy-name: ""}',
    /another proxy serves it/,
  ],
  [
    'labelled headless, with a value that is not text',
    '',
    'name: web, labels: {service.kubernetes.io/headless: false}',
    /^label service.kubernetes.io\/headless/,
  ],
] as const) {
  test(`whyNotOurs() is no Problem for a Service that is ${name}`, (t) => {
    const parsed = parseYaml(serviceYaml(spec, metadata));
    t.is(web(parsed), undefined);
    t.regex(parsed.unserved.get('default/web') ?? '', reason);
    t.deepEqual(parsed.problems, []);
  });
}

test('whyNotOurs() with a proxy name serves just the Services that have it', (t) => {
  const label = 'service.kubernetes.io/service-proxy-name';
  const yaml = [
    serviceYaml('', `name: ours, labels: {${label}: x}`),
    serviceYaml('', `name: theirs, labels: {${label}: y}`),
    serviceYaml('', 'name: nobodys'),
  ].join('');
  const { services, unserved } = parseYaml(yaml, { serviceProxyName: 'x' });
  t.deepEqual([...services.keys()], ['default/ours']);
  t.deepEqual([...unserved.keys()], ['default/nobodys', 'default/theirs']);
});

for (const [name, spec, problem] of [
  ['port 0', 'ports: [{port: 0}]', 'ports[0].port: "0" is not a port number (1 to 65535): left out'],
  ['port 65536', 'ports: [{port: 65536}]', 'ports[0].port: "65536" is not a port number (1 to 65535): left out'],
  ['a protocol in lower case', 'ports: [{port: 80, protocol: tcp}]', 'ports[0].protocol: "tcp" is unknown: left out'],
  [
    'a port name of 64 bytes',
    `ports: [{port: 80, name: ${'p'.repeat(64)}}]`,
    `ports[0].name is longer than 63 bytes: ${'p'.repeat(20)}…: left out`,
  ],
] as const) {
  test(`readPorts() leaves out ${name} and serves its neighbour`, (t) => {
    const alone = parseYaml(serviceYaml(`clusterIP: 10.0.0.1, ${spec}`));
    t.deepEqual(problemsOf(alone), [
      `Service default/web: ${'none of its ports is valid: it is not served'}`,
      `Service default/web: ${problem}`,
    ]);
    t.is(alone.unserved.get('default/web'), 'none of its ports is valid: it is not served');
    const both = parseYaml(serviceYaml(`clusterIP: 10.0.0.1, ${spec.replace(/\]$/, ', {port: 81, name: other}]')}`));
    t.deepEqual(
      both.services.get('default/web')?.ports.map(({ number }) => number),
      [81],
    );
    t.deepEqual(problemsOf(both), [`Service default/web: ${problem}`]);
  });
}

for (const [name, ports] of [
  ['the same number and protocol', '[{name: a, port: 80}, {name: b, port: 80}]'],
  ['the same name', '[{name: a, port: 80}, {name: a, port: 81}]'],
  ['no name twice', '[{port: 80}, {port: 81}]'],
] as const) {
  test(`readPorts() takes the first of two ports with ${name}`, (t) => {
    const parsed = parseYaml(serviceYaml(`clusterIP: 10.0.0.1, ports: ${ports}`));
    t.deepEqual(
      parsed.services.get('default/web')?.ports.map(({ number }) => number),
      [80],
    );
    t.regex(problemsOf(parsed).join(), /^Service default\/web: ports\[1\]: .* is there already: left out$/);
  });
}

for (const [name, spec, nodePorts, problems] of [
  ['ClusterIP gets none', 'ports: [{port: 80}]', [0], 0],
  ['ClusterIP may not name one', 'ports: [{port: 80, nodePort: 30080}]', [0], 1],
  ['NodePort gets one', 'type: NodePort, ports: [{port: 80}]', [31126], 0],
  ['LoadBalancer gets one', 'type: LoadBalancer, ports: [{port: 80}]', [31126], 0],
  ['LoadBalancer may decline', 'type: LoadBalancer, allocateLoadBalancerNodePorts: false, ports: [{port: 80}]', [0], 0],
  ['a written one stays', 'type: NodePort, ports: [{port: 80, nodePort: 80}]', [80], 0],
  ['0 is not written', 'type: NodePort, ports: [{port: 80, nodePort: 0}]', [31126], 0],
  [
    'protocols share the allocated one',
    'type: NodePort, ports: [{port: 80, name: a}, {port: 80, name: b, protocol: UDP}]',
    [31126, 31126],
    0,
  ],
  [
    'protocols share the written one',
    'type: NodePort, ports: [{port: 80, name: a}, {port: 80, name: b, protocol: UDP, nodePort: 30999}]',
    [30999, 30999],
    0,
  ],
  ['65536 is left out', 'type: NodePort, ports: [{port: 80, nodePort: 65536}]', [0], 1],
] as const) {
  test(`readPorts() nodePort: ${name}`, (t) => {
    const parsed = parseYaml(serviceYaml(`clusterIP: 10.0.0.1, ${spec}`));
    t.deepEqual(
      parsed.services.get('default/web')?.ports.map(({ nodePort }) => nodePort),
      [...nodePorts],
    );
    t.is(parsed.problems.length, problems);
  });
}

for (const [name, spec, reason] of [
  ['an unknown type', 'type: Magic', 'type "Magic" is unknown'],
  ['an unknown internal policy', 'internalTrafficPolicy: local', 'internalTrafficPolicy "local" is unknown'],
  ['an unknown external policy', 'externalTrafficPolicy: Lokal', 'externalTrafficPolicy "Lokal" is unknown'],
  ['a clusterIP of the wrong family', 'clusterIP: 10.0.0.1, ipFamilies: [IPv6]', 'it has no usable clusterIP'],
  ['no ports', 'ports: []', 'it has no ports'],
] as const) {
  test(`readService() does not serve ${name}, and says so`, (t) => {
    const parsed = parseYaml(serviceYaml(spec));
    t.is(web(parsed), undefined);
    const unserved = `${reason}: it is not served`;
    t.is(parsed.unserved.get('default/web'), unserved);
    t.true(problemsOf(parsed).includes(`Service default/web: ${unserved}`));
  });
}

test('readService() leaves out bad addresses and keeps the others', (t) => {
  const yaml = `{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {clusterIP: 10.0.0.1, ports: [{port: 80}], externalIPs: [x, 192.0.2.1, 127.0.0.1, 169.254.1.1]}, status: {loadBalancer: {ingress: [{ip: y}, {ip: 192.0.2.2}]}}}`;
  const parsed = parseYaml(yaml);
  const service = parsed.services.get('default/web');
  t.deepEqual([service?.externalIPs, service?.loadBalancerIPs], [['192.0.2.1'], ['192.0.2.2']]);
  t.deepEqual(problemsOf(parsed), [
    'Service default/web: externalIPs[0]: "x" is not an IP address: left out',
    'Service default/web: externalIPs[2]: 127.0.0.1 is a loopback address: left out',
    'Service default/web: externalIPs[3]: 169.254.1.1 is a link-local address: left out',
    'Service default/web: status.loadBalancer.ingress[0]: "y" is not an IP address: left out',
  ]);
});

test('readService() a bad source range opens a load balancer address to nobody', (t) => {
  const parsed = parseYaml(
    `{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {type: LoadBalancer, clusterIP: 10.0.0.1, ports: [{port: 80}], loadBalancerSourceRanges: [10.0.0.0/8, fd00::/129]}, status: {loadBalancer: {ingress: [{ip: 192.0.2.2}, {ip: 2001:db8::2}]}}}`,
  );
  t.deepEqual(parsed.services.get('default/web')?.loadBalancerIPs, ['192.0.2.2']);
  t.is(parsed.problems.length, 1);
});

for (const [timeout, seconds, problems] of [
  ['0', 10800, 1],
  ['86401', 10800, 1],
  ['86400', 86400, 0],
  ['x', 10800, 1],
  ['null', 10800, 0],
] as const) {
  test(`readService() affinity timeout ${timeout} is ${seconds} s`, (t) => {
    const spec = `sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: ${timeout}}}`;
    const parsed = parseYaml(serviceYaml(spec));
    t.is(parsed.services.get('default/web')?.affinitySeconds, seconds);
    t.is(parsed.problems.length, problems);
  });
}

const annotated = (scheduler: string) =>
  serviceYaml('clusterIP: 10.0.0.1').replace(
    'name: web',
    `name: web, annotations: {bpfsvc.dev/scheduler: ${scheduler}}`,
  );

for (const [text, scheduler] of [
  ['rr', 'rr'],
  ['wlc', 'lc'],
  ['mh', 'maglev'],
  ['nq', 'nq'],
  ['random', 'random'],
  ['""', 'sh'],
] as const) {
  test(`readService() takes scheduler ${text} for ${scheduler}, where the default is sh`, (t) => {
    const parsed = parseYaml(annotated(text), { scheduler: 'sh' });
    t.is(parsed.services.get('default/web')?.scheduler, scheduler);
    t.deepEqual(parsed.problems, []);
  });
}

test('readService() an unknown scheduler is reported, and served with the default', (t) => {
  const parsed = parseYaml(annotated('lblc'), { scheduler: 'rr' });
  t.is(parsed.services.get('default/web')?.scheduler, 'rr');
  t.deepEqual(problemsOf(parsed), [
    'Service default/web: annotation bpfsvc.dev/scheduler: scheduler "lblc" is unknown: served with rr',
  ]);
});

test('readService() an unknown affinity is reported, and served without', (t) => {
  const parsed = parseYaml(serviceYaml('sessionAffinity: Cookie'));
  t.is(parsed.services.get('default/web')?.affinitySeconds, 0);
  t.deepEqual(problemsOf(parsed), ['Service default/web: sessionAffinity "Cookie" is unknown: served without']);
});

test('readService() a Service that an API server has not given an address yet waits, which is no Problem', (t) => {
  const parsed = parseYaml(serviceYaml(''), { ranges: null });
  t.is(parsed.unserved.get('default/web'), 'it has no clusterIP yet');
  t.deepEqual(parsed.problems, []);
});
