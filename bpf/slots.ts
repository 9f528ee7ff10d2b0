/** The rows of a pool as a test of the programs puts them: the table is the plan's own, which has tests of its own. */
import { maps, scheduler } from '../src/layout.gen.ts';
import { addressToHex } from '../src/model/address.ts';
import type { Scheduler } from '../src/model/scheduler.ts';
import { maglevTable, tableSize } from '../src/plan/maglev.ts';

export type BackendText = readonly [address: string, port: number];

/** Sorted, then the table. */
export function slotsOf(backends: readonly BackendText[], by: Scheduler): string[] {
  const rows = backends
    .map(([address, port]) => maps.backends.value.encode({ address: addressToHex(address), port, flags: 0 }))
    .sort();
  const size = tableSize(scheduler[by], rows.length);
  return size === 0 ? rows : [...rows, ...Array.from(maglevTable(rows, size), (i) => rows[i] ?? '')];
}
