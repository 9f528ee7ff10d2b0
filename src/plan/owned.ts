import { type ServiceTableName, serviceTableNames } from './tables.ts';

/** Keys of the rows that a Service has: in lists, since it is one or two mostly, for which sets would take half a kilobyte. */
export type Owned = Record<ServiceTableName, string[]>;

/** Up to here a list has no room to spare; a longer one grows as lists do. */
const SHORT = 16;

export function emptyOwned(): Owned {
  return { names: none, source_ranges: none, frontends: none };
}

const none: string[] = [];

/** `key` must not be there yet. */
export function own(all: Map<string, Owned>, table: ServiceTableName, owner: string, key: string): void {
  const owned = all.get(owner) ?? emptyOwned();
  const keys = owned[table];
  if (keys.length < SHORT) owned[table] = [...keys, key];
  else keys.push(key);
  all.set(owner, owned);
}

export function disown(all: Map<string, Owned>, table: ServiceTableName, owner: string, key: string): void {
  const owned = all.get(owner);
  // rows go in the order opposite to that in which they came
  const at = owned?.[table].lastIndexOf(key) ?? -1;
  if (owned === undefined || at < 0) return;
  if (owned[table].length > SHORT) owned[table].splice(at, 1);
  else owned[table] = owned[table].toSpliced(at, 1);
  if (serviceTableNames.every((name) => owned[name].length === 0)) all.delete(owner);
}
