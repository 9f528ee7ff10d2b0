import type { Address } from '../model/address.ts';
import { type Endpoint, type Endpoints, portKey } from '../model/service.ts';
import { isLinkLocal, parsePort, parseProtocol, type Report, readAddress } from './fields.ts';
import type { SliceEndpoint, SliceObject } from './objects.ts';
import { packEndpoints } from './packed.ts';

/** Whose slice it is. */
export const serviceNameLabel = 'kubernetes.io/service-name';

/** The slices of one Service and who hears of what is wrong with them. */
export interface ReportedSlices {
  readonly slices: readonly SliceObject[];
  readonly report: Report;
}

/**
 * The endpoints behind each of a Service's ports, whose keys are `keys` (see `portKey`). Every port has an entry. An
 * address and port that occurs twice is one endpoint: the one that is not terminating, then the ready one, then the
 * first, so `sources` come in order of trust.
 */
export function readEndpoints(keys: Iterable<string>, sources: readonly ReportedSlices[]): Endpoints {
  const found = new Map<string, Map<string, Endpoint>>();
  for (const key of keys) found.set(key, new Map());
  for (const { slices, report } of sources) {
    for (const slice of slices) readSlice(slice, found, report);
  }
  return packEndpoints([...found].map(([key, endpoints]) => [key, [...endpoints.values()]]));
}

function readSlice(slice: SliceObject, found: Map<string, Map<string, Endpoint>>, report: Report): void {
  const family = slice.addressType === 'IPv4' ? 4 : slice.addressType === 'IPv6' ? 6 : null;
  if (family === null) {
    if (slice.addressType !== 'FQDN') report(`addressType ${JSON.stringify(slice.addressType)} is unknown: left out`);
    return;
  }
  const ports = readPorts(slice, found, report);
  for (const endpoint of slice.endpoints) {
    const address = readEndpointAddress(endpoint, family, report);
    if (address === null) continue;
    for (const { number, into } of ports) add(into, toEndpoint(endpoint, address, number));
  }
}

/** A port without a number means nothing to a proxy; one that the Service does not have is of no use. */
function readPorts(
  slice: SliceObject,
  found: Map<string, Map<string, Endpoint>>,
  report: Report,
): { number: number; into: Map<string, Endpoint> }[] {
  return slice.ports.flatMap((port, i) => {
    if (port.port === '' || port.port === '0') {
      if (port.port === '0') report(`ports[${i}].port: "0" is not a port number (1 to 65535): left out`);
      return [];
    }
    const protocol = parseProtocol(port.protocol);
    const number = parsePort(port.port);
    if (protocol === null) report(`ports[${i}].protocol: ${JSON.stringify(port.protocol)} is unknown: left out`);
    if (number === null)
      report(`ports[${i}].port: ${JSON.stringify(port.port)} is not a port number (1 to 65535): left out`);
    const into = protocol === null ? undefined : found.get(portKey({ name: port.name, protocol }));
    return number === null || into === undefined ? [] : { number, into };
  });
}

/** The first address is the endpoint; the others are the same one again, by the API's definition. */
function readEndpointAddress(endpoint: SliceEndpoint, family: 4 | 6, report: Report): Address | null {
  const text = endpoint.addresses[0];
  const read = text === undefined ? { fault: 'it has no address' } : readAddress(text, family);
  if ('fault' in read) report(`endpoint: ${read.fault}: left out`);
  else if (isLinkLocal(read.address)) report(`endpoint: ${read.address} is a link-local address: left out`);
  else return read.address;
  return null;
}

function toEndpoint(endpoint: SliceEndpoint, address: Address, port: number): Endpoint {
  const { conditions, hints } = endpoint;
  return {
    address,
    port,
    ready: conditions.ready ?? true,
    serving: conditions.serving ?? true,
    terminating: conditions.terminating ?? false,
    nodeName: endpoint.nodeName,
    zoneHints: hints.forZones.length === 0 ? none : hints.forZones.map(({ name }) => name),
    nodeHints: hints.forNodes.length === 0 ? none : hints.forNodes.map(({ name }) => name),
  };
}

/** One list for all that have none: there may be 100,000 of them. */
const none: readonly string[] = [];

function add(endpoints: Map<string, Endpoint>, endpoint: Endpoint): void {
  const key = `${endpoint.address} ${endpoint.port}`;
  const other = endpoints.get(key);
  if (other === undefined || rank(endpoint) > rank(other)) endpoints.set(key, endpoint);
}

function rank({ terminating, ready, serving }: Endpoint): number {
  return (terminating ? 0 : 4) + (ready ? 2 : 0) + (serving ? 1 : 0);
}
