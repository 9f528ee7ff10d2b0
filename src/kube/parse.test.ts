import test from 'ava';
import fc from 'fast-check';
import { changedServices } from './changes.ts';
import { objectsOf, parseYaml, problemsOf, serviceYaml, settings, storeOf } from './fixture.ts';
import { type KubeObject, objectKey } from './objects.ts';
import { type Parsed, parse } from './parse.ts';

function slice(name: string, service: string, addresses: string): string {
  return `{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: ${name}, labels: {kubernetes.io/service-name: ${service}}}, addressType: IPv4, ports: [{port: 8080}], endpoints: [${addresses
    .split(' ')
    .map((address) => `{addresses: [${address}]}`)
    .join(', ')}]}\n---\n`;
}

const world = [
  serviceYaml('', 'name: a'),
  serviceYaml('type: NodePort, selector: {app: b}', 'name: b'),
  serviceYaml('clusterIP: None', 'name: c'),
  slice('a-1', 'a', '10.1.0.1 10.1.0.2'),
  slice('a-2', 'a', '10.1.0.2 10.1.0.3'),
  slice('x-1', 'x', '10.1.0.9'),
  '{apiVersion: v1, kind: Pod, metadata: {name: b1, labels: {app: b}}, status: {podIP: 10.2.0.1}}\n---\n',
  '{apiVersion: v1, kind: Pod, metadata: {name: b2, labels: {app: b}}, status: {podIP: 10.2.0.2}}\n---\n',
  '{apiVersion: v1, kind: Node, metadata: {name: n1}}\n---\n',
].join('');

/** What can be seen of it, in order. */
function visible({ services, endpoints, unserved, nodes, serviceCidrs, problems }: Parsed): unknown {
  const behind = [...endpoints].map(([name, ports]) => [name, [...ports.keys()].map((key) => [key, ports.get(key)])]);
  return [[...services], behind, [...unserved], nodes, serviceCidrs, problems];
}

function storeWith(before: ReadonlyMap<string, KubeObject>, yaml: string): Map<string, KubeObject> {
  return new Map([...before, ...objectsOf(yaml).map((object) => [objectKey(object), object] as const)]);
}

test('parse() does not care for the order of objects', (t) => {
  const objects = objectsOf(world);
  const expected = visible(parseYaml(world));
  fc.assert(
    fc.property(fc.shuffledSubarray(objects, { minLength: objects.length }), (shuffled) => {
      const store = new Map(shuffled.map((object) => [objectKey(object), object]));
      t.deepEqual(visible(parse(store, settings, null)), expected);
    }),
  );
});

/** Objects that are there in one state and another one or not at all in the next. */
const variants = objectsOf(
  [
    world,
    serviceYaml('selector: {app: b}, trafficDistribution: PreferClose', 'name: a'),
    serviceYaml('selector: {app: b, tier: x}', 'name: b'),
    serviceYaml('clusterIP: 10.96.0.9', 'name: c'),
    serviceYaml('type: ExternalName', 'name: d'),
    // where the Services without one would be
    ...['a', 'b'].map((name) => {
      const address = parseYaml(serviceYaml('', `name: ${name}`)).services.get(`default/${name}`)?.clusterIPs[0];
      return serviceYaml(`clusterIP: ${address}`, `name: taker-${name}`);
    }),
    slice('a-1', 'b', '10.1.0.7'),
    slice('x-1', '', '10.1.0.9'),
    '{apiVersion: v1, kind: Endpoints, metadata: {name: b}, subsets: [{addresses: [{ip: 10.3.0.1}], ports: [{port: 1}]}]}\n---\n',
    '{apiVersion: v1, kind: Pod, metadata: {name: b1, labels: {app: b, tier: x}}, spec: {nodeName: n1}, status: {podIP: 10.2.0.1}}\n---\n',
    '{apiVersion: v1, kind: Pod, metadata: {name: b2, labels: {app: c}}, status: {podIP: bad}}\n---\n',
    '{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {topology.kubernetes.io/zone: z}}}\n---\n',
    '{apiVersion: networking.k8s.io/v1, kind: ServiceCIDR, metadata: {name: k}, spec: {cidrs: [10.96.0.0/16, x]}}\n---\n',
  ].join(''),
);

test('parse() from whatever previous state comes to what it would come to without one', (t) => {
  const some = fc.shuffledSubarray(variants).map((all) => new Map(all.map((object) => [objectKey(object), object])));
  const steps = fc.array(fc.record({ store: some, from: fc.nat(3) }), { minLength: 2, maxLength: 6 });
  fc.assert(
    fc.property(steps, (states) => {
      const seen: Parsed[] = [];
      for (const { store, from } of states) {
        // mostly the last one, at times an older one
        const parsed = parse(store, settings, seen.at(-1 - (from === 3 ? 1 : 0)) ?? null);
        t.deepEqual(visible(parsed), visible(parse(store, settings, null)));
        seen.push(parsed);
      }
    }),
    { numRuns: 500 },
  );
});

