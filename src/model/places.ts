import { type Address, familyOf } from './address.ts';
import type { Service, ServicePort } from './service.ts';

/** What an address is to the Service that is asked there. Of one that is several of these, the first counts. */
export type PlaceKind = 'cluster' | 'loadBalancer' | 'external' | 'node';

/** An address that a Service is asked at; of kind 'node' the any-address of a family, for every address with NodePorts. */
export interface Place {
  readonly kind: PlaceKind;
  readonly address: Address;
}

/** What kinds of places are called. */
export const placeNames: Readonly<Record<PlaceKind, string>> = {
  cluster: 'clusterIP',
  loadBalancer: 'load balancer IP',
  external: 'externalIP',
  node: 'nodePort',
};

/** NodePorts have no address of their own. */
export const anyAddress: Readonly<Record<4 | 6, Address>> = { 4: '0.0.0.0', 6: '::' };

/** All that the Service asks for, each address once. What is only for outside stands behind its clusterIPs. */
export function placesOf(service: Service): readonly Place[] {
  const places = new Map<Address, Place>();
  const add = (kind: PlaceKind, addresses: readonly Address[]) => {
    for (const address of addresses) if (!places.has(address)) places.set(address, { kind, address });
  };
  add('cluster', service.clusterIPs);
  add('loadBalancer', service.loadBalancerIPs);
  add('external', service.externalIPs);
  const hasNodePort = service.ports.some(({ nodePort }) => nodePort > 0);
  return hasNodePort ? [...places.values(), ...nodePlaces(service)] : [...places.values()];
}

function nodePlaces(service: Service): Place[] {
  const families = new Set(service.clusterIPs.map(familyOf));
  return ([4, 6] as const).flatMap((family) =>
    families.has(family) ? [{ kind: 'node', address: anyAddress[family] } as const] : [],
  );
}

/** The number under which clients ask for the port there; 0: they cannot. */
export function numberAt({ kind }: Place, port: ServicePort): number {
  return kind === 'node' ? port.nodePort : port.number;
}

/**
 * The places where this node may serve the Service: those of families that it has a clusterIP of. Whose they are in the
 * end is for `Claims` to say.
 */
export function servedPlaces(service: Service): readonly Place[] {
  const known = served.get(service);
  if (known !== undefined) return known;
  const places = placesOf(service).filter((place) => whyNotServed(service, place) === null);
  served.set(service, places);
  return places;
}

/** Asked for several times in each plan, of Services that never change: a changed one is another object. */
const served = new WeakMap<Service, readonly Place[]>();

/** Null: it is served. */
export function whyNotServed(service: Service, { kind, address }: Place): string | null {
  if (kind === 'node') return null;
  if (/^(0\.0\.0\.0$|127\.|22[4-9]\.|23\d\.|::1?$|ff..:)/.test(address)) {
    return 'it is unspecified, loopback or multicast';
  }
  if (kind === 'cluster') return null;
  const family = familyOf(address);
  const isOurs = service.clusterIPs.some((clusterIP) => familyOf(clusterIP) === family);
  return isOurs ? null : `the Service has no IPv${family} clusterIP`;
}

/** Is it served, in this family, at a nodePort, a load balancer IP or an externalIP? */
export function isExternallyAccessible(service: Service, family: 4 | 6): boolean {
  return servedPlaces(service).some(({ kind, address }) => kind !== 'cluster' && familyOf(address) === family);
}
