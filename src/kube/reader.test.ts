import test from 'ava';
import fc from 'fast-check';
import { parse as parseYaml } from 'yaml';
import { settings } from './fixture.ts';
import { type KubeObject, objectKey } from './objects.ts';
import { parse } from './parse.ts';
import { type Reading, readObjects } from './reader.ts';

function read(yaml: string): Reading {
  return readObjects(parseYaml(yaml));
}

function keys({ objects }: Reading): string[] {
  return objects.map(objectKey);
}

const slice = '{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: x}';

for (const [name, yaml, expected] of [
  ['a Service without a namespace', '{apiVersion: v1, kind: Service, metadata: {name: web}}', ['Service default/web']],
  [
    'null annotations, labels and spec',
    '{apiVersion: v1, kind: Service, metadata: {name: web, annotations: null, labels: null}, spec: null}',
    ['Service default/web'],
  ],
  [
    'a name that YAML takes for a number',
    '{apiVersion: v1, kind: Service, metadata: {name: 8080, namespace: 1}}',
    ['Service 1/8080'],
  ],
  ['a Node has no namespace', '{apiVersion: v1, kind: Node, metadata: {name: n1, namespace: x}}', ['Node n1']],
  [
    'a ServiceCIDR of an older version',
    '{apiVersion: networking.k8s.io/v1beta1, kind: ServiceCIDR, metadata: {name: k}}',
    ['ServiceCIDR k'],
  ],
  ['a kind that is none of ours', '{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}}', []],
  ['a Service of another group', '{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: web}}', []],
  [
    'a List, with what is none of ours in it',
    '{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Service, metadata: {name: a}}, {apiVersion: v1, kind: Secret}]}',
    ['Service default/a'],
  ],
  [
    'a typed list, whose items leave out what they are',
    '{apiVersion: v1, kind: ServiceList, items: [{metadata: {name: a}}, {metadata: {name: b}}]}',
    ['Service default/a', 'Service default/b'],
  ],
  [
    'a list of slices',
    '{apiVersion: discovery.k8s.io/v1, kind: EndpointSliceList, items: [{metadata: {name: a}}]}',
    ['EndpointSlice default/a'],
  ],
  [
    'a List in a List',
    '{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: PodList, items: [{metadata: {name: p}}]}]}',
    ['Pod default/p'],
  ],
  ['a List without items', '{apiVersion: v1, kind: List}', []],
  ['a kind whose name ends in List', '{apiVersion: x.io/v1, kind: AllowList, items: 5}', []],
  ['nothing', 'null', []],
] as const) {
  test(`readObjects() takes ${name}`, (t) => {
    const reading = read(yaml);
    t.deepEqual(keys(reading), [...expected]);
    t.deepEqual([reading.problems, reading.refused, reading.foreign], [[], [], null]);
  });
}

for (const [name, yaml, foreign] of [
  ['text', 'hello', 'expected a map with apiVersion and kind, not "hello"'],
  ['a list', '[1, 2]', 'expected a map with apiVersion and kind, not a list'],
  ['values of a chart', '{replicas: 3}', 'it has no apiVersion'],
  ['an object without a kind', '{apiVersion: v1, metadata: {name: web}}', 'it has no kind'],
  ['a kind that is not text', '{apiVersion: v1, kind: [Service]}', 'it has no kind'],
] as const) {
  test(`readObjects() says why it is not of Kubernetes: ${name}`, (t) => t.is(read(yaml).foreign, foreign));
}

for (const [name, yaml, problem, refused] of [
  ['no name', '{apiVersion: v1, kind: Service}', 'Service (no name): metadata.name is missing', []],
  [
    'a name of 64 bytes',
    `{apiVersion: v1, kind: Service, metadata: {name: ${'a'.repeat(64)}}}`,
    `Service default/${'a'.repeat(64)}: metadata.name is longer than 63 bytes: ${'a'.repeat(20)}…`,
    [],
  ],
  [
    'a namespace of 64 bytes',
    `{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: ${'n'.repeat(64)}}}`,
    `Pod ${'n'.repeat(64)}/p: metadata.namespace is longer than 63 bytes: ${'n'.repeat(20)}…`,
    [],
  ],
  [
    'a slash in the name',
    '{apiVersion: v1, kind: Service, metadata: {name: a/b}}',
    'Service default/a/b: metadata.name "a/b" has characters that no name may have',
    [],
  ],
  [
    'a NUL in the name',
    '{apiVersion: v1, kind: Service, metadata: {name: "a\\0b"}}',
    'Service default/a\0b: metadata.name "a\\u0000b" has characters that no name may have',
    [],
  ],
  [
    'ports that are text',
    '{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: "80"}}',
    'Service default/a: spec.ports: expected a list, not "80"',
    ['Service default/a'],
  ],
  [
    'a selector as a Deployment has it',
    '{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {selector: {matchLabels: {a: b}}}}',
    'Service default/a: spec.selector.matchLabels: expected text, not a map',
    ['Service default/a'],
  ],
  [
    'source ranges that are not a list',
    '{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {loadBalancerSourceRanges: 10.0.0.0/8}}',
    'Service default/a: spec.loadBalancerSourceRanges: expected a list, not "10.0.0.0/8"',
    ['Service default/a'],
  ],
  [
    'a policy that is a map',
    '{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {internalTrafficPolicy: {}}}',
    'Service default/a: spec.internalTrafficPolicy: expected text, not a map',
    ['Service default/a'],
  ],
  [
    'labels that are text',
    '{apiVersion: v1, kind: Pod, metadata: {name: a, labels: x}}',
    'Pod default/a: metadata.labels: expected a map, not "x"',
    ['Pod default/a'],
  ],
  ['items that are text', '{apiVersion: v1, kind: List, items: x}', 'List: items: expected a list, not "x"', []],
  [
    'an item that is not an object',
    '{apiVersion: v1, kind: List, items: [5]}',
    'List: items[0]: not a Kubernetes object: expected a map with apiVersion and kind, not 5',
    [],
  ],
] as const) {
  test(`readObjects() refuses ${name}`, (t) => {
    const reading = read(yaml);
    t.deepEqual(
      reading.problems.map(({ object, reason }) => `${object}: ${reason}`),
      [problem],
    );
    t.deepEqual([keys(reading), reading.refused, reading.foreign], [[], [...refused], null]);
  });
}

