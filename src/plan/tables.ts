/** The tables that the agent writes, leaf first: a row may only point at tables that stand before its own. */
export const tableNames = ['names', 'backends', 'frontends', 'service_cidrs', 'switches'] as const;
export type TableName = (typeof tableNames)[number];

/** Rows of one table: key → value, both as the hex of the exact bytes in the map. */
export type Rows = Map<string, string>;

/** Desired or actual, the same type. */
export type Tables = Record<TableName, Rows>;

/**
 * Set or delete one row. `owner` is the Service ('ns/name') or '' for rows of the node itself: when one of an owner's
 * steps is refused, its later ones are not tried, so that nothing points at what is not there.
 */
export type Step = SetStep | DeleteStep;

export interface SetStep {
  readonly op: 'set';
  readonly table: TableName;
  readonly key: string;
  readonly value: string;
  readonly owner: string;
}

export interface DeleteStep {
  readonly op: 'delete';
  readonly table: TableName;
  readonly key: string;
  readonly owner: string;
}

export function emptyTables(): Tables {
  return {
    names: new Map(),
    backends: new Map(),
    frontends: new Map(),
    service_cidrs: new Map(),
    switches: new Map(),
  };
}
