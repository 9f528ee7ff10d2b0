import { type Address, familyOf } from './address.ts';
import { type Claims, claimKey, ownerOf } from './claims.ts';
import { type Candidates, distinctEndpoints, whoMayAnswer } from './endpoints.ts';
import { type Nested, nestedServices } from './nested.ts';
import type { NodeFacts } from './node.ts';
import {
  type Endpoint,
  type Endpoints,
  type Problem,
  portKey,
  type Service,
  type ServicePort,
  serviceName,
} from './service.ts';

/** Somebody who may answer. */
export interface Backend {
  readonly address: Address;
  readonly port: number;
}

/** Who may answer under one policy: a set, no backend twice, in no order. */
export type Pool = readonly Backend[];

/** Address, port and protocol that clients connect to. */
export interface PortFrontend {
  readonly kind: 'port';
  readonly address: Address;
  readonly port: ServicePort;
  /** Under policy Cluster; null: no rule of this frontend asks for it. */
  readonly any: Pool | null;
  /** Under policy Local; null as above. */
  readonly local: Pool | null;
  readonly localOnly: boolean;
  /** Somebody somewhere could answer: an empty pool drops and does not reject. */
  readonly hasEndpoint: boolean;
  readonly affinitySeconds: number;
}

/** A clusterIP as such: ports that are not defined are rejected. */
export interface AddressFrontend {
  readonly kind: 'address';
  readonly address: Address;
  /** The Service's first port that is served stands for it, so that refusals can be counted under its name. */
  readonly port: ServicePort;
}

export type Frontend = PortFrontend | AddressFrontend;

const noPort = 'it has no port';

export interface CompiledService {
  /** Ports before addresses: until its ports are there, an address must not reject. */
  readonly frontends: readonly Frontend[];
  readonly problems: readonly Problem[];
}

/**
 * What this node serves of a Service, and what it does not and why: its clusterIPs with their TCP and UDP ports. An
 * endpoint of the other family than the clusterIP's is ignored, one that is a Service itself is left out. `claims` must
 * know the Service.
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
    return { frontends: [], problems: problemsOf(service, [unusable ?? noPort]) };
  }
  const reasons = notBuilt(service);
  const frontends: Frontend[] = [];
  const nested = nestedServices(claims, node);
  const addresses = service.clusterIPs.filter((address) => isServed(address, node, reasons));
  const ports = servedPorts(service, reasons);
  for (const port of ports) {
    for (const address of addresses) {
      const owner = ownerOf(claims, claimKey(address, port));
      if (owner === serviceName(service)) frontends.push(compilePort(service, address, port, endpoints, node, nested));
      else reasons.push(`port ${portLabel(port)} of clusterIP ${address} belongs to Service ${owner}`);
    }
  }
  for (const address of addresses) {
    if (ownerOf(claims, claimKey(address)) === serviceName(service)) {
      frontends.push({ kind: 'address', address, port: ports[0] ?? first });
    }
  }
  return { frontends, problems: problemsOf(service, [...reasons, ...nested.reasons()]) };
}

function compilePort(
  service: Service,
  address: Address,
  port: ServicePort,
  endpoints: Endpoints,
  node: NodeFacts,
  nested: Nested,
): PortFrontend {
  const family = familyOf(address);
  const ofFamily = (endpoints.get(portKey(port)) ?? []).filter((endpoint) => familyOf(endpoint.address) === family);
  const candidates = chooseFor(service, distinctEndpoints(nested.leaveOut(ofFamily)), node);
  return {
    kind: 'port',
    address,
    port,
    any: candidates.cluster,
    local: candidates.local,
    localOnly: service.internalLocal,
    hasEndpoint: candidates.hasAny,
    affinitySeconds: service.affinitySeconds,
  };
}

/** For the clusterIP alone: as long as nothing is served from outside, no rule from outside asks for a set. */
function chooseFor(service: Service, endpoints: readonly Endpoint[], node: NodeFacts): Candidates {
  const { internalLocal, externalLocal } = service;
  return whoMayAnswer(endpoints, { internalLocal, externalLocal, externallyAccessible: false }, node);
}

/** Each port that can be served, once: a second one of the same number, or of the same name, cannot be told from the first. */
function servedPorts(service: Service, reasons: string[]): ServicePort[] {
  const seen = new Set<string>();
  return service.ports.filter((port) => {
    if (port.protocol === 'SCTP') {
      reasons.push(`port ${portLabel(port)} is not served: SCTP is not supported yet`);
      return false;
    }
    const keys = [`number ${port.number}/${port.protocol}`, `name ${portKey(port)}`];
    const repeated = keys.find((key) => seen.has(key));
    if (repeated !== undefined) reasons.push(`port ${portLabel(port)} is not served: ${repeated} is there twice`);
    else for (const key of keys) seen.add(key);
    return repeated === undefined;
  });
}

function isServed(address: Address, node: NodeFacts, reasons: string[]): boolean {
  if (node.localAddresses.has(address)) {
    reasons.push(`clusterIP ${address} is not served: it is an address of this node`);
    return false;
  }
  if (/^(0\.0\.0\.0$|127\.|22[4-9]\.|23\d\.|::1?$|ff..:)/.test(address)) {
    reasons.push(`clusterIP ${address} is not served: it is unspecified, loopback or multicast`);
    return false;
  }
  return true;
}

/** What a Service asks for beside its clusterIP. */
function notBuilt(service: Service): string[] {
  const unserved = [
    ...service.ports.filter((port) => port.nodePort > 0).map((port) => `nodePort ${port.nodePort}/${port.protocol}`),
    ...service.externalIPs.map((address) => `externalIP ${address}`),
    ...service.loadBalancerIPs.map((address) => `load balancer IP ${address}`),
  ];
  return unserved.length > 0
    ? [`traffic from outside is not supported yet, so not served: ${unserved.join(', ')}`]
    : [];
}

/** Why nothing of a Service can be served, so that it claims nothing either; null: it can. */
export function whyUnusable(service: Service): string | null {
  if (service.ports.length === 0) return noPort;
  const names = [
    service.namespace,
    service.name,
    ...service.ports.map((port) => port.name).filter((name) => name !== ''),
  ];
  const bad = names.find((name) => !/^[\x21-\x7e]{1,63}$/.test(name));
  return bad === undefined ? null : `'${bad}' is not a name of 1 to 63 characters`;
}

function portLabel(port: ServicePort): string {
  const number = `${port.number}/${port.protocol}`;
  return port.name === '' ? number : `${port.name} (${number})`;
}

function problemsOf(service: Service, reasons: readonly string[]): Problem[] {
  return reasons.map((reason) => ({ object: `Service ${serviceName(service)}`, reason }));
}
