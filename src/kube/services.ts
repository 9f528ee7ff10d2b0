import { type Address, type Cidr, familyOf, parseCidr } from '../model/address.ts';
import { portKey, type Service, type ServicePort } from '../model/service.ts';
import type { Allocation, AllocationRequest } from './allocate.ts';
import { clusterAddresses } from './families.ts';
import { isLinkLocal, parsePort, parseProtocol, parseTimestamp, type Report, readAddress } from './fields.ts';
import { objectName, type ServiceObject, type ServicePortSpec, type ServiceSpec } from './objects.ts';
import { faultOfName, maxLabel } from './reader.ts';

/** Set on Services and slices that another proxy serves, whatever the value. */
export const proxyNameLabel = 'service.kubernetes.io/service-proxy-name';
export const headlessLabel = 'service.kubernetes.io/headless';

const defaultAffinitySeconds = 10800;
const maxAffinitySeconds = 86400;

/** Why a Service is not ours to serve, by what it is; null if it is ours. */
export function whyNotOurs({ metadata, spec }: ServiceObject, proxyName: string | null): string | null {
  const proxy = metadata.labels[proxyNameLabel];
  if (proxyName === null ? proxy !== undefined : proxy !== proxyName) {
    return proxy === undefined
      ? `it has no label ${proxyNameLabel}=${proxyName}`
      : `label ${proxyNameLabel}=${proxy}: another proxy serves it`;
  }
  if (metadata.labels[headlessLabel] !== undefined) return `label ${headlessLabel}: it is left to DNS`;
  if (spec.type === 'ExternalName') return 'type ExternalName: DNS answers for it, nothing is programmed';
  if (isHeadless(spec)) return 'headless (clusterIP None): DNS answers with its endpoints, nothing is programmed';
  return null;
}

/** What an API server would have to hand out; null: it gets no clusterIP. Labels do not matter: moving a Service to
 * another proxy and back keeps its address. */
export function requestOf(service: ServiceObject, families: readonly (4 | 6)[]): AllocationRequest | null {
  const { spec } = service;
  if (isHeadless(spec) || spec.type === 'ExternalName') return null;
  const clusterIPs = clusterAddresses(spec, families, () => {});
  const addresses = clusterIPs.flatMap(({ address }) => address ?? []);
  const wantedFamilies = clusterIPs.flatMap(({ family, address }) => (address === null ? family : []));
  const nodePorts = spec.ports.flatMap(({ nodePort }) => parsePort(nodePort) ?? []);
  const lacking = getsNodePorts(spec) ? spec.ports.filter(({ nodePort }) => !isWritten(nodePort)) : [];
  const shared = new Set(spec.ports.flatMap((port) => (isWritten(port.nodePort) ? port.port : [])));
  const wantedPorts = lacking.flatMap(({ port }) => (shared.has(port) ? [] : (parsePort(port) ?? [])));
  return { owner: objectName(service), addresses, wantedFamilies, nodePorts, wantedPorts };
}

/**
 * The Service as it is to be served, or why it cannot be. `families` and `allocation` are null where an API server has
 * allocated.
 */
export function readService(
  object: ServiceObject,
  families: readonly (4 | 6)[] | null,
  allocation: Allocation | null,
  report: Report,
): Service | { unserved: string } {
  const { metadata, spec } = object;
  const refusal = unknownWord(spec);
  if (refusal !== null) return refuse(report, refusal);
  const clusterIPs = clusterAddresses(spec, families, report).flatMap(
    ({ family, address }) => address ?? allocation?.addresses.get(`${objectName(object)}/${family}`) ?? [],
  );
  if (clusterIPs.length === 0)
    return families === null ? { unserved: 'it has no clusterIP yet' } : refuse(report, 'it has no usable clusterIP');
  const ports = readPorts(object, allocation, report);
  if (ports.length === 0)
    return refuse(report, spec.ports.length === 0 ? 'it has no ports' : 'none of its ports is valid');
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    created: parseTimestamp(metadata.creationTimestamp),
    clusterIPs,
    externalIPs: readExternalIPs(spec, report),
    ...readLoadBalancer(object, report),
    ports,
    affinitySeconds: affinitySeconds(spec, report),
    internalLocal: spec.internalTrafficPolicy === 'Local',
    externalLocal: spec.externalTrafficPolicy === 'Local',
  };
}

function refuse(report: Report, reason: string): { unserved: string } {
  report(`${reason}: it is not served`);
  return { unserved: reason };
}

function isHeadless(spec: ServiceSpec): boolean {
  return spec.clusterIP === 'None' || spec.clusterIPs[0] === 'None';
}

/** A value of these that we do not know may mean to serve less than the default would. */
function unknownWord(spec: ServiceSpec): string | null {
  const known: Record<string, { value: string; words: string[] }> = {
    type: { value: spec.type, words: ['', 'ClusterIP', 'NodePort', 'LoadBalancer'] },
    internalTrafficPolicy: { value: spec.internalTrafficPolicy, words: ['', 'Cluster', 'Local'] },
    externalTrafficPolicy: { value: spec.externalTrafficPolicy, words: ['', 'Cluster', 'Local'] },
  };
  for (const [field, { value, words }] of Object.entries(known)) {
    if (!words.includes(value)) return `${field} ${JSON.stringify(value)} is unknown`;
  }
  return null;
}

