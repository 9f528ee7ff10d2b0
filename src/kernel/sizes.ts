import type { TableName } from '../plan/tables.ts';

export const stateNames = [
  'flows',
  'half_open',
  'flow_hints',
  'fragments',
  'affinity',
  'udp_choices',
  'socket_reverse',
  'rounds',
  'socket_connections',
  'flow_connections',
  'counted_sockets',
  'counters',
  'events',
  'trace_filter',
] as const;
export type StateName = (typeof stateNames)[number];

/** Those whose rows programs also find in the maps of the generation before: see bpf/state.h. */
export const inheritedNames = ['flows', 'half_open', 'affinity', 'udp_choices', 'socket_reverse'] as const;

/** How many rows each map holds at most; of `events` the bytes. */
export type Sizes = Readonly<Record<TableName | StateName, number>>;

/** A map is doubled no further than this: 2^26 rows of `backends` are 1.5 GB. */
export const LARGEST_MAP: number = 2 ** 26;

/**
 * The sizes of the next generation: what a person asked for, else what the current generation has, else the default;
 * and where the plan needs more, that doubled until it fits.
 */
export function chooseSizes(
  defaults: Sizes,
  current: Partial<Sizes>,
  asked: Partial<Sizes>,
  required: Partial<Sizes>,
): Sizes {
  const sizes: Record<string, number> = {};
  for (const [name, size] of Object.entries(defaults)) {
    const key = name as keyof Sizes;
    sizes[name] = grow(asked[key] ?? current[key] ?? size, required[key] ?? 0);
  }
  return sizes as Sizes;
}

/** Doubles `size` until it holds `required` rows. */
export function grow(size: number, required: number): number {
  let grown = size;
  while (grown < required && grown < LARGEST_MAP) grown *= 2;
  return grown;
}
