import type { ClientRequest, Agent as HttpAgent, IncomingMessage } from 'node:http';
import http from 'node:http';
import https from 'node:https';
import type { Cluster } from './cluster.ts';
import type { ApiObserver } from './observer.ts';

export interface Timeouts {
  /** Until the answer begins, in milliseconds. */
  readonly answer: number;
  /** Between two pieces of an answer: a peer that is silent for longer is taken for gone. A watch has bookmarks, one a minute. */
  readonly silence: number;
}

/** An answer of the API server that is not what was asked for. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  /** As in HTTP: 410 is Gone. */
  readonly code: number;
  /** What the server asks us to wait; 0: nothing. */
  readonly retryAfterMs: number;

  constructor(code: number, message: string, retryAfterMs = 0) {
    super(message);
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Requests that share connections and a credential. */
export interface Connection {
  /** An answer with status 200 or 201, not read yet. Throws an ApiError for another, an Error if there is none. */
  open(path: string, body?: unknown): Promise<IncomingMessage>;
  /** Whatever is open ends. */
  close(): void;
}

/** So soon the kernel asks an idle peer whether it is still there: ten times, a second apart. */
const KEEPALIVE_MS = 30_000;

/** As much is read of an answer that says why not. */
const REFUSAL_BYTES = 64 * 1024;

/** Longer than this no server may put us off. */
const LONGEST_WAIT_MS = 300_000;

export function connect(
  { server, tls, authorization }: Cluster,
  userAgent: string,
  timeouts: Timeouts,
  observer?: ApiObserver,
): Connection {
  const isSecure = server.protocol === 'https:';
  const settings = { keepAlive: true, keepAliveMsecs: KEEPALIVE_MS };
  const agent: HttpAgent = isSecure ? new https.Agent({ ...settings, ...tls }) : new http.Agent(settings);
  const headers = {
    accept: 'application/json',
    'user-agent': userAgent,
    ...(authorization !== '' && { authorization }),
  };
  const open = new Set<ClientRequest>();

  function send(path: string, body: unknown): Promise<IncomingMessage> {
    const url = new URL(server);
    const [pathname = '', query = ''] = path.split('?');
    url.pathname = server.pathname.replace(/\/$/, '') + pathname;
    url.search = query;
    const text = body === undefined ? undefined : JSON.stringify(body);
    const more = text === undefined ? {} : { 'content-type': 'application/json' };
    const method = text === undefined ? 'GET' : 'POST';
    return new Promise((resolve, reject) => {
      const request = (isSecure ? https : http).request(url, { agent, method, headers: { ...headers, ...more } });
      open.add(request);
      let answer: IncomingMessage | undefined;
      request.setTimeout(timeouts.answer);
      request.on('timeout', () => {
        const after = answer === undefined ? timeouts.answer : timeouts.silence;
        (answer ?? request).destroy(new Error(`it was silent for ${Math.round(after / 1000)} s`));
      });
      request.on('close', () => open.delete(request));
      request.on('error', (error) => {
        if (answer === undefined) observer?.answered(method, server.host, null);
        reject(error);
      });
      request.on('response', (response) => {
        answer = response;
        observer?.answered(method, server.host, response.statusCode ?? 0);
        request.setTimeout(timeouts.silence);
        resolve(response);
      });
      request.end(text);
    });
  }

  return {
    async open(path, body) {
      const response = await send(path, body);
      const { statusCode = 0 } = response;
      if (statusCode === 200 || statusCode === 201) return response;
      throw await refusalOf(response);
    },
    close() {
      for (const request of open) request.destroy();
      agent.destroy();
    },
  };
}

async function refusalOf(response: IncomingMessage): Promise<ApiError> {
  const { statusCode = 0, statusMessage = '', headers } = response;
  let text = '';
  for await (const piece of response) {
    text += piece;
    if (text.length > REFUSAL_BYTES) break;
  }
  const wait = waitOf(headers['retry-after']);
  const error = statusError(jsonOf(text));
  const message = error?.message || text.slice(0, 200).trim() || statusMessage;
  return new ApiError(statusCode, message, Math.max(wait, error?.retryAfterMs ?? 0));
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** What a Status object of the API says; null: it is none. */
export function statusError(object: unknown): ApiError | null {
  const status = (object ?? {}) as {
    kind?: unknown;
    code?: unknown;
    message?: unknown;
    details?: { retryAfterSeconds?: unknown };
  };
  if (status.kind !== 'Status') return null;
  const wait = waitOf(status.details?.retryAfterSeconds);
  return new ApiError(Number(status.code) || 0, typeof status.message === 'string' ? status.message : '', wait);
}

/** Seconds, or a date, in milliseconds from now. */
function waitOf(value: unknown): number {
  const text = String(value ?? '').trim();
  if (text === '') return 0;
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Math.min(Math.max(wait, 0) || 0, LONGEST_WAIT_MS);
}
