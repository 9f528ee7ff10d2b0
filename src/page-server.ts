import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import { endpointText } from './model/address.ts';
import { end, listen, RETRY_MS, type ServerAddress } from './server.ts';

/** Answers one path; whatever it throws is a fault of ours. */
export type Page = (request: IncomingMessage, response: ServerResponse) => Promise<void> | void;

export interface PageServer {
  readonly address: ServerAddress;
  /** What the log calls it: 'metrics'. */
  readonly name: string;
  /** By path. */
  readonly pages: Readonly<Record<string, Page>>;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Told each time the address cannot be had. */
  readonly onFailure?: (error: Error) => void;
  readonly retryMs?: number;
}

/** Serves pages until `signal` is aborted. An address that cannot be had is a warning, once, and is tried again. */
export function servePages(options: PageServer): void {
  const { address, name, pages, log, signal, onFailure, retryMs = RETRY_MS } = options;
  const { host, port } = address;
  const paths = Object.keys(pages);
  let isTold = false;
  const server = listen({
    host,
    port,
    retryMs,
    answer(request, response) {
      const [path = ''] = (request.url ?? '').split('?');
      const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
      if (page === undefined) return end(response, 404, plain, `there is ${paths.join(', ')}\n`);
      new Promise<void>((resolve) => resolve(page(request, response))).catch((error: Error) => {
        log.error({ err: error }, `${path} could not be answered`);
        if (!response.headersSent) end(response, 500, plain, 'see the log\n');
      });
    },
    onListening(port) {
      log.info({ port }, `${name} at http://${endpointText(host, port)}${paths[0]}`);
    },
    onFailure(error) {
      const often = `trying again every ${retryMs / 1000} s`;
      log[isTold ? 'debug' : 'warn']({ err: error }, `cannot serve ${name} at ${endpointText(host, port)}, ${often}`);
      isTold = true;
      onFailure?.(error);
    },
  });
  signal.addEventListener('abort', () => server.close(), { once: true });
}

const plain = 'text/plain; charset=utf-8';
