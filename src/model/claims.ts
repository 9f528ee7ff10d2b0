import type { Address } from './address.ts';
import { numberAt, servedPlaces } from './places.ts';
import { type Protocol, type Service, serviceName } from './service.ts';

/**
 * Which Services ask for which address, and for which port of it; a NodePort is a port of the any-address. Two may share an
 * address: each serves the ports that are its alone. Of a port that both ask for, and of the address as such, the
 * senior is the owner; but an address that is somebody's clusterIP belongs to such a one.
 */
export interface Claims {
  /** `claimKey` → names of Services, the senior first. */
  readonly claimants: Map<string, readonly string[]>;
  /** The Services as they last claimed. */
  readonly services: Map<string, Service>;
}

export function emptyClaims(): Claims {
  return { claimants: new Map(), services: new Map() };
}

/** What is claimed: an address with a port and protocol, or the address as such. */
export function claimKey(address: Address, port?: { readonly number: number; readonly protocol: Protocol }): string {
  return port === undefined ? address : `${address} ${port.number}/${port.protocol}`;
}

export function ownerOf(claims: Claims, key: string): string | undefined {
  return claims.claimants.get(key)?.[0];
}

/** Who owns the address as a clusterIP. */
export function clusterOwnerOf(claims: Claims, address: Address): string | undefined {
  const owner = ownerOf(claims, claimKey(address));
  return owner !== undefined && claims.services.get(owner)?.clusterIPs.includes(address) ? owner : undefined;
}

/**
 * Notes that Service `name` is now `service`, undefined if it is gone. Returns the names of other Services that win or lose
 * something by it, or whose rival is now another.
 */
export function changeClaims(claims: Claims, name: string, service: Service | undefined): ReadonlySet<string> {
  const affected = new Set<string>();
  const before = claims.services.get(name);
  if (before === service) return affected;
  const keys = new Set([...keysOf(before), ...keysOf(service)]);
  const owners = new Map([...keys].map((key) => [key, ownerOf(claims, key)]));

  for (const key of keysOf(before)) removeClaimant(claims, key, name);
  if (service === undefined) claims.services.delete(name);
  else claims.services.set(name, service);
  for (const key of keysOf(service)) addClaimant(claims, key, name);

  for (const [key, owner] of owners) {
    if (ownerOf(claims, key) === owner) continue;
    for (const claimant of claims.claimants.get(key) ?? []) affected.add(claimant);
  }
  affected.delete(name);
  return affected;
}

/**
 * Less than 0: `a` is the senior. The older one is; of equals the one whose namespace/name sorts first by code
 * point. Unknown age counts as young.
 */
export function compareSeniority(a: Service, b: Service): number {
  const [bornA, bornB] = [birth(a), birth(b)];
  if (bornA !== bornB) return bornA < bornB ? -1 : 1;
  const [nameA, nameB] = [serviceName(a), serviceName(b)];
  return nameA < nameB ? -1 : nameA > nameB ? 1 : 0;
}

function birth(service: Service): number {
  const parsed = Date.parse(service.created);
  return Number.isNaN(parsed) ? Number.POSITIVE_INFINITY : parsed;
}

function keysOf(service: Service | undefined): Set<string> {
  const keys = new Set<string>();
  if (service === undefined) return keys;
  for (const place of servedPlaces(service)) {
    if (place.kind !== 'node') keys.add(claimKey(place.address));
    for (const port of service.ports) {
      const number = numberAt(place, port);
      if (number > 0) keys.add(claimKey(place.address, { number, protocol: port.protocol }));
    }
  }
  return keys;
}

function removeClaimant(claims: Claims, key: string, name: string): void {
  const left = (claims.claimants.get(key) ?? []).filter((claimant) => claimant !== name);
  if (left.length > 0) claims.claimants.set(key, left);
  else claims.claimants.delete(key);
}

/** Who comes first: of those that ask for an address as such, who has it for a clusterIP, then the senior. */
function compareClaims(key: string, a: Service, b: Service): number {
  const isCluster = (service: Service) => service.clusterIPs.some((address) => claimKey(address) === key);
  return Number(isCluster(b)) - Number(isCluster(a)) || compareSeniority(a, b);
}

function addClaimant(claims: Claims, key: string, name: string): void {
  const present = claims.claimants.get(key);
  if (present === undefined) {
    claims.claimants.set(key, [name]);
    return;
  }
  const service = claims.services.get(name);
  const place = present.findIndex((claimant) => {
    const other = claims.services.get(claimant);
    return service !== undefined && other !== undefined && compareClaims(key, service, other) < 0;
  });
  claims.claimants.set(key, place < 0 ? [...present, name] : present.toSpliced(place, 0, name));
}
