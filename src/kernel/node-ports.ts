import { type Address, type Cidr, cidrContains, firstOfFamily } from '../model/address.ts';
import type { Network } from './devices.ts';
import { localAddresses } from './network.ts';

/** `--nodeport-addresses`: on which of the node's addresses NodePorts answer; what is said adds up. */
export interface NodePortSelection {
  /** The node's own, the first of each family. */
  readonly primary: boolean;
  /** 127.0.0.1 and ::1, for the node's own processes. */
  readonly localhost: boolean;
  /** Each one that lies in one of these; a range of everything does not mean loopback. */
  readonly cidrs: readonly Cidr[];
}

export const defaultNodePorts: NodePortSelection = { primary: true, localhost: false, cidrs: [] };

const LOCALHOST: readonly Address[] = ['127.0.0.1', '::1'];

/** The addresses that the selection means on this network, sorted. `nodeAddresses`: the node's own, primary first. */
export function nodePortAddresses(
  selection: NodePortSelection,
  network: Network,
  nodeAddresses: readonly Address[],
): Address[] {
  const chosen = new Set<Address>(selection.localhost ? LOCALHOST : []);
  for (const family of selection.primary ? ([4, 6] as const) : []) {
    const primary = firstOfFamily(nodeAddresses, family);
    if (primary !== undefined) chosen.add(primary);
  }
  for (const address of localAddresses(network)) {
    if (selection.cidrs.some((cidr) => selects(cidr, address))) chosen.add(address);
  }
  return [...chosen].sort();
}

/** Of the many addresses of loopback, one of each family is offered. */
function selects(cidr: Cidr, address: Address): boolean {
  if (!cidrContains(cidr, address)) return false;
  const isLoopback = address === '::1' || address.startsWith('127.');
  return !isLoopback || (cidr.prefixLength > 0 && LOCALHOST.includes(address));
}