test('changedServices() everything is new at first, nothing when nothing changed', (t) => {
  const first = parse(storeOf(world), settings, null);
  t.deepEqual(changedServices(null, first), new Set(['default/a', 'default/b']));
  t.deepEqual(changedServices(first, parse(storeOf(world), settings, first)), new Set(), 'equal objects, read anew');
});

for (const [name, yaml, changed] of [
  ['an endpoint more', slice('a-1', 'a', '10.1.0.1 10.1.0.2 10.1.0.4'), ['default/a']],
  ['the same endpoints otherwise spread', slice('a-2', 'a', '10.1.0.3'), []],
  ['a port', serviceYaml('ports: [{port: 81}]', 'name: a'), ['default/a']],
  ['a field that means nothing to us', serviceYaml('loadBalancerClass: x', 'name: a'), []],
  [
    'a pod that leaves a selector',
    '{apiVersion: v1, kind: Pod, metadata: {name: b2}, status: {podIP: 10.2.0.2}}',
    ['default/b'],
  ],
  ['a Service that comes', serviceYaml('', 'name: x'), ['default/x']],
  ['a Service that becomes headless', serviceYaml('clusterIP: None', 'name: a'), ['default/a']],
  ['a Service that is no longer headless', serviceYaml('', 'name: c'), ['default/c']],
  ['an opt-out label', serviceYaml('', 'name: a, labels: {service.kubernetes.io/headless: ""}'), ['default/a']],
  ['an object of no Service', '{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {a: b}}}', []],
] as const) {
  test(`changedServices() after ${name}: ${changed.join() || 'none'}`, (t) => {
    const before = storeOf(world);
    const first = parse(before, settings, null);
    const second = parse(storeWith(before, yaml), settings, first);
    t.deepEqual([...changedServices(first, second)], [...changed]);
  });
}

test('changedServices() the zone of a Node concerns the Services that wish to stay near', (t) => {
  const near = storeWith(
    storeOf(world),
    serviceYaml('selector: {app: b}, trafficDistribution: PreferClose', 'name: near'),
  );
  const first = parse(near, settings, null);
  const placed =
    '{apiVersion: v1, kind: Pod, metadata: {name: b1, labels: {app: b}}, spec: {nodeName: n1}, status: {podIP: 10.2.0.1}}\n---\n';
  const second = parse(storeWith(near, placed), settings, first);
  t.deepEqual([...changedServices(first, second)], ['default/b', 'default/near']);
  const moved = '{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {topology.kubernetes.io/zone: z2}}}';
  const third = parse(storeWith(storeWith(near, placed), moved), settings, second);
  t.deepEqual([...changedServices(second, third)], ['default/near']);
});

test('changedServices() a Service that goes, and one whose allocated address had to make way', (t) => {
  const before = storeOf(world);
  const first = parse(before, settings, null);
  const address = first.services.get('default/a')?.clusterIPs[0];
  const claimed = storeWith(before, serviceYaml(`clusterIP: ${address}`, 'name: z'));
  claimed.delete('Service default/b');
  const second = parse(claimed, settings, first);
  t.deepEqual([...changedServices(first, second)].sort(), ['default/a', 'default/b', 'default/z']);
  t.not(second.services.get('default/a')?.clusterIPs[0], address);
});

test('parse() keeps the addresses of the other Services when one opts out and back', (t) => {
  const optedOut = parseYaml(world + serviceYaml('', 'name: a, labels: {service.kubernetes.io/service-proxy-name: x}'));
  t.deepEqual(optedOut.services.get('default/b'), parseYaml(world).services.get('default/b'));
});

test('parse() passes on a clusterIP that two Services claim, with their ages', (t) => {
  const old = 'creationTimestamp: "2024-01-01T00:00:00Z"';
  const { services, problems } = parseYaml(
    serviceYaml('clusterIP: 10.0.0.1', 'name: a') + serviceYaml('clusterIP: 10.0.0.1', `name: b, ${old}`),
  );
  t.deepEqual(
    [...services.values()].map(({ clusterIPs, created }) => [clusterIPs[0], created]),
    [
      ['10.0.0.1', ''],
      ['10.0.0.1', '2024-01-01T00:00:00Z'],
    ],
  );
  t.deepEqual(problems, []);
});

test('parse() reads Nodes: internal addresses in their order, zone and pod ranges', (t) => {
  const parsed = parseYaml(`
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {topology.kubernetes.io/zone: z1}}
spec: {podCIDR: 10.244.1.0/24, podCIDRs: [10.244.1.0/24, fd00:1::/64, x], taints: [{key: x, effect: NoSchedule}]}
status:
  addresses:
  - {type: Hostname, address: n1}
  - {type: InternalIP, address: 192.0.2.111}
  - {type: ExternalIP, address: 198.51.100.1}
  - {type: InternalIP, address: 192.0.2.11}
  - {type: InternalIP, address: n1.example}
  - {type: InternalIP, address: "2001:db8::1"}
`);
  t.deepEqual(parsed.nodes, [
    {
      name: 'n1',
      labels: { 'topology.kubernetes.io/zone': 'z1' },
      zone: 'z1',
      internalIPs: ['192.0.2.111', '192.0.2.11', '2001:db8::1'],
      podCidrs: [
        { address: '10.244.1.0', prefixLength: 24 },
        { address: 'fd00:1::', prefixLength: 64 },
      ],
      isLeaving: false,
    },
  ]);
  t.deepEqual(problemsOf(parsed), [
    'Node n1: spec.podCIDRs: "x" is not a CIDR: left out',
    'Node n1: status.addresses: "n1.example" is not an IP address: left out',
  ]);
});

