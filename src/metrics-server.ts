import { createServer, type Server, type ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import { BpfError } from './kernel/kernel.ts';
import { endpointText } from './model/address.ts';

/** Where metrics are served. Port 0: any that is free. */
export interface MetricsAddress {
  readonly host: string;
  readonly port: number;
}

/** How soon an address that is taken is tried again: whoever holds it may be about to leave. */
const RETRY_MS = 10_000;

/**
 * Serves `text` at /metrics until `signal` is aborted. An address that cannot be had is a warning, once, and is tried again.
 * Whoever asks holds up nothing but itself.
 */
export function serveMetrics(
  { host, port }: MetricsAddress,
  text: () => Promise<string>,
  log: Logger,
  signal: AbortSignal,
  retryMs: number = RETRY_MS,
): void {
  const server = createServer({ requestTimeout: 10_000 }, (request, response) => {
    const [path] = (request.url ?? '').split('?');
    if (path !== '/metrics') return end(response, 404, 'there is /metrics\n');
    if (request.method !== 'GET' && request.method !== 'HEAD') return end(response, 405, 'only GET\n');
    text().then(
      (body) => end(response, 200, body),
      (error: Error) => {
        const isReplaced = error instanceof BpfError;
        log[isReplaced ? 'debug' : 'error']({ err: error }, 'metrics could not be read');
        end(
          response,
          isReplaced ? 503 : 500,
          isReplaced ? 'the maps are being replaced: ask again\n' : 'see the log\n',
        );
      },
    );
  });
  let isTold = false;
  let timer: NodeJS.Timeout | undefined;
  server.on('error', (error) => {
    const seconds = retryMs / 1000;
    log[isTold ? 'debug' : 'warn'](
      { err: error },
      `cannot serve metrics at ${endpointText(host, port)}, trying again every ${seconds} s`,
    );
    isTold = true;
    timer = setTimeout(() => server.listen(port, host), retryMs);
  });
  server.on('listening', () =>
    log.info({ port: portOf(server) }, `metrics at http://${endpointText(host, portOf(server))}/metrics`),
  );
  signal.addEventListener(
    'abort',
    () => {
      clearTimeout(timer);
      server.close();
      server.closeAllConnections();
    },
    { once: true },
  );
  server.listen(port, host);
}

function end(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' });
  response.end(body);
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
