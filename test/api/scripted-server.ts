/** An API server that does what a test tells it, request by request, also what a real one does only in bad hours. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createSecureServer, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';

/** One request that waits for its answer. */
export interface Asked {
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  /** JSON of the body, or undefined. */
  readonly body: unknown;
  /** Bytes as they are; the first ones after a status of 200. */
  write(...pieces: (string | Buffer)[]): void;
  /** Watch events, a line each. */
  events(...events: readonly unknown[]): void;
  end(): void;
  /** A whole answer. */
  refuse(status: number, body: unknown, headers?: Record<string, string>): void;
  /** As of a server that was killed. */
  cut(): void;
  /** Resolves when the client is gone. */
  readonly gone: Promise<void>;
}

export interface ScriptedServer {
  readonly url: string;
  /** The next request for a path, which nobody has answered yet. */
  next(path: string): Promise<Asked>;
  /** How often a path was asked for so far. */
  count(path: string): number;
  /** Answers a path by itself: nothing is there, and nothing happens. */
  idle(path: string, version?: string): void;
  close(): Promise<void>;
}

export async function startScriptedServer(tls?: ServerOptions): Promise<ScriptedServer> {
  const waiting = new Map<string, Asked[]>();
  const wanted = new Map<string, ((asked: Asked) => void)[]>();
  const counts = new Map<string, number>();
  const idle = new Map<string, string>();
  const server = tls === undefined ? createServer(take) : createSecureServer(tls, take);

  async function take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = await askedOf(request, response);
    const { path } = asked;
    counts.set(path, (counts.get(path) ?? 0) + 1);
    const version = idle.get(path);
    if (version !== undefined) {
      if (asked.query.get('sendInitialEvents') === 'true') asked.events(initialEnd(version));
      else asked.write('');
      return;
    }
    const taker = wanted.get(path)?.shift();
    if (taker !== undefined) taker(asked);
    else waiting.set(path, [...(waiting.get(path) ?? []), asked]);
  }

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    next(path) {
      const asked = waiting.get(path)?.shift();
      if (asked !== undefined) return Promise.resolve(asked);
      return new Promise((resolve) => wanted.set(path, [...(wanted.get(path) ?? []), resolve]));
    },
    count: (path) => counts.get(path) ?? 0,
    idle: (path, version = '1') => void idle.set(path, version),
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

async function askedOf(request: IncomingMessage, response: ServerResponse): Promise<Asked> {
  const url = new URL(request.url ?? '', 'http://server');
  let text = '';
  for await (const piece of request) text += piece;
  const begin = () => {
    if (!response.headersSent) response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
  };
  return {
    path: url.pathname,
    query: url.searchParams,
    headers: request.headers,
    body: text === '' ? undefined : JSON.parse(text),
    write(...pieces) {
      begin();
      for (const piece of pieces) if (piece.length > 0) response.write(piece);
    },
    events(...events) {
      begin();
      for (const event of events) response.write(`${JSON.stringify(event)}\n`);
    },
    end: () => void response.end(),
    refuse(status, body, headers = {}) {
      response.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body));
    },
    cut: () => void response.destroy(),
    gone: once(response, 'close').then(() => {}),
  };
}

export function bookmark(version: string): unknown {
  return { type: 'BOOKMARK', object: { kind: 'Service', apiVersion: 'v1', metadata: { resourceVersion: version } } };
}

/** The end of a list by stream. */
export function initialEnd(version: string): unknown {
  const annotations = { 'k8s.io/initial-events-end': 'true' };
  return {
    type: 'BOOKMARK',
    object: { kind: 'Service', apiVersion: 'v1', metadata: { resourceVersion: version, annotations } },
  };
}

export type EventType = 'ADDED' | 'MODIFIED' | 'DELETED';

/** A watch event of a Service with one port. */
export function serviceEvent(type: EventType, name: string, version: string, more: object = {}): unknown {
  return { type, object: serviceObject(name, version, more) };
}

export function serviceObject(name: string, version: string, more: object = {}): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'default', resourceVersion: version, managedFields: [{ manager: 'nobody' }] },
    spec: { clusterIP: '10.96.0.1', ports: [{ port: 80, protocol: 'TCP' }], ...more },
  };
}

export function errorEvent(code: number, message: string, more: object = {}): unknown {
  return { type: 'ERROR', object: statusObject(code, message, more) };
}

export function statusObject(code: number, message: string, more: object = {}): object {
  return { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, message, ...more };
}
