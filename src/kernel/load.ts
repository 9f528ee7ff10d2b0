import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { BpfMap, type BpfObject, loadObject } from 'libbpf-ts';
import { config, maps as layouts } from '../layout.gen.ts';
import { tableNames } from '../plan/tables.ts';
import { rodataWith } from './elf.ts';
import { type Generation, openGeneration, record } from './generation.ts';
import { podHooks, programNames, socketHooks, wireHooks, xdpHooks } from './hooks.ts';
import { generationHash, layoutText, type Objects } from './objects.ts';
import { generationPath, makeDirectory, type PinDir, removeGeneration, statePin, writeText } from './pins.ts';
import { inheritedNames, type Sizes, type StateName, stateNames } from './sizes.ts';
import { hintEverywhere } from './state.ts';

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
 * that nothing points at. With `before`, its programs also find the rows of that one's state maps, until they are copied.
 */
export async function loadGeneration(dir: PinDir, recipe: Recipe, before?: Generation): Promise<Generation> {
  const { objects, sizes } = recipe;
  const config = before === undefined ? recipe.config : takingOver(recipe.config);
  const hash = generationHash(objects, sizes, config);
  removeGeneration(dir, hash);
  const opened: Disposable[] = [];
  const keep = <Thing extends Disposable>(thing: Thing): Thing => {
    opened.push(thing);
    return thing;
  };
  try {
    const reused = openState(dir, sizes, keep);
    const options: Record<string, { reuse: BpfMap } | { maxEntries: number }> = {};
    for (const name of tableNames) options[name] = { maxEntries: sizes[name] };
    for (const name of stateNames) {
      const map = reused[name];
      options[name] = map ? { reuse: map } : { maxEntries: sizes[name] };
    }
    for (const name of inheritedNames) {
      const map = before?.state[name];
      if (map && map.info.id !== reused[name]?.info.id) options[beforeName(name)] = { reuse: map };
    }
    const { maps } = keep(await loadObject(objects.tc, { name: 'maps', maps: options, programs: [] }));
    if (reused.flow_hints === undefined && (reused.flows !== undefined || before !== undefined))
      hintEverywhere(pick(stateNames, maps).flow_hints, config);
    /* The verifier takes its time over each: in threads of its own. */
    const programs = await loadPrograms(objects, config, pick(sharedNames, maps));
    programs.forEach(keep);
    const loaded: Pinnable = {
      tables: pick(tableNames, maps),
      state: pick(stateNames, maps),
      programs: pick(programNames, Object.assign({}, ...programs.map((object) => object.programs))),
    };
    pinGeneration(dir, hash, loaded, sizes, reused);
  } finally {
    for (const one of opened) one[Symbol.dispose]();
  }
  const generation = openGeneration(dir, hash);
  if (generation === undefined) throw new Error(`generation ${hash} cannot be opened again after it was pinned`);
  return generation;
}

/** The settings of programs that also look into the state maps of the generation before. */
function takingOver(configHex: string): string {
  return config.encode({ ...config.decode(configHex), takesOver: 1 });
}

function beforeName<Name extends string>(name: Name): `${Name}_before` {
  return `${name}_before`;
}

/** The maps that all objects have to see as one. */
const sharedNames = [...tableNames, ...stateNames, ...inheritedNames.map(beforeName)] as const;

/** The programs of all objects on the given maps. If one is refused, so is the whole. */
async function loadPrograms(
  objects: Objects,
  config: string,
  maps: Readonly<Record<string, BpfMap>>,
): Promise<BpfObject[]> {
  const shared = Object.fromEntries(Object.entries(maps).map(([name, map]) => [name, { reuse: map }]));
  const constants = Buffer.from(config, 'hex');
  const load = async (name: keyof Objects, programs: readonly string[]) => {
    const rodata = rodataWith(objects[name], 'config', constants);
    return await loadObject(objects[name], { name, maps: shared, rodata, programs: [...programs] });
  };
  const results = await Promise.allSettled([
    load('tc', podHooks),
    load('wire', wireHooks),
    load('connect', socketHooks),
    load('xdp', xdpHooks),
  ]);
  const loaded = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const refused = results.find((result) => result.status === 'rejected');
  if (refused === undefined) return loaded;
  for (const object of loaded) object.close();
  throw refused.reason;
}

/** Loads the programs on small maps of their own and lets them go: a BpfError tells what the verifier has against them. */
export async function tryPrograms({ objects, config }: Omit<Recipe, 'sizes'>): Promise<void> {
  const small = Object.fromEntries(sharedNames.map((name) => [name, { maxEntries: smallest(name) }]));
  using object = await loadObject(objects.tc, { name: 'maps', maps: small, programs: [] });
  const maps = pick(sharedNames, object.maps);
  for (const one of await loadPrograms(objects, config, maps)) one.close();
}

/** A ring is whole pages, and theirs is a power of two. */
function smallest(name: (typeof sharedNames)[number]): number {
  const { type, maxEntries } = layouts[name];
  return Math.min(type === 'ringbuf' ? 65_536 : 64, maxEntries);
}

type Pinnable = Pick<Generation, 'tables' | 'state' | 'programs'>;

function openState(dir: PinDir, sizes: Sizes, keep: (map: BpfMap) => BpfMap): Partial<Record<StateName, BpfMap>> {
  const maps: Partial<Record<StateName, BpfMap>> = {};
  for (const name of stateNames) {
    const { path } = statePin(dir, name, layouts[name].layout, sizes[name]);
    if (existsSync(path)) maps[name] = keep(BpfMap.openPinned(path));
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
  const pins = record(stateNames, (name) => statePin(dir, name, layouts[name].layout, sizes[name]).path);
  for (const name of stateNames) if (reused[name] === undefined) state[name].pin(pins[name]);
  const path = generationPath(dir, hash);
  makeDirectory(path);
  writeText(
    join(path, 'state'),
    Object.values(pins)
      .map((pin) => basename(pin))
      .join(' '),
  );
  for (const name of tableNames) tables[name].pin(join(path, name));
  for (const name of programNames) programs[name].pin(join(path, name));
  writeText(join(path, 'layout'), layoutText);
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
