import type { IncomingMessage } from 'node:http';
import type { Kind, KubeObject } from '../objects.ts';
import { objectSharer } from '../sharing.ts';
import type { ApiStore } from './api-store.ts';
import { type Backoff, makeBackoff, type Patience } from './backoff.ts';
import { readLines } from './lines.ts';
import type { ApiObserver } from './observer.ts';
import { ApiError, type Connection } from './request.ts';
import { GarbageError, readPage, readWatchEvent, type WatchEvent } from './watch-events.ts';

/** What is watched of one kind. */
export interface Resource {
  readonly kind: Kind;
  /** '/api/v1/services' */
  readonly path: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** A cluster may not have it, or not allow us to see it. */
  readonly isOptional?: boolean;
}

export interface ReflectorOptions {
  readonly resource: Resource;
  readonly store: ApiStore;
  /** A fresh connection, with the credential of now. */
  readonly connect: () => Promise<Connection>;
  readonly patience: Patience;
  /** A watch that lived for so long was no failure. */
  readonly healthyMs: number;
  /** How often something optional that is not there is asked for again. */
  readonly absentMs: number;
  /** Told when everything was read once, or is known not to be there for us. */
  readonly onSettled: () => void;
  /** What is wrong now; null: nothing. */
  readonly onFault: (error: Error | null) => void;
  readonly observer?: ApiObserver | undefined;
  readonly random?: () => number;
}

/** As many objects are asked for at once where the server streams no lists. */
const PAGE = 500;

/** So often one and the same place of the stream may fail before everything is read anew. */
const STUMBLES = 3;

/** Servers end watches after some time; at different ones, so that not all come back together. */
const WATCH_SECONDS = { least: 300, more: 300 };

/**
 * Keeps the objects of one kind in `store` what the API server has, until `signal` is aborted. It lists by stream, or by pages
 * where the server cannot, goes on from where a watch ended, and lists anew only where the server no longer knows that place. What
 * is known stays while the server cannot be reached. Never throws.
 */
export async function reflect(options: ReflectorOptions, signal: AbortSignal): Promise<void> {
  const reflector = new Reflector(options, signal);
  while (!signal.aborted) await reflector.turn();
}

class Reflector {
  readonly #options: ReflectorOptions;
  readonly #signal: AbortSignal;
  readonly #backoff: Backoff;
  /** From where the watch goes on; null: everything is to be listed. */
  #version: string | null = null;
  #streams = true;
  /** What the stream said that makes no sense, since it last did. */
  #stumbles = 0;
  /** The stream of this attempt has begun. */
  #isOpen = false;
  /** Not the same again, so there is nothing to wait for. */
  #isOtherWay = false;
  #share: (object: KubeObject) => KubeObject = objectSharer();

  constructor(options: ReflectorOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
    this.#backoff = makeBackoff(options.patience, options.random);
  }

