import type { Address, Cidr } from '../model/address.ts';
import type { NodeFacts } from '../model/node.ts';
import type { Endpoints, Service } from '../model/service.ts';

/** All that the desired tables depend on. Services and endpoints are keyed by 'namespace/name'. */
export interface World {
  readonly services: ReadonlyMap<string, Service>;
  readonly endpoints: ReadonlyMap<string, Endpoints>;
  readonly node: NodeFacts;
  readonly serviceCidrs: readonly Cidr[];
  readonly podsAtTc: boolean;
  /** Where NodePorts answer. */
  readonly nodePortAddresses: readonly Address[];
  readonly wires: readonly Wire[];
  /** Who a packet that comes in by a wire is from; whoever is not here is outside. Of several that fit the narrowest counts. */
  readonly sourceClasses: readonly SourceClass[];
  readonly removedBackends: readonly RemovedBackend[];
  /** Devices of pods that flows may enter from another's, around the node's stack. */
  readonly bypass?: readonly number[];
  /** Empty where no wire has `routeMtus`. */
  readonly routeMtus?: readonly RouteMtu[];
}

/** A device that leads out of the node, and what the source becomes of a packet from outside that goes on by it. */
export interface Wire {
  readonly ifindex: number;
  /** null: no source is known, so nothing of that family is forwarded by it. */
  readonly ipv4: Address | null;
  readonly ipv6: Address | null;
  /** What comes in by it is from pods of this node. */
  readonly ofPods: boolean;
  /** '02:00:00:00:00:01'; null: it has no Ethernet header. */
  readonly mac: string | null;
  /** XDP may send frames by it with a redirect. */
  readonly takesFrames: boolean;
  /** XDP may send back what came by it. */
  readonly returnsFrames: boolean;
  /** Some of `routeMtus` are of routes by it. */
  readonly routeMtus?: boolean;
}

/** The mtu of an IPv4 route, in bytes of IP; 0: nothing but what the kernel tells the programs by itself. */
export interface RouteMtu {
  readonly destination: Cidr;
  readonly mtu: number;
}

/** This node itself, a pod of some node, or a pod of this one, to which all packets come by here. */
export interface SourceClass {
  readonly sources: Cidr;
  readonly are: 'node' | 'pod' | 'own_pod';
}

/** Who no longer answers for a service port, so that its UDP flows must choose again. */
export interface RemovedBackend {
  readonly address: Address;
  readonly port: number;
  /** Its id. */
  readonly servicePort: number;
  /** Seconds since boot. */
  readonly removed: number;
}

export interface PlanOptions {
  /** The first listing is incomplete: delete nothing, and leave what a Service holds that the world does not know yet. */
  readonly holdDeletes: boolean;
}
