import type { Problem } from '../model/service.ts';
import { type Report, reportOf } from './fields.ts';
import { LayeredMap } from './layered-map.ts';
import { mirrorEndpoints } from './mirror.ts';
import { zoneLabel } from './nodes.ts';
import type {
  EndpointsObject,
  KubeObject,
  NodeObject,
  ObjectStore,
  PodObject,
  ServiceCidrObject,
  ServiceObject,
  SliceObject,
} from './objects.ts';
import { byName, objectKey, objectName } from './objects.ts';
import { emptyPods, type PodIndex, podCandidate, slicesOfPods } from './pods.ts';
import { emptySelectors, type SelectorIndex } from './selectors.ts';
import { headlessLabel, proxyNameLabel } from './services.ts';
import { type ReportedSlices, serviceNameLabel } from './slices.ts';

/** All objects by the Service that they belong to, kept up to date change by change. Services by 'namespace/name'. */
export interface InputIndex {
  /** What it holds. */
  objects: ObjectStore;
  readonly services: Map<string, ServiceObject>;
  readonly selectors: SelectorIndex;
  /** Services whose endpoints depend on the zones of nodes. */
  readonly near: Set<string>;
  /** In no order. */
  readonly slices: Map<string, readonly SliceObject[]>;
  readonly endpoints: Map<string, EndpointsObject>;
  readonly pods: PodIndex;
  readonly nodes: Map<string, NodeObject>;
  /** Of all nodes, as one text. */
  zones: string;
  readonly cidrs: Map<string, ServiceCidrObject>;
  /** By the object, or the missing Service, that they are about. */
  readonly problems: Map<string, readonly Problem[]>;
}

/** What decides about the endpoints of one Service. */
export interface ServiceInputs {
  readonly service: ServiceObject;
  /** Slices as they are, as mirrored, and as made of pods. `report` hears of the Service's own mistakes. */
  readonly sources: (report: Report) => readonly ReportedSlices[];
  readonly reports: readonly Report[];
}

export function emptyIndex(): InputIndex {
  return {
    objects: new Map(),
    services: new Map(),
    selectors: emptySelectors(),
    near: new Set(),
    slices: new Map(),
    endpoints: new Map(),
    pods: emptyPods(),
    nodes: new Map(),
    zones: '',
    cidrs: new Map(),
    problems: new Map(),
  };
}

/**
 * Makes the index that of `objects`. Returns the names of Services, also of missing ones, that come out otherwise now.
 * `proxyName`: as in `ParseSettings`, the same every time.
 */
export function updateIndex(index: InputIndex, objects: ObjectStore, proxyName: string | null): Set<string> {
  const affected = new Set<string>();
  const before = index.objects;
  const differing = LayeredMap.differing(before, objects);
  for (const key of differing) {
    const object = before.get(key);
    if (object !== undefined) change(index, object, false, proxyName, affected);
  }
  for (const key of differing) {
    const object = objects.get(key);
    if (object !== undefined) change(index, object, true, proxyName, affected);
  }
  index.objects = objects;
  noteZones(index, affected);
  for (const name of affected) noteOrphans(index, name);
  return affected;
}

function change(
  index: InputIndex,
  object: KubeObject,
  comes: boolean,
  proxyName: string | null,
  affected: Set<string>,
): void {
  if (object.kind === 'Service') changeService(index, object, comes, affected);
  else if (object.kind === 'EndpointSlice') changeSlice(index, object, comes, proxyName, affected);
  else if (object.kind === 'Endpoints') {
    put(index.endpoints, objectName(object), object, comes);
    affected.add(objectName(object));
  } else if (object.kind === 'Pod') changePod(index, object, comes, affected);
  else if (object.kind === 'Node') put(index.nodes, object.metadata.name, object, comes);
  else put(index.cidrs, object.metadata.name, object, comes);
}

function put<T>(map: Map<string, T>, key: string, value: T, comes: boolean): void {
  if (comes) map.set(key, value);
  else map.delete(key);
}

