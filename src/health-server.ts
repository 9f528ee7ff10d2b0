import type { Health, HealthAnswer } from './health.ts';
import { type Page, type PageServer, servePages } from './page-server.ts';
import { end } from './server.ts';

export type HealthPath = 'healthz' | 'livez';

/** Serves /healthz and /livez as kube-proxy does; `onAnswer` is told each. */
export function serveHealth(
  options: Omit<PageServer, 'name' | 'pages'> & {
    health: Health;
    onAnswer?: (path: HealthPath, code: number) => void;
  },
): void {
  const { health, onAnswer, ...rest } = options;
  const page = (path: HealthPath, ask: () => HealthAnswer): Page => {
    return (_, response) => {
      const { code, report } = ask();
      onAnswer?.(path, code);
      end(response, code, 'application/json', JSON.stringify(report));
    };
  };
  const pages = {
    '/healthz': page('healthz', () => health.healthz()),
    '/livez': page('livez', () => health.livez()),
  };
  servePages({ ...rest, name: 'health', pages });
}
