import { runAgent } from './agent.ts';
import type { AgentOptions } from './agent-options.ts';
import { makeHealth } from './health.ts';
import { requireCapabilities } from './kernel/capabilities.ts';
import { Datapath } from './kernel/datapath.ts';
import { tellsByDevice } from './kernel/detector.ts';
import { netnsCookie } from './kernel/kernel.ts';
import { requireKernel, requirePermission } from './kernel/machine.ts';
import { defaultNodePorts, type NodePortSelection } from './kernel/node-ports.ts';
import { encodeConfig, readObjects } from './kernel/objects.ts';
import { findCgroup, makePinDir } from './kernel/place.ts';
import { chooseMechanism, hasFibSource } from './kernel/probes.ts';
import { RefusedError } from './kernel/refused.ts';
import { type AllocationRanges, defaultRanges } from './kube/allocate.ts';
import type { ClusterPlace } from './kube/api/cluster-place.ts';
import type { ApiObserver } from './kube/api/observer.ts';
import { type Cidr, endpointText } from './model/address.ts';
import type { Scheduler } from './model/scheduler.ts';
import { ownVersion } from './own-version.ts';
import type { ServerAddress } from './server.ts';

/** Where the objects come from. */
export type Origin =
  | {
      /** A file or directory. */
      readonly manifests: string;
    }
  | { readonly place: ClusterPlace };

export interface StartOptions
  extends Omit<
    AgentOptions,
    'datapath' | 'source' | 'onProblems' | 'parse' | 'serviceCidrs' | 'nodePorts' | 'health' | 'metrics' | 'onStart'
  > {
  readonly origin: Origin;
  /** As in `ParseSettings`. */
  readonly serviceProxyName: string | null;
  /** The same. */
  readonly scheduler: Scheduler;
  /** undefined: the root of the hierarchy. */
  readonly cgroup: string | undefined;
  /** undefined: bpfsvc in the BPF filesystem, which is mounted if need be. */
  readonly pinDir: string | undefined;
  /** undefined: the default ones to allocate from, and no address of them is kept from leaving the node. */
  readonly serviceCidrs: readonly Cidr[] | undefined;
  /** What nodePorts are handed out from. */
  readonly nodePortRange: AllocationRanges['nodePorts'];
  /** null: the default, and health checks are answered on all of the node's addresses. */
  readonly nodePorts: NodePortSelection | null;
  /** The source is replaced for pods too, and for backends of this node. */
  readonly masqueradeAll: boolean;
  /** Which bit of a packet's mark that takes. */
  readonly masqueradeBit: number;
  /** Where /healthz is; null: nowhere. */
  readonly healthzAddress: ServerAddress | null;
  /** Where /metrics is; null: nowhere. */
  readonly metricsAddress: ServerAddress | null;
  /** One of these that cannot be had ends the agent. */
  readonly bindHardFail: boolean;
}

/**
 * Runs an agent on this machine until `signal` is aborted. Throws an UnsupportedError or a RefusedError, a sentence for
 * people each, if it cannot start.
 */
export async function startAgent(options: StartOptions, signal: AbortSignal): Promise<void> {
  const { cgroup, pinDir, serviceCidrs, nodePortRange, nodePorts, masqueradeAll, masqueradeBit, ...others } = options;
  const { origin, serviceProxyName, scheduler, ...rest } = others;
  requirePermission();
  requireCapabilities();
  await requireKernel();
  const mechanism = await chooseMechanism();
  const bypass = options.bypass === true && mechanism === 'tcx' && !masqueradeAll;
  if (options.bypass && !bypass) {
    const why = masqueradeAll ? 'does not go with --masquerade-all' : 'needs tcx links, of Linux 6.6';
    options.log.warn(`--bypass ${why}: packets take the usual way`);
  }
  using datapath = Datapath.open({
    pinDir: makePinDir(pinDir),
    cgroup: findCgroup(cgroup),
    objects: readObjects(),
    config: encodeConfig(netnsCookie(), {
      fibSource: hasFibSource(),
      wiresOfPods: tellsByDevice(rest.detector),
      masqueradeAll,
      masqueradeBit,
      bypass,
    }),
    mechanism,
  });
  leaveNote(datapath, options);
  const isCluster = 'place' in origin;
  const ranges = { serviceCidrs: serviceCidrs ?? defaultRanges.serviceCidrs, nodePorts: nodePortRange };
  const end = new AbortController();
  const ended = AbortSignal.any([signal, end.signal]);
  let fault: RefusedError | undefined;
  const { observer, ...told } = await prepareServers(options, datapath, ended, (error) => {
    fault = error;
    end.abort();
  });
  const parse = { serviceProxyName, ranges: isCluster ? null : ranges, scheduler };
  const objects = await objectsOf(origin, options, ended, observer);
  const selection = { nodePorts: nodePorts ?? defaultNodePorts, hasNarrowHealthChecks: nodePorts !== null };
  try {
    await runAgent(
      { ...rest, bypass, ...selection, ...told, ...objects, datapath, serviceCidrs: serviceCidrs ?? [], parse },
      ended,
    );
  } finally {
    end.abort(); // a server that listens would keep alive what failed
  }
  if (fault !== undefined) throw fault;
}

