import type { BpfMap } from 'libbpf-ts';
import { type Generation, record } from './generation.ts';
import { type StateName, stateNames } from './sizes.ts';

/** State maps whose rows come and go by themselves. The kernel evicts from most of them, and tells nobody when. */
export const countedNames: readonly CountedName[] = stateNames.filter(isCounted);
export type CountedName = Exclude<StateName, 'flow_hints' | 'counted_sockets' | 'events' | 'trace_filter'>;

function isCounted(name: StateName): name is CountedName {
  return name !== 'flow_hints' && name !== 'counted_sockets' && name !== 'events' && name !== 'trace_filter';
}

/**
 * How many rows each of them has, also those whose time is over. The kernel keeps no such number: all are read, a thousand
 * at a time with a turn of the event loop between. A quarter of a million takes a tenth of a second.
 */
export async function occupancy({ state }: Generation): Promise<Record<CountedName, number>> {
  const counts = record<CountedName, number>(countedNames, () => 0);
  for (const name of countedNames) counts[name] = await countRows(state[name]);
  return counts;
}

async function countRows(map: BpfMap): Promise<number> {
  let rows = 0;
  for await (const { count } of map.entries()) rows += count;
  return rows;
}
