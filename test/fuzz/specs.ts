/** What a world is made of, in few choices: these shrink, and `world-objects.ts` makes manifests of them. */
import fc from 'fast-check';
import type { Conditions, Options, Policy, ServiceType } from './objects.ts';
import { type Family, PODS } from './places.ts';
import { maybe, mostly, some } from './weights.ts';

export interface EndpointSpec {
  readonly pod: number;
  readonly conditions: Conditions | undefined;
  readonly zones: readonly string[];
  readonly nodes: readonly string[];
  /** Once more, as one that terminates. */
  readonly twice: boolean;
}

export interface SliceSpec {
  readonly family: Family;
  /** Between the Service's port and that of its endpoints. */
  readonly shift: number;
  readonly labels: 'ours' | 'mesh' | 'headless' | 'another Service';
  readonly naming: 'right' | 'wrong name' | 'wrong protocol' | 'no port';
  readonly endpoints: readonly EndpointSpec[];
}

export interface ServiceSpec {
  readonly type: ServiceType;
  readonly families: readonly Family[];
  /** Does it say so, by ipFamilies? */
  readonly tellsFamilies: boolean;
  readonly created: string;
  /** '' is none. */
  readonly label: string;
  readonly headless: boolean;
  /** Of `portKinds`. */
  readonly ports: readonly number[];
  readonly unnamed: boolean;
  /** Its endpoints take SCTP at another number. */
  readonly shiftsSctp: boolean;
  readonly internal: Policy | undefined;
  readonly external: Policy | undefined;
  readonly affinity: boolean;
  readonly withoutNodePorts: boolean;
  /** Its first nodePort is one that others may ask for, too. */
  readonly clashes: boolean;
  readonly balancers: readonly ('own' | 'shared' | 'Proxy' | 'hostname' | 'node')[];
  readonly externals: readonly ('own' | 'shared' | 'balancer' | 'node')[];
  readonly ranges: readonly ('client' | 'node' | 'pods' | 'blank' | 'other')[] | undefined;
  readonly hinting: 'none' | 'some' | 'all';
  readonly slices: readonly SliceSpec[];
}

export interface NodeSpec {
  /** How many of each family. */
  readonly addresses: Readonly<Record<Family, number>>;
  /** '' is none. */
  readonly zone: string;
  /** Of each pod that is somebody's endpoint; '' is nowhere that is told. */
  readonly homes: readonly string[];
  readonly cidrs: boolean;
  readonly podObject: boolean;
}

const rarely: fc.Arbitrary<boolean> = fc.nat(5).map((n) => n === 0);

/** Left out where it is undefined: a field that is absent, not one that is null. */
function present({ ready, serving, terminating }: Record<keyof Conditions, boolean | undefined>): Conditions {
  return {
    ...(ready !== undefined && { ready }),
    ...(serving !== undefined && { serving }),
    ...(terminating !== undefined && { terminating }),
  };
}

const conditions: fc.Arbitrary<Conditions> = fc.oneof(
  { weight: 4, arbitrary: fc.constant({ ready: true }) },
  { weight: 3, arbitrary: fc.constant({ ready: false, serving: true, terminating: true }) },
  { weight: 1, arbitrary: fc.constant({ ready: false, terminating: true }) },
  { weight: 1, arbitrary: fc.constant({ ready: false, serving: false, terminating: true }) },
  {
    weight: 2,
    arbitrary: fc
      .record({ ready: maybe(fc.boolean()), serving: maybe(fc.boolean()), terminating: maybe(fc.boolean()) })
      .map(present),
  },
);

const endpointSpec: fc.Arbitrary<EndpointSpec> = fc.record({
  pod: fc.nat(PODS - 1),
  conditions: maybe(conditions, 8),
  zones: fc.constantFrom<readonly string[]>(['a'], ['b'], ['a', 'b'], []),
  nodes: fc.constantFrom<readonly string[]>(['alder'], ['birch'], []),
  twice: rarely,
});

const sliceSpec: fc.Arbitrary<SliceSpec> = fc.record({
  family: fc.constantFrom<Family>(4, 6),
  shift: fc.constantFrom(8000, 0),
  labels: mostly<SliceSpec['labels']>('ours', 'mesh', 'headless', 'another Service'),
  naming: mostly<SliceSpec['naming']>('right', 'wrong name', 'wrong protocol', 'no port'),
  endpoints: fc.uniqueArray(endpointSpec, { selector: ({ pod }) => pod, maxLength: 4, size: 'max' }),
});

export const serviceSpec: fc.Arbitrary<ServiceSpec> = fc.record({
  type: some<ServiceType>('LoadBalancer', 'LoadBalancer', 'NodePort', 'NodePort', 'ClusterIP', 'ExternalName'),
  families: some<readonly Family[]>([4, 6], [6, 4], [4], [6]),
  tellsFamilies: mostly(true, false),
  created: fc.constantFrom('2026-01-01T00:00:00Z', '2026-02-01T00:00:00Z'),
  label: mostly('', 'service.kubernetes.io/service-proxy-name', 'service.kubernetes.io/headless'),
  headless: fc.nat(19).map((n) => n === 0),
  ports: some([0, 1], [0, 1, 2], [0], [2], [3], [0, 3], [0, 1, 2, 3]),
  unnamed: fc.boolean(),
  shiftsSctp: rarely,
  internal: maybe(fc.constantFrom<Policy>('Cluster', 'Local', 'Local')),
  external: maybe(fc.constantFrom<Policy>('Cluster', 'Local', 'Local'), 3),
  affinity: fc.boolean(),
  withoutNodePorts: rarely,
  clashes: rarely,
  balancers: fc.uniqueArray(
    fc.constantFrom<ServiceSpec['balancers'][number]>('own', 'own', 'own', 'shared', 'Proxy', 'hostname', 'node'),
    { maxLength: 4, size: 'max' },
  ),
  externals: fc.uniqueArray(
    fc.constantFrom<ServiceSpec['externals'][number]>('own', 'own', 'shared', 'balancer', 'node'),
    { maxLength: 3, size: 'max' },
  ),
  ranges: maybe(
    fc.uniqueArray(fc.constantFrom('client', 'client', 'node', 'pods', 'blank', 'other'), { minLength: 1 }),
    2,
  ),
  hinting: fc.constantFrom('none', 'all', 'all', 'some'),
  slices: fc.array(sliceSpec, { maxLength: 4, size: 'max' }),
});

export const nodeSpec: fc.Arbitrary<NodeSpec> = fc.record({
  addresses: fc.record({ 4: some(2, 1), 6: some(2, 1) }),
  zone: some('a', ''),
  homes: fc.array(fc.constantFrom('alder', 'birch', 'birch', ''), { minLength: PODS, maxLength: PODS }),
  cidrs: fc.boolean(),
  podObject: fc.boolean(),
});

export const optionSpec: fc.Arbitrary<Options> = fc.record({
  node: fc.constant('alder'),
  detectLocalMode: some<Options['detectLocalMode']>('ClusterCIDR', 'NodeCIDR'),
  clusterCidr: some<readonly string[]>(['10.60.0.0/16', 'fd60::/64'], [], ['10.60.0.0/16']),
  nodePortAddresses: some<readonly string[]>(
    ['primary'],
    ['primary', 'localhost'],
    ['all'],
    ['192.0.2.22/32', '2001:db8::/64'],
    ['0.0.0.0/0', '::/0'],
    ['localhost', 'all'],
  ),
  masqueradeAll: rarely,
});
