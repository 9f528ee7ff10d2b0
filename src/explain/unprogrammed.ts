import type { Question } from './question.ts';
import type { Stage } from './stage.ts';

/** What is known of an address that no row stands for: Services that are left to others, endpoints that are asked directly. */
export function whyNothing({ known }: Stage, { to, port }: Question): string[] {
  if (known === null) return [];
  const found: string[] = [];
  for (const [key, object] of known.parsed.memory.objects) {
    if (object.kind !== 'Service') continue;
    const { metadata, spec } = object;
    const name = `${metadata.namespace}/${metadata.name}`;
    const reason = known.parsed.unserved.get(name);
    const ingress = object.status.loadBalancer.ingress.map(({ ip }) => ip);
    const addresses = [spec.clusterIP, ...spec.clusterIPs, ...spec.externalIPs, ...ingress];
    if (reason !== undefined && addresses.includes(to)) found.push(`${key} is not programmed: ${reason}`);
  }
  for (const [name, ports] of known.world.endpoints) {
    const isThere = [...ports.values()].flat().some((endpoint) => endpoint.address === to && endpoint.port === port);
    if (isThere) found.push(`it is an endpoint of Service ${name}, asked directly: nothing to translate`);
  }
  return found;
}
