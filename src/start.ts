import { type AgentOptions, runAgent } from './agent.ts';
import { Datapath } from './kernel/datapath.ts';
import { netnsCookie } from './kernel/kernel.ts';
import { requireKernel, requirePermission } from './kernel/machine.ts';
import { encodeConfig, readObjects } from './kernel/objects.ts';
import { findCgroup, makePinDir } from './kernel/place.ts';
import { chooseMechanism, hasFibSource } from './kernel/probes.ts';
import { type AllocationRanges, defaultRanges } from './kube/allocate.ts';
import type { Cidr } from './model/address.ts';

export interface StartOptions extends Omit<AgentOptions, 'datapath' | 'parse' | 'serviceCidrs'> {
  /** undefined: the root of the hierarchy. */
  readonly cgroup: string | undefined;
  /** undefined: bpfsvc in the BPF filesystem, which is mounted if need be. */
  readonly pinDir: string | undefined;
  /** undefined: the default ones to allocate from, and no address of them is kept from leaving the node. */
  readonly serviceCidrs: readonly Cidr[] | undefined;
  /** What nodePorts are handed out from. */
  readonly nodePortRange: AllocationRanges['nodePorts'];
}

/**
 * Runs an agent on this machine until `signal` is aborted. Throws an UnsupportedError or a RefusedError, a sentence for
 * people each, if it cannot start.
 */
export async function startAgent(options: StartOptions, signal: AbortSignal): Promise<void> {
  const { cgroup, pinDir, serviceCidrs, nodePortRange, ...rest } = options;
  requirePermission();
  await requireKernel();
  using datapath = Datapath.open({
    pinDir: makePinDir(pinDir),
    cgroup: findCgroup(cgroup),
    objects: readObjects(),
    config: encodeConfig(netnsCookie(), hasFibSource()),
    mechanism: await chooseMechanism(),
  });
  const ranges = { serviceCidrs: serviceCidrs ?? defaultRanges.serviceCidrs, nodePorts: nodePortRange };
  await runAgent(
    { ...rest, datapath, serviceCidrs: serviceCidrs ?? [], parse: { serviceProxyName: null, ranges } },
    signal,
  );
}