  /** One connection, from its beginning to its end, and the pause after it. */
  async turn(): Promise<void> {
    const began = performance.now();
    const fault = await this.#attempt();
    const isHealthy = performance.now() - began >= this.#options.healthyMs;
    if (isHealthy) this.#backoff.reset();
    const isNoPause = this.#isOtherWay || (isHealthy && fault === null);
    this.#isOtherWay = false;
    if (this.#signal.aborted || isNoPause) return;
    const least = fault instanceof ApiError ? fault.retryAfterMs : 0;
    const isAbsent = fault instanceof ApiError && this.#isRefused(fault);
    await pause(isAbsent ? this.#options.absentMs : Math.max(least, this.#backoff.next()), this.#signal);
  }

  async #attempt(): Promise<Error | null> {
    let connection: Connection | undefined;
    const stop = () => connection?.close();
    this.#signal.addEventListener('abort', stop);
    this.#isOpen = false;
    try {
      connection = await this.#options.connect();
      if (this.#signal.aborted) return null;
      if (this.#version === null && !this.#streams) await this.#listPages(connection);
      await this.#watch(connection);
      return null;
    } catch (error) {
      if (!this.#signal.aborted) this.#judge(error as Error);
      return error as Error;
    } finally {
      this.#signal.removeEventListener('abort', stop);
      connection?.close();
    }
  }

  #judge(error: Error): void {
    const code = error instanceof ApiError ? error.code : 0;
    const isMalformed = code === 400 || code === 422;
    if (isMalformed && this.#version === null && this.#streams) {
      this.#streams = false;
      this.#isOtherWay = true;
      return;
    }
    const isAnswer = error instanceof ApiError || error instanceof GarbageError;
    if (!isAnswer) this.#streams = true; // a server that comes back may be a newer one
    if (isAnswer && this.#isOpen) this.#stumbles++;
    if (code === 410 || (isMalformed && !this.#isOpen) || this.#stumbles >= STUMBLES) this.#relist();
    if (error instanceof ApiError && this.#isRefused(error)) this.#options.onSettled();
    this.#options.onFault(code === 410 ? null : error);
  }

  #relist(): void {
    this.#version = null;
    this.#stumbles = 0;
  }

  #isRefused({ code }: ApiError): boolean {
    return this.#options.resource.isOptional === true && (code === 403 || code === 404);
  }

  async #listPages(connection: Connection): Promise<void> {
    const { resource, store } = this.#options;
    this.#share = objectSharer();
    const listing = store.list(resource.kind);
    let version = '';
    let next = '';
    do {
      const answer = await connection.open(this.#url({ limit: String(PAGE), ...(next !== '' && { continue: next }) }));
      const page = readPage(await textOf(answer), resource.kind, this.#share);
      listing.apply(page.reading, false);
      [version, next] = [page.version, page.next];
    } while (next !== '');
    listing.end();
    this.#listed(version);
  }

  #listed(version: string): void {
    this.#progress(version);
    this.#options.observer?.listed(nameOf(this.#options.resource));
    this.#options.onSettled();
  }

  #progress(version: string): void {
    this.#version = version;
    this.#stumbles = 0;
    this.#options.onFault(null);
  }

  async #watch(connection: Connection): Promise<void> {
    const { resource, store, observer, random = Math.random } = this.#options;
    const seconds = WATCH_SECONDS.least + Math.floor(random() * WATCH_SECONDS.more);
    const asked = { watch: '1', allowWatchBookmarks: 'true', timeoutSeconds: String(seconds) };
    const isListing = this.#version === null;
    if (isListing) this.#share = objectSharer();
    let listing = isListing ? store.list(resource.kind) : null;
    const from =
      this.#version === null
        ? { sendInitialEvents: 'true', resourceVersionMatch: 'NotOlderThan' }
        : { resourceVersion: this.#version };
    const answer = await connection.open(this.#url({ ...asked, ...from }));
    this.#isOpen = true;
    // a stream that begins is no progress yet, but nothing is wrong with the server any more
    if (listing === null) {
      this.#options.onFault(null);
      observer?.resumed(nameOf(resource));
    }
    for await (const line of readLines(answer)) {
      const event = readWatchEvent(line, this.#share);
      observer?.heard(nameOf(resource), event.type !== 'BOOKMARK');
      if (event.type !== 'BOOKMARK') (listing ?? store).apply(event.reading, event.type === 'DELETED');
      else if (listing !== null) {
        if (!event.endsInitial) throw new ApiError(422, 'the server does not say where its list ends');
        listing.end();
        listing = null;
        this.#listed(event.version);
      } else if (isBefore(event, this.#version)) throw new ApiError(410, 'the server went back in time');
      if (listing === null) this.#progress(event.version);
    }
  }

  #url(query: Readonly<Record<string, string>>): string {
    const { path, labelSelector, fieldSelector } = this.#options.resource;
    const selectors = { ...(labelSelector && { labelSelector }), ...(fieldSelector && { fieldSelector }) };
    return `${path}?${new URLSearchParams({ ...selectors, ...query })}`;
  }
}

/** As people call it: 'services'. */
export function nameOf({ path }: Resource): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Its store was restored from a backup, say: events until it has caught up would be missed. */
function isBefore({ version }: WatchEvent, known: string | null): boolean {
  const isNumber = (text: string) => /^\d+$/.test(text);
  return known !== null && isNumber(version) && isNumber(known) && BigInt(version) < BigInt(known);
}

async function textOf(answer: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of answer) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString('utf8');
}

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(done, milliseconds);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
    signal.addEventListener('abort', done);
  });
}
