import type { Problem } from '../model/service.ts';
import { type Report, reportOf } from './fields.ts';
import { mirrorEndpoints } from './mirror.ts';
import { zoneLabel } from './nodes.ts';
import type { EndpointsObject, KubeObject, ObjectStore, ServiceObject, SliceObject } from './objects.ts';
import { byName, objectKey, objectName } from './objects.ts';
import { indexPods, type PodCandidate, type PodIndex, podCandidate, slicesOfPods } from './pods.ts';
import { headlessLabel, proxyNameLabel } from './services.ts';
import type { ReportedSlices } from './slices.ts';

const serviceNameLabel = 'kubernetes.io/service-name';

/** One thing that a Service was made from, compared by identity. */
export type Input = KubeObject | string;

/** All objects by the Service that they belong to. */
export interface InputIndex {
  readonly slices: ReadonlyMap<string, readonly SliceObject[]>;
  readonly endpoints: ReadonlyMap<string, EndpointsObject>;
  readonly pods: PodIndex;
  /** By name of the Node. */
  readonly zones: ReadonlyMap<string, string>;
  readonly problems: readonly Problem[];
}

/** What decides about the endpoints of one Service. */
export interface ServiceInputs {
  readonly service: ServiceObject;
  readonly inputs: readonly Input[];
  /** Slices as they are, as mirrored, and as made of pods. `report` hears of the Service's own mistakes. */
  readonly sources: (report: Report) => readonly ReportedSlices[];
  readonly reports: readonly Report[];
}

/** `proxyName`: as in `ParseSettings`. */
export function indexInputs(objects: ObjectStore, proxyName: string | null): InputIndex {
  const services = new Set<string>();
  const slices = new Map<string, SliceObject[]>();
  const endpoints = new Map<string, EndpointsObject>();
  const pods: PodCandidate[] = [];
  const zones = new Map<string, string>();
  const problems: Problem[] = [];
  for (const object of objects.values()) {
    if (object.kind === 'Service') services.add(objectName(object));
    else if (object.kind === 'Node') zones.set(object.metadata.name, object.metadata.labels[zoneLabel] ?? '');
    else if (object.kind === 'Endpoints') endpoints.set(objectName(object), object);
    else if (object.kind === 'EndpointSlice') {
      const name = ownerOf(object, proxyName);
      if ((object.metadata.labels[serviceNameLabel] ?? '') === '') {
        problems.push({
          object: objectKey(object),
          reason: `without the label ${serviceNameLabel} it is of no Service`,
        });
      }
      if (name !== null) {
        const same = slices.get(name);
        if (same === undefined) slices.set(name, [object]);
        else same.push(object);
      }
    } else if (object.kind === 'Pod') {
      const report = reportOf(objectKey(object));
      const candidate = podCandidate(object, report);
      if (candidate !== null) pods.push(candidate);
      problems.push(...report.problems());
    }
  }
  problems.push(...orphans(services, slices, endpoints));
  return { slices, endpoints, pods: indexPods(pods), zones, problems };
}

/** 'namespace/name' of the Service that a slice belongs to; null: it is nobody's, or another proxy's. */
function ownerOf({ metadata }: SliceObject, proxyName: string | null): string | null {
  const service = metadata.labels[serviceNameLabel] ?? '';
  const proxy = metadata.labels[proxyNameLabel];
  if (service === '' || metadata.labels[headlessLabel] !== undefined) return null;
  return proxy === undefined || proxy === proxyName ? `${metadata.namespace}/${service}` : null;
}

function orphans(
  services: ReadonlySet<string>,
  slices: ReadonlyMap<string, readonly SliceObject[]>,
  endpoints: ReadonlyMap<string, EndpointsObject>,
): Problem[] {
  const lost: [string, readonly KubeObject[]][] = [
    ...slices,
    ...[...endpoints].map(([name, object]) => [name, [object]] as const),
  ]
    .filter(([name]) => !services.has(name))
    .map(([name, objects]) => [name, objects]);
  return lost.flatMap(([name, objects]) =>
    objects.map((object) => ({ object: objectKey(object), reason: `its Service ${name} does not exist` })),
  );
}

/**
 * A cluster mirrors Endpoints of Services without a selector only. Written by hand they also stand beside one, for pods
 * that are not among the objects: they count until pods or slices say otherwise. `name` is the Service's 'namespace/name'.
 */
export function inputsOf(name: string, service: ServiceObject, index: InputIndex): ServiceInputs {
  const slices = (index.slices.get(name) ?? []).toSorted(byName);
  const pods = index.pods.find(service.metadata.namespace, service.spec.selector);
  const hasSelector = Object.keys(service.spec.selector).length > 0;
  const endpoints = hasSelector && slices.length + pods.length > 0 ? undefined : index.endpoints.get(name);
  const zoneOf = (nodeName: string) => index.zones.get(nodeName) ?? '';
  const zones = service.spec.trafficDistribution === '' ? [] : pods.map(({ pod }) => zoneOf(pod.spec.nodeName));
  const own = slices.map((slice) => ({ slices: [slice], report: reportOf(objectKey(slice)) }));
  const mirrored =
    endpoints === undefined ? [] : [{ slices: mirrorEndpoints(endpoints), report: reportOf(objectKey(endpoints)) }];
  return {
    service,
    inputs: [...slices, ...(endpoints === undefined ? [] : [endpoints]), ...pods.map(({ pod }) => pod), ...zones],
    sources: (report) => [...own, ...mirrored, { slices: slicesOfPods(service, pods, zoneOf, report), report }],
    reports: [...own, ...mirrored].map(({ report }) => report),
  };
}
