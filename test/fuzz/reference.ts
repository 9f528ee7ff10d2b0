/**
 * What becomes of the first packet of a connection, by the specification of what a Service means on a node: its second
 * reader. It shares no code with what it judges; where the two differ, one of them has misread it.
 */

import type { Flow, Service, World } from './objects.ts';
import { endpointsOf, keepsNumber, type ReferenceEndpoint } from './reference-endpoints.ts';
import { type Claim, familyOf, inAny, isClusterIp, nodeNamed, ownerOf, primaryOf } from './reference-services.ts';

export type SourceClass = 'pod' | 'node' | 'outside';

export interface Expected {
  readonly verdict: 'dnat' | 'reject' | 'drop' | 'pass';
  readonly backends: readonly string[];
  readonly masqueraded: readonly string[];
  readonly service: string | null;
  readonly source: SourceClass;
  /** Of the address that was asked; 'none': of no Service. */
  readonly policy: 'internal Cluster' | 'internal Local' | 'external Cluster' | 'external Local' | 'none';
  /** What decided, for the table of what was met. */
  readonly rules: readonly string[];
}

/** Section 3: what happens to a new connection. */
export function expected(world: World, flow: Flow): Expected {
  const source = sourceClass(world, flow.from);
  const nothing = { backends: [], masqueraded: [], service: null, source, policy: 'none' } as const;
  const family = familyOf(flow.to);
  const claim = ownerOf(world, flow, source, (one, number) => keepsNumber(world, one, number, family));
  if (claim !== null) return ofService(world, flow, source, claim);
  if (isClusterIp(world, flow.to) && isSctpOfNode(flow, source))
    return { ...nothing, verdict: 'drop', rules: ['SCTP of the node'] };
  if (isClusterIp(world, flow.to)) return { ...nothing, verdict: 'reject', rules: ['undefined port of a clusterIP'] };
  if (isUnallocated(world, flow.to))
    return { ...nothing, verdict: 'drop', rules: ['unallocated address of a ServiceCIDR'] };
  return { ...nothing, verdict: 'pass', rules: ['no Service'] };
}

function ofService(world: World, flow: Flow, source: SourceClass, claim: Claim): Expected {
  const { service, port, kind } = claim;
  const isInternal = kind === 'clusterIP';
  const policyName =
    (isInternal ? service.spec.internalTrafficPolicy : service.spec.externalTrafficPolicy) ?? 'Cluster';
  const { sets, rules: setRules } = endpointsOf(world, service, port, familyOf(flow.to));
  const common = {
    service: `${service.metadata.namespace}/${service.metadata.name}:${port.name}`,
    source,
    policy: `${isInternal ? 'internal' : 'external'} ${policyName}`,
  } as const;
  const rules: string[] = [kind];
  const none = { ...common, backends: [], masqueraded: [], rules };

  if (isSctpOfNode(flow, source)) return untranslated(world, flow, { ...none, rules: ['SCTP of the node'] });
  if (flow.protocol === 'sctp') rules.push('SCTP');

  /* source ranges come before "no endpoints" */
  const ranges = rangesOf(claim, familyOf(flow.to));
  if (ranges.length > 0) {
    if (!mayAsk(world, flow, claim, ranges)) {
      rules.push('out of source ranges');
      return source === 'node' ? untranslated(world, flow, none) : { ...none, verdict: 'drop' };
    }
    rules.push('in source ranges');
  }
  if (!sets.hasAny) return { ...none, verdict: 'reject', rules: [...rules, 'no endpoint'] };

  const asksLocal = policyName === 'Local' && (isInternal || source === 'outside');
  if (policyName === 'Local' && !asksLocal) rules.push('short circuit');
  const set = asksLocal ? sets.local : sets.cluster;
  if (set.length === 0) return { ...none, verdict: 'drop', rules: [...rules, 'no local endpoint'] };

  rules.push(...setRules[asksLocal ? 'local' : 'cluster']);
  if (service.spec.sessionAffinity === 'ClientIP') rules.push('affinity');
  rules.push(schedulerOf(service));
  const isOfAll = world.options.masqueradeAll && common.policy !== 'external Local';
  const masqueraded = set.filter((endpoint) => isMasqueraded(world, flow, source, endpoint, isOfAll));
  if (masqueraded.length > 0)
    rules.push(masqueraded.some(({ address }) => address === flow.from) ? 'hairpin' : 'masquerade');
  if (source === 'outside' && masqueraded.length < set.length) rules.push('source kept');
  return {
    ...common,
    verdict: 'dnat',
    backends: set.map(textOf).sort(),
    masqueraded: masqueraded.map(textOf).sort(),
    rules,
  };
}

