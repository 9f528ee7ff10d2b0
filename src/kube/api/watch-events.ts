import type { Kind, KubeObject } from '../objects.ts';
import { type Reading, readObjects } from '../reader.ts';
import { ApiError, statusError } from './request.ts';
import { trim } from './trim.ts';

/** One line of a watch. */
export type WatchEvent =
  | {
      readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
      readonly reading: Reading;
      readonly version: string;
    }
  | { readonly type: 'BOOKMARK'; readonly version: string; readonly endsInitial: boolean };

/** What came is no watch event at all: from here on nobody knows what was missed. */
export class GarbageError extends Error {
  override readonly name = 'GarbageError';
}

const initialEnd = 'k8s.io/initial-events-end';

interface Raw {
  readonly metadata?: {
    readonly resourceVersion?: unknown;
    readonly annotations?: Readonly<Record<string, unknown>> | null;
  } | null;
}

/** Throws an ApiError for an event that is an error, a GarbageError for what is no event. */
export function readWatchEvent(line: string, share: (object: KubeObject) => KubeObject): WatchEvent {
  let event: { type?: unknown; object?: unknown } | null;
  try {
    event = JSON.parse(line);
  } catch {
    throw new GarbageError(`a line is not JSON: ${shortened(line)}`);
  }
  const object = (event?.object ?? null) as Raw | null;
  const type = event?.type;
  if (type === 'ERROR') throw statusError(object) ?? new ApiError(0, `an error without a Status: ${shortened(line)}`);
  const version = object?.metadata?.resourceVersion;
  if (object === null || typeof version !== 'string') throw new GarbageError(`no watch event: ${shortened(line)}`);
  if (type === 'BOOKMARK') return { type, version, endsInitial: object.metadata?.annotations?.[initialEnd] === 'true' };
  if (type !== 'ADDED' && type !== 'MODIFIED' && type !== 'DELETED') {
    throw new GarbageError(`no watch event: ${shortened(line)}`);
  }
  const reading = readObjects(object);
  if (reading.foreign !== null) throw new GarbageError(`no Kubernetes object: ${reading.foreign}`);
  return { type, reading: { ...reading, objects: reading.objects.map((object) => share(trim(object))) }, version };
}

/** One page of a list. */
export interface Page {
  readonly reading: Reading;
  readonly version: string;
  /** '' if it is the last one. */
  readonly next: string;
}

/** Throws a GarbageError for what is no list of `kind`. */
export function readPage(text: string, kind: Kind, share: (object: KubeObject) => KubeObject): Page {
  let list: { kind?: unknown; metadata?: { resourceVersion?: unknown; continue?: unknown } } | null;
  try {
    list = JSON.parse(text);
  } catch {
    throw new GarbageError(`a list is not JSON: ${shortened(text)}`);
  }
  const version = list?.metadata?.resourceVersion;
  if (list?.kind !== `${kind}List` || typeof version !== 'string') {
    throw new GarbageError(`no list of ${kind}: ${shortened(text)}`);
  }
  const next = list.metadata?.continue;
  const reading = readObjects(list);
  if (reading.foreign !== null) throw new GarbageError(`no list of ${kind}: ${reading.foreign}`);
  const objects = reading.objects.map((object) => share(trim(object)));
  return { reading: { ...reading, objects }, version, next: typeof next === 'string' ? next : '' };
}

function shortened(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}
