import { isUsable } from './endpoints.ts';
import { type Endpoints, portKey, type Service } from './service.ts';

/** What of a Service nobody anywhere answers, as sentences for people. The fate of its endpoints on this node does not matter. */
export function unanswered(service: Service, endpoints: Endpoints): string[] {
  const { ports } = service;
  const empty = ports.filter((port) => !(endpoints.get(portKey(port)) ?? []).some(isUsable));
  const fate = 'new connections are refused';
  if (empty.length === 0) return [];
  if (empty.length === ports.length) return [`nobody is behind it: ${fate}`];
  return empty.map(({ name, number, protocol }) => `nobody is behind port ${name} (${number}/${protocol}): ${fate}`);
}
