import {
  existsSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs';
import { join } from 'node:path';

/**
 * Where things are pinned. The BPF filesystem refuses names with a dot.
 *
 *   generation-<hash>/          the service tables and programs of one generation
 *     layout -> <hash>          not a place: the text says which layout the tables have
 *     state -> <map>-... ...    a text too: the names of the pins of its state maps
 *   current -> generation-...   the generation that is filled: links point at its programs, or shall
 *   <map>-<layout>-<rows>       a state map, which outlives generations
 *   links/tcx-<ifindex>-ingress, links/xdp-<ifindex>, links/cgroup-connect4 …
 *   agent -> {...}             a text: who the last agent was, and where it can be asked
 *   trace/                      nothing in it: whoever listens to events holds its lock
 */
export interface PinDir {
  readonly path: string;
  readonly links: string;
  readonly trace: string;
  readonly current: string;
}

export function pinDir(path: string): PinDir {
  return { path, links: join(path, 'links'), trace: join(path, 'trace'), current: join(path, 'current') };
}

export function generationPath(dir: PinDir, hash: string): string {
  return join(dir.path, `generation-${hash}`);
}

/** The hashes of all generations that have a directory, whole or half made. */
export function listGenerations(dir: PinDir): string[] {
  return list(dir.path).flatMap((name) => (name.startsWith('generation-') ? [name.slice('generation-'.length)] : []));
}

/** The hash of the generation that `current` names; undefined: none, or its directory is gone. */
export function currentGeneration(dir: PinDir): string | undefined {
  const name = readText(dir.current);
  if (name === undefined || !existsSync(join(dir.path, name))) return undefined;
  return name.slice('generation-'.length);
}

/** Makes `current` name another generation, in one step: there is no moment without one. */
export function setCurrentGeneration(dir: PinDir, hash: string): void {
  const next = join(dir.path, 'next');
  removePin(next);
  symlinkSync(`generation-${hash}`, next);
  renameSync(next, dir.current);
}

/** A short text kept on a filesystem that has no ordinary files: the target of a symbolic link. */
export function writeText(path: string, text: string): void {
  symlinkSync(text, path);
}

export function readText(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR', 'EINVAL')) return undefined;
    throw error;
  }
}

/** A pinned state map, as its pin name tells. */
export interface StatePin {
  readonly path: string;
  readonly name: string;
  readonly layout: string;
  readonly size: number;
}

export function statePin(dir: PinDir, name: string, layout: string, size: number): StatePin {
  return { path: join(dir.path, `${name}-${layout}-${size}`), name, layout, size };
}

export function listStatePins(dir: PinDir): StatePin[] {
  return list(dir.path).flatMap((entry) => {
    const match = /^([a-z_]+)-([0-9a-f]{8})-([0-9]+)$/.exec(entry);
    if (!match) return [];
    const [, name = '', layout = '', size = ''] = match;
    return [statePin(dir, name, layout, Number(size))];
  });
}

export function listLinkPins(dir: PinDir): string[] {
  return list(dir.links).sort();
}

export function makeDirectory(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
}

/** Removes a pin or a symbolic link; false: there was none. */
export function removePin(path: string): boolean {
  try {
    unlinkSync(path);
    return true;
  } catch (error) {
    if (isCode(error, 'ENOENT')) return false;
    throw error;
  }
}

/** Removes a generation's directory with all its pins, whatever half of it is there. */
export function removeGeneration(dir: PinDir, hash: string): void {
  const path = generationPath(dir, hash);
  for (const name of list(path)) rmSync(join(path, name));
  removeDirectory(path);
}

export function removeDirectory(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    if (isCode(error, 'ENOENT')) return false;
    throw error;
  }
}

/** The same for one that may be the root of a mount, or where others keep something: then it stays. */
export function leaveDirectory(path: string): void {
  try {
    removeDirectory(path);
  } catch (error) {
    if (!isCode(error, 'ENOTEMPTY', 'EBUSY')) throw error;
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return [];
    throw error;
  }
}

function isCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && codes.includes((error as NodeJS.ErrnoException).code ?? '');
}
