import { frontendKey } from '../layout.gen.ts';
import { addressFromHex } from '../model/address.ts';
import { changeClaims, claimKey, ownerOf } from '../model/claims.ts';
import { whyUnusable } from '../model/frontends.ts';
import type { Protocol } from '../model/service.ts';
import { type Inventory, ownedBy, ownerOfId } from './inventory.ts';
import { protocolNumbers } from './rows.ts';
import type { World } from './world.ts';

/** Services whose rows a plan compares, or all of them. */
export type Scope = 'all' | ReadonlySet<string>;

/**
 * The Services to look at, in an order that depends on nothing but their names: those of the scope, those that win or lose a
 * claim by their change, those that own what one of these still holds, and those with a name that no frontend bears. Notes
 * the claims of the world.
 */
export function servicesInScope(world: World, held: Inventory, scope: Scope): readonly string[] {
  const names = scope === 'all' || held.claims.services.size === 0 ? everybody(world, held) : new Set(scope);
  for (const name of names) for (const affected of noteClaims(world, held, name)) names.add(affected);
  for (const id of held.idle) names.add(ownerOfId(held, id));
  for (const name of names) for (const key of ownedBy(held, name).frontends) addOwner(names, held, key);
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

/** Who owns the frontend now must be looked at before it is deleted in the name of who held it. */
function addOwner(names: Set<string>, held: Inventory, key: string): void {
  const { address, port, protocol } = frontendKey.decode(key);
  const claimed = claimKey(
    addressFromHex(address),
    port === 0 ? undefined : { number: port, protocol: textOf(protocol) },
  );
  const owner = ownerOf(held.claims, claimed);
  if (owner !== undefined) names.add(owner);
}

function textOf(protocol: number): Protocol {
  return protocol === protocolNumbers.TCP ? 'TCP' : 'UDP';
}
