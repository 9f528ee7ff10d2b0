import { isAddressKey } from './rows.ts';
import { type Step, type TableName, type Tables, tableNames } from './tables.ts';

/** Who a row belongs to: a Service ('ns/name') or '', the node. */
export type OwnerOf = (table: TableName, key: string) => string;

/**
 * The steps from `actual` to `desired`, each row at most once: sets from leaf to root, then deletes from root to leaf. In
 * between, no row points at one that is not there. Among the frontends ports are the leaves of addresses, since an
 * address without its ports rejects.
 *
 * Slots of `backends` cannot be deleted: those of `actual` must be in `desired` or not be rows at all.
 */
export function diff(desired: Tables, actual: Tables, ownerOf: OwnerOf): Step[] {
  const sets = tableNames.map((table) => leavesFirst(table, setsOf(table, desired, actual, ownerOf)));
  const deletes = tableNames.map((table) => leavesFirst(table, deletesOf(table, desired, actual, ownerOf)));
  return [...sets, ...deletes.reverse().map((steps) => steps.reverse())].flat();
}

function setsOf(table: TableName, desired: Tables, actual: Tables, ownerOf: OwnerOf): Step[] {
  const steps: Step[] = [];
  for (const [key, value] of desired[table]) {
    if (actual[table].get(key) !== value) steps.push({ op: 'set', table, key, value, owner: ownerOf(table, key) });
  }
  return steps;
}

function deletesOf(table: TableName, desired: Tables, actual: Tables, ownerOf: OwnerOf): Step[] {
  const steps: Step[] = [];
  for (const key of actual[table].keys()) {
    if (!desired[table].has(key)) steps.push({ op: 'delete', table, key, owner: ownerOf(table, key) });
  }
  return steps;
}

function leavesFirst(table: TableName, steps: Step[]): Step[] {
  if (table !== 'frontends') return steps;
  return [...steps.filter((step) => !isAddressKey(step.key)), ...steps.filter((step) => isAddressKey(step.key))];
}
