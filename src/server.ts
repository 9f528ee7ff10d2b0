import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { Address } from './model/address.ts';

/** Where a server listens. Port 0: any that is free. */
export interface ServerAddress {
  readonly host: Address;
  readonly port: number;
}

export interface ListenOptions extends ServerAddress {
  readonly answer: RequestListener;
  /** '0.0.0.0' and '::' stand for their own family; else each for both, as in Go's servers. */
  readonly isOneFamily?: boolean;
  readonly onListening: (port: number) => void;
  /** The address cannot be had, and is tried again. */
  readonly onFailure: (error: Error) => void;
  readonly retryMs?: number;
}

/** How soon an address that is taken is tried again: whoever holds it may be about to leave. */
export const RETRY_MS = 10_000;

/** Others are cut off at once: whoever may reach the port must not be able to take all file descriptors of the agent. */
const MAX_CONNECTIONS = 256;

/** Serves until it is closed, and cuts off whoever is connected then. Whoever asks holds up nothing but itself. */
export function listen(options: ListenOptions): { close(): void } {
  const { host, port, answer, isOneFamily = false, onListening, onFailure, retryMs = RETRY_MS } = options;
  const server = createServer({ requestTimeout: 10_000, connectionsCheckingInterval: 10_000 }, answer);
  server.maxConnections = MAX_CONNECTIONS;
  const isBoth = !isOneFamily && (host === '0.0.0.0' || host === '::');
  const place = isBoth ? { port } : { port, host, ipv6Only: isOneFamily };
  let timer: NodeJS.Timeout | undefined;
  server.on('error', (error) => {
    // not of listening: a client could not be taken, for want of file descriptors
    if (server.listening) return;
    timer = setTimeout(() => server.listen(place), retryMs);
    onFailure(error);
  });
  server.on('listening', () => onListening(portOf(server)));
  server.listen(place);
  return {
    close() {
      clearTimeout(timer);
      server.close();
      server.closeAllConnections();
    },
  };
}

export function end(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'content-type': type, 'x-content-type-options': 'nosniff' });
  response.end(body);
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
