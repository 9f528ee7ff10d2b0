import { type Address, type Cidr, familyOf, parseCidr } from '../model/address.ts';
import { parseScheduler, type Scheduler } from '../model/scheduler.ts';
import type { Service } from '../model/service.ts';
import type { AllocationRequest, Grant } from './allocate.ts';
import { clusterAddresses } from './families.ts';
import { isLinkLocal, parsePort, parseTimestamp, type Report, readAddress } from './fields.ts';
import { type ServiceObject, type ServiceSpec, schedulerAnnotation } from './objects.ts';
import { nodePortsOf, readPorts } from './service-ports.ts';

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
export function requestOf(
  owner: string,
  { spec }: ServiceObject,
  families: readonly (4 | 6)[],
): AllocationRequest | null {
  if (isHeadless(spec) || spec.type === 'ExternalName') return null;
  const clusterIPs = clusterAddresses(spec, families, () => {});
  const addresses = clusterIPs.flatMap(({ address }) => address ?? []);
  const wantedFamilies = clusterIPs.flatMap(({ family, address }) => (address === null ? family : []));
  return { owner, addresses, wantedFamilies, ...nodePortsOf(spec) };
}

/**
 * The Service as it is to be served, or why it cannot be. `families` is null where an API server has allocated, `grant`
 * then too, or if nothing was lacking. `scheduler`: that of Services which name none.
 */
export function readService(
  object: ServiceObject,
  families: readonly (4 | 6)[] | null,
  grant: Grant | null,
  scheduler: Scheduler,
  report: Report,
): Service | { unserved: string } {
  const { metadata, spec } = object;
  const refusal = unknownWord(spec);
  if (refusal !== null) return refuse(report, refusal);
  const clusterIPs = clusterAddresses(spec, families, report).flatMap(
    ({ family, address }) => address ?? grant?.addresses.get(family) ?? [],
  );
  if (clusterIPs.length === 0)
    return families === null ? { unserved: 'it has no clusterIP yet' } : refuse(report, 'it has no usable clusterIP');
  const ports = readPorts(spec, families !== null, grant, report);
  if (ports.length === 0)
    return refuse(report, spec.ports.length === 0 ? 'it has no ports' : 'none of its ports is valid');
  const { loadBalancerIPs, sourceRanges } = readLoadBalancer(object, report);
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    created: parseTimestamp(metadata.creationTimestamp),
    clusterIPs,
    externalIPs: readExternalIPs(spec, report),
    loadBalancerIPs,
    sourceRanges,
    ports,
    affinitySeconds: affinitySeconds(spec, report),
    scheduler: schedulerOf(object, scheduler, report),
    internalLocal: spec.internalTrafficPolicy === 'Local',
    externalLocal: spec.externalTrafficPolicy === 'Local',
    healthCheckNodePort: healthCheckNodePort(spec, report),
  };
}

function refuse(report: Report, reason: string): { unserved: string } {
  const unserved = `${reason}: it is not served`;
  report(unserved);
  return { unserved };
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

/** One for all that have none. */
const noList: readonly never[] = [];

function readExternalIPs(spec: ServiceSpec, report: Report): readonly Address[] {
  const addresses = new Set<Address>();
  for (const [i, text] of spec.externalIPs.entries()) {
    const read = readAddress(text, null);
    if ('fault' in read) report(`externalIPs[${i}]: ${read.fault}: left out`);
    else if (isLinkLocal(read.address)) report(`externalIPs[${i}]: ${read.address} is a link-local address: left out`);
    else addresses.add(read.address);
  }
  return addresses.size === 0 ? noList : [...addresses];
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
  if (addresses.size + spec.loadBalancerSourceRanges.length === 0)
    return { loadBalancerIPs: noList, sourceRanges: noList };
  if (sourceRanges.length === spec.loadBalancerSourceRanges.length)
    return { loadBalancerIPs: [...addresses], sourceRanges };
  const bad = spec.loadBalancerSourceRanges.find((text) => parseCidr(text) === null);
  report(
    `loadBalancerSourceRanges: ${JSON.stringify(bad)} is not a CIDR: left out, and with it the load balancer's addresses of families without another range`,
  );
  const guarded = [...addresses].filter((ip) => sourceRanges.some((range) => familyOf(range.address) === familyOf(ip)));
  return { loadBalancerIPs: guarded, sourceRanges };
}

/** 0: it has none, or one that is ignored. */
function healthCheckNodePort(
  { type, externalTrafficPolicy, healthCheckNodePort: text }: ServiceSpec,
  report: Report,
): number {
  if (text === '' || text === '0' || type !== 'LoadBalancer' || externalTrafficPolicy !== 'Local') return 0;
  const port = parsePort(text);
  if (port === null) report(`healthCheckNodePort: ${JSON.stringify(text)} is not a port number (1 to 65535): left out`);
  return port ?? 0;
}

function schedulerOf({ metadata }: ServiceObject, otherwise: Scheduler, report: Report): Scheduler {
  const text = metadata.annotations?.[schedulerAnnotation] ?? '';
  if (text === '') return otherwise;
  const scheduler = parseScheduler(text);
  if (scheduler === null)
    report(`annotation ${schedulerAnnotation}: scheduler ${JSON.stringify(text)} is unknown: served with ${otherwise}`);
  return scheduler ?? otherwise;
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