for (const [why, fields] of [
  ['it is being deleted', 'metadata: {name: n1, deletionTimestamp: "2024-05-01T10:00:00Z"}'],
  ['the autoscaler tainted it', 'metadata: {name: n1}, spec: {taints: [{key: ToBeDeletedByClusterAutoscaler}]}'],
] as const) {
  test(`parse() a Node is leaving if ${why}`, (t) => {
    t.true(parseYaml(`{apiVersion: v1, kind: Node, ${fields}}`).nodes[0]?.isLeaving);
  });
}

test('parse() a Node with nothing but a name, and one with the older podCIDR', (t) => {
  const { nodes } = parseYaml(
    '{apiVersion: v1, kind: Node, metadata: {name: b}}\n---\n{apiVersion: v1, kind: Node, metadata: {name: a}, spec: {podCIDR: 10.244.1.7/24}}',
  );
  t.deepEqual(
    nodes.map(({ name, zone, internalIPs, podCidrs }) => [name, zone, internalIPs, podCidrs]),
    [
      ['a', '', [], [{ address: '10.244.1.0', prefixLength: 24 }]],
      ['b', '', [], []],
    ],
  );
});

test('parse() reads ServiceCIDRs and reports what is none', (t) => {
  const parsed = parseYaml(
    '{apiVersion: networking.k8s.io/v1, kind: ServiceCIDR, metadata: {name: kubernetes}, spec: {cidrs: [10.96.0.0/16, 10.97.0.0]}}',
  );
  t.deepEqual(parsed.serviceCidrs, [{ address: '10.96.0.0', prefixLength: 16 }]);
  t.deepEqual(problemsOf(parsed), ['ServiceCIDR kubernetes: spec.cidrs: "10.97.0.0" is not a CIDR: left out']);
});

test('parse() 100,000 endpoints in one Service, and their mistakes in a few lines', (t) => {
  const endpoints = Array.from({ length: 100_000 }, (_, i) => ({
    addresses: [i % 10 === 0 ? `bad-${i}` : `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`],
  }));
  const store = storeOf(serviceYaml('') + slice('web-1', 'web', '10.1.0.1'));
  const [object] = objectsOf(slice('web-1', 'web', '10.1.0.1'));
  if (object?.kind !== 'EndpointSlice') throw new Error('no slice');
  const conditions = { ready: null, serving: null, terminating: null };
  const hints = { forZones: [], forNodes: [] };
  const many = endpoints.map((endpoint) => ({ ...endpoint, conditions, hints, nodeName: '' }));
  store.set(objectKey(object), { ...object, endpoints: many });
  const parsed = parse(store, settings, null);
  t.is(parsed.endpoints.get('default/web')?.get('/TCP')?.length, 90_000);
  t.is(parsed.problems.length, 11);
});

/** Shapes that people write, in few words. */
const everyday = `
# begins with a comment
kind: Service
apiVersion: v1
metadata:
  annotations: null
  name: no-namespace
spec:
  ports:
  - port: 3000
    targetPort: http-server
  selector:
    app: guestbook
---
# one number, two protocols; no targetPort
apiVersion: v1
kind: Service
metadata: {name: dns, namespace: kube-system}
spec:
  clusterIP: 10.96.0.10
  ports:
  - {name: dns, port: 53, protocol: UDP}
  - {name: dns-tcp, port: 53, protocol: TCP}
---
{
  apiVersion: "v1",
  kind: "Service",
  metadata: {
    name: "dual",
  },
  spec: {
    ipFamilyPolicy: "PreferDualStack",
    ipFamilies: [
      "IPv6",
      "IPv4",
    ],
    ports: [{
      protocol: "TCP",
      port: 80,
      scheme: "https",
    }, {
      name: "tls",
      port: 443,
    }],
  },
}
---
apiVersion: v1
kind: Service
metadata: {name: balanced}
spec: {type: LoadBalancer, externalTrafficPolicy: Local, ports: [{port: 80, targetPort: http}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ignored}
---
`;

test('parse() the everyday shapes of YAML come out with clusterIPs and ports', (t) => {
  const parsed = parseYaml(everyday);
  t.deepEqual(parsed.problems, []);
  t.deepEqual(
    [...parsed.services.values()].map(({ name, clusterIPs, ports }) => [name, clusterIPs.length, ports.length]),
    [
      ['balanced', 1, 1],
      ['dual', 2, 2],
      ['no-namespace', 1, 1],
      ['dns', 1, 2],
    ],
  );
  t.regex(parsed.services.get('default/dual')?.clusterIPs[0] ?? '', /^fd00:10:96::/, 'IPv6 comes first');
});
