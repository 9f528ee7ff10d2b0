import { setImmediate } from 'node:timers/promises';
import type { BpfMap } from 'libbpf-ts';
import { frontend } from '../layout.gen.ts';
import { poolSlots } from '../plan/maglev.ts';
import {
  emptyTables,
  nodeTableNames,
  type Rows,
  serviceTableNames,
  type TableName,
  type Tables,
} from '../plan/tables.ts';

/**
 * Reads the service tables as they are. Of `backends` only the slots that a frontend's pools cover: the others hold
 * whatever was there before, and are not rows.
 */
export async function readTables(maps: Readonly<Record<TableName, BpfMap>>): Promise<Tables> {
  const tables = emptyTables();
  for (const name of [...serviceTableNames, ...nodeTableNames]) {
    await readRows(maps[name], tables[name]);
  }
  await readSlots(maps.backends, liveSlots(tables.frontends, maps.backends.info.maxEntries), tables.backends);
  return tables;
}

/** How often a reading is begun anew because the agent wrote meanwhile; the last one counts, whatever it is. */
const READINGS = 10;

/** As readTables, for who is not the writer: slots that were freed and written again meanwhile are not mixed in. */
export async function readSettledTables(maps: Readonly<Record<TableName, BpfMap>>): Promise<Tables> {
  for (let reading = 1; ; reading += 1) {
    const tables = await readTables(maps);
    if (reading === READINGS || sameRows(tables.frontends, await readRows(maps.frontends))) return tables;
  }
}

function sameRows(a: Rows, b: Rows): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of a) if (b.get(key) !== value) return false;
  return true;
}

/** All rows of a map as hex, into `rows`. A per-CPU value is the values of all CPUs in a row. */
export async function readRows(map: BpfMap, rows: Rows = new Map()): Promise<Rows> {
  const { keySize } = map.info;
  for await (const { count, keys, values } of map.entries()) {
    const keyText = Buffer.from(keys.buffer, keys.byteOffset, keys.byteLength).toString('hex');
    const valueText = Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('hex');
    for (let i = 0; i < count; i += 1) {
      rows.set(
        keyText.slice(i * keySize * 2, (i + 1) * keySize * 2),
        valueText.slice(i * map.valueSize * 2, (i + 1) * map.valueSize * 2),
      );
    }
  }
  return rows;
}

/** One row's value as hex; undefined: it is not there. `key` is hex, too. */
export function readRow(map: BpfMap, key: string): string | undefined {
  const value = map.lookup(Buffer.from(key, 'hex'));
  return value && Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex');
}

/** The slots that the pools of these frontends and their tables cover, each once, in ascending order; none beyond `capacity`. */
export function liveSlots(frontends: Rows, capacity: number): number[] {
  const slots = new Set<number>();
  for (const value of frontends.values()) {
    for (const { start, count } of poolSlots(frontend.decode(value))) {
      for (let slot = start; slot < Math.min(start + count, capacity); slot += 1) slots.add(slot);
    }
  }
  return [...slots].sort((a, b) => a - b);
}

async function readSlots(map: BpfMap, slots: readonly number[], rows: Rows): Promise<void> {
  const key = Buffer.alloc(4);
  for (const [index, slot] of slots.entries()) {
    key.writeUInt32LE(slot);
    const value = map.lookup(key);
    if (value) rows.set(key.toString('hex'), Buffer.from(value).toString('hex'));
    if (index % 1024 === 1023) await setImmediate();
  }
}
