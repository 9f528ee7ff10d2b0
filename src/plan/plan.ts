import type { Cidr } from '../model/address.ts';
import type { NodeFacts } from '../model/node.ts';
import type { Endpoints, Problem, Service } from '../model/service.ts';
import type { Step, TableName, Tables } from './tables.ts';

/** All that the desired tables depend on. Services and endpoints are keyed by 'namespace/name'. */
export interface World {
  readonly services: ReadonlyMap<string, Service>;
  readonly endpoints: ReadonlyMap<string, Endpoints>;
  readonly node: NodeFacts;
  readonly serviceCidrs: readonly Cidr[];
  readonly podsAtTc: boolean;
}

/** What the kernel is known to hold, and indices over it. Made by `inventory`, changed by `confirm` and `endGrace` only. */
export interface Inventory {
  readonly size: Capacity;
}

/** Rows by table: of the maps as they were created, or as a plan needs them. */
export type Capacity = Record<TableName, number>;

export interface PlanOptions {
  /** The first listing is incomplete: delete nothing, and leave what a Service holds that the world does not know yet. */
  readonly holdDeletes: boolean;
}

export interface Plan {
  readonly steps: readonly Step[];
  /** By Service 'ns/name', '' for the node. An entry, perhaps empty, for each one looked at: merge by overwriting. */
  readonly problems: ReadonlyMap<string, readonly Problem[]>;
  /** Rows needed at the worst moment, when old and new stand side by side. */
  readonly required: Capacity;
  /** False: apply nothing; load a generation of at least `required` and plan anew against empty tables. */
  readonly fits: boolean;
  /** Some segment is freed: after an RCU grace period that begins after the last write, call `endGrace`. */
  readonly frees: boolean;
}

/**
 * `actual` as read from the kernel, or `emptyTables()`. Rows of `backends` outside the frontends' ranges are ignored. It
 * knows of no segment in quarantine: an RCU grace period must have passed since anybody's last write.
 */
export function inventory(actual: Tables): Inventory {
  throw new Error(`not there yet: ${Object.keys(actual)}`);
}

/**
 * The ordered steps from what is held to what the world wants. A scope of names looks at these Services (gone ones too) and at
 * those whose rows depend on theirs; it must name each Service that changed, or was refused a step, since the last plan
 * against this inventory. 'all' is right always, and needed when anything else of the world changed.
 */
export function makePlan(
  world: World,
  held: Inventory,
  scope: 'all' | ReadonlySet<string>,
  capacity: Capacity,
  options: PlanOptions,
): Plan {
  throw new Error(`not there yet: ${world}, ${held}, ${scope}, ${capacity}, ${options}`);
}

/** Folds what the kernel confirmed, and only that, in the order of the plan. */
export function confirm(held: Inventory, steps: readonly Step[]): void {
  throw new Error(`not there yet: ${held}, ${steps}`);
}

/** What `endGrace` may reuse: the segments that were free when the grace period began. */
export interface Grace {
  readonly ranges: readonly { readonly start: number; readonly count: number }[];
}

/** To be called before an RCU grace period begins, if steps may be confirmed while it lasts. */
export function beginGrace(held: Inventory): Grace {
  throw new Error(`not there yet: ${held}`);
}

/** An RCU grace period has passed: freed segments may be used again. Without `grace`, all that are freed so far. */
export function endGrace(held: Inventory, grace?: Grace): void {
  throw new Error(`not there yet: ${held}, ${grace}`);
}