test('readObjects() leaves out the bad item of a list and keeps its neighbours in order', (t) => {
  const yaml = `${slice}, endpoints: [{addresses: [10.0.0.1]}, 5, {addresses: x}, {addresses: [10.0.0.2], conditions: {ready: 'no'}}, {addresses: [10.0.0.3], conditions: {ready: "false"}}]}`;
  const { objects, problems } = read(yaml);
  const [object] = objects;
  t.is(object?.kind, 'EndpointSlice');
  const endpoints = object?.kind === 'EndpointSlice' ? object.endpoints : [];
  t.deepEqual(
    endpoints.map(({ addresses, conditions }) => [addresses[0], conditions.ready]),
    [
      ['10.0.0.1', null],
      ['10.0.0.3', false],
    ],
  );
  t.deepEqual(
    problems.map(({ reason }) => reason),
    [
      'endpoints[1]: expected a map, not 5: left out',
      'endpoints[2].addresses: expected a list, not "x": left out',
      'endpoints[3].conditions.ready: expected true or false, not "no": left out',
    ],
  );
});

test('readObjects() keeps the place of a bad address, so that no other one becomes the first', (t) => {
  const { objects, problems } = read(`${slice}, endpoints: [{addresses: [{}, 10.0.0.2]}]}`);
  t.deepEqual(problems, []);
  t.deepEqual(objects[0]?.kind === 'EndpointSlice' ? objects[0].endpoints[0]?.addresses : null, [
    '(a map)',
    '10.0.0.2',
  ]);
});

test('readObjects() of very many mistakes shows some and counts the rest', (t) => {
  const { problems } = readObjects({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web' },
    spec: { ports: Array.from({ length: 1000 }, () => 'x') },
  });
  t.is(problems.length, 6);
  t.is(problems[5]?.reason, 'and 995 more like these');
});

test('readObjects() does not follow Lists without end', (t) => {
  let value: object = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web' } };
  for (let i = 0; i < 1000; i++) value = { apiVersion: 'v1', kind: 'List', items: [value] };
  t.deepEqual(readObjects(value).problems, [{ object: 'List', reason: 'items: Lists are nested deeper than 8' }]);
});

const words = fc.constantFrom<unknown>(
  'v1',
  'discovery.k8s.io/v1',
  'List',
  'None',
  'IPv4',
  'a',
  '10.0.0.1',
  80,
  0,
  65536,
  true,
  null,
);
const fieldNames = [
  'metadata',
  'spec',
  'status',
  'ports',
  'endpoints',
  'subsets',
  'addresses',
  'items',
  'name',
  'labels',
  'clusterIPs',
];
const anything = fc.letrec((tie) => ({
  value: fc.oneof(words, fc.jsonValue(), fc.array(tie('value'), { maxLength: 3 }), tie('map')),
  map: fc.dictionary(fc.oneof(fc.constantFrom(...fieldNames, '__proto__'), fc.string()), tie('value'), { maxKeys: 4 }),
}));
const objects = fc
  .record({
    kind: fc.constantFrom('Service', 'EndpointSlice', 'Endpoints', 'Pod', 'Node', 'ServiceCIDR', 'ServiceList', 'List'),
    group: fc.constantFrom('v1', 'discovery.k8s.io/v1', 'networking.k8s.io/v1'),
    rest: anything.map,
    metadata: fc.oneof(anything.value, fc.record({ name: fc.constantFrom('web', 'x'), labels: anything.value })),
  })
  .map(({ kind, group, rest, metadata }) => ({ ...(rest as object), apiVersion: group, kind, metadata }));

test('readObjects() and parse() never throw, whatever JSON comes', (t) => {
  const anyJson = fc.property(
    fc.array(fc.oneof(objects, anything.value, fc.jsonValue()), { maxLength: 6 }),
    (values) => {
      const found: KubeObject[] = values.flatMap((value) => [...readObjects(structuredClone(value)).objects]);
      const store = new Map(found.map((object) => [objectKey(object), object]));
      parse(store, settings, parse(store, { serviceProxyName: 'x', ranges: null }, null));
    },
  );
  t.notThrows(() => fc.assert(anyJson, { numRuns: 2000 }));
});
