import { type FSWatcher, watch } from 'node:fs';
import { lstat, realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** A path is read when it has been quiet for so long: half a save must not look like an edit. */
const quietMs = 100;
/** But no later than this after the first change. */
const patienceMs = 3000;

/** Folders in which a change may concern us: path by identity, since another folder may take the path. */
export type Folders = ReadonlyMap<string, string>;

/** Those that hold the path, the files, and what links lead to: a ConfigMap is a link to a folder that is swapped. */
export async function foldersOf(path: string, files: readonly string[]): Promise<Folders> {
  const candidates = new Set([dirname(path)]);
  for (const file of files) {
    candidates.add(dirname(file));
    const isLink = await lstat(file).then(
      (stats) => stats.isSymbolicLink(),
      () => false,
    );
    if (isLink) candidates.add(dirname(await realpath(file).catch(() => file)));
  }
  for (const folder of [...candidates]) candidates.add(await realpath(folder).catch(() => folder));
  if (!files.includes(path)) candidates.add(path);
  const folders = new Map<string, string>();
  for (const folder of candidates) {
    const stats = await stat(folder, { bigint: true }).catch(() => null);
    if (stats !== null) folders.set(`${stats.dev} ${stats.ino} ${stats.birthtimeNs}`, folder);
  }
  return folders;
}

/** Watches just the folders it was told last; true if one is new. One that cannot be watched is left to the poll. */
export function folderWatchers(onEvent: () => void): { set(folders: Folders): boolean } {
  const watchers = new Map<string, FSWatcher>();
  const drop = (identity: string) => {
    watchers.get(identity)?.close();
    watchers.delete(identity);
  };
  return {
    set(folders) {
      let isNew = false;
      for (const identity of watchers.keys()) if (!folders.has(identity)) drop(identity);
      for (const [identity, folder] of folders) {
        if (watchers.has(identity)) continue;
        try {
          watchers.set(
            identity,
            watch(folder, onEvent).on('error', () => drop(identity)),
          );
          isNew = true;
        } catch {
          // it is gone again, or no inotify instance is left
        }
      }
      return isNew;
    },
  };
}

/** `look` runs once a burst of `soon` is over, never twice at a time. */
export function debounce(look: () => Promise<void>): { soon(): void; cancel(): void } {
  let timer: NodeJS.Timeout | undefined;
  let first = 0;
  let running = false;
  const run = async () => {
    first = 0;
    if (running) return soon();
    running = true;
    await look();
    running = false;
  };
  const soon = () => {
    const now = performance.now();
    if (first === 0) first = now;
    clearTimeout(timer);
    timer = setTimeout(run, Math.max(0, Math.min(quietMs, first + patienceMs - now)));
  };
  return { soon, cancel: () => clearTimeout(timer) };
}
