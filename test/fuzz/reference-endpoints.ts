/** Sections 1 and 2 of the specification, for endpoints: which count, and who may answer. */
import type { Conditions, Endpoint, Service, ServicePort, Slice, World } from './objects.ts';
import { type Claim, loadBalancerIpsOf, nodeNamed, optOutLabels } from './reference-services.ts';

export interface ReferenceEndpoint {
  readonly address: string;
  readonly port: number;
  readonly nodeName: string | undefined;
  readonly ready: boolean;
  /** It still serves while it terminates. */
  readonly leaves: boolean;
  readonly hints: Endpoint['hints'];
}

export interface Sets {
  readonly cluster: readonly ReferenceEndpoint[];
  readonly local: readonly ReferenceEndpoint[];
  readonly hasAny: boolean;
}

/** Who may answer for one service port; `rules`: what made each set what it is. */
export function endpointsOf(
  world: World,
  service: Service,
  port: ServicePort,
  family: 4 | 6,
): { sets: Sets; rules: Record<'cluster' | 'local', string[]> } {
  const all = countedEndpoints(world, service, port, family);
  const ready = all.filter((one) => one.ready);
  const leaving = all.filter((one) => one.leaves);
  const near = topology(world, ready);
  const isLocal = ({ nodeName }: ReferenceEndpoint) => nodeName === world.options.node;
  const localReady = ready.filter(isLocal);
  const needsCluster = service.spec.internalTrafficPolicy !== 'Local' || isExternallyAccessible(service);
  return {
    sets: {
      cluster: !needsCluster ? [] : ready.length > 0 ? near.endpoints : leaving,
      local: localReady.length > 0 ? localReady : leaving.filter(isLocal),
      hasAny: ready.length + leaving.length > 0,
    },
    rules: {
      cluster: ready.length > 0 ? near.rules : ['terminating endpoints'],
      local: localReady.length > 0 ? [] : ['local terminating endpoints'],
    },
  };
}

/** The checksum of SCTP covers its ports, which are not changed: where somebody could be chosen with another number, nothing is served. */
export function keepsNumber(world: World, { service, port, kind }: Claim, number: number, family: 4 | 6): boolean {
  if (port.protocol !== 'SCTP') return true;
  const { internalTrafficPolicy: internal, externalTrafficPolicy: external } = service.spec;
  const { cluster, local } = endpointsOf(world, service, port, family).sets;
  const isInternal = kind === 'clusterIP';
  const asked = [
    ...(isInternal && internal === 'Local' ? [] : cluster),
    ...((isInternal ? internal : external) === 'Local' ? local : []),
  ];
  return asked.every((one) => one.port === number);
}

function isExternallyAccessible(service: Service): boolean {
  const { externalIPs = [], ports } = service.spec;
  return externalIPs.length + loadBalancerIpsOf(service).length > 0 || ports.some(({ nodePort = 0 }) => nodePort > 0);
}

/** Hints of Ready endpoints: those of nodes first, else those of zones, else none. */
function topology(
  world: World,
  ready: readonly ReferenceEndpoint[],
): { endpoints: readonly ReferenceEndpoint[]; rules: string[] } {
  const zone = nodeNamed(world).metadata.labels?.['topology.kubernetes.io/zone'];
  const names = { forNodes: world.options.node, forZones: zone } as const;
  for (const kind of ['forNodes', 'forZones'] as const) {
    const hinted = (one: ReferenceEndpoint) => (one.hints?.[kind] ?? []).map(({ name }) => name);
    const own = names[kind];
    if (own === undefined || own === '' || ready.some((one) => hinted(one).length === 0)) continue;
    const endpoints = ready.filter((one) => hinted(one).includes(own));
    if (endpoints.length > 0) return { endpoints, rules: [kind === 'forNodes' ? 'node hints' : 'zone hints'] };
  }
  return { endpoints: ready, rules: ready.some(({ hints }) => hints !== undefined) ? ['hints that do not count'] : [] };
}

function countedEndpoints(world: World, service: Service, port: ServicePort, family: 4 | 6): ReferenceEndpoint[] {
  const found = new Map<string, ReferenceEndpoint & { terminating: boolean }>();
  for (const slice of slicesOf(world, service, family)) {
    for (const { port: number } of slice.ports.filter(
      (one) => one.name === port.name && one.protocol === port.protocol,
    )) {
      if (number === null || number === 0) continue;
      for (const { addresses, nodeName, conditions, hints } of slice.endpoints) {
        const [address = ''] = addresses;
        const key = `${address} ${number}`;
        const { ready, leaves, terminating } = stateOf(conditions);
        const before = found.get(key);
        if (before === undefined || (before.terminating && !terminating))
          found.set(key, { address, port: number, nodeName, ready, leaves, terminating, hints });
      }
    }
  }
  return [...found.values()];
}

function slicesOf({ objects }: World, { metadata }: Service, family: 4 | 6): Slice[] {
  return objects.filter(
    (one): one is Slice =>
      one.kind === 'EndpointSlice' &&
      one.metadata.namespace === metadata.namespace &&
      one.metadata.labels?.['kubernetes.io/service-name'] === metadata.name &&
      one.addressType === `IPv${family}` &&
      !optOutLabels.some((label) => label in (one.metadata.labels ?? {})),
  );
}

/** Ready wins over the other two conditions. */
function stateOf({ ready = true, serving = true, terminating = false }: Conditions = {}): {
  ready: boolean;
  leaves: boolean;
  terminating: boolean;
} {
  return { ready, leaves: !ready && serving && terminating, terminating };
}
