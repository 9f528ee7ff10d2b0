import { type Cidr, familyOf } from '../model/address.ts';
import { type Endpoints, type Problem, portKey, type Service } from '../model/service.ts';
import { type Allocation, type AllocationRanges, allocate, type Grant } from './allocate.ts';
import { sameValue } from './equality.ts';
import { reportOf } from './fields.ts';
import { type Input, indexInputs, inputsOf, type ServiceInputs } from './inputs.ts';
import { type KubeNode, readNode, readServiceCidr } from './nodes.ts';
import type { Kind, KubeObject, ObjectStore } from './objects.ts';
import { objectKey, objectName } from './objects.ts';
import { readService, requestOf, whyNotOurs } from './services.ts';
import { readEndpoints } from './slices.ts';

export type { KubeNode } from './nodes.ts';

export interface ParseSettings {
  /** Only Services with this value of the label service.kubernetes.io/service-proxy-name are ours; null: only those without it. */
  readonly serviceProxyName: string | null;
  /** Where clusterIPs and nodePorts come from; null: an API server has allocated them. */
  readonly ranges: AllocationRanges | null;
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
  const services = ofKind(objects, 'Service');
  const families = settings.ranges?.serviceCidrs.map(({ address }) => familyOf(address)) ?? null;
  const allocation = families && settings.ranges ? allocateFor(services, families, settings.ranges) : null;
  const index = indexInputs(objects, settings.serviceProxyName);
  const made = new Map<string, Made>();
  for (const { name, object } of services) {
    const inputs = inputsOf(name, object, index);
    const grant = allocation?.grants.get(name) ?? null;
    const make = () => makeService(inputs, settings.serviceProxyName, families, grant);
    made.set(name, remade(previous?.made.get(name), [object, textOf(grant), ...inputs.inputs], make));
  }
  const nodes = ofKind(objects, 'Node').map(({ object }) => readNode(object));
  const cidrs = ofKind(objects, 'ServiceCIDR').map(({ object }) => readServiceCidr(object));
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

interface NamedObject<K> {
  readonly name: string;
  readonly object: Extract<KubeObject, { kind: K }>;
}

/** In name order. */
function ofKind<K extends Kind>(objects: ObjectStore, kind: K): readonly NamedObject<K>[] {
  const found: NamedObject<K>[] = [];
  for (const object of objects.values()) {
    if (isOfKind(object, kind)) found.push({ name: objectName(object), object });
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function isOfKind<K extends Kind>(object: KubeObject, kind: K): object is Extract<KubeObject, { kind: K }> {
  return object.kind === kind;
}

function allocateFor(
  services: readonly NamedObject<'Service'>[],
  families: readonly (4 | 6)[],
  ranges: AllocationRanges,
): Allocation {
  const requests = services.flatMap(({ name, object }) => requestOf(name, object, families) ?? []);
  return allocate(requests, ranges);
}

/** Text that is another one if something else was granted. */
function textOf(grant: Grant | null): string {
  return grant === null ? '' : [...grant.addresses.values(), ...[...grant.nodePorts].flat()].join(' ');
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
  grant: Grant | null,
): Omit<Made, 'inputs'> {
  const reason = whyNotOurs(service, proxyName);
  if (reason !== null) return { result: { unserved: reason }, endpoints: new Map(), problems: [] };
  const report = reportOf(objectKey(service));
  const result = readService(service, families, grant, report);
  if ('unserved' in result) return { result, endpoints: new Map(), problems: report.problems() };
  const endpoints = readEndpoints(result.ports.map(portKey), sources(report));
  return { result, endpoints, problems: [report, ...reports].flatMap(({ problems }) => problems()) };
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
