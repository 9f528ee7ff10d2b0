/**
 * The tables that the agent writes, leaf first: a row may only point at tables that stand before its own. A backend is
 * called removed only once no frontend leads to it, and the switch that lets programs look for such goes last.
 */
export const tableNames = [
  'names',
  'backends',
  'source_ranges',
  'wires',
  'source_classes',
  'frontends',
  'node_addresses',
  'pods',
  'service_cidrs',
  'route_mtus',
  'removed_backends',
  'switches',
] as const;
export type TableName = (typeof tableNames)[number];

/** Those that have rows of Services; slots of `backends` are found by way of the frontends. */
export const serviceTableNames = ['names', 'source_ranges', 'frontends'] as const;
export type ServiceTableName = (typeof serviceTableNames)[number];

/** Those of the node itself: few rows, so that every plan looks at all of them. */
export const nodeTableNames = [
  'wires',
  'source_classes',
  'node_addresses',
  'pods',
  'service_cidrs',
  'route_mtus',
  'removed_backends',
  'switches',
] as const;
export type NodeTableName = (typeof nodeTableNames)[number];

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
  return byTable(() => new Map());
}

/** One thing for each table. */
export function byTable<Thing>(make: (table: TableName) => Thing): Record<TableName, Thing> {
  return Object.fromEntries(tableNames.map((table) => [table, make(table)])) as Record<TableName, Thing>;
}
