import type { NetRoute } from 'libbpf-ts';
import { type Address, cidrContains, familyOf } from '../model/address.ts';
import { isOrdinaryRoute } from './devices.ts';

/** The longest match in the main tables, as a packet without policy routing takes it; undefined: there is no way. */
export function routeTo(routes: readonly NetRoute[], address: Address): NetRoute | undefined {
  const family = familyOf(address);
  const matches = routes.filter((route) => {
    if (route.family !== family || !isOrdinaryRoute(route)) return false;
    const any = family === 4 ? '0.0.0.0' : '::';
    return cidrContains({ address: route.destination || any, prefixLength: route.prefixLength }, address);
  });
  return matches.sort((a, b) => b.prefixLength - a.prefixLength || a.priority - b.priority)[0];
}