function changeService(index: InputIndex, object: ServiceObject, comes: boolean, affected: Set<string>): void {
  const name = objectName(object);
  put(index.services, name, object, comes);
  index.selectors.change(name, object, comes);
  if (comes && object.spec.trafficDistribution !== '') index.near.add(name);
  else index.near.delete(name);
  affected.add(name);
}

function changeSlice(
  index: InputIndex,
  object: SliceObject,
  comes: boolean,
  proxyName: string | null,
  affected: Set<string>,
): void {
  const key = objectKey(object);
  const name = ownerOf(object, proxyName);
  if ((object.metadata.labels[serviceNameLabel] ?? '') === '') {
    const reason = `without the label ${serviceNameLabel} it is of no Service`;
    put(index.problems, key, [{ object: key, reason }], comes);
  }
  if (name === null) return;
  const others = (index.slices.get(name) ?? []).filter((slice) => objectKey(slice) !== key);
  put(index.slices, name, comes ? [...others, object] : others, comes || others.length > 0);
  affected.add(name);
}

function changePod(index: InputIndex, object: PodObject, comes: boolean, affected: Set<string>): void {
  const key = objectKey(object);
  const report = reportOf(key);
  const candidate = podCandidate(object, report);
  put(index.problems, key, report.problems(), comes && report.problems().length > 0);
  if (candidate === null) return;
  index.pods.change(key, candidate, comes);
  for (const name of index.selectors.selecting(object)) affected.add(name);
}

function noteZones(index: InputIndex, affected: Set<string>): void {
  const zones = JSON.stringify([...index.nodes.keys()].sort().map((name) => [name, zoneOf(index, name)]));
  if (zones !== index.zones) for (const name of index.near) affected.add(name);
  index.zones = zones;
}

/** '' if the node has none, or is none. */
function zoneOf(index: InputIndex, nodeName: string): string {
  return index.nodes.get(nodeName)?.metadata.labels[zoneLabel] ?? '';
}

/** 'namespace/name' of the Service that a slice belongs to; null: it is nobody's, or another proxy's. */
function ownerOf({ metadata }: SliceObject, proxyName: string | null): string | null {
  const service = metadata.labels[serviceNameLabel] ?? '';
  const proxy = metadata.labels[proxyNameLabel];
  if (service === '' || metadata.labels[headlessLabel] !== undefined) return null;
  return proxy === undefined || proxy === proxyName ? `${metadata.namespace}/${service}` : null;
}

function noteOrphans(index: InputIndex, name: string): void {
  const endpoints = index.endpoints.get(name);
  const lost = [...(index.slices.get(name) ?? []), ...(endpoints === undefined ? [] : [endpoints])];
  const reason = `its Service ${name} does not exist`;
  const problems = lost.map((object) => ({ object: objectKey(object), reason }));
  put(index.problems, name, problems, !index.services.has(name) && problems.length > 0);
}

/**
 * A cluster mirrors Endpoints of Services without a selector only. Written by hand they also stand beside one, for pods
 * that are not among the objects: they count until pods or slices say otherwise. `name` is the Service's 'namespace/name'.
 */
export function inputsOf(name: string, service: ServiceObject, index: InputIndex): ServiceInputs {
  const slices = [...(index.slices.get(name) ?? [])].sort(byName);
  const pods = index.pods.find(service.metadata.namespace, service.spec.selector);
  const hasSelector = Object.keys(service.spec.selector).length > 0;
  const endpoints = hasSelector && slices.length + pods.length > 0 ? undefined : index.endpoints.get(name);
  const zone = (nodeName: string) => zoneOf(index, nodeName);
  const own = slices.map((slice) => ({ slices: [slice], report: reportOf(objectKey(slice)) }));
  const mirrored =
    endpoints === undefined ? [] : [{ slices: mirrorEndpoints(endpoints), report: reportOf(objectKey(endpoints)) }];
  return {
    service,
    sources: (report) => [...own, ...mirrored, { slices: slicesOfPods(service, pods, zone, report), report }],
    reports: [...own, ...mirrored].map(({ report }) => report),
  };
}
