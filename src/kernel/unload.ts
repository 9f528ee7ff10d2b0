import { statSync } from 'node:fs';
import { join } from 'node:path';
import { isBpfFs, netLinks } from 'libbpf-ts';
import { removeAgentNote } from './agent-note.ts';
import { detachAll } from './attach.ts';
import { detachFilters } from './filters.ts';
import { lockPinDir } from './lock.ts';
import {
  leaveDirectory,
  listGenerations,
  listStatePins,
  pinDir,
  removeDirectory,
  removeGeneration,
  removePin,
} from './pins.ts';
import { RefusedError } from './refused.ts';

/** What was there and is gone now. */
export interface Unloaded {
  /** 'eth0 ingress' where the device is here, else the pin's name. */
  readonly links: string[];
  readonly filters: string[];
  readonly generations: string[];
  /** Pins of flows, counters and the like. */
  readonly state: string[];
}

/**
 * Takes everything away that is pinned below the directory, and our clsact filters in this network namespace. The lock
 * is held meanwhile: throws a RefusedError while an agent runs, and for a path that is not on a BPF filesystem, where
 * what has our names is somebody else's.
 */
export async function unload(path: string): Promise<Unloaded> {
  const dir = pinDir(path);
  if (!statSync(path, { throwIfNoEntry: false })) {
    return { links: [], filters: await detachFilters(), generations: [], state: [] };
  }
  if (!isBpfFs(path)) throw new RefusedError(`${path} is not on a BPF filesystem: bpfsvc has pinned nothing there`);
  using _lock = lockPinDir(path);
  const names = new Map((await netLinks()).map(({ ifindex, name }) => [ifindex, name]));
  const links = (await detachAll(dir)).map((pin) => placeOf(pin, names));
  const filters = await detachFilters();
  removePin(dir.current);
  removePin(join(dir.path, 'next'));
  removeAgentNote(dir);
  const generations = listGenerations(dir);
  for (const hash of generations) removeGeneration(dir, hash);
  const state = listStatePins(dir);
  for (const pin of state) removePin(pin.path);
  removeDirectory(dir.links);
  removeDirectory(dir.trace);
  leaveDirectory(dir.path);
  return { links, filters, generations, state: state.map((pin) => `${pin.name}-${pin.layout}-${pin.size}`) };
}

function placeOf(pin: string, names: ReadonlyMap<number, string>): string {
  const [, ifindex, direction = 'xdp'] = /^(?:tcx|xdp)-(\d+)(?:-(ingress|egress))?$/.exec(pin) ?? [];
  const name = names.get(Number(ifindex));
  return name === undefined ? pin : `${name} ${direction}`;
}
