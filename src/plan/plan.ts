import { frontend, sourceRangeKey, u32 } from '../layout.gen.ts';
import type { Problem } from '../model/service.ts';
import { diff } from './diff.ts';
import { type Draft, draftNode, draftService, emptyDraft } from './draft.ts';
import { heldFrontend, type Inventory, ownedBy, ownerOfId } from './inventory.ts';
import { poolSlots } from './maglev.ts';
import { type Scope, servicesInScope } from './scope.ts';
import { segmentKey } from './segments.ts';
import {
  byTable,
  emptyTables,
  nodeTableNames,
  type Rows,
  type ServiceTableName,
  type Step,
  serviceTableNames,
  type TableName,
  type Tables,
  tableNames,
} from './tables.ts';
import type { PlanOptions, World } from './world.ts';

export type { NodeFacts } from '../model/node.ts';
export { beginGrace, confirm, endGrace, type Grace, type Inventory, inventory } from './inventory.ts';
export type { Scope } from './scope.ts';
export type { PlanOptions, RemovedBackend, SourceClass, Wire, World } from './world.ts';

/** Rows by table: of the maps as they were created, or as a plan needs them. */
export type Capacity = Record<TableName, number>;

export interface Plan {
  readonly steps: readonly Step[];
  /** By Service 'ns/name', '' for the node. An entry, perhaps empty, for each one looked at: merge by overwriting. */
  readonly problems: ReadonlyMap<string, readonly Problem[]>;
  /** Rows needed at the worst moment, when old and new stand side by side. */
  readonly required: Capacity;
  /** False: apply nothing; load a generation of at least `required` and plan anew against empty tables. */
  readonly fits: boolean;
  /** Segments are freed by it, or were before: after an RCU grace period that begins after the last write, `endGrace`. */
  readonly frees: boolean;
}

/**
 * The ordered steps from what is held to what the world wants. A scope of names looks at these Services (gone ones too) and at
 * those whose rows depend on theirs; it must name each Service that changed, or was refused a step, since the last plan
 * against this inventory. 'all' is right always, and needed when anything else of the world changed.
 */
export function makePlan(
  world: World,
  held: Inventory,
  scope: Scope,
  capacity: Readonly<Capacity>,
  options: PlanOptions,
): Plan {
  const names = servicesInScope(world, held, scope);
  const draft = emptyDraft(held);
  for (const name of names) draftService(draft, world, held, name, options);
  draftNode(draft, world);
  const actual = scope === 'all' ? held.rows : rowsOf(held, names, draft);
  const changes = diff(draft.desired, actual, (table, key) => holderOf(held, table, key));
  const steps = options.holdDeletes ? changes.filter((step) => step.op === 'set') : withoutEarly(changes, held);
  const required = requiredRows(steps, held, draft);
  return {
    steps,
    problems: draft.problems,
    required,
    fits: tableNames.every((table) => required[table] <= capacity[table]),
    frees: held.segments.quarantine.size > 0 || freesSegment(steps, held),
  };
}

/** What is held of the Services in scope, and of the rows that they want. */
function rowsOf(held: Inventory, names: readonly string[], draft: Draft): Tables {
  const rows = emptyTables();
  for (const table of nodeTableNames) rows[table] = held.rows[table];
  const copy = (table: ServiceTableName, key: string) => {
    const value = held.rows[table].get(key);
    if (value !== undefined) rows[table].set(key, value);
  };
  for (const table of serviceTableNames) {
    for (const name of names) for (const key of ownedBy(held, name)[table]) copy(table, key);
    for (const { key } of draft.desired[table]) copy(table, key);
  }
  return rows;
}

function holderOf(held: Inventory, table: TableName, key: string): string {
  if (table === 'names') return ownerOfId(held, u32.decode(key));
  if (table === 'source_ranges') return ownerOfId(held, sourceRangeKey.decode(key).servicePort);
  return table === 'frontends' ? ownerOfId(held, heldFrontend(held, key)?.servicePort ?? 0) : '';
}

/**
 * Without the deletes of names whose frontend goes over to another Service: that one's step may be refused, and these
 * would be tried nevertheless. They are idle afterwards, and go with the next plan, whatever its scope.
 */
function withoutEarly(steps: readonly Step[], held: Inventory): Step[] {
  const handedOver = new Set<string>();
  for (const step of steps) {
    if (step.op !== 'set' || step.table !== 'frontends') continue;
    const before = heldFrontend(held, step.key);
    if (before !== null && ownerOfId(held, before.servicePort) !== step.owner) {
      handedOver.add(u32.encode(before.servicePort));
    }
  }
  return steps.filter((step) => step.op === 'set' || step.table !== 'names' || !handedOver.has(step.key));
}

function requiredRows(steps: readonly Step[], held: Inventory, draft: Draft): Capacity {
  const added: Record<string, number> = {};
  for (const { op, table, key } of steps) {
    if (op === 'set' && !held.rows[table].has(key)) added[table] = (added[table] ?? 0) + 1;
  }
  const rows = byTable((table) => held.rows[table].size + (added[table] ?? 0));
  return { ...rows, backends: draft.places.end() };
}

/** Does some segment lose the last row that points at it? */
function freesSegment(steps: readonly Step[], held: Inventory): boolean {
  const changes = new Map<string, number>();
  const count = (value: string | undefined, change: number) => {
    if (value === undefined) return;
    for (const segment of poolSlots(frontend.decode(value)))
      changes.set(segmentKey(segment), (changes.get(segmentKey(segment)) ?? 0) + change);
  };
  const frontends: Rows = held.rows.frontends;
  for (const step of steps) {
    if (step.table !== 'frontends') continue;
    count(frontends.get(step.key), -1);
    count(step.op === 'set' ? step.value : undefined, 1);
  }
  for (const [key, change] of changes) {
    const live = held.segments.live.get(key);
    if (live !== undefined && live.references + change <= 0) return true;
  }
  return false;
}
