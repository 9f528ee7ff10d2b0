import { type Frontend, scheduler as numbers } from '../layout.gen.ts';
import type { Segment } from './segments.ts';

/*
 * Maglev hashing: each backend has its own order of all the slots of a table, and they take turns in taking the first that is
 * free. So all have the same share, and most slots stay whose they are when a backend comes or goes. Here the size is a power of
 * two, and steps are odd, which makes a permutation of it as a prime does; the programs need no list of primes.
 */

/** Of pools that are compared by hash, this many backends at most. */
const COMPARED = 64;

const ADDRESS_DIGITS = 32;

/** How many slots of the table follow a pool: as `table_size()` in bpf/schedule.h. `scheduler`: as in the rows. */
export function tableSize(scheduler: number, backends: number): number {
  const isMaglev = scheduler === numbers.maglev;
  if (!isMaglev && scheduler !== numbers.sh && scheduler !== numbers.dh) return 0;
  if (isMaglev ? backends < 2 : backends <= COMPARED) return 0;
  return 2 ** Math.ceil(Math.log2(backends)) * (backends <= 1024 ? 64 : 16);
}

/** All slots of a frontend's two pools, with the tables that follow them. */
export function poolSlots({ any, local, scheduler }: Frontend): readonly [any: Segment, local: Segment] {
  const whole = ({ start, count }: Segment) => ({ start, count: count + tableSize(scheduler, count) });
  return [whole(any), whole(local)];
}

/**
 * Whose each slot of the table is, by index into `rows`: the slots of a sorted pool. Only addresses decide, not ports, so that
 * all ports of a Service lead a client to the same pod.
 */
export function maglevTable(rows: readonly string[], size: number): Uint32Array {
  const mask = size - 1;
  const next = new Uint32Array(rows.length);
  const step = new Uint32Array(rows.length);
  let place = 0;
  for (const [i, row] of rows.entries()) {
    const address = row.slice(0, ADDRESS_DIGITS);
    place = i > 0 && rows[i - 1]?.startsWith(address) ? place + 1 : 0;
    next[i] = hash(`${address}${place}`, 0x811c9dc5) & mask;
    step[i] = hash(`${address}${place}`, 0x9e3779b9) | 1;
  }
  const table = new Uint32Array(size).fill(rows.length);
  for (let taken = 0; taken < size; taken++) {
    const i = taken % rows.length;
    let slot = next[i] ?? 0;
    while (table[slot] !== rows.length) slot = (slot + (step[i] ?? 1)) & mask;
    table[slot] = i;
    next[i] = (slot + (step[i] ?? 1)) & mask;
  }
  return table;
}

function hash(text: string, seed: number): number {
  let h = seed;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
