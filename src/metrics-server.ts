import type { Logger } from 'pino';
import { BpfError } from './kernel/kernel.ts';
import { type PageServer, servePages } from './page-server.ts';
import { end } from './server.ts';

const prometheus = 'text/plain; version=0.0.4; charset=utf-8';
const plain = 'text/plain; charset=utf-8';

/**
 * Serves `text` at /metrics and `status` at /status, and what kube-proxy has there too: /proxyMode and a /healthz that only
 * tells of the server itself.
 */
export function serveMetrics(
  options: Omit<PageServer, 'name' | 'pages'> & { text: () => Promise<string>; status?: () => object },
): void {
  const { text, status = () => ({}), ...rest } = options;
  servePages({
    ...rest,
    name: 'metrics',
    pages: {
      async '/metrics'({ method }, response) {
        if (method !== 'GET' && method !== 'HEAD') return end(response, 405, plain, 'only GET\n');
        const body = await textOrNull(text, rest.log);
        if (body === null) end(response, 503, plain, 'the maps are being replaced: ask again\n');
        else end(response, 200, prometheus, body);
      },
      '/status': (_, response) => end(response, 200, 'application/json', `${JSON.stringify(status())}\n`),
      '/proxyMode': (_, response) => end(response, 200, plain, 'bpfsvc'),
      '/healthz': (_, response) => end(response, 200, plain, 'ok'),
    },
  });
}

/** null: a generation was replaced meanwhile. */
async function textOrNull(text: () => Promise<string>, log: Logger): Promise<string | null> {
  try {
    return await text();
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    log.debug({ err: error }, 'metrics could not be read');
    return null;
  }
}
