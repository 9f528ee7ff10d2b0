import type { Problem } from '../../model/service.ts';
import type { Kind } from '../objects.ts';
import { headlessLabel, proxyNameLabel } from '../services.ts';
import type { ObjectSource, Snapshot } from '../source.ts';
import { makeApiStore } from './api-store.ts';
import type { Patience } from './backoff.ts';
import { ClusterError } from './cluster.ts';
import { asksClusterIp, type ClusterPlace, readCluster } from './cluster-place.ts';
import { forgetCredentials } from './exec-credential.ts';
import type { ApiFault, ApiObserver } from './observer.ts';
import { nameOf, type Resource, reflect } from './reflector.ts';
import { ApiError, type Connection, connect, type Timeouts } from './request.ts';
import { GarbageError } from './watch-events.ts';

export interface ApiOptions {
  readonly place: ClusterPlace;
  /** The own Node; of others nothing is watched. */
  readonly node: string;
  /** As in `ParseSettings`. */
  readonly serviceProxyName: string | null;
  /** 'bpfsvc/0.1.0' */
  readonly userAgent: string;
  readonly pace?: Partial<Pace>;
  readonly observer?: ApiObserver | undefined;
}

/** How long what may take, in milliseconds. */
export interface Pace extends Timeouts, Patience {
  readonly healthy: number;
  readonly absent: number;
}

/** A watch has a bookmark each minute; two that are missing are a dead peer. */
const usualPace: Pace = {
  answer: 60_000,
  silence: 150_000,
  first: 800,
  longest: 30_000,
  healthy: 10_000,
  absent: 300_000,
};

/**
 * Watches Services, EndpointSlices, the own Node and the ServiceCIDRs of an API server until it is closed. Nothing ends it: while
 * the server is away, refuses or makes no sense, that is a Problem, and what is known stays. Before all was read once a snapshot has
 * no objects. Throws a ClusterError for a kubeconfig that cannot be used at first.
 */
export async function watchApi(options: ApiOptions, onChange: (snapshot: Snapshot) => void): Promise<ObjectSource> {
  const { place, userAgent, observer } = options;
  const pace = { ...usualPace, ...options.pace };
  const { server } = await readCluster(place);
  const name = `API server ${server.host}`;
  const end = new AbortController();
  const unsettled = new Set<Kind>();
  const faults = new Map<Kind, Problem>();
  const publisher = makePublisher(() => {
    const synced = unsettled.size === 0;
    const problems = [...faults.values(), ...store.problems()];
    onChange({ objects: synced ? store.objects() : null, problems, synced });
  });
  const store = makeApiStore(publisher.soon);
  const resources = resourcesOf(options);
  for (const { kind } of resources) unsettled.add(kind);
  const observe = (resource: Resource) =>
    observer?.followed(nameOf(resource), !unsettled.has(resource.kind) && !faults.has(resource.kind));
  publisher.now();
  for (const resource of resources) {
    const { kind } = resource;
    observe(resource);
    const settings = {
      resource,
      store,
      patience: pace,
      healthyMs: pace.healthy,
      absentMs: pace.absent,
      connect: async (): Promise<Connection> => connect(await readCluster(place), userAgent, pace, observer),
      observer,
      onSettled: () => {
        if (!unsettled.delete(kind)) return;
        observe(resource);
        publisher.soon();
      },
      onFault: (error: Error | null) => {
        if (error instanceof ApiError && error.code === 401) forgetCredentials();
        const isAbsent = error instanceof ApiError && error.code === 404 && resource.isOptional === true;
        const isGood = error === null || isAbsent;
        if (!isGood) observer?.failed(nameOf(resource), faultOf(error));
        const cure = unsettled.size > 0 && asksClusterIp(place) ? clusterIpCure : '';
        const problem = isGood ? undefined : { object: name, reason: reasonOf(error, resource, cure) };
        if (faults.get(kind)?.reason === problem?.reason) return;
        if (problem === undefined) faults.delete(kind);
        else faults.set(kind, problem);
        observe(resource);
        publisher.soon();
      },
    };
    void reflect(settings, end.signal);
  }
  return {
    close() {
      end.abort();
      publisher.close();
    },
  };
}

function resourcesOf({ node, serviceProxyName }: ApiOptions): Resource[] {
  const ours = serviceProxyName === null ? `!${proxyNameLabel}` : `${proxyNameLabel}=${serviceProxyName}`;
  const labelSelector = `${ours},!${headlessLabel}`;
  return [
    { kind: 'Node', path: '/api/v1/nodes', fieldSelector: `metadata.name=${node}`, isOptional: true },
    { kind: 'Service', path: '/api/v1/services', labelSelector },
    { kind: 'EndpointSlice', path: '/apis/discovery.k8s.io/v1/endpointslices', labelSelector },
    { kind: 'ServiceCIDR', path: '/apis/networking.k8s.io/v1/servicecidrs', isOptional: true },
  ];
}

/** For the first agent of a node there is nobody who serves Services yet. */
const clusterIpCure =
  '; that address is its ClusterIP, which nobody serves before bpfsvc does: give its real one, as --master, KUBERNETES_SERVICE_HOST or apiServer.host of the chart';

function faultOf(error: Error): ApiFault {
  if (error instanceof GarbageError) return 'nonsense';
  return error instanceof ApiError ? 'refused' : 'unreachable';
}

/** The same words for all kinds where the whole server is away, so that people read them once. */
function reasonOf(error: Error, resource: Resource, cure: string): string {
  const what = nameOf(resource);
  const stays = 'what is known stays in use';
  if (error instanceof ClusterError) return `${error.message}: ${stays}`;
  if (!(error instanceof ApiError)) return `it cannot be reached, ${messageOf(error)}: ${stays}${cure}`;
  return `it does not tell about ${what}: ${error.code || 'an error'}: ${error.message}: ${stays}`;
}

/** Of several addresses that were tried, all. */
function messageOf(error: Error): string {
  return error instanceof AggregateError && error.message === ''
    ? error.errors.map(({ message }: Error) => message).join(', ')
    : error.message;
}

interface Publisher {
  /** Once for everything that happens until then. */
  soon(): void;
  now(): void;
  close(): void;
}

/** Publishing takes at most a third of the time, however much happens. */
function makePublisher(publish: () => void): Publisher {
  let timer: NodeJS.Timeout | undefined;
  let immediate: NodeJS.Immediate | undefined;
  let earliest = 0;
  let isClosed = false;
  const now = () => {
    timer = undefined;
    immediate = undefined;
    if (isClosed) return;
    const began = performance.now();
    publish();
    const ended = performance.now();
    earliest = ended + 2 * (ended - began);
  };
  return {
    soon() {
      if (isClosed || timer !== undefined || immediate !== undefined) return;
      const wait = earliest - performance.now();
      if (wait > 0) timer = setTimeout(now, wait);
      else immediate = setImmediate(now);
    },
    now,
    close() {
      isClosed = true;
      clearTimeout(timer);
      clearImmediate(immediate);
    },
  };
}
