import type { Described } from './described-node.ts';
import { bypassDevices } from './kernel/bypass.ts';
import { classifyDevices, type Role } from './kernel/devices.ts';
import { readNetwork } from './kernel/network.ts';
import { readDriverFeatures } from './kernel/xdp.ts';
import { makeWorld, ownNode } from './own-node.ts';
import { type Inventory, inventory, type World } from './plan/plan.ts';
import { heldRemovals } from './plan/removals.ts';
import type { Tables } from './plan/tables.ts';

/** What of an agent's world is neither of the cluster nor of the network. */
export interface AgentChoices {
  /** `--device` */
  readonly devices: ReadonlyMap<string, Role>;
  readonly socketUdp: 'auto' | 'host' | 'all';
}

/**
 * The world that an agent on this machine would plan for, with these flags and what is loaded now; which UDP backends were removed
 * is known to the kernel alone.
 */
export async function worldHere(
  described: Described,
  { devices: overrides, socketUdp }: AgentChoices,
  actual: Tables,
): Promise<{ world: World; held: Inventory }> {
  const { parsed, node, serviceCidrs, nodePorts, detector, primaryAddress = null } = described;
  const network = await readNetwork();
  const nodeAddresses = ownNode(parsed, node)?.internalIPs ?? [];
  const devices = classifyDevices(network, { nodeAddresses, overrides });
  const podsAtTc = socketUdp === 'auto' ? devices.some(({ role }) => role === 'pod') : socketUdp === 'host';
  const own = { name: node, serviceCidrs, nodePorts, detector, primaryAddress };
  const driverFeatures = await readDriverFeatures();
  /* whether an agent was told to, only what is loaded knows */
  const bypass = actual.pods.size > 0 ? await bypassDevices(network, devices) : [];
  const world = makeWorld(parsed, { ...own, network, devices, podsAtTc, driverFeatures, bypass });
  const held = inventory(actual);
  return { world: { ...world, removedBackends: [...heldRemovals(held).values()] }, held };
}
