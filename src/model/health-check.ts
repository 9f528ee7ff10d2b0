import { type Address, familyOf } from './address.ts';
import type { NodeFacts } from './node.ts';
import type { Endpoints, Service } from './service.ts';

/** What a load balancer is told at a Service's healthCheckNodePort. */
export interface HealthCheck {
  readonly port: number;
  /** How many endpoints this node has: distinct addresses that are Ready, over all ports. For each family of the Service. */
  readonly localEndpoints: ReadonlyMap<4 | 6, number>;
}

/** Null: nobody asks. Endpoints that serve while they terminate do not count: the node is to be left. */
export function healthCheckOf(service: Service, endpoints: Endpoints, node: NodeFacts): HealthCheck | null {
  if (service.healthCheckNodePort === 0) return null;
  const here = new Set<Address>();
  for (const list of endpoints.values()) {
    for (const { address, ready, nodeName } of list) if (ready && nodeName === node.name) here.add(address);
  }
  const families = new Set(service.clusterIPs.map(familyOf));
  const count = (family: 4 | 6) => [...here].filter((address) => familyOf(address) === family).length;
  return {
    port: service.healthCheckNodePort,
    localEndpoints: new Map([...families].map((family) => [family, count(family)])),
  };
}
