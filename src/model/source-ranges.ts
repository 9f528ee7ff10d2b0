import { type Cidr, cidrContains, familyOf, firstOfFamily } from './address.ts';
import type { NodeFacts } from './node.ts';
import type { Service } from './service.ts';

/**
 * Who may ask at the Service's load balancer IPs of one family; null: anybody, for no range is of that family, or one is
 * everything. Where the node itself may, so may the load balancer IPs: packets to one can come back with it for a source.
 */
export function allowedSources(service: Service, family: 4 | 6, node: NodeFacts): readonly Cidr[] | null {
  const ranges = service.sourceRanges.filter(({ address }) => familyOf(address) === family);
  if (ranges.length === 0 || ranges.some(({ prefixLength }) => prefixLength === 0)) return null;
  const primary = firstOfFamily(node.addresses, family);
  if (primary === undefined || !ranges.some((range) => cidrContains(range, primary))) return ranges;
  const own = service.loadBalancerIPs.filter((address) => familyOf(address) === family);
  return [...ranges, ...own.map((address) => ({ address, prefixLength: family === 4 ? 32 : 128 }))];
}
