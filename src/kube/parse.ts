import { type Address, type Cidr, familyOf, parseCidr } from '../model/address.ts';
import { type Endpoints, type Problem, portKey, type Service } from '../model/service.ts';
import { type Allocation, type AllocationRanges, allocate } from './allocate.ts';
import { sameValue } from './equality.ts';
import { readAddress, reportOf } from './fields.ts';
import { type Input, indexInputs, inputsOf, type ServiceInputs } from './inputs.ts';
import type { Labels, NodeObject, ObjectStore, ServiceCidrObject, ServiceObject } from './objects.ts';
import { byName, objectKey, objectName } from './objects.ts';
import { readService, requestOf, whyNotOurs } from './services.ts';
import { readEndpoints } from './slices.ts';

export interface ParseSettings {
  /** Only Services with this value of the label service.kubernetes.io/service-proxy-name are ours; null: only those without it. */
  readonly serviceProxyName: string | null;
  /** Where clusterIPs and nodePorts come from; null: an API server has allocated them. */
  readonly ranges: AllocationRanges | null;
}

export interface KubeNode {
  readonly name: string;
  readonly labels: Labels;
  /** '' without a zone label. */
  readonly zone: string;
  /** In the order of the Node's status: the first of a family is the primary one. */
  readonly internalIPs: readonly Address[];
  readonly podCidrs: readonly Cidr[];
}

/** The objects in the words of the model. Keys of maps are 'namespace/name', and all are in name order. */
export interface Parsed {
  readonly services: ReadonlyMap<string, Service>;
  /** For each of `services`, an entry for each of its ports. */
  readonly endpoints: ReadonlyMap<string, Endpoints>;
  /** Services that there are but that get nothing in the kernel, and why. */
  readonly unserved: ReadonlyMap<string, string>;
  readonly nodes: readonly KubeNode[];
  readonly serviceCidrs: readonly Cidr[];
  readonly problems: readonly Problem[];
  /** What each Service was made from, so that the next `parse` makes anew only what changed. */
  readonly made: ReadonlyMap<string, Made>;
}

/** One Service and what it came from. */
export interface Made {
  readonly inputs: readonly Input[];
  readonly result: Service | { readonly unserved: string };
  readonly endpoints: Endpoints;
  readonly problems: readonly Problem[];
}

/**
 * Everything the objects say about Services. Never throws; the order in which objects stand in the store is of no
 * consequence. What equals a value in `previous`, which must come from the same settings, is that very value again:
 * see `changedServices`.
 */
export function parse(objects: ObjectStore, settings: ParseSettings, previous: Parsed | null): Parsed {
  const all = [...objects.values()].sort(byName);
  const services = all.filter((object) => object.kind === 'Service');
  const families = settings.ranges?.serviceCidrs.map(({ address }) => familyOf(address)) ?? null;
  const allocation =
    families === null || settings.ranges === null ? null : allocateFor(services, families, settings.ranges);
  const index = indexInputs(all, settings.serviceProxyName);
  const made = new Map<string, Made>();
  for (const service of services) {
    const name = objectName(service);
    const inputs = inputsOf(service, index);
    const make = () => makeService(inputs, settings.serviceProxyName, families, allocation);
    const identity = [service, allocationText(service, allocation), ...inputs.objects];
    made.set(name, remade(previous?.made.get(name), identity, make));
  }
  const nodes = all.filter((object) => object.kind === 'Node').map(readNode);
  const cidrs = all.filter((object) => object.kind === 'ServiceCIDR').map(readServiceCidr);
  const problems = [
    ...(allocation?.problems ?? []),
    ...index.problems,
    ...[...made.values(), ...nodes, ...cidrs].flatMap((part) => part.problems),
  ];
  return {
    services: select(made, ({ result }) => ('unserved' in result ? null : result)),
    endpoints: select(made, ({ result, endpoints }) => ('unserved' in result ? null : endpoints)),
    unserved: select(made, ({ result }) => ('unserved' in result ? result.unserved : null)),
    nodes: kept(
      previous?.nodes,
      nodes.map(({ node }) => node),
    ),
    serviceCidrs: kept(
      previous?.serviceCidrs,
      cidrs.flatMap((part) => part.cidrs),
    ),
    problems: kept(previous?.problems, problems.sort(byText)),
    made,
  };
}

