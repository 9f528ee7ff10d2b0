import type { Logger } from 'pino';
import { type AgentOptions, runAgent } from './agent.ts';
import { Datapath } from './kernel/datapath.ts';
import { tellsByDevice } from './kernel/detector.ts';
import { netnsCookie } from './kernel/kernel.ts';
import { requireKernel, requirePermission } from './kernel/machine.ts';
import { encodeConfig, readObjects } from './kernel/objects.ts';
import { findCgroup, makePinDir } from './kernel/place.ts';
import { chooseMechanism, hasFibSource } from './kernel/probes.ts';
import { type AllocationRanges, defaultRanges } from './kube/allocate.ts';
import type { MetricsAddress } from './metrics-server.ts';
import type { Cidr } from './model/address.ts';
import { ownVersion } from './own-version.ts';

export interface StartOptions
  extends Omit<AgentOptions, 'datapath' | 'parse' | 'serviceCidrs' | 'metrics' | 'onStart'> {
  /** undefined: the root of the hierarchy. */
  readonly cgroup: string | undefined;
  /** undefined: bpfsvc in the BPF filesystem, which is mounted if need be. */
  readonly pinDir: string | undefined;
  /** undefined: the default ones to allocate from, and no address of them is kept from leaving the node. */
  readonly serviceCidrs: readonly Cidr[] | undefined;
  /** What nodePorts are handed out from. */
  readonly nodePortRange: AllocationRanges['nodePorts'];
  /** null: nowhere. */
  readonly metricsAddress: MetricsAddress | null;
}

/**
 * Runs an agent on this machine until `signal` is aborted. Throws an UnsupportedError or a RefusedError, a sentence for
 * people each, if it cannot start.
 */
export async function startAgent(options: StartOptions, signal: AbortSignal): Promise<void> {
  const { cgroup, pinDir, serviceCidrs, nodePortRange, metricsAddress, ...rest } = options;
  requirePermission();
  await requireKernel();
  using datapath = Datapath.open({
    pinDir: makePinDir(pinDir),
    cgroup: findCgroup(cgroup),
    objects: readObjects(),
    config: encodeConfig(netnsCookie(), {
      fibSource: hasFibSource(),
      wiresOfPods: tellsByDevice(options.detector),
    }),
    mechanism: await chooseMechanism(),
  });
  const ranges = { serviceCidrs: serviceCidrs ?? defaultRanges.serviceCidrs, nodePorts: nodePortRange };
  const end = new AbortController();
  const ended = AbortSignal.any([signal, end.signal]);
  const told = metricsAddress && (await prepareMetrics(metricsAddress, datapath, options.log, ended));
  const parse = { serviceProxyName: null, ranges };
  try {
    await runAgent({ ...rest, ...told, datapath, serviceCidrs: serviceCidrs ?? [], parse }, signal);
  } finally {
    end.abort(); // a server that listens would keep alive what failed
  }
}

/** Loaded only where it is asked for: with Node's HTTP server it takes 7 MB. */
async function prepareMetrics(
  address: MetricsAddress,
  datapath: Datapath,
  log: Logger,
  signal: AbortSignal,
): Promise<Pick<AgentOptions, 'metrics' | 'onStart'>> {
  const { makeMetrics } = await import('./metrics.ts');
  const { serveMetrics } = await import('./metrics-server.ts');
  const metrics = makeMetrics(datapath, ownVersion());
  return { metrics, onStart: () => serveMetrics(address, () => metrics.text(), log, signal) };
}
