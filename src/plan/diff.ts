import { isAddressKey } from './rows.ts';
import { byTable, type SetStep, type Step, type TableName, type Tables, tableNames } from './tables.ts';

/** The rows that should be there, as the steps that would set them; of one table no key twice. */
export type Desired = Record<TableName, SetStep[]>;

export function emptyDesired(): Desired {
  return byTable(() => []);
}

/**
 * The steps from `actual` to `desired`, each row at most once: sets from leaf to root, then deletes from root to leaf. In
 * between, no row points at one that is not there. Among the frontends ports are the leaves of addresses, since an
 * address without its ports rejects. `ownerOf` tells who a row belongs to that nobody desires: a Service, or '', the node.
 *
 * Slots of `backends` cannot be deleted: none must be in `actual` that is not desired.
 */
export function diff(desired: Desired, actual: Tables, ownerOf: (table: TableName, key: string) => string): Step[] {
  const sets: Step[][] = [];
  const deletes: Step[][] = [];
  for (const table of tableNames) {
    const rows = actual[table];
    sets.push(
      leavesFirst(
        table,
        desired[table].filter((step) => rows.get(step.key) !== step.value),
      ),
    );
    const unwanted = unwantedKeys(desired[table], rows);
    const steps = unwanted.map((key): Step => ({ op: 'delete', table, key, owner: ownerOf(table, key) }));
    deletes.unshift(leavesFirst(table, steps).reverse());
  }
  return [...sets, ...deletes].flat();
}

function unwantedKeys(desired: readonly SetStep[], rows: ReadonlyMap<string, string>): string[] {
  const present = desired.reduce((count, step) => (rows.has(step.key) ? count + 1 : count), 0);
  if (present === rows.size) return [];
  const wanted = new Set(desired.map((step) => step.key));
  return [...rows.keys()].filter((key) => !wanted.has(key));
}

function leavesFirst<S extends Step>(table: TableName, steps: S[]): S[] {
  if (table !== 'frontends') return steps;
  return [...steps.filter((step) => !isAddressKey(step.key)), ...steps.filter((step) => isAddressKey(step.key))];
}