function allocateFor(
  services: readonly ServiceObject[],
  families: readonly (4 | 6)[],
  ranges: AllocationRanges,
): Allocation {
  return allocate(
    services.flatMap((service) => requestOf(service, families) ?? []),
    ranges,
  );
}

/** What was allocated for one Service, as text that changes when it does. */
function allocationText(service: ServiceObject, allocation: Allocation | null): string {
  if (allocation === null) return '';
  const name = objectName(service);
  const ports = service.spec.ports.map(({ port }) => allocation.nodePorts.get(`${name}/${Number(port)}`));
  return [allocation.addresses.get(`${name}/4`), allocation.addresses.get(`${name}/6`), ...ports].join(' ');
}

function remade(before: Made | undefined, inputs: readonly Input[], make: () => Omit<Made, 'inputs'>): Made {
  if (
    before !== undefined &&
    before.inputs.length === inputs.length &&
    before.inputs.every((input, i) => input === inputs[i])
  ) {
    return before;
  }
  const { result, endpoints, problems } = make();
  return { inputs, result: kept(before?.result, result), endpoints: kept(before?.endpoints, endpoints), problems };
}

function makeService(
  { service, sources, reports }: ServiceInputs,
  proxyName: string | null,
  families: readonly (4 | 6)[] | null,
  allocation: Allocation | null,
): Omit<Made, 'inputs'> {
  const reason = whyNotOurs(service, proxyName);
  if (reason !== null) return { result: { unserved: reason }, endpoints: new Map(), problems: [] };
  const report = reportOf(objectKey(service));
  const result = readService(service, families, allocation, report);
  if ('unserved' in result) return { result, endpoints: new Map(), problems: report.problems() };
  const endpoints = readEndpoints(result.ports.map(portKey), sources(report));
  return { result, endpoints, problems: [report, ...reports].flatMap(({ problems }) => problems()) };
}

function readNode({ metadata, spec, status }: NodeObject): { node: KubeNode; problems: Problem[] } {
  const report = reportOf(`Node ${metadata.name}`);
  const internalIPs = status.addresses.flatMap(({ type, address }) => {
    if (type !== 'InternalIP') return [];
    const read = readAddress(address, null);
    if ('address' in read) return read.address;
    report(`status.addresses: ${read.fault}: left out`);
    return [];
  });
  const podCidrs = readCidrs(
    spec.podCIDRs.length > 0 || spec.podCIDR === '' ? spec.podCIDRs : [spec.podCIDR],
    'spec.podCIDRs',
    report,
  );
  const zone = metadata.labels['topology.kubernetes.io/zone'] ?? '';
  return {
    node: { name: metadata.name, labels: metadata.labels, zone, internalIPs, podCidrs },
    problems: report.problems(),
  };
}

function readServiceCidr({ metadata, spec }: ServiceCidrObject): { cidrs: readonly Cidr[]; problems: Problem[] } {
  const report = reportOf(`ServiceCIDR ${metadata.name}`);
  return { cidrs: readCidrs(spec.cidrs, 'spec.cidrs', report), problems: report.problems() };
}

function readCidrs(texts: readonly string[], field: string, report: (reason: string) => void): readonly Cidr[] {
  return texts.flatMap((text) => {
    const cidr = parseCidr(text);
    if (cidr === null) report(`${field}: ${JSON.stringify(text)} is not a CIDR: left out`);
    return cidr ?? [];
  });
}

function select<T>(made: ReadonlyMap<string, Made>, pick: (made: Made) => T | null): Map<string, T> {
  const picked = new Map<string, T>();
  for (const [name, one] of made) {
    const value = pick(one);
    if (value !== null) picked.set(name, value);
  }
  return picked;
}

function kept<T>(before: T | undefined, now: T): T {
  return before !== undefined && sameValue(before, now) ? before : now;
}

function byText(a: Problem, b: Problem): number {
  const left = `${a.object} ${a.reason}`;
  const right = `${b.object} ${b.reason}`;
  return left < right ? -1 : left > right ? 1 : 0;
}
