import { endpointText } from './address.ts';
import { type Claims, clusterOwnerOf } from './claims.ts';
import type { NodeFacts } from './node.ts';
import type { Endpoint } from './service.ts';

/** So many endpoints are named; the others are counted. */
const shown = 10;

/** The endpoints of one Service that are themselves Services, and so are left out. */
export interface Nested {
  /** Those of `endpoints` that are not; the same array if all are. */
  leaveOut(endpoints: readonly Endpoint[]): readonly Endpoint[];
  /** What was left out so far and whose address it is, each endpoint once. */
  reasons(): string[];
}

/**
 * An endpoint at the clusterIP of a Service, whatever its port, answers nobody: no proxy translates an address twice. One
 * that a device of this node holds is no Service's here.
 */
export function nestedServices(claims: Claims, node: NodeFacts): Nested {
  const found = new Map<string, string>();
  const isNested = ({ address, port }: Endpoint): boolean => {
    const owner = clusterOwnerOf(claims, address);
    if (owner === undefined || node.localAddresses.has(address)) return false;
    const text = endpointText(address, port);
    found.set(
      text,
      `endpoint ${text} is left out: it is the clusterIP of Service ${owner}, and a Service has no Services behind it`,
    );
    return true;
  };
  return {
    leaveOut: (endpoints) =>
      endpoints.some(isNested) ? endpoints.filter((endpoint) => !isNested(endpoint)) : endpoints,
    reasons() {
      const all = [...found.values()].sort();
      const more = all.length - shown;
      return more > 0 ? [...all.slice(0, shown), `and ${more} more endpoints like these`] : all;
    },
  };
}
