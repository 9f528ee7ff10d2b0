import { constants } from 'node:fs';
import { access, readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Problem } from '../model/service.ts';
import { chunkReader } from './chunk-reader.ts';
import { sameValue } from './equality.ts';
import { debounce, type Folders, foldersOf, folderWatchers } from './folder-watch.ts';
import { faultOf, type ManifestFile, readManifestFile } from './manifest-file.ts';
import type { KubeObject, ObjectStore } from './objects.ts';
import type { ObjectSource, Snapshot } from './source.ts';

/** What the files say together. */
export interface ManifestSnapshot extends Snapshot {
  readonly objects: ObjectStore;
}

/** The path given cannot be used; the message is one sentence for people. */
export class ManifestError extends Error {
  override readonly name = 'ManifestError';
}

/** For what file events do not tell: network file systems, inotify exhausted. */
const defaultPollMs = 10_000;

const extensions = /\.(yaml|yml|json)$/;

/** The files read once. Throws `ManifestError` if `path` is not there or may not be read. */
export async function readManifests(path: string): Promise<ManifestSnapshot> {
  return (await scan(path, null)).snapshot;
}

/**
 * Reads a file, or the .yaml, .yml and .json files of a folder (not of folders in it, and none with a dot in front), and
 * goes on watching. `onChange` gets the first snapshot before the promise resolves, then one whenever something changed.
 * Throws `ManifestError` if `path` is not there or may not be read at first; later that is a Problem, and what was
 * last read stays.
 */
export async function watchManifests(
  path: string,
  onChange: (snapshot: ManifestSnapshot) => void,
  pollMs: number = defaultPollMs,
): Promise<ObjectSource> {
  let last = await scan(path, null);
  let closed = false;
  const watchers = folderWatchers(() => looks.soon());
  const looks = debounce(async () => {
    const next = await rescan(path, last);
    if (closed) return;
    const changed = !sameSnapshot(last, next);
    last = next;
    // what happened before a folder was watched, only another look can tell
    if (watchers.set(next.folders)) looks.soon();
    if (changed) onChange(next.snapshot);
  });
  const poll = setInterval(looks.soon, pollMs);
  if (watchers.set(last.folders)) looks.soon();
  onChange(last.snapshot);
  return {
    close() {
      closed = true;
      clearInterval(poll);
      looks.cancel();
      watchers.set(new Map());
    },
  };
}

interface Scan {
  readonly files: ReadonlyMap<string, ManifestFile>;
  readonly folders: Folders;
  readonly snapshot: ManifestSnapshot;
}

/** As `scan`, but a path that cannot be used any more is a Problem beside what was last read. */
async function rescan(path: string, last: Scan): Promise<Scan> {
  try {
    return await scan(path, last);
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error;
    const problem = { object: 'manifests', reason: `${error.message}: what was last read stays in use` };
    const others = last.snapshot.problems.filter(({ object }) => object !== problem.object);
    return { ...last, snapshot: { ...last.snapshot, problems: [...others, problem] } };
  }
}

async function scan(path: string, last: Scan | null): Promise<Scan> {
  const paths = await listFiles(path);
  const folders = await foldersOf(path, paths);
  const files = new Map<string, ManifestFile>();
  await using reader = chunkReader();
  for (const file of paths) {
    files.set(file, await readManifestFile(basename(file), file, last?.files.get(file) ?? null, reader));
  }
  return { files, folders, snapshot: combine([...files.values()]) };
}

/** In byte order of their names, as `kubectl apply -f` takes them. */
async function listFiles(path: string): Promise<string[]> {
  try {
    const stats = await stat(path);
    if (!stats.isDirectory() && !stats.isFile()) throw new ManifestError(`${path} is neither a file nor a folder`);
    await access(path, constants.R_OK);
    if (stats.isFile()) return [path];
    const listed = (await readdir(path, { withFileTypes: true })).filter(
      ({ name }) => extensions.test(name) && !name.startsWith('.'),
    );
    const inOrder = listed.sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
    const found: string[] = [];
    for (const entry of inOrder) {
      const file = join(path, entry.name);
      if (entry.isFile() || !(await isOtherThing(file))) found.push(file);
    }
    return found;
  } catch (error) {
    throw error instanceof ManifestError ? error : new ManifestError(`${path} ${faultOf(error)}`);
  }
}

/** Neither a file nor a link that leads to nothing. */
async function isOtherThing(path: string): Promise<boolean> {
  return await stat(path).then(
    (stats) => !stats.isFile(),
    () => false,
  );
}

function combine(files: readonly ManifestFile[]): ManifestSnapshot {
  const objects = new Map<string, KubeObject>();
  let entries = 0;
  for (const file of files) {
    for (const { key, object } of file.entries) objects.set(key, object);
    entries += file.entries.length;
  }
  const problems = files.flatMap((file) => file.problems);
  if (objects.size < entries) problems.push(...repetitions(files));
  return { objects, problems, synced: files.every(({ synced }) => synced) };
}

function repetitions(files: readonly ManifestFile[]): Problem[] {
  const problems: Problem[] = [];
  const places = new Map<string, string>();
  for (const { name, entries } of files) {
    for (const { key, line } of entries) {
      const place = `${name} line ${line}`;
      const earlier = places.get(key);
      if (earlier !== undefined) {
        problems.push({ object: key, reason: `it is in ${earlier} and again in ${place}: the latter is used` });
      }
      places.set(key, place);
    }
  }
  return problems;
}

function sameSnapshot(a: Scan, b: Scan): boolean {
  if (a.files.size !== b.files.size || a.snapshot.synced !== b.snapshot.synced) return false;
  for (const [path, { entries }] of b.files) if (a.files.get(path)?.entries !== entries) return false;
  return sameValue(a.snapshot.problems, b.snapshot.problems);
}
