import type { Problem } from './model/service.ts';
import { withSteps } from './plan/fold.ts';
import { type Capacity, inventory, makePlan, type World } from './plan/plan.ts';
import { byTable, emptyTables, type Tables } from './plan/tables.ts';

const unlimited: Capacity = byTable(() => Number.MAX_SAFE_INTEGER);

/** The rows of an empty kernel after its first pass over this world; problems are those of the model, in its order. */
export function desiredTables(world: World): { tables: Tables; problems: readonly Problem[] } {
  const plan = makePlan(world, inventory(emptyTables()), 'all', unlimited, { holdDeletes: false });
  return { tables: withSteps(emptyTables(), plan.steps), problems: [...plan.problems.values()].flat() };
}
