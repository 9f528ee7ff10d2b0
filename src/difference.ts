import type { Tables } from './plan/tables.ts';
import { type Served, servedOf } from './served.ts';

/** One place that differs between two states. */
export interface Change {
  readonly change: 'added' | 'removed' | 'changed';
  /** '' for the node's own. */
  readonly service: string;
  readonly place: string;
  /** Only those that differ. */
  readonly facts: readonly FactChange[];
}

export interface FactChange {
  readonly fact: string;
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

/** What is other in `after`, by service and place. Where only segments or ids differ, nothing is. */
export function differenceOf(before: Tables, after: Tables): Change[] {
  const [old, now] = [servedOf(before), servedOf(after)];
  const changes: Change[] = [];
  for (const key of [...new Set([...old.keys(), ...now.keys()])].sort()) {
    const [left, right] = [old.get(key), now.get(key)];
    const facts = factChanges(left?.facts ?? {}, right?.facts ?? {});
    const { service, place } = (right ?? left) as Served;
    if (left === undefined) changes.push({ change: 'added', service, place, facts });
    else if (right === undefined) changes.push({ change: 'removed', service, place, facts });
    else if (facts.length > 0) changes.push({ change: 'changed', service, place, facts });
  }
  return changes;
}

export function factChanges(before: Served['facts'], after: Served['facts']): FactChange[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((fact) => {
    const [old, now] = [before[fact] ?? [], after[fact] ?? []];
    const added = now.filter((one) => !old.includes(one));
    const removed = old.filter((one) => !now.includes(one));
    return added.length + removed.length > 0 ? [{ fact, added, removed }] : [];
  });
}