/** For those who ask about this agent, also when it is dead. */
function leaveNote(datapath: Datapath, { node, healthzAddress, metricsAddress }: StartOptions): void {
  const text = (address: ServerAddress | null) => address && endpointText(address.host, address.port);
  const servers = { metrics: text(metricsAddress), healthz: text(healthzAddress) };
  datapath.leaveNote({
    pid: process.pid,
    version: ownVersion(),
    node,
    started: new Date().toISOString(),
    ...servers,
  });
}

/** Only what is needed is loaded. */
async function objectsOf(
  origin: Origin,
  { node, serviceProxyName, log }: StartOptions,
  signal: AbortSignal,
  observer: ApiObserver | undefined,
): Promise<Pick<AgentOptions, 'source' | 'onProblems'>> {
  if ('manifests' in origin) {
    const { watchManifests } = await import('./kube/manifests.ts');
    return { source: (onChange) => watchManifests(origin.manifests, onChange) };
  }
  const { watchApi } = await import('./kube/api/api-source.ts');
  const { recordEvents } = await import('./kube/api/event-recorder.ts');
  const { readCluster } = await import('./kube/api/cluster-place.ts');
  const { server } = await readCluster(origin.place);
  log.info(`asking API server ${server.host}: nothing is changed before all is known`);
  const who = { place: origin.place, node, userAgent: `bpfsvc/${ownVersion()}`, observer };
  const recorder = recordEvents(who);
  signal.addEventListener('abort', () => recorder.close());
  return { source: (onChange) => watchApi({ ...who, serviceProxyName }, onChange), onProblems: recorder.report };
}

/** Loaded only where they are asked for: with Node's HTTP server they take 7 MB. */
async function prepareServers(
  { healthzAddress, metricsAddress, bindHardFail, log, node, origin }: StartOptions,
  datapath: Datapath,
  signal: AbortSignal,
  giveUp: (error: RefusedError) => void,
): Promise<Pick<AgentOptions, 'health' | 'metrics' | 'board' | 'onStart'> & { readonly observer?: ApiObserver }> {
  const health = makeHealth();
  if (healthzAddress === null && metricsAddress === null) return { health };
  const { makeMetrics } = await import('./metrics.ts');
  const { makeStatusBoard } = await import('./agent-status.ts');
  const { serveHealth } = await import('./health-server.ts');
  const { serveMetrics } = await import('./metrics-server.ts');
  const metrics = makeMetrics(datapath, ownVersion());
  const source = 'place' in origin ? 'API server' : `manifests ${origin.manifests}`;
  const board = makeStatusBoard({ version: ownVersion(), node, source, health, datapath });
  const refuse = (address: ServerAddress) => (error: Error) => {
    const place = endpointText(address.host, address.port);
    if (bindHardFail)
      giveUp(new RefusedError(`cannot listen at ${place}, and shall not run without: ${error.message}`));
  };
  const onStart = () => {
    if (healthzAddress !== null) {
      const onFailure = refuse(healthzAddress);
      serveHealth({ address: healthzAddress, health, log, signal, onFailure, onAnswer: metrics.answered });
    }
    if (metricsAddress !== null) {
      const onFailure = refuse(metricsAddress);
      const pages = { text: () => metrics.text(), status: () => board.status() };
      serveMetrics({ address: metricsAddress, ...pages, log, signal, onFailure });
      board.count(signal);
    }
  };
  return { health, metrics, board, onStart, observer: metrics.api };
}
