import type { ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import { type Address, endpointText, familyOf } from './model/address.ts';
import { type HealthCheck, healthCheckOf } from './model/health-check.ts';
import type { Problem } from './model/service.ts';
import type { World } from './plan/plan.ts';
import { listen, RETRY_MS } from './server.ts';

export interface ServiceHealthOptions {
  readonly log: Logger;
  readonly isHealthy: () => boolean;
  /** Told when `problems` are other ones. */
  readonly onChange: () => void;
  readonly retryMs?: number;
}

/** Answers load balancers that ask at a Service's healthCheckNodePort whether this node has a backend. */
export interface ServiceHealth {
  /** Serves what `world` asks for; `addresses`: where, wildcards for everywhere in their family. */
  serve(world: Pick<World, 'services' | 'endpoints' | 'node'>, addresses: readonly Address[]): void;
  /** Where nobody can ask; it is tried again. */
  readonly problems: readonly Problem[];
  close(): void;
}

interface Listener {
  fault: string | null;
  close(): void;
}

export function makeServiceHealth(options: ServiceHealthOptions): ServiceHealth {
  const { log, isHealthy, onChange, retryMs = RETRY_MS } = options;
  let checks = new Map<string, HealthCheck>();
  /** By 'namespace/name address port'. */
  const listeners = new Map<string, Listener>();

  function open(service: string, host: Address, port: number): Listener {
    const place = endpointText(host, port);
    const listener: Listener = { fault: null, close: () => server.close() };
    const tell = (fault: string | null) => {
      if (listener.fault === fault) return;
      listener.fault = fault;
      onChange();
    };
    const server = listen({
      host,
      port,
      isOneFamily: true,
      retryMs,
      answer: (_, response) => answer(response, service, checks.get(service)?.localEndpoints.get(familyOf(host)) ?? 0),
      onListening() {
        log.debug({ service, port }, `health of Service ${service} at ${place}`);
        tell(null);
      },
      onFailure({ message }) {
        const often = `it is tried again every ${retryMs / 1000} s`;
        tell(`FailedToStartServiceHealthcheck: no load balancer can ask at ${place}: ${message}: ${often}`);
      },
    });
    return listener;
  }

  function answer(response: ServerResponse, service: string, localEndpoints: number): void {
    const [namespace, name] = service.split('/');
    const serviceProxyHealthy = isHealthy();
    response.writeHead(localEndpoints > 0 && serviceProxyHealthy ? 200 : 503, {
      'content-type': 'application/json',
      'x-content-type-options': 'nosniff',
      'x-load-balancing-endpoint-weight': localEndpoints,
    });
    response.end(JSON.stringify({ service: { namespace, name }, localEndpoints, serviceProxyHealthy }));
  }

  return {
    serve({ services, endpoints, node }, addresses) {
      checks = new Map();
      const wanted = new Map<string, () => Listener>();
      for (const [service, object] of services) {
        const check = healthCheckOf(object, endpoints.get(service) ?? new Map(), node);
        if (check === null) continue;
        checks.set(service, check);
        for (const host of addresses) {
          if (!check.localEndpoints.has(familyOf(host))) continue;
          wanted.set(`${service} ${host} ${check.port}`, () => open(service, host, check.port));
        }
      }
      for (const [key, listener] of listeners) {
        if (wanted.has(key)) continue;
        listener.close();
        listeners.delete(key);
      }
      for (const [key, make] of wanted) if (!listeners.has(key)) listeners.set(key, make());
    },
    get problems() {
      return [...listeners].flatMap(([key, { fault }]) =>
        fault === null ? [] : [{ object: `Service ${key.split(' ')[0]}`, reason: fault }],
      );
    },
    close() {
      for (const listener of listeners.values()) listener.close();
      listeners.clear();
    },
  };
}
