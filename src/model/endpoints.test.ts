import test from 'ava';
import fc from 'fast-check';
import { type Policy, whoMayAnswer } from './endpoints.ts';
import type { NodeFacts } from './node.ts';
import type { Endpoint } from './service.ts';

const here: NodeFacts = { name: 'here', zone: 'a', addresses: [], localAddresses: new Set() };
const zoneless: NodeFacts = { ...here, zone: null };

/** 'ready' | 'serving' (and terminating) | 'terminating' (not serving) | 'unready' */
function endpoint(address: string, state: string, more: Partial<Endpoint> = {}): Endpoint {
  return {
    address,
    port: 80,
    ready: state === 'ready',
    serving: state === 'ready' || state === 'serving',
    terminating: state === 'serving' || state === 'terminating',
    nodeName: 'there',
    zoneHints: [],
    nodeHints: [],
    ...more,
  };
}

const local = { nodeName: 'here' };
const zone = (...zoneHints: string[]) => ({ zoneHints });
const hintedNode = (...nodeHints: string[]) => ({ nodeHints });

const cluster: Policy = { internalLocal: false, externalLocal: false, externallyAccessible: false };
const internal: Policy = { ...cluster, internalLocal: true };
const exposed: Policy = { ...cluster, externallyAccessible: true };
const external: Policy = { ...exposed, externalLocal: true };
const both: Policy = { ...external, internalLocal: true };

interface Case {
  readonly name: string;
  readonly policy: Policy;
  readonly node?: NodeFacts;
  readonly endpoints: readonly Endpoint[];
  readonly cluster: string | null;
  readonly local: string | null;
  readonly hasAny: boolean;
}

const sameZone = [
  endpoint('1', 'ready', zone('a')),
  endpoint('2', 'ready', zone('b')),
  endpoint('3', 'ready', zone('c')),
  endpoint('4', 'ready', zone('a')),
];

const conflict = [
  endpoint('1', 'ready', { ...zone('a'), ...local }),
  endpoint('2', 'ready', { ...zone('b'), ...local }),
  endpoint('3', 'ready', zone('a')),
  endpoint('4', 'ready', zone('b')),
];

const policies: readonly Case[] = [
  { name: 'no endpoint, Cluster', policy: cluster, endpoints: [], cluster: '', local: null, hasAny: false },
  { name: 'no endpoint, internal Local', policy: internal, endpoints: [], cluster: null, local: '', hasAny: false },
  { name: 'no endpoint, external Local', policy: external, endpoints: [], cluster: '', local: '', hasAny: false },
  {
    name: 'external Local counts only if something is reachable from outside',
    policy: { ...cluster, externalLocal: true },
    endpoints: [endpoint('1', 'ready', local), endpoint('2', 'ready')],
    cluster: '1 2',
    local: null,
    hasAny: true,
  },
  {
    name: 'internal Local, all remote',
    policy: internal,
    endpoints: [endpoint('1', 'ready'), endpoint('2', 'ready')],
    cluster: null,
    local: '',
    hasAny: true,
  },
  {
    name: 'internal Local, all local',
    policy: internal,
    endpoints: [endpoint('1', 'ready', local), endpoint('2', 'ready', local)],
    cluster: null,
    local: '1 2',
    hasAny: true,
  },
  {
    name: 'internal Local, some local',
    policy: internal,
    endpoints: [endpoint('1', 'ready', local), endpoint('2', 'ready')],
    cluster: null,
    local: '1',
    hasAny: true,
  },
  {
    name: 'internal Local but reachable from outside under Cluster needs both sets',
    policy: { ...exposed, internalLocal: true },
    endpoints: [endpoint('1', 'ready', local), endpoint('2', 'ready')],
    cluster: '1 2',
    local: '1',
    hasAny: true,
  },
  {
    name: 'reachable from outside, Cluster both ways',
    policy: exposed,
    endpoints: [endpoint('1', 'ready', local), endpoint('2', 'ready')],
    cluster: '1 2',
    local: null,
    hasAny: true,
  },
  {
    name: 'Local both ways',
    policy: both,
    endpoints: [endpoint('1', 'ready', local), endpoint('2', 'ready')],
    cluster: '1 2',
    local: '1',
    hasAny: true,
  },
  {
    name: 'Local both ways, all remote',
    policy: both,
    endpoints: [endpoint('1', 'ready')],
    cluster: '1',
    local: '',
    hasAny: true,
  },
];

