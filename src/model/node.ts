import type { Address } from './address.ts';

/** What the choice of backends needs to know of the node that it is made on. */
export interface NodeFacts {
  readonly name: string;
  /** Label topology.kubernetes.io/zone; null: the node has none, so zone hints do not apply. */
  readonly zone: string | null;
  /** The Node's own addresses, primary first: the first of each family is session affinity's client for the node itself. */
  readonly addresses: readonly Address[];
  /** Every address of a device of this node (kube-ipvs0 excepted): a clusterIP among them is somebody else's to answer. */
  readonly localAddresses: ReadonlySet<Address>;
}
