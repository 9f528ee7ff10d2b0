import type { NetLink } from 'libbpf-ts';
import { type Address, type Cidr, familyOf } from '../model/address.ts';
import type { SourceClass } from '../plan/world.ts';

/**
 * kube-proxy's local detectors: what comes in by a wire counts as a pod's by its source or by its device. It adds to what the
 * hooks tell: who sends through a pod's veth is a pod in any case.
 */
export type Detector =
  | {
      /** The pods of all nodes; without any, the hooks alone tell. */
      readonly mode: 'ClusterCIDR';
      readonly cidrs: readonly Cidr[];
    }
  | {
      /** spec.podCIDRs of this Node */
      readonly mode: 'NodeCIDR';
    }
  | {
      /** A bridge, and its ports. */
      readonly mode: 'BridgeInterface';
      readonly bridge: string;
    }
  | { readonly mode: 'InterfaceNamePrefix'; readonly prefix: string };

export const noDetector: Detector = { mode: 'ClusterCIDR', cidrs: [] };

/** Do devices tell, and not addresses? */
export function tellsByDevice({ mode }: Detector): boolean {
  return mode === 'BridgeInterface' || mode === 'InterfaceNamePrefix';
}

/**
 * Whose addresses the sources are that come in by wires. `localAddresses`: those of this node's devices, which are its own even
 * among the pods'; `podCidrs`: of this Node.
 */
export function sourceClasses(
  detector: Detector,
  localAddresses: Iterable<Address>,
  podCidrs: readonly Cidr[],
): SourceClass[] {
  const pods = detector.mode === 'ClusterCIDR' ? detector.cidrs : [];
  const own = detector.mode === 'NodeCIDR' ? podCidrs : [];
  const node = [...localAddresses]
    .sort()
    .map((address) => ({ address, prefixLength: familyOf(address) === 4 ? 32 : 128 }));
  return [
    ...pods.map((sources) => ({ sources, are: 'pod' }) as const),
    ...own.map((sources) => ({ sources, are: 'own_pod' }) as const),
    ...node.map((sources) => ({ sources, are: 'node' }) as const),
  ];
}

/** Is what comes in by this device from pods of this node? */
export function isOfPods(detector: Detector, link: NetLink, links: readonly NetLink[]): boolean {
  if (detector.mode === 'InterfaceNamePrefix') return link.name.startsWith(detector.prefix);
  if (detector.mode !== 'BridgeInterface') return false;
  return [link, links.find(({ ifindex }) => ifindex === link.master)].some((one) => one?.name === detector.bridge);
}