const terminating: readonly Case[] = [
  {
    name: 'Cluster, all terminating: those that serve',
    policy: cluster,
    endpoints: [endpoint('1', 'serving'), endpoint('2', 'serving', local), endpoint('3', 'terminating')],
    cluster: '1 2',
    local: null,
    hasAny: true,
  },
  {
    name: 'Cluster, one is Ready: nobody who leaves',
    policy: cluster,
    endpoints: [endpoint('1', 'serving'), endpoint('2', 'ready')],
    cluster: '2',
    local: null,
    hasAny: true,
  },
  {
    name: 'internal Local, local ones leave and serve, remote ones are Ready',
    policy: internal,
    endpoints: [endpoint('1', 'serving', local), endpoint('2', 'ready')],
    cluster: null,
    local: '1',
    hasAny: true,
  },
  {
    name: 'external Local falls back for each set alone',
    policy: external,
    endpoints: [endpoint('1', 'serving', local), endpoint('2', 'ready'), endpoint('3', 'terminating', local)],
    cluster: '2',
    local: '1',
    hasAny: true,
  },
  {
    name: 'external Local, a local Ready one: no local one that leaves',
    policy: external,
    endpoints: [endpoint('1', 'serving', local), endpoint('2', 'ready', local)],
    cluster: '2',
    local: '2',
    hasAny: true,
  },
  {
    name: 'external Local, all leave: both sets are of those that serve',
    policy: external,
    endpoints: [endpoint('1', 'serving', local), endpoint('2', 'serving')],
    cluster: '1 2',
    local: '1',
    hasAny: true,
  },
  {
    name: 'terminating without serving is never used',
    policy: external,
    endpoints: [endpoint('1', 'terminating', local), endpoint('2', 'unready', local), endpoint('3', 'unready')],
    cluster: '',
    local: '',
    hasAny: false,
  },
  {
    name: 'serving but neither Ready nor terminating is not usable',
    policy: cluster,
    endpoints: [endpoint('1', 'unready', { serving: true })],
    cluster: '',
    local: null,
    hasAny: false,
  },
  {
    name: 'Ready wins over terminating and not serving (publishNotReadyAddresses)',
    policy: cluster,
    endpoints: [endpoint('1', 'ready', { terminating: true, serving: false }), endpoint('2', 'serving')],
    cluster: '1',
    local: null,
    hasAny: true,
  },
  {
    name: 'who leaves is not filtered by topology',
    policy: cluster,
    endpoints: [endpoint('1', 'serving', zone('b')), endpoint('2', 'serving', zone('a'))],
    cluster: '1 2',
    local: null,
    hasAny: true,
  },
];

