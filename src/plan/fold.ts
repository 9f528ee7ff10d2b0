import { byTable, type Step, type Tables } from './tables.ts';

/** What tables become when steps are written; those given stay as they are. */
export function withSteps(tables: Tables, steps: readonly Step[]): Tables {
  const next = byTable((table) => new Map(tables[table]));
  for (const step of steps) {
    if (step.op === 'set') next[step.table].set(step.key, step.value);
    else next[step.table].delete(step.key);
  }
  return next;
}
