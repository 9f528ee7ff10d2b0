import type { NetRoute } from 'libbpf-ts';
import { parseAddress } from '../model/address.ts';
import type { RouteMtu } from '../plan/world.ts';
import { type Device, isOrdinaryRoute, type Network } from './devices.ts';

const MAIN_TABLE = 254;

/**
 * What IPv4 routes by wires say of their mtu, where the node's own routing minds that and bpf_fib_lookup() does not: not
 * locked, in the main table. Empty if no route says anything; else all routes by wires, for a narrower prefix may be a wider
 * way.
 */
export function routeMtusOf({ routes }: Network, devices: readonly Device[]): RouteMtu[] {
  const wires = new Set(devices.filter(({ role }) => role === 'wire').map(({ ifindex }) => ifindex));
  const ours = routes.filter(
    (route) => isIPv4(route) && isOrdinaryRoute(route) && route.ifindexes.some((ifindex) => wires.has(ifindex)),
  );
  if (!ours.some(hasOwnMtu)) return [];
  const found = new Map<string, RouteMtu>();
  for (const route of ours.toSorted((a, b) => a.priority - b.priority)) {
    const address = parseAddress(route.destination || '0.0.0.0');
    const text = `${route.destination}/${route.prefixLength}`;
    if (address === null || found.has(text)) continue;
    const destination = { address, prefixLength: route.prefixLength };
    found.set(text, { destination, mtu: hasOwnMtu(route) ? route.mtu : 0 });
  }
  return [...found.values()];
}

/** Do routes by this device say such a thing? */
export function hasRouteMtus({ routes }: Pick<Network, 'routes'>, ifindex: number): boolean {
  return routes.some(
    (route) => isIPv4(route) && isOrdinaryRoute(route) && hasOwnMtu(route) && route.ifindexes.includes(ifindex),
  );
}

function isIPv4({ family, table }: NetRoute): boolean {
  return family === 4 && table === MAIN_TABLE;
}

function hasOwnMtu({ mtu, mtuLocked }: NetRoute): boolean {
  return mtu > 0 && !mtuLocked;
}
