import type { Address, Cidr } from './address.ts';
import type { Scheduler } from './scheduler.ts';

/** Layer 4 protocols that a Service port may name. */
export type Protocol = 'TCP' | 'UDP' | 'SCTP';

/** One port of a Service. `name` is empty for the one port of a Service that has no name. */
export interface ServicePort {
  readonly name: string;
  readonly protocol: Protocol;
  readonly number: number;
  /** 0: none asked for, none allocated. */
  readonly nodePort: number;
}

/** A Service that is ours to serve. Headless, ExternalName and opted-out ones never get here: kube says why instead. */
export interface Service {
  readonly namespace: string;
  readonly name: string;
  /** RFC 3339, '' if unknown: the older of two claimants of an address wins, and unknown counts as younger than known. */
  readonly created: string;
  /** At most one of each family. */
  readonly clusterIPs: readonly Address[];
  readonly externalIPs: readonly Address[];
  readonly loadBalancerIPs: readonly Address[];
  readonly sourceRanges: readonly Cidr[];
  readonly ports: readonly ServicePort[];
  /** Session affinity ClientIP in seconds; 0: none. */
  readonly affinitySeconds: number;
  readonly scheduler: Scheduler;
  readonly internalLocal: boolean;
  readonly externalLocal: boolean;
  /** Where a load balancer asks who has a backend: only of type LoadBalancer with externalTrafficPolicy Local; else 0. */
  readonly healthCheckNodePort: number;
}

/** What an endpoint says of itself; `undefined` never: absent conditions are resolved when parsed. */
export interface Endpoint {
  readonly address: Address;
  readonly port: number;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  /** '' if not said. */
  readonly nodeName: string;
  readonly zoneHints: readonly string[];
  readonly nodeHints: readonly string[];
}

/** The endpoints behind one port of a Service, by family: 4 and 6 are independent. Key: see `portKey`. */
export interface Endpoints {
  get(key: string): readonly Endpoint[] | undefined;
  keys(): Iterable<string>;
  values(): Iterable<readonly Endpoint[]>;
}

/** Something of the input that is not served, or not as it was written, and why. Never an exception. */
export interface Problem {
  /** 'Service default/web', 'file a.yaml', 'EndpointSlice default/web-x1' */
  readonly object: string;
  readonly reason: string;
}

/** namespace/name, as people type it. */
export function serviceName(service: { namespace: string; name: string }): string {
  return `${service.namespace}/${service.name}`;
}

/** Which endpoints belong to which port: slices are tied to a port by name and protocol. */
export function portKey(port: { name: string; protocol: Protocol }): string {
  return `${port.name}/${port.protocol}`;
}
