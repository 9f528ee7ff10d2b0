import { removedBackendKey, u32 } from '../layout.gen.ts';
import { type Address, addressFromHex, addressToHex } from '../model/address.ts';
import { type Endpoint, portKey, type Service, type ServicePort } from '../model/service.ts';
import { emptyIds, idOf, type PortName } from './ids.ts';
import type { Inventory } from './inventory.ts';
import { protocolNumbers, removedBackendRow } from './rows.ts';
import type { Scope } from './scope.ts';
import type { RemovedBackend, World } from './world.ts';

/** What a flow keeps of its choice. `servicePort` is its id. */
export type Choice = Omit<RemovedBackend, 'removed'>;

/**
 * The UDP backends that flows must leave, by the key of their row: those that served for a service port and do so no more. One
 * that is only terminating, or that a policy keeps from new flows, serves: it loses no flow.
 */
export type Removals = Map<string, RemovedBackend>;

/** Those that the kernel was told of by an agent before this one. */
export function heldRemovals(held: Inventory): Removals {
  const removals: Removals = new Map();
  for (const [key, value] of held.rows.removed_backends) {
    const { address, port, servicePort } = removedBackendKey.decode(key);
    removals.set(key, { address: addressFromHex(address), port, servicePort, removed: u32.decode(value) });
  }
  return removals;
}

/**
 * Adds who served in `before` and not in `after`, and takes away who is back. `scope` as for makePlan; `held` must still know
 * the ids of the Services that are gone in `after`. `now` is seconds since boot. Returns how many were added.
 */
export function noteRemovals(
  removals: Removals,
  held: Inventory,
  { before, after }: { readonly before: World; readonly after: World },
  scope: Scope,
  now: number,
): number {
  let added = 0;
  for (const name of scope === 'all' ? new Set([...before.services.keys(), ...after.services.keys()]) : scope) {
    const [old, current] = [before.services.get(name), after.services.get(name)];
    if (old === current && before.endpoints.get(name) === after.endpoints.get(name)) continue;
    for (const port of udpPorts(old)) {
      const servicePort = idOf(held.ids, emptyIds(), nameOf(name, port));
      const serving = servingOf(after, nameOf(name, port));
      for (const { address, port: number } of servingEndpoints(before, name, port)) {
        if (serving.has(placeText(address, number))) continue;
        const removal = { address, port: number, servicePort, removed: now };
        const [key] = removedBackendRow(removal);
        added += removals.has(key) ? 0 : 1;
        removals.set(key, removal);
      }
    }
  }
  if (removals.size > 0) takeBack(removals, held, after);
  return added;
}

/**
 * Makes it what a look through all flows says, `choices`: adds those that do not serve, and lets go of those that no flow
 * has any more and that were removed before `settled`: until then one may be between its choice and its row.
 */
export function reviewRemovals(
  removals: Removals,
  held: Inventory,
  world: World,
  choices: Iterable<Choice>,
  { now, settled }: { readonly now: number; readonly settled: number },
): number {
  let added = 0;
  const serves = makeServes(held, world);
  const inUse = new Set<string>();
  for (const choice of choices) {
    if (serves(choice)) continue;
    const [key] = removedBackendRow({ ...choice, removed: now });
    inUse.add(key);
    if (removals.has(key)) continue;
    removals.set(key, { ...choice, removed: now });
    added += 1;
  }
  for (const [key, { removed }] of removals) if (!inUse.has(key) && removed < settled) removals.delete(key);
  takeBack(removals, held, world);
  return added;
}

/** Whether the backend of a choice serves: for this world and the ids that are held. Good for as long as these do not change. */
export function makeServes(held: Inventory, world: World): (choice: Choice) => boolean {
  const known = new Map<number, ReadonlySet<string>>();
  return ({ servicePort, address, port }) => {
    let serving = known.get(servicePort);
    if (serving === undefined) {
      const name = held.ids.byId.get(servicePort);
      serving = name === undefined ? new Set<string>() : servingOf(world, name);
      known.set(servicePort, serving);
    }
    return serving.has(placeText(address, port));
  };
}

function takeBack(removals: Removals, held: Inventory, world: World): void {
  const serves = makeServes(held, world);
  for (const [key, removal] of removals) if (serves(removal)) removals.delete(key);
}

/** Places whose endpoints serve for a UDP port; none for another protocol. */
function servingOf(world: World, { owner, port: name, protocol }: PortName): ReadonlySet<string> {
  const port = udpPorts(world.services.get(owner)).find((one) => one.name === name);
  if (port === undefined || protocol !== protocolNumbers.UDP) return new Set();
  return new Set(servingEndpoints(world, owner, port).map((endpoint) => placeText(endpoint.address, endpoint.port)));
}

function servingEndpoints(world: World, name: string, port: ServicePort): readonly Endpoint[] {
  const endpoints = world.endpoints.get(name)?.get(portKey(port)) ?? [];
  return endpoints.filter(({ ready, serving }) => ready || serving);
}

function udpPorts(service: Service | undefined): readonly ServicePort[] {
  return service?.ports.filter(({ protocol }) => protocol === 'UDP') ?? [];
}

function nameOf(owner: string, { name, protocol }: ServicePort): PortName {
  return { owner, port: name, protocol: protocolNumbers[protocol] };
}

function placeText(address: Address, port: number): string {
  return `${addressToHex(address)} ${port}`;
}
