import { type Address, type Cidr, endpointText, familyOf } from './address.ts';
import { type Claims, claimKey, ownerOf } from './claims.ts';
import { type Candidates, distinctEndpoints, type Policy, whoMayAnswer } from './endpoints.ts';
import { type Nested, nestedServices } from './nested.ts';
import type { NodeFacts } from './node.ts';
import { isExternallyAccessible, numberAt, type Place, type PlaceKind } from './places.ts';
import type { Scheduler } from './scheduler.ts';
import {
  type Endpoint,
  type Endpoints,
  type Problem,
  portKey,
  type Service,
  type ServicePort,
  serviceName,
} from './service.ts';
import { allowedSources } from './source-ranges.ts';
import { portOf, problemsOf, servedHere, servedPorts, whyUnusable } from './unserved.ts';

/** Somebody who may answer. */
export interface Backend {
  readonly address: Address;
  readonly port: number;
}

/** Who may answer under one policy: a set, no backend twice, in no order. */
export type Pool = readonly Backend[];

/**
 * To whom the local set applies, and not that of the cluster: under internalTrafficPolicy Local to whoever asks at a clusterIP; under
 * externalTrafficPolicy Local, at the other addresses, to those from outside, while pods and the node itself have the cluster's.
 */
export type LocalFor = 'nobody' | 'outside' | 'everybody';

/** Address, number and protocol that clients connect to. */
export interface PortFrontend {
  readonly kind: 'port';
  readonly place: PlaceKind;
  readonly address: Address;
  /** That of the Service port, or its nodePort. */
  readonly number: number;
  readonly port: ServicePort;
  /** Under policy Cluster; null: no rule of this frontend asks for it. */
  readonly any: Pool | null;
  /** Under policy Local; null as above. */
  readonly local: Pool | null;
  readonly localFor: LocalFor;
  /** Somebody somewhere could answer: an empty pool drops and does not reject. */
  readonly hasEndpoint: boolean;
  readonly affinitySeconds: number;
  readonly scheduler: Scheduler;
  /** Only the Service's allowed sources may ask. */
  readonly guarded: boolean;
}

/** An address as such: of a clusterIP, ports that are not defined are rejected; of others they are not ours. */
export interface AddressFrontend {
  readonly kind: 'address';
  readonly place: PlaceKind;
  readonly address: Address;
  /** The Service's first port that is served stands for it, so that refusals can be counted under its name. */
  readonly port: ServicePort;
}

export type Frontend = PortFrontend | AddressFrontend;

export interface CompiledService {
  /** Ports before addresses: until its ports are there, an address must not reject. */
  readonly frontends: readonly Frontend[];
  /** Who may ask where a frontend is guarded. */
  readonly sources: readonly Cidr[];
  readonly problems: readonly Problem[];
}

/**
 * What this node serves of a Service, and what it does not and why: its clusterIPs, load balancer IPs and externalIPs with their
 * ports, and its nodePorts. An endpoint of the other family than the address's is ignored, one that is a
 * Service itself is left out. `claims` must know the Service.
 */
export function compileService(
  service: Service,
  endpoints: Endpoints,
  node: NodeFacts,
  claims: Claims,
): CompiledService {
  const unusable = whyUnusable(service);
  const [first] = service.ports;
  if (unusable !== null || first === undefined) {
    return { frontends: [], sources: [], problems: problemsOf(service, unusable === null ? [] : [unusable]) };
  }
  const reasons = new Set<string>();
  const nested = nestedServices(claims, node);
  const places = servedHere(service, node, reasons);
  const compiler = portCompiler(service, endpoints, node, nested);
  const frontends: Frontend[] = [];
  const ports = servedPorts(service, reasons);
  for (const port of ports) {
    for (const place of places) {
      const number = numberAt(place, port);
      if (number === 0) continue;
      const owner = ownerOf(claims, claimKey(place.address, { number, protocol: port.protocol }));
      const frontend = owner === serviceName(service) ? compiler(place, number, port) : null;
      const shifted = frontend && shiftedBackend(frontend);
      if (frontend === null) reasons.add(`${portOf(place, port)} belongs to Service ${owner}`);
      else if (shifted === null) frontends.push(frontend);
      else reasons.add(`${portOf(place, port)} is not served: SCTP keeps its port number, and ${shifted} has another`);
    }
  }
  for (const { kind, address } of places) {
    if (kind !== 'node' && ownerOf(claims, claimKey(address)) === serviceName(service)) {
      frontends.push({ kind: 'address', place: kind, address, port: ports[0] ?? first });
    }
  }
  return {
    frontends,
    sources: ([4, 6] as const).flatMap((family) => allowedSources(service, family, node) ?? []),
    problems: problemsOf(service, [...reasons, ...nested.reasons()]),
  };
}

/**
 * Somebody who could be chosen under another port number than the client asks for, where that cannot be rewritten: the checksum
 * of SCTP covers its ports, and no helper of the kernel's mends it. Null: nobody, or it can.
 */
function shiftedBackend({ port, number, any, local }: PortFrontend): string | null {
  if (port.protocol !== 'SCTP') return null;
  const shifted = [...(any ?? []), ...(local ?? [])].find((backend) => backend.port !== number);
  return shifted === undefined ? null : `endpoint ${endpointText(shifted.address, shifted.port)}`;
}

/** Makes the frontends of a Service; those of one port and family have the very same pools. */
function portCompiler(
  service: Service,
  endpoints: Endpoints,
  node: NodeFacts,
  nested: Nested,
): (place: Place, number: number, port: ServicePort) => PortFrontend {
  const byPort = new Map<string, Candidates>();
  const families = { 4: familyFacts(service, 4, node), 6: familyFacts(service, 6, node) };
  return ({ kind, address }, number, port) => {
    const family = familyOf(address);
    const key = `${portKey(port)} ${family}`;
    const ofFamily = (endpoint: Endpoint) => familyOf(endpoint.address) === family;
    const choose = () => {
      const all = (endpoints.get(portKey(port)) ?? []).filter(ofFamily);
      return whoMayAnswer(distinctEndpoints(nested.leaveOut(all)), families[family].policy, node);
    };
    const { cluster, local, hasAny } = byPort.get(key) ?? choose();
    byPort.set(key, { cluster, local, hasAny });
    const localFor = localForOf(service, kind);
    return {
      kind: 'port',
      place: kind,
      address,
      number,
      port,
      any: localFor === 'everybody' ? null : cluster,
      local: localFor === 'nobody' ? null : local,
      localFor,
      hasEndpoint: hasAny,
      affinitySeconds: service.affinitySeconds,
      scheduler: service.scheduler,
      guarded: families[family].guarded && service.loadBalancerIPs.includes(address) && kind !== 'cluster',
    };
  };
}

function localForOf({ internalLocal, externalLocal }: Service, kind: PlaceKind): LocalFor {
  if (kind === 'cluster') return internalLocal ? 'everybody' : 'nobody';
  return externalLocal ? 'outside' : 'nobody';
}

function familyFacts(service: Service, family: 4 | 6, node: NodeFacts): { policy: Policy; guarded: boolean } {
  const { internalLocal, externalLocal } = service;
  return {
    policy: { internalLocal, externalLocal, externallyAccessible: isExternallyAccessible(service, family) },
    guarded: allowedSources(service, family, node) !== null,
  };
}
