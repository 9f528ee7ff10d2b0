import type { NodeFacts } from './node.ts';
import { type Place, placeNames, placesOf, whyNotServed } from './places.ts';
import { type Problem, portKey, type Service, type ServicePort, serviceName } from './service.ts';

/* What of a Service is served at all, and the words for what is not. */

/** Each port that can be served, once: a second one of the same number, or of the same name, cannot be told from the first. */
export function servedPorts(service: Service, reasons: Set<string>): ServicePort[] {
  const seen = new Set<string>();
  const ports = service.ports.filter((port) => {
    const keys = [`number ${port.number}/${port.protocol}`, `name ${portKey(port)}`];
    const repeated = keys.find((key) => seen.has(key));
    if (repeated !== undefined) reasons.add(`port ${portLabel(port)} is not served: ${repeated} is there twice`);
    else for (const key of keys) seen.add(key);
    return repeated === undefined;
  });
  return ports.map((port) => {
    const label = nodePortLabel(port);
    if (port.nodePort === 0 || !seen.has(label)) {
      seen.add(label);
      return port;
    }
    reasons.add(`${label} of port ${portLabel(port)} is not served: it is there twice`);
    return { ...port, nodePort: 0 };
  });
}

/** Of what is not served, each place is named; of what is refused to all of the outside alike, all in one. */
export function servedHere(service: Service, node: NodeFacts, reasons: Set<string>): Place[] {
  const unserved = new Map<string, string[]>();
  const places = placesOf(service).filter((place) => {
    const { kind, address } = place;
    const isLocal = kind === 'cluster' && node.localAddresses.has(address);
    const reason = isLocal ? 'it is an address of this node' : whyNotServed(service, place);
    if (reason === null) return true;
    unserved.set(reason, [...(unserved.get(reason) ?? []), ...namesOf(service, place)]);
    return false;
  });
  for (const [reason, names] of unserved) {
    const distinct = [...new Set(names)];
    reasons.add(`${distinct.join(', ')} ${distinct.length === 1 ? 'is' : 'are'} not served: ${reason}`);
  }
  return places;
}

function namesOf({ ports }: Service, { kind, address }: Place): string[] {
  if (kind !== 'node') return [`${placeNames[kind]} ${address}`];
  return ports.filter(({ nodePort }) => nodePort > 0).map(nodePortLabel);
}

/** 'port http (80/TCP) of clusterIP 10.96.0.1', 'nodePort 30080/TCP' */
export function portOf({ kind, address }: Place, port: ServicePort): string {
  return kind === 'node' ? nodePortLabel(port) : `port ${portLabel(port)} of ${placeNames[kind]} ${address}`;
}

function nodePortLabel({ nodePort, protocol }: ServicePort): string {
  return `${placeNames.node} ${nodePort}/${protocol}`;
}

/** Why nothing of a Service can be served, so that it claims nothing either; null: it can. */
export function whyUnusable(service: Service): string | null {
  if (service.ports.length === 0) return 'it has no port';
  const names = [
    service.namespace,
    service.name,
    ...service.ports.map((port) => port.name).filter((name) => name !== ''),
  ];
  const bad = names.find((name) => !/^[\x21-\x7e]{1,63}$/.test(name));
  return bad === undefined ? null : `'${bad}' is not a name of 1 to 63 characters`;
}

function portLabel(port: ServicePort): string {
  const number = `${port.number}/${port.protocol}`;
  return port.name === '' ? number : `${port.name} (${number})`;
}

export function problemsOf(service: Service, reasons: readonly string[]): Problem[] {
  return reasons.map((reason) => ({ object: `Service ${serviceName(service)}`, reason }));
}
