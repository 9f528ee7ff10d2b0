import { familyOf } from './address.ts';
import { whoMayAnswer } from './endpoints.ts';
import type { NodeFacts } from './node.ts';
import { isExternallyAccessible } from './places.ts';
import { type Endpoints, portKey, type Service } from './service.ts';

/** A way to a service port in one family whose traffic is dropped here: its policy is Local, and only others have endpoints. */
export interface NoLocal {
  readonly policy: 'internal' | 'external';
  readonly family: 4 | 6;
}

export function noLocalOf(service: Service, endpoints: Endpoints, node: NodeFacts): readonly NoLocal[] {
  const { internalLocal, externalLocal, clusterIPs, ports } = service;
  if (!internalLocal && !externalLocal) return [];
  return clusterIPs.map(familyOf).flatMap((family) => {
    const externallyAccessible = isExternallyAccessible(service, family);
    return ports.flatMap((port): NoLocal[] => {
      const all = (endpoints.get(portKey(port)) ?? []).filter(({ address }) => familyOf(address) === family);
      const { local, hasAny } = whoMayAnswer(all, { internalLocal, externalLocal, externallyAccessible }, node);
      if (!hasAny || local === null || local.length > 0) return [];
      return [
        ...(internalLocal ? [{ policy: 'internal' as const, family }] : []),
        ...(externalLocal && externallyAccessible ? [{ policy: 'external' as const, family }] : []),
      ];
    });
  });
}
