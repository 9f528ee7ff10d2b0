import { setImmediate } from 'node:timers/promises';
import { BpfError, type BpfMap } from 'libbpf-ts';
import type { Step, TableName } from '../plan/tables.ts';

/** Rows of one table that are set, or deleted, in one call. */
export interface Batch {
  readonly table: TableName;
  readonly op: Step['op'];
  readonly steps: readonly Step[];
}

/** How many rows of the batch were written before the first refused one, and why that was refused. */
export interface Written {
  readonly done: number;
  readonly error?: Error;
}

/** The one function that writes service tables. */
export type Write = (batch: Batch) => Written;

export interface Failed {
  readonly step: Step;
  readonly error: Error;
}

export interface Applied {
  readonly confirmed: Step[];
  readonly failed: Failed[];
}

/** Rows a call: more would hold up the event loop for over a millisecond. */
const BATCH = 1024;

/**
 * Writes the steps in their order: consecutive ones of one table and kind in batches, with a turn of the event loop
 * between. A refused row is recorded and the rest goes on, but for later steps of its owner: nothing may point at what
 * is not there. When `signal` is aborted, no further batch is begun; what was not tried is in neither list.
 */
export async function apply(steps: readonly Step[], write: Write, signal?: AbortSignal): Promise<Applied> {
  const result: Applied = { confirmed: [], failed: [] };
  const stopped = new Map<string, string>();
  let next = 0;
  while (next < steps.length && !signal?.aborted) {
    const end = endOfRun(steps, next);
    applyRun(steps.slice(next, end), write, result, stopped);
    next = end;
    if (next < steps.length) await setImmediate();
  }
  return result;
}

function endOfRun(steps: readonly Step[], start: number): number {
  const first = steps[start];
  let end = start + 1;
  while (end < steps.length && end - start < BATCH) {
    const step = steps[end];
    if (step?.table !== first?.table || step?.op !== first?.op) break;
    end += 1;
  }
  return end;
}

/** `stopped`: owner → why its later steps are not tried. */
function applyRun(run: readonly Step[], write: Write, result: Applied, stopped: Map<string, string>): void {
  let left = run;
  for (;;) {
    left = left.filter((step) => {
      const reason = stopped.get(step.owner);
      if (reason !== undefined) result.failed.push({ step, error: new Error(`not tried after ${reason}`) });
      return reason === undefined;
    });
    const [first] = left;
    if (first === undefined) return;
    const { done, error } = write({ table: first.table, op: first.op, steps: left });
    for (const step of left.slice(0, done)) result.confirmed.push(step);
    const refused = left[done];
    if (refused === undefined) return;
    const cause = error ?? new Error('not written, and the kernel did not say why');
    result.failed.push({ step: refused, error: cause });
    stopped.set(refused.owner, cause.message);
    left = left.slice(done + 1);
  }
}

/** Writes to real maps. */
export function writeTo(maps: Readonly<Record<TableName, BpfMap>>): Write {
  return ({ table, op, steps }) => {
    const map = maps[table];
    const keys = Buffer.from(steps.map((step) => step.key).join(''), 'hex');
    try {
      if (op === 'delete') map.deleteBatch(keys);
      else map.updateBatch(keys, Buffer.from(steps.map(valueHex).join(''), 'hex'));
      return { done: steps.length };
    } catch (error) {
      if (error instanceof BpfError) return { done: error.done ?? 0, error };
      throw error;
    }
  };
}

function valueHex(step: Step): string {
  return step.op === 'set' ? step.value : '';
}
