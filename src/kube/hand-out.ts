import { familyOf } from '../model/address.ts';
import { type Allocation, type AllocationRanges, type AllocationRequest, allocate, type Grant } from './allocate.ts';
import { sameValue } from './equality.ts';
import type { ServiceObject } from './objects.ts';
import { requestOf } from './services.ts';

/** What the Services asked for and got. */
export interface HandedOut {
  /** By 'namespace/name'. */
  readonly requests: ReadonlyMap<string, AllocationRequest>;
  readonly allocation: Allocation;
}

export function familiesOf({ serviceCidrs }: AllocationRanges): (4 | 6)[] {
  return serviceCidrs.map(({ address }) => familyOf(address));
}

/**
 * Allocates for `services`, of which the `affected` are not what they were at `before`. Adds those that got something else
 * to `affected`: an address may have to make way for one that is written.
 */
export function handOut(
  services: ReadonlyMap<string, ServiceObject>,
  ranges: AllocationRanges,
  before: HandedOut | null,
  affected: Set<string>,
): HandedOut {
  const requests = new Map(before?.requests);
  const families = familiesOf(ranges);
  let isOther = before === null;
  for (const name of affected) {
    const service = services.get(name);
    const request = service === undefined ? null : requestOf(name, service, families);
    isOther ||= !sameValue(request, requests.get(name) ?? null);
    if (request === null) requests.delete(name);
    else requests.set(name, request);
  }
  if (!isOther && before !== null) return before;
  const allocation = allocate([...requests.values()], ranges);
  for (const name of new Set([...allocation.grants.keys(), ...(before?.allocation.grants.keys() ?? [])])) {
    const had = before?.allocation.grants.get(name);
    if (textOf(allocation.grants.get(name)) !== textOf(had)) affected.add(name);
  }
  return { requests, allocation };
}

/** Text that is another one if something else was granted. */
function textOf(grant: Grant | undefined): string {
  return grant === undefined ? '' : [...grant.addresses.values(), ...[...grant.nodePorts].flat()].join(' ');
}