function getsNodePorts({ type, allocateLoadBalancerNodePorts }: ServiceSpec): boolean {
  return type === 'NodePort' || (type === 'LoadBalancer' && allocateLoadBalancerNodePorts !== false);
}

function isWritten(nodePort: string): boolean {
  return nodePort !== '' && nodePort !== '0';
}

function readPorts(object: ServiceObject, allocation: Allocation | null, report: Report): readonly ServicePort[] {
  const ports: ServicePort[] = [];
  const keys = new Set<string>();
  for (const [i, spec] of object.spec.ports.entries()) {
    const at = `ports[${i}]`;
    const port = readPort(spec, at, report);
    if (port === null) continue;
    const place = `number ${port.number}/${port.protocol}`;
    if (keys.has(place) || keys.has(portKey(port))) {
      report(
        `${at}: port ${port.number} ${port.protocol} or its name ${JSON.stringify(port.name)} is there already: left out`,
      );
      continue;
    }
    keys.add(place).add(portKey(port));
    ports.push({ ...port, nodePort: nodePortOf(object, spec, at, allocation, report) });
  }
  return ports;
}

function readPort(spec: ServicePortSpec, at: string, report: Report): Omit<ServicePort, 'nodePort'> | null {
  const number = parsePort(spec.port);
  const protocol = parseProtocol(spec.protocol);
  const nameFault = spec.name === '' ? null : faultOfName(spec.name, maxLabel);
  if (number === null) report(`${at}.port: ${JSON.stringify(spec.port)} is not a port number (1 to 65535): left out`);
  else if (protocol === null) report(`${at}.protocol: ${JSON.stringify(spec.protocol)} is unknown: left out`);
  else if (nameFault !== null) report(`${at}.name ${nameFault}: left out`);
  else return { name: spec.name, protocol, number };
  return null;
}

/** 0: none. One that another protocol of the same port has, or the allocated one, if none is written. */
function nodePortOf(
  object: ServiceObject,
  port: ServicePortSpec,
  at: string,
  allocation: Allocation | null,
  report: Report,
): number {
  const { spec } = object;
  const sibling = () =>
    spec.ports.find((other) => other.port === port.port && isWritten(other.nodePort))?.nodePort ?? '';
  const text = isWritten(port.nodePort) || allocation === null || !getsNodePorts(spec) ? port.nodePort : sibling();
  if (!isWritten(text)) return allocation?.nodePorts.get(`${objectName(object)}/${Number(port.port)}`) ?? 0;
  const number = parsePort(text);
  if (number === null) report(`${at}.nodePort: ${JSON.stringify(text)} is not a port number (1 to 65535): left out`);
  else if (spec.type === '' || spec.type === 'ClusterIP') report(`${at}.nodePort: type ClusterIP has none: left out`);
  else return number;
  return 0;
}

function readExternalIPs(spec: ServiceSpec, report: Report): readonly Address[] {
  const addresses = new Set<Address>();
  for (const [i, text] of spec.externalIPs.entries()) {
    const read = readAddress(text, null);
    if ('fault' in read) report(`externalIPs[${i}]: ${read.fault}: left out`);
    else if (isLinkLocal(read.address)) report(`externalIPs[${i}]: ${read.address} is a link-local address: left out`);
    else addresses.add(read.address);
  }
  return [...addresses];
}

function readLoadBalancer(
  { spec, status }: ServiceObject,
  report: Report,
): { loadBalancerIPs: readonly Address[]; sourceRanges: readonly Cidr[] } {
  const addresses = new Set<Address>();
  for (const [i, { ip, ipMode }] of status.loadBalancer.ingress.entries()) {
    if (ip === '' || (ipMode !== '' && ipMode !== 'VIP')) continue;
    const read = readAddress(ip, null);
    if ('address' in read) addresses.add(read.address);
    else report(`status.loadBalancer.ingress[${i}]: ${read.fault}: left out`);
  }
  const sourceRanges = spec.loadBalancerSourceRanges.flatMap((text) => parseCidr(text) ?? []);
  if (sourceRanges.length === spec.loadBalancerSourceRanges.length)
    return { loadBalancerIPs: [...addresses], sourceRanges };
  const bad = spec.loadBalancerSourceRanges.find((text) => parseCidr(text) === null);
  report(
    `loadBalancerSourceRanges: ${JSON.stringify(bad)} is not a CIDR: left out, and with it the load balancer's addresses of families without another range`,
  );
  const guarded = [...addresses].filter((ip) => sourceRanges.some((range) => familyOf(range.address) === familyOf(ip)));
  return { loadBalancerIPs: guarded, sourceRanges };
}

function affinitySeconds({ sessionAffinity, sessionAffinityConfig }: ServiceSpec, report: Report): number {
  if (sessionAffinity === '' || sessionAffinity === 'None') return 0;
  if (sessionAffinity !== 'ClientIP') {
    report(`sessionAffinity ${JSON.stringify(sessionAffinity)} is unknown: served without`);
    return 0;
  }
  const text = sessionAffinityConfig.clientIP.timeoutSeconds;
  if (text === '') return defaultAffinitySeconds;
  const seconds = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (seconds >= 1 && seconds <= maxAffinitySeconds) return seconds;
  report(
    `sessionAffinityConfig.clientIP.timeoutSeconds: ${JSON.stringify(text)} is not 1 to ${maxAffinitySeconds}: taken as ${defaultAffinitySeconds}`,
  );
  return defaultAffinitySeconds;
}
