import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { BpfMap, BpfProgram } from 'libbpf-ts';
import { maps as layouts } from '../layout.gen.ts';
import { type Rows, type TableName, tableNames } from '../plan/tables.ts';
import { type ProgramName, programNames } from './hooks.ts';
import { layoutText, layoutTextOf } from './objects.ts';
import { generationPath, listStatePins, type PinDir, readText, type StatePin } from './pins.ts';
import { type Sizes, type StateName, stateNames } from './sizes.ts';
import { readRows } from './tables.ts';

/** Programs, service tables and settings that are replaced as one, and the state maps that these programs use. */
export interface Generation extends Disposable {
  readonly hash: string;
  readonly sizes: Sizes;
  readonly tables: Readonly<Record<TableName, BpfMap>>;
  readonly state: Readonly<Record<StateName, BpfMap>>;
  readonly programs: Readonly<Record<ProgramName, BpfProgram>>;
}

/**
 * Opens what is pinned. undefined: it is not whole, or another release laid it out otherwise; its programs may work all
 * the same. Throws what the kernel refuses (EPERM).
 */
export function openGeneration(dir: PinDir, hash: string): Generation | undefined {
  const path = generationPath(dir, hash);
  if (readText(join(path, 'layout')) !== layoutText) return undefined;
  const opened: Disposable[] = [];
  const close = () => {
    for (const one of opened) one[Symbol.dispose]();
  };
  try {
    const keep = <Thing extends Disposable>(thing: Thing): Thing => {
      opened.push(thing);
      return thing;
    };
    const tables = record(tableNames, (name) => checked(name, keep(BpfMap.openPinned(join(path, name)))));
    const programs = record(programNames, (name) => keep(BpfProgram.openPinned(join(path, name))));
    const used = new Set(Object.values(programs).flatMap((program) => program.info.mapIds));
    const names = readText(join(path, 'state'))?.split(' ') ?? [];
    const pins = listStatePins(dir).filter((pin) => names.includes(basename(pin.path)));
    const found = record(stateNames, (name) => openUsed(name, pins, used));
    const state = record(stateNames, (name) => keep(found[name].map));
    /* Of a state map the pin tells what was asked for: the kernel rounds that up where a map has lists by CPU. */
    const sizes = {
      ...record(tableNames, (name) => tables[name].info.maxEntries),
      ...record(stateNames, (name) => found[name].size),
    };
    return { hash, sizes, tables, state, programs, [Symbol.dispose]: close };
  } catch (error) {
    close();
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The state map of this name, if its pin is still that of the map that the generation's programs use. */
function openUsed(
  name: StateName,
  pins: readonly StatePin[],
  used: ReadonlySet<number>,
): { map: BpfMap; size: number } {
  for (const pin of pins) {
    if (pin.name !== name) continue;
    const map = BpfMap.openPinned(pin.path);
    if (used.has(map.info.id)) return { map, size: pin.size };
    map.close();
  }
  throw Object.assign(new Error(`the pin of state map ${name} is gone`), { code: 'ENOENT' });
}

function checked(name: TableName, map: BpfMap): BpfMap {
  const { keySize, valueSize } = layouts[name];
  if (map.info.keySize === keySize && map.info.valueSize === valueSize) return map;
  throw new Error(`table ${name} has rows of ${map.info.keySize}+${map.info.valueSize} bytes under our layout's name`);
}

/**
 * The sizes of a generation that may be half gone or of another layout: as much as can be read of it.
 */
export function pinnedSizes(dir: PinDir, hash: string): Partial<Sizes> {
  const sizes: Partial<Record<keyof Sizes, number>> = {};
  for (const name of tableNames) {
    const path = join(generationPath(dir, hash), name);
    if (!existsSync(path)) continue;
    using map = BpfMap.openPinned(path);
    sizes[name] = map.info.maxEntries;
  }
  for (const { name, size } of listStatePins(dir)) {
    const state = stateNames.find((one) => one === name);
    if (state) sizes[state] = Math.max(size, sizes[state] ?? 0);
  }
  return sizes;
}

/** The rows of a generation's `names`, whatever else of it is another release's: ids must not change their meaning. */
export async function pinnedNames(dir: PinDir, hash: string): Promise<Rows> {
  const path = generationPath(dir, hash);
  const readable = readText(join(path, 'layout'))?.split(' ').includes(layoutTextOf('names'));
  if (!readable || !existsSync(join(path, 'names'))) return new Map();
  using map = BpfMap.openPinned(join(path, 'names'));
  return await readRows(map);
}

/** One thing for each name. */
export function record<Name extends string, Thing>(
  names: readonly Name[],
  make: (name: Name) => Thing,
): Record<Name, Thing> {
  return Object.fromEntries(names.map((name) => [name, make(name)])) as Record<Name, Thing>;
}