const topology: readonly Case[] = [
  { name: 'zone hints', policy: cluster, endpoints: sameZone, cluster: '1 4', local: null, hasAny: true },
  {
    name: 'a node without a zone',
    policy: cluster,
    node: zoneless,
    endpoints: sameZone,
    cluster: '1 2 3 4',
    local: null,
    hasAny: true,
  },
  {
    name: 'a node whose zone label is empty',
    policy: cluster,
    node: { ...here, zone: '' },
    endpoints: [endpoint('1', 'ready', zone('')), endpoint('2', 'ready', zone('b'))],
    cluster: '1 2',
    local: null,
    hasAny: true,
  },
  {
    name: 'no hint for this zone',
    policy: cluster,
    node: { ...here, zone: 'd' },
    endpoints: sameZone,
    cluster: '1 2 3 4',
    local: null,
    hasAny: true,
  },
  {
    name: 'an unready endpoint of the zone is left out',
    policy: cluster,
    endpoints: [
      endpoint('1', 'ready', zone('a')),
      endpoint('2', 'ready', zone('b')),
      endpoint('3', 'unready', zone('a')),
    ],
    cluster: '1',
    local: null,
    hasAny: true,
  },
  {
    name: 'only unready endpoints in the zone: no filter',
    policy: cluster,
    endpoints: [
      endpoint('1', 'unready', zone('a')),
      endpoint('2', 'ready', zone('b')),
      endpoint('3', 'ready', zone('c')),
    ],
    cluster: '2 3',
    local: null,
    hasAny: true,
  },
  {
    name: 'one Ready endpoint without a hint switches hints off',
    policy: cluster,
    endpoints: [endpoint('1', 'ready', zone('a')), endpoint('2', 'ready', zone('b')), endpoint('3', 'ready')],
    cluster: '1 2 3',
    local: null,
    hasAny: true,
  },
  {
    name: 'an unready or leaving endpoint without a hint does not',
    policy: cluster,
    endpoints: [
      endpoint('1', 'ready', zone('a')),
      endpoint('2', 'ready', zone('b')),
      endpoint('3', 'unready'),
      endpoint('4', 'serving'),
    ],
    cluster: '1',
    local: null,
    hasAny: true,
  },
  {
    name: 'several hints on one endpoint',
    policy: cluster,
    endpoints: [
      endpoint('1', 'ready', zone('c', 'b', 'a')),
      endpoint('2', 'ready', zone('b', 'a')),
      endpoint('3', 'ready', zone('b', 'd')),
      endpoint('4', 'ready', zone('a')),
    ],
    cluster: '1 2 4',
    local: null,
    hasAny: true,
  },
  {
    name: 'external Local: topology filters the cluster set alone',
    policy: external,
    endpoints: conflict,
    cluster: '1 3',
    local: '1 2',
    hasAny: true,
  },
  {
    name: 'internal Local: topology does not filter',
    policy: internal,
    endpoints: conflict,
    cluster: null,
    local: '1 2',
    hasAny: true,
  },
  {
    name: 'node hints go before zone hints',
    policy: cluster,
    endpoints: [
      endpoint('1', 'ready', { ...zone('a'), ...hintedNode('there') }),
      endpoint('2', 'ready', { ...zone('b'), ...hintedNode('here') }),
    ],
    cluster: '2',
    local: null,
    hasAny: true,
  },
  {
    name: 'no node hint for this node: zone hints',
    policy: cluster,
    endpoints: [
      endpoint('1', 'ready', { ...zone('a'), ...hintedNode('there') }),
      endpoint('2', 'ready', { ...zone('b'), ...hintedNode('elsewhere') }),
    ],
    cluster: '1',
    local: null,
    hasAny: true,
  },
  {
    name: 'one Ready endpoint without a node hint: zone hints',
    policy: cluster,
    endpoints: [
      endpoint('1', 'ready', { ...zone('a') }),
      endpoint('2', 'ready', { ...zone('b'), ...hintedNode('here') }),
    ],
    cluster: '1',
    local: null,
    hasAny: true,
  },
  {
    name: 'node hints need no zone',
    policy: cluster,
    node: zoneless,
    endpoints: [endpoint('1', 'ready', hintedNode('here', 'there')), endpoint('2', 'ready', hintedNode('there'))],
    cluster: '1',
    local: null,
    hasAny: true,
  },
  {
    name: 'a node hint may name this node for an endpoint of another',
    policy: external,
    endpoints: [
      endpoint('1', 'ready', { ...hintedNode('there'), ...local }),
      endpoint('2', 'ready', hintedNode('here')),
    ],
    cluster: '2',
    local: '1',
    hasAny: true,
  },
];

const names = (endpoints: readonly Endpoint[] | null) =>
  endpoints?.map((endpoint) => endpoint.address).join(' ') ?? null;

for (const { name, policy, node = here, endpoints, ...expected } of [...policies, ...terminating, ...topology]) {
  test(`whoMayAnswer() ${name}`, (t) => {
    const { hasAny, ...sets } = whoMayAnswer(endpoints, policy, node);
    t.deepEqual({ cluster: names(sets.cluster), local: names(sets.local), hasAny }, expected);
  });
}

const anyEndpoint = fc.record({
  address: fc.constant('1'),
  port: fc.constant(80),
  ready: fc.boolean(),
  serving: fc.boolean(),
  terminating: fc.boolean(),
  nodeName: fc.constantFrom('here', 'there', ''),
  zoneHints: fc.subarray(['a', 'b']),
  nodeHints: fc.subarray(['here', 'there']),
});
const anyPolicy = fc.record({
  internalLocal: fc.boolean(),
  externalLocal: fc.boolean(),
  externallyAccessible: fc.boolean(),
});

test('whoMayAnswer() has somebody in the cluster set exactly if anybody is usable', (t) => {
  fc.assert(
    fc.property(fc.array(anyEndpoint), anyPolicy, (endpoints, policy) => {
      const { cluster, local, hasAny } = whoMayAnswer(endpoints, policy, here);
      if (cluster !== null) t.is(cluster.length > 0, hasAny);
      if (local !== null && local.length > 0) t.true(hasAny);
      t.false(cluster === null && local === null);
    }),
  );
});
