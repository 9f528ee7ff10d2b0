import { BpfMap } from 'libbpf-ts';
import { maps } from '../src/layout.gen.ts';
import { type TableName, tableNames } from '../src/plan/tables.ts';

/** Empty service tables in the kernel, pinned nowhere. */
export function makeTables(): Record<TableName, BpfMap> {
  const tables = tableNames.map((name) => {
    const { type, keySize, valueSize, maxEntries, flags } = maps[name];
    return [name, BpfMap.create({ type: type as 'hash', name, keySize, valueSize, maxEntries, flags })];
  });
  return Object.fromEntries(tables) as Record<TableName, BpfMap>;
}
