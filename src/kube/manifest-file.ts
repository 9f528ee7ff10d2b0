import { createHash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { lstat, open, stat } from 'node:fs/promises';
import type { Problem } from '../model/service.ts';
import type { ChunkReader } from './chunk-reader.ts';
import { type Chunk, type ChunkCache, readDocuments } from './documents.ts';
import { type KubeObject, objectKey } from './objects.ts';

export interface ManifestEntry {
  /** `objectKey` */
  readonly key: string;
  readonly object: KubeObject;
  /** Where its document begins, from 1. */
  readonly line: number;
}

/** What one file says, or last said while it could be read. */
export interface ManifestFile {
  /** What people call it. */
  readonly name: string;
  readonly entries: readonly ManifestEntry[];
  readonly problems: readonly Problem[];
  /** It was read from end to end at least once. */
  readonly synced: boolean;
  /** Device, inode, size and times: while these stay it is not read again. '' if it must be. */
  readonly signature: string;
  /** Of the content last parsed; '' if it must be parsed again. */
  readonly digest: string;
  readonly cache: ChunkCache;
}

/** So soon after a change another one may leave size and times as they are. */
const restlessMs = 1000n;

const stays = 'what it last said stays in use';

/**
 * Reads a file if it changed since `before`. One that cannot be read or parsed, or is empty, keeps what it last said and
 * is a Problem; if it never said anything, its sound documents count. Never throws.
 */
export async function readManifestFile(
  name: string,
  path: string,
  before: ManifestFile | null,
  reader: ChunkReader,
): Promise<ManifestFile> {
  const last = before ?? {
    name,
    entries: [],
    problems: [],
    synced: false,
    signature: '',
    digest: '',
    cache: new Map(),
  };
  try {
    if (last.signature !== '' && signatureOf(await stat(path, { bigint: true })) === last.signature) return last;
    await using file = await open(path);
    const signature = signatureOf(await file.stat({ bigint: true }));
    const bytes = await file.readFile();
    const digest = createHash('sha256').update(bytes).digest('hex');
    if (digest === last.digest) return { ...last, signature };
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    const { chunks, cache } = await readDocuments(text, last.cache, reader);
    return { ...judge(name, text, chunks, last), signature, digest, cache };
  } catch (error) {
    const isLink = await lstat(path).then(
      (stats) => stats.isSymbolicLink(),
      () => false,
    );
    const fault = isLink && isMissing(error) ? 'is a symbolic link to what does not exist' : faultOf(error);
    const problems = [fileProblem(name, fault), ...(last.synced ? [fileProblem(name, stays)] : [])];
    return { ...last, problems, signature: '', digest: '' };
  }
}

/** Why a file or folder cannot be used: a sentence without its subject. */
export function faultOf(error: unknown): string {
  if (isMissing(error)) return 'does not exist';
  const code = codeOf(error);
  if (code === 'EACCES' || code === 'EPERM') return 'may not be read by this user (permission denied)';
  if (code === 'EISDIR') return 'is a directory';
  if (code === 'ELOOP') return 'is a symbolic link that leads back to itself';
  if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') return 'is not UTF-8 text: save it as UTF-8';
  return `cannot be read: ${error instanceof Error ? error.message : String(error)}`;
}

function isMissing(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | null)?.code;
}

export function fileProblem(name: string, reason: string): Problem {
  return { object: `file ${name}`, reason };
}

function signatureOf({ dev, ino, size, mtimeMs, ctimeMs, mtimeNs, ctimeNs }: BigIntStats): string {
  const now = BigInt(Date.now());
  if (now - mtimeMs < restlessMs || now - ctimeMs < restlessMs) return '';
  return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
}

function judge(
  name: string,
  text: string,
  chunks: readonly Chunk[],
  last: ManifestFile,
): Pick<ManifestFile, 'name' | 'entries' | 'problems' | 'synced'> {
  const problems = chunks.flatMap((chunk) => problemsOf(name, chunk));
  const lost = lostFault(text, chunks, last);
  if (lost !== null) problems.push(fileProblem(name, lost));
  const sound = lost === null && chunks.every(({ content }) => content.failure === null);
  if (sound) return { name, entries: entriesOf(chunks, last, problems), problems, synced: true };
  if (last.synced)
    return { name, entries: last.entries, problems: [...problems, fileProblem(name, stays)], synced: true };
  return { name, entries: entriesOf(chunks, last, problems), problems, synced: false };
}

/** Content that parses and yet is no edit anybody meant: half of a save, or another file by mistake. */
function lostFault(text: string, chunks: readonly Chunk[], last: ManifestFile): string | null {
  if (text === '') return 'is empty (0 bytes)';
  if (last.entries.length === 0 || chunks.some(({ content }) => content.failure !== null)) return null;
  const readings = chunks.flatMap(({ content }) => content.readings);
  const isForeign =
    readings.some(({ foreign }) => foreign !== null) && readings.every(({ objects }) => objects.length === 0);
  return isForeign ? 'holds no object of Kubernetes any more' : null;
}

function problemsOf(name: string, { line, content }: Chunk): Problem[] {
  const problems: Problem[] = [];
  for (const reading of content.readings) {
    const at = line + reading.line - 1;
    const known = new Set([...reading.objects.map(objectKey), ...reading.refused]);
    for (const problem of reading.problems) {
      const { object, reason } = problem;
      // what has no name of its own is found by its place only
      problems.push(known.has(object) ? problem : fileProblem(name, `line ${at}: ${object}: ${reason}`));
    }
    if (reading.foreign !== null) {
      problems.push(fileProblem(name, `line ${at}: not a Kubernetes object: ${reading.foreign}`));
    }
  }
  for (const { line: within, column } of content.repeated) {
    problems.push(
      fileProblem(name, `line ${line + within - 1}, column ${column}: the key is there already: the latter one counts`),
    );
  }
  if (content.failure !== null) {
    const { line: within, column, message } = content.failure;
    problems.push(fileProblem(name, `line ${line + within - 1}, column ${column}: not YAML: ${message}`));
  }
  return problems;
}

/** An object that this edit made unusable stays as it last was. One whose name was lost may be any that is missing now. */
function entriesOf(chunks: readonly Chunk[], last: ManifestFile, problems: Problem[]): readonly ManifestEntry[] {
  const entries: ManifestEntry[] = [];
  const before = new Map(last.entries.map((entry) => [entry.key, entry]));
  const keep = (entry: ManifestEntry) => {
    entries.push(entry);
    problems.push({ object: entry.key, reason: 'its last good state stays in use' });
  };
  for (const { line, content } of chunks) {
    for (const { objects, refused, line: within } of content.readings) {
      for (const object of objects) entries.push({ key: objectKey(object), object, line: line + within - 1 });
      for (const key of refused) {
        const entry = before.get(key);
        if (entry !== undefined) keep(entry);
      }
    }
  }
  if (chunks.some(({ content }) => content.readings.some(({ nameless }) => nameless))) {
    for (const { key } of entries) before.delete(key);
    for (const entry of before.values()) keep(entry);
  }
  return entries;
}
