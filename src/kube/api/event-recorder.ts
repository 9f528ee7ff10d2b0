import { createHash } from 'node:crypto';
import type { Problem } from '../../model/service.ts';
import { type ClusterPlace, readCluster } from './cluster-place.ts';
import type { ApiObserver } from './observer.ts';
import { ApiError, type Connection, connect, type Timeouts } from './request.ts';

export interface RecorderOptions {
  readonly place: ClusterPlace;
  /** Who reports. */
  readonly node: string;
  readonly userAgent: string;
  readonly observer?: ApiObserver | undefined;
  /** Between two Events, in milliseconds. */
  readonly pauseMs?: number;
}

/** Tells the API server of Problems that are about objects, for those who look at these. */
export interface EventRecorder {
  /** All that there are now. Each is told once, until it was gone. */
  report(problems: readonly Problem[]): void;
  close(): void;
}

/** What an Event can be about: 'Service default/web'. */
const kinds: Readonly<
  Record<string, { readonly group: string; readonly apiVersion: string; readonly plural: string }>
> = {
  Service: { group: '/api/v1', apiVersion: 'v1', plural: 'services' },
  EndpointSlice: { group: '/apis/discovery.k8s.io/v1', apiVersion: 'discovery.k8s.io/v1', plural: 'endpointslices' },
  Node: { group: '/api/v1', apiVersion: 'v1', plural: 'nodes' },
};

/** Nobody reads so many; the log has them all. */
const MOST_WAITING = 100;

const timeouts: Timeouts = { answer: 30_000, silence: 30_000 };

/**
 * Best effort: what the server does not take is not tried again. The name of an Event follows from what it says, so the same
 * problem seen by a thousand nodes is one Event.
 */
export function recordEvents(options: RecorderOptions): EventRecorder {
  const { pauseMs = 1000 } = options;
  let known = new Set<string>();
  const queue: Problem[] = [];
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;

  async function next(): Promise<void> {
    const problem = queue.shift();
    if (problem === undefined || isClosed) {
      timer = undefined;
      return;
    }
    await tell(options, problem).catch(() => {});
    if (!isClosed) timer = setTimeout(next, pauseMs);
  }

  return {
    report(problems) {
      const now = new Set(problems.map(({ object, reason }) => `${object}\0${reason}`));
      const fresh = problems.filter(({ object, reason }) => !known.has(`${object}\0${reason}`));
      known = now;
      queue.push(...fresh.filter(({ object }) => partsOf(object) !== null).slice(0, MOST_WAITING - queue.length));
      if (queue.length > 0 && timer === undefined && !isClosed) timer = setTimeout(next, 0);
    },
    close() {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}

interface Parts {
  readonly kind: string;
  /** '' for kinds without one. */
  readonly namespace: string;
  readonly name: string;
}

function partsOf(object: string): Parts | null {
  const [, kind = '', namespace = '', name = ''] = /^(\w+) (?:([^/ ]+)\/)?([^/ ]+)$/.exec(object) ?? [];
  return Object.hasOwn(kinds, kind) ? { kind, namespace, name } : null;
}

async function tell({ place, node, userAgent, observer }: RecorderOptions, { object, reason }: Problem): Promise<void> {
  const parts = partsOf(object);
  if (parts === null) return;
  const connection = connect(await readCluster(place), userAgent, timeouts, observer);
  try {
    const uid = await uidOf(connection, parts);
    if (uid === null) return;
    const namespace = parts.namespace || 'default';
    const event = eventOf({ ...parts, namespace: parts.namespace, uid }, reason, node);
    const answer = await connection.open(`/api/v1/namespaces/${namespace}/events`, event);
    answer.resume();
  } catch (error) {
    if (!(error instanceof ApiError && error.code === 409)) throw error;
  } finally {
    connection.close();
  }
}

/** By a list, since to list is what we may; null: it is gone. Events are found by their object's uid. */
async function uidOf(connection: Connection, { kind, namespace, name }: Parts): Promise<string | null> {
  const { group = '', plural = '' } = kinds[kind] ?? {};
  const folder = namespace === '' ? group : `${group}/namespaces/${encodeURIComponent(namespace)}`;
  const query = new URLSearchParams({ fieldSelector: `metadata.name=${name}` });
  let text = '';
  for await (const piece of await connection.open(`${folder}/${plural}?${query}`)) text += piece;
  const { items } = JSON.parse(text) as { items?: readonly { metadata?: { uid?: string } }[] };
  return items?.[0]?.metadata?.uid ?? null;
}

/** A reason in one word, as kube-proxy has it, stands in front of the Problem's own. */
const word = /^([A-Z][a-z]+[A-Z][A-Za-z]+): /;

function eventOf(involved: Parts & { readonly uid: string }, text: string, node: string): object {
  const { kind, namespace, name, uid } = involved;
  const [head = '', reason = 'NotServedAsWritten'] = word.exec(text) ?? [];
  const message = text.slice(head.length);
  const digest = createHash('sha256').update(`${uid} ${text}`).digest('hex').slice(0, 16);
  const now = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: `${name}.${digest}`, namespace: namespace || 'default' },
    involvedObject: { apiVersion: kinds[kind]?.apiVersion, kind, ...(namespace !== '' && { namespace }), name, uid },
    reason,
    message: message.slice(0, 1000),
    type: 'Warning',
    source: { component: 'bpfsvc', host: node },
    reportingComponent: 'bpfsvc',
    reportingInstance: node,
    firstTimestamp: now,
    lastTimestamp: now,
    count: 1,
  };
}