/** A socket hook cannot drop: on its way out of the node a packet is, and what stays on the node is the node's own. */
function untranslated(world: World, { to }: Flow, none: Omit<Expected, 'verdict'>): Expected {
  if (isOnThisNode(world, to)) return { ...none, verdict: 'pass', service: null, policy: 'none' };
  return { ...none, verdict: 'drop' };
}

/** No socket hook knows it: what the node asks for would leave it untranslated, and so does not. */
function isSctpOfNode({ protocol }: Flow, source: SourceClass): boolean {
  return protocol === 'sctp' && source === 'node';
}

/** Source classes, with no hook to go by. */
export function sourceClass({ objects, options }: World, address: string): SourceClass {
  const node = nodeNamed({ objects, options });
  if (isLoopback(address) || node.status.addresses.some((one) => one.address === address)) return 'node';
  return isPodByAddress({ objects, options }, address) || isOwnPod({ objects, options }, address) ? 'pod' : 'outside';
}

/** By the local detector, wherever it comes in. */
export function isPodByAddress(world: World, address: string): boolean {
  const { detectLocalMode, clusterCidr } = world.options;
  return inAny(detectLocalMode === 'ClusterCIDR' ? clusterCidr : (nodeNamed(world).spec?.podCIDRs ?? []), address);
}

function isOwnPod({ objects, options }: World, address: string): boolean {
  return objects.some(
    (one) => one.kind === 'Pod' && one.spec.nodeName === options.node && one.status.podIP === address,
  );
}

/** loadBalancerSourceRanges guard the address of a load balancer; those of the other family leave this one open. */
function rangesOf({ service, kind }: Claim, family: 4 | 6): string[] {
  if (kind !== 'loadBalancer') return [];
  const ranges = (service.spec.loadBalancerSourceRanges ?? []).map((one) => one.trim());
  return ranges.filter((one) => familyOf(one) === family);
}

function mayAsk(world: World, { from, to }: Flow, { service }: Claim, ranges: readonly string[]): boolean {
  const primary = primaryOf(world, familyOf(to));
  /* a socket has no source yet when its connect() is judged: the node is its primary address */
  const source = sourceClass(world, from) === 'node' ? primary : from;
  if (source !== null && inAny(ranges, source)) return true;
  const isOwnAddress = (service.status?.loadBalancer.ingress ?? []).some(({ ip }) => ip === from);
  return isOwnAddress && primary !== null && inAny(ranges, primary);
}

/**
 * The source is replaced where the reply would not come back this way, and where a client is its own backend; with masqueradeAll,
 * but for those whose policy is there to keep it, wherever a packet leaves for its backend: the node itself is not left for.
 */
function isMasqueraded(
  world: World,
  { from }: Flow,
  source: SourceClass,
  endpoint: ReferenceEndpoint,
  isOfAll: boolean,
): boolean {
  if (source === 'node') return false;
  if (source === 'pod' && endpoint.address === from) return true;
  if (isOfAll && sourceClass(world, endpoint.address) !== 'node') return true;
  return source === 'outside' && !isHere(world, endpoint);
}

function isHere(world: World, { address, nodeName }: ReferenceEndpoint): boolean {
  return nodeName === world.options.node || isOnThisNode(world, address);
}

/** An address that a packet to it stays on the node for: its own, and those of what runs here. */
function isOnThisNode(world: World, address: string): boolean {
  const { objects, options } = world;
  if (isLoopback(address) || nodeNamed(world).status.addresses.some((one) => one.address === address)) return true;
  if (isOwnPod(world, address)) return true;
  return objects.some(
    (one) =>
      one.kind === 'EndpointSlice' &&
      one.endpoints.some(({ addresses, nodeName }) => nodeName === options.node && addresses[0] === address),
  );
}

function isUnallocated(world: World, address: string): boolean {
  const cidrs = world.objects.flatMap((one) => (one.kind === 'ServiceCIDR' ? one.spec.cidrs : []));
  return inAny(cidrs, address) && !isOnThisNode(world, address);
}

function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.');
}

function textOf({ address, port }: ReferenceEndpoint): string {
  return familyOf(address) === 6 ? `[${address}]:${port}` : `${address}:${port}`;
}

/** IPVS's words for the same, where nobody has a weight; what is unknown is served at random. */
const schedulers: Readonly<Record<string, string>> = {
  ...{ rr: 'rr', wrr: 'rr', lc: 'lc', wlc: 'lc', sed: 'lc', nq: 'lc' },
  ...{ sh: 'client hash', maglev: 'client hash', mh: 'client hash', dh: 'address hash' },
};

function schedulerOf({ metadata }: Service): string {
  return schedulers[metadata.annotations?.['bpfsvc.dev/scheduler'] ?? ''] ?? 'random';
}
