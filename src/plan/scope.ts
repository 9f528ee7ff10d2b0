import { type FrontendKey, frontendKey } from '../layout.gen.ts';
import { type Address, addressFromHex, addressToHex } from '../model/address.ts';
import { changeClaims, claimKey, clusterOwnerOf, ownerOf } from '../model/claims.ts';
import { numberAt, servedPlaces } from '../model/places.ts';
import type { Service } from '../model/service.ts';
import { whyUnusable } from '../model/unserved.ts';
import { heldFrontend, type Inventory, ownedBy, ownerOfId } from './inventory.ts';
import { protocolNumbers } from './rows.ts';
import type { World } from './world.ts';

/** Services whose rows a plan compares, or all of them. */
export type Scope = 'all' | ReadonlySet<string>;

/**
 * The Services to look at, in an order that depends on nothing but their names: those of the scope and those that win or lose a
 * claim by their change; of the frontends that any of these claimed, claims or still holds, who holds it and who owns
 * it; those with an endpoint at an address that another Service got, lost or took over; and those with a name that no
 * frontend bears. Notes the claims of the world.
 */
export function servicesInScope(world: World, held: Inventory, scope: Scope): readonly string[] {
  const isAll = scope === 'all' || held.claims.services.size === 0;
  const names = new Set(scope === 'all' ? [] : scope);
  if (isAll) for (const name of everybody(world, held)) names.add(name);
  const owners = new Map<Address, string | undefined>();
  for (const name of names) {
    for (const address of world.services.get(name)?.clusterIPs ?? []) noteOwner(owners, held, address);
    for (const address of held.claims.services.get(name)?.clusterIPs ?? []) noteOwner(owners, held, address);
    if (!isAll) addHolders(names, held, held.claims.services.get(name));
    for (const affected of noteClaims(world, held, name)) names.add(affected);
    if (!isAll) addHolders(names, held, held.claims.services.get(name));
  }
  if (!isAll) {
    addNesting(
      names,
      world,
      new Set(
        [...owners].flatMap(([address, owner]) => (clusterOwnerOf(held.claims, address) === owner ? [] : address)),
      ),
    );
    addEntangled(names, held);
  }
  names.delete('');
  return [...names].sort();
}

function everybody(world: World, held: Inventory): Set<string> {
  return new Set([...world.services.keys(), ...held.owned.keys(), ...held.claims.services.keys()]);
}

function noteClaims(world: World, held: Inventory, name: string): ReadonlySet<string> {
  const service = world.services.get(name);
  const claims = service !== undefined && whyUnusable(service) === null;
  return changeClaims(held.claims, name, claims ? service : undefined);
}

/** The owner before the first change of this plan. */
function noteOwner(owners: Map<Address, string | undefined>, held: Inventory, address: Address): void {
  if (!owners.has(address)) owners.set(address, clusterOwnerOf(held.claims, address));
}

/** Who has an endpoint at an address that went to another Service. Looked for, since it is rare and an index is large. */
function addNesting(names: Set<string>, world: World, moved: ReadonlySet<Address>): void {
  if (moved.size === 0) return;
  for (const [name, ports] of world.endpoints) {
    for (const endpoints of ports.values()) {
      if (endpoints.some(({ address }) => moved.has(address))) names.add(name);
    }
  }
}

/** Who holds what the Service claims: a hand-over that was refused is nobody else's business when the heir goes too. */
function addHolders(names: Set<string>, held: Inventory, service: Service | undefined): void {
  if (service === undefined) return;
  for (const place of servedPlaces(service)) {
    const address = addressToHex(place.address);
    if (place.kind !== 'node') names.add(holderOf(held, { address, port: 0, protocol: 0 }));
    for (const port of service.ports) {
      const number = numberAt(place, port);
      if (number > 0) names.add(holderOf(held, { address, port: number, protocol: protocolNumbers[port.protocol] }));
    }
  }
}

function holderOf(held: Inventory, key: FrontendKey): string {
  const row = heldFrontend(held, frontendKey.encode(key));
  return row === null ? '' : ownerOfId(held, row.servicePort);
}

function addEntangled(names: Set<string>, held: Inventory): void {
  for (const id of held.idle) names.add(ownerOfId(held, id));
  for (const name of names) for (const key of ownedBy(held, name).frontends) addOwner(names, held, key);
}

/** Who owns the frontend now must be looked at before it is deleted in the name of who holds it. */
function addOwner(names: Set<string>, held: Inventory, key: string): void {
  const { address, port, protocol } = frontendKey.decode(key);
  const number = { number: port, protocol: protocol === protocolNumbers.TCP ? 'TCP' : 'UDP' } as const;
  const owner = ownerOf(held.claims, claimKey(addressFromHex(address), port === 0 ? undefined : number));
  if (owner !== undefined) names.add(owner);
}
