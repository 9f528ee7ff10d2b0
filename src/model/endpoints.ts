import type { NodeFacts } from './node.ts';
import type { Endpoint } from './service.ts';

/** What of a Service decides who may answer for it. */
export interface Policy {
  /** internalTrafficPolicy Local */
  readonly internalLocal: boolean;
  /** externalTrafficPolicy Local */
  readonly externalLocal: boolean;
  /** It has a nodePort, a captured load balancer IP or an externalIP. */
  readonly externallyAccessible: boolean;
}

/** Null: no rule of this Service asks for that set. Empty: one does, and nobody may answer. */
export interface Candidates {
  readonly cluster: readonly Endpoint[] | null;
  readonly local: readonly Endpoint[] | null;
  /** Somebody somewhere could answer: alone it tells a drop (an empty set) from a reject. */
  readonly hasAny: boolean;
}

/**
 * Who may answer on this node, of the distinct endpoints of one service port and one family.
 *
 * An endpoint is *usable* if it is Ready, or Serving while it terminates; Ready wins over the other two conditions. One
 * that is neither is never used.
 *
 * - `cluster`, where internalTrafficPolicy is not Local or the Service is externally accessible: the Ready endpoints that
 *   topology lets pass; if there are none, all that are Serving and Terminating, wherever they are.
 * - `local`, where internalTrafficPolicy is Local, or externalTrafficPolicy is and the Service is externally
 *   accessible: the Ready endpoints of this node; only if there are none, its Serving and Terminating ones. Topology
 *   does not matter.
 * - `hasAny`: one is usable anywhere, topology and policies left aside.
 *
 * Topology looks at Ready endpoints and their hints only. Node hints count if every Ready endpoint has one and at
 * least one names this node; else zone hints, by the same rule for this node's zone, which a node without a zone lacks;
 * else nothing is filtered. So one endpoint without a hint switches that kind of hint off.
 *
 * The order of the endpoints is kept.
 */
export function whoMayAnswer(endpoints: readonly Endpoint[], policy: Policy, node: NodeFacts): Candidates {
  const ready = endpoints.filter((endpoint) => endpoint.ready);
  const leaving = endpoints.filter((endpoint) => !endpoint.ready && isUsable(endpoint));
  const needsCluster = !policy.internalLocal || policy.externallyAccessible;
  const needsLocal = policy.internalLocal || (policy.externalLocal && policy.externallyAccessible);
  const isHere = (endpoint: Endpoint) => endpoint.nodeName === node.name;
  return {
    cluster: needsCluster ? first(filterByTopology(ready, node), leaving) : null,
    local: needsLocal ? first(ready.filter(isHere), leaving.filter(isHere)) : null,
    hasAny: ready.length > 0 || leaving.length > 0,
  };
}

/** May be chosen, if there is nobody better. */
export function isUsable({ ready, serving, terminating }: Endpoint): boolean {
  return ready || (serving && terminating);
}

function first(preferred: readonly Endpoint[], fallback: readonly Endpoint[]): readonly Endpoint[] {
  return preferred.length > 0 ? preferred : fallback;
}

function filterByTopology(ready: readonly Endpoint[], node: NodeFacts): readonly Endpoint[] {
  const byNode = filterByHint(ready, (endpoint) => endpoint.nodeHints, node.name);
  if (byNode !== null) return byNode;
  const byZone = node.zone ? filterByHint(ready, (endpoint) => endpoint.zoneHints, node.zone) : null;
  return byZone ?? ready;
}

/** Null: hints of this kind do not apply. */
function filterByHint(
  ready: readonly Endpoint[],
  hintsOf: (endpoint: Endpoint) => readonly string[],
  here: string,
): readonly Endpoint[] | null {
  if (!ready.every((endpoint) => hintsOf(endpoint).length > 0)) return null;
  const named = ready.filter((endpoint) => hintsOf(endpoint).includes(here));
  return named.length > 0 ? named : null;
}

/**
 * The endpoints without repetition of address and port. Of several the one that is not terminating wins, then the one
 * that is ready; what is still equal is settled without regard to the order they came in.
 */
export function distinctEndpoints(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  const distinct = new Map<string, Endpoint>();
  for (const endpoint of endpoints) {
    const key = `${endpoint.address} ${endpoint.port}`;
    const present = distinct.get(key);
    if (present === undefined || rank(endpoint) < rank(present)) distinct.set(key, endpoint);
  }
  return distinct.size === endpoints.length ? endpoints : [...distinct.values()];
}

function rank({ terminating, ready, serving, nodeName, nodeHints, zoneHints }: Endpoint): string {
  return JSON.stringify([Number(terminating), Number(!ready), Number(!serving), nodeName, nodeHints, zoneHints]);
}
