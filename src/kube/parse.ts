import type { Cidr } from '../model/address.ts';
import { defaultScheduler, type Scheduler } from '../model/scheduler.ts';
import { type Endpoints, type Problem, portKey, type Service } from '../model/service.ts';
import type { AllocationRanges, Grant } from './allocate.ts';
import { sameValue } from './equality.ts';
import { reportOf } from './fields.ts';
import { familiesOf, type HandedOut, handOut } from './hand-out.ts';
import { emptyIndex, type InputIndex, inputsOf, type ServiceInputs, updateIndex } from './inputs.ts';
import { LayeredMap } from './layered-map.ts';
import { type KubeNode, readNode, readServiceCidr } from './nodes.ts';
import { byName, type KubeObject, type ObjectStore, objectKey } from './objects.ts';
import { readService, whyNotOurs } from './services.ts';
import { readEndpoints } from './slices.ts';

export type { KubeNode } from './nodes.ts';

export interface ParseSettings {
  /** Only Services with this value of the label service.kubernetes.io/service-proxy-name are ours; null: only those without it. */
  readonly serviceProxyName: string | null;
  /** Where clusterIPs and nodePorts come from; null: an API server has allocated them. */
  readonly ranges: AllocationRanges | null;
  /** Of Services that name none; `random` if nobody says. */
  readonly scheduler?: Scheduler;
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
  /** So that the next `parse` makes anew only what changed. */
  readonly memory: Memory;
}

/** What a `parse` leaves to the next one. */
export interface Memory {
  /** Goes over to the next one: it is no longer that of `objects` then. */
  readonly index: InputIndex;
  readonly objects: ObjectStore;
  readonly handedOut: HandedOut | null;
  /** Of Services that have any. */
  readonly problems: ReadonlyMap<string, readonly Problem[]>;
}

/** One Service. */
interface Made {
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
  const { serviceProxyName: proxyName, ranges } = settings;
  const memory = previous?.memory;
  const goesOn = memory !== undefined && memory.index.objects === memory.objects;
  const index = goesOn ? memory.index : emptyIndex();
  const affected = updateIndex(index, objects, proxyName);
  const known = [previous?.services, previous?.unserved];
  if (!goesOn) for (const services of known) for (const name of services?.keys() ?? []) affected.add(name);
  const handedOut = ranges && handOut(index.services, ranges, memory?.handedOut ?? null, affected);
  const families = ranges && familiesOf(ranges);
  const made = new Map<string, Made | null>();
  const troubled = new Map(memory?.problems);
  for (const name of affected) {
    const object = index.services.get(name);
    const grant = handedOut?.allocation.grants.get(name) ?? null;
    const one =
      object === undefined
        ? null
        : remade(previous, name, makeService(inputsOf(name, object, index), settings, families, grant));
    made.set(name, one);
    if (one !== null && one.problems.length > 0) troubled.set(name, one.problems);
    else troubled.delete(name);
  }
  const nodes = inNameOrder(index.nodes).map(readNode);
  const cidrs = inNameOrder(index.cidrs).map(readServiceCidr);
  const problems = [...(handedOut?.allocation.problems ?? []), ...[...index.problems.values()].flat()];
  problems.push(...[...troubled.values()].flat());
  for (const part of [...nodes, ...cidrs]) problems.push(...part.problems);
  const patch = <T>(before: ReadonlyMap<string, T> | undefined, pick: (made: Made) => T | undefined) =>
    patched(before, made, pick);
  return {
    services: patch(previous?.services, ({ result }) => ('unserved' in result ? undefined : result)),
    endpoints: patch(previous?.endpoints, ({ result, endpoints }) => ('unserved' in result ? undefined : endpoints)),
    unserved: patch(previous?.unserved, ({ result }) => ('unserved' in result ? result.unserved : undefined)),
    nodes: kept(
      previous?.nodes,
      nodes.map(({ node }) => node),
    ),
    serviceCidrs: kept(
      previous?.serviceCidrs,
      cidrs.flatMap((part) => part.cidrs),
    ),
    problems: kept(previous?.problems, problems.sort(byText)),
    memory: { index, objects, handedOut, problems: troubled },
  };
}

function inNameOrder<T extends KubeObject>(objects: ReadonlyMap<string, T>): T[] {
  return [...objects.values()].sort(byName);
}

/** What equals what there was is that very value. */
function remade(previous: Parsed | null, name: string, { result, endpoints, problems }: Made): Made {
  if ('unserved' in result) return { result, endpoints, problems };
  return {
    result: kept(previous?.services.get(name), result),
    endpoints: kept(previous?.endpoints.get(name), endpoints),
    problems,
  };
}

function makeService(
  { service, sources, reports }: ServiceInputs,
  { serviceProxyName, scheduler = defaultScheduler }: ParseSettings,
  families: readonly (4 | 6)[] | null,
  grant: Grant | null,
): Made {
  const reason = whyNotOurs(service, serviceProxyName);
  if (reason !== null) return { result: { unserved: reason }, endpoints: new Map(), problems: [] };
  const report = reportOf(objectKey(service));
  const result = readService(service, families, grant, scheduler, report);
  if ('unserved' in result) return { result, endpoints: new Map(), problems: report.problems() };
  const endpoints = readEndpoints(result.ports.map(portKey), sources(report));
  return { result, endpoints, problems: [report, ...reports].flatMap(({ problems }) => problems()) };
}

/** `before` with what `made` says, in name order. */
function patched<T>(
  before: ReadonlyMap<string, T> | undefined,
  made: ReadonlyMap<string, Made | null>,
  pick: (made: Made) => T | undefined,
): ReadonlyMap<string, T> {
  const present = before ?? new Map<string, T>();
  const changes = new Map<string, T | undefined>();
  let isNew = false;
  for (const [name, one] of made) {
    const value = one === null ? undefined : pick(one);
    if (value === present.get(name)) continue;
    isNew ||= !present.has(name);
    changes.set(name, value);
  }
  const next = LayeredMap.over(present, changes);
  return isNew ? new Map([...next].sort(([a], [b]) => (a < b ? -1 : 1))) : next;
}

function kept<T>(before: T | undefined, now: T): T {
  return before !== undefined && sameValue(before, now) ? before : now;
}

function byText(a: Problem, b: Problem): number {
  const left = `${a.object} ${a.reason}`;
  const right = `${b.object} ${b.reason}`;
  return left < right ? -1 : left > right ? 1 : 0;
}
