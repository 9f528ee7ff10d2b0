import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { BpfMap, BpfProgram, loadObject } from 'libbpf-ts';
import { maps as layouts } from '../layout.gen.ts';
import { type Rows, type TableName, tableNames } from '../plan/tables.ts';
import { rodataWith } from './elf.ts';
import { type ProgramName, packetHooks, programNames, socketHooks } from './hooks.ts';
import { generationHash, layoutText, layoutTextOf, type Objects } from './objects.ts';
import {
  generationPath,
  listStatePins,
  makeDirectory,
  type PinDir,
  readText,
  removeGeneration,
  type StatePin,
  statePin,
  writeText,
} from './pins.ts';
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

/** What a generation is made of. */
export interface Recipe {
  readonly objects: Objects;
  readonly sizes: Sizes;
  /** struct config as hex */
  readonly config: string;
}

/**
 * Loads a generation beside whatever there is and pins it; its tables are empty and nothing is attached. State maps of the
 * same layout and size are shared with the generations before it, others are made. A half loaded one leaves a directory
 * that nothing points at.
 */
export async function loadGeneration(dir: PinDir, recipe: Recipe): Promise<Generation> {
  const { objects, sizes, config } = recipe;
  const hash = generationHash(objects, sizes, config);
  removeGeneration(dir, hash);
  const opened: Disposable[] = [];
  try {
    const reused = openState(dir, sizes, opened);
    const options: Record<string, { reuse: BpfMap } | { maxEntries: number }> = {};
    for (const name of tableNames) options[name] = { maxEntries: sizes[name] };
    for (const name of stateNames) {
      const map = reused[name];
      options[name] = map ? { reuse: map } : { maxEntries: sizes[name] };
    }
    const constants = Buffer.from(config, 'hex');
    const tc = await loadObject(objects.tc, {
      name: 'tc',
      maps: options,
      rodata: rodataWith(objects.tc, 'config', constants),
      programs: [...packetHooks],
    });
    opened.push(tc);
    const shared = pick([...tableNames, ...stateNames], tc.maps);
    const connect = await loadObject(objects.connect, {
      name: 'connect',
      maps: Object.fromEntries(Object.entries(shared).map(([name, map]) => [name, { reuse: map }])),
      rodata: rodataWith(objects.connect, 'config', constants),
      programs: [...socketHooks],
    });
    opened.push(connect);
    const loaded: Pinnable = {
      tables: pick(tableNames, tc.maps),
      state: pick(stateNames, tc.maps),
      programs: { ...pick(packetHooks, tc.programs), ...pick(socketHooks, connect.programs) },
    };
    pinGeneration(dir, hash, loaded, sizes, reused);
  } finally {
    for (const one of opened) one[Symbol.dispose]();
  }
  const generation = openGeneration(dir, hash);
  if (generation === undefined) throw new Error(`generation ${hash} cannot be opened again after it was pinned`);
  return generation;
}

/** Loads the programs on small maps of their own and lets them go: a BpfError tells what the verifier has against them. */
export async function tryPrograms({ objects, config }: Omit<Recipe, 'sizes'>): Promise<void> {
  const constants = Buffer.from(config, 'hex');
  const options = Object.fromEntries(
    [...tableNames, ...stateNames].map((name) => [name, { maxEntries: Math.min(64, layouts[name].maxEntries) }]),
  );
  const wanted = { tc: [...packetHooks], connect: [...socketHooks] };
  for (const name of ['tc', 'connect'] as const) {
    const rodata = rodataWith(objects[name], 'config', constants);
    (await loadObject(objects[name], { name, maps: options, rodata, programs: wanted[name] })).close();
  }
}

type Pinnable = Pick<Generation, 'tables' | 'state' | 'programs'>;

function openState(dir: PinDir, sizes: Sizes, opened: Disposable[]): Partial<Record<StateName, BpfMap>> {
  const maps: Partial<Record<StateName, BpfMap>> = {};
  for (const name of stateNames) {
    const { path } = statePin(dir, name, layouts[name].layout, sizes[name]);
    if (!existsSync(path)) continue;
    const map = BpfMap.openPinned(path);
    opened.push(map);
    maps[name] = map;
  }
  return maps;
}

function pinGeneration(
  dir: PinDir,
  hash: string,
  { tables, state, programs }: Pinnable,
  sizes: Sizes,
  reused: Partial<Record<StateName, BpfMap>>,
): void {
  for (const name of stateNames) {
    if (reused[name] === undefined) state[name].pin(statePin(dir, name, layouts[name].layout, sizes[name]).path);
  }
  const path = generationPath(dir, hash);
  makeDirectory(path);
  for (const name of tableNames) tables[name].pin(join(path, name));
  for (const name of programNames) programs[name].pin(join(path, name));
  writeText(join(path, 'layout'), layoutText);
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
    const pins = listStatePins(dir);
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

/** The pinned state map of this name that one of the generation's programs uses. */
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

function pick<Name extends string, Thing>(
  names: readonly Name[],
  from: Readonly<Record<string, Thing>>,
): Record<Name, Thing> {
  return record(names, (name) => {
    const thing = from[name];
    if (thing === undefined) throw new Error(`the compiled objects do not have '${name}'`);
    return thing;
  });
}

function record<Name extends string, Thing>(names: readonly Name[], make: (name: Name) => Thing): Record<Name, Thing> {
  return Object.fromEntries(names.map((name) => [name, make(name)])) as Record<Name, Thing>;
}
