import { type Detector, sourceClasses } from './kernel/detector.ts';
import type { Device, Network } from './kernel/devices.ts';
import { guessNodeAddresses, localAddresses } from './kernel/network.ts';
import { type NodePortSelection, nodePortAddresses } from './kernel/node-ports.ts';
import { routeMtusOf } from './kernel/route-mtus.ts';
import { wiresOf } from './kernel/wires.ts';
import type { DriverFeatures } from './kernel/xdp.ts';
import type { Parsed } from './kube/parse.ts';
import type { Address, Cidr } from './model/address.ts';
import type { World } from './plan/plan.ts';

/** The own Node, as the cluster tells it; undefined: no such object. */
export function ownNode(parsed: Parsed, name: string): Parsed['nodes'][number] | undefined {
  return parsed.nodes.find((node) => node.name === name);
}

/** The node's addresses, primary first: what the cluster says, else what the routes suggest. */
function nodeAddresses(
  parsed: Parsed,
  { name, network, primaryAddress }: Pick<Surroundings, 'name' | 'network' | 'primaryAddress'>,
): readonly Address[] {
  const addresses = ownNode(parsed, name)?.internalIPs ?? guessNodeAddresses(network);
  return primaryAddress === null ? addresses : [...new Set([primaryAddress, ...addresses])];
}

/** Where load balancers may ask at a Service's healthCheckNodePort; wildcards stand for everywhere in their family. */
export function healthCheckAddresses({ nodePortAddresses }: World, isNarrow: boolean): readonly Address[] {
  return isNarrow ? nodePortAddresses : ['0.0.0.0', '::'];
}

/** What of a world does not come from the cluster's objects. */
export interface Surroundings {
  /** This node's */
  readonly name: string;
  /** What a person said, beside the cluster's ServiceCIDR objects. */
  readonly serviceCidrs: readonly Cidr[];
  readonly network: Network;
  readonly devices: readonly Device[];
  readonly nodePorts: NodePortSelection;
  readonly detector: Detector;
  readonly podsAtTc: boolean;
  /** What a person says the node's primary address is; null: nothing. */
  readonly primaryAddress: Address | null;
  readonly driverFeatures?: DriverFeatures;
  /** Devices of pods that flows may enter around the stack, by ifindex. */
  readonly bypass?: readonly number[];
}

/** What the cluster wants and what this node is, put together for the plan. */
export function makeWorld(parsed: Parsed, surroundings: Surroundings): World {
  const {
    name,
    serviceCidrs,
    network,
    devices,
    nodePorts,
    detector,
    podsAtTc,
    driverFeatures,
    bypass = [],
  } = surroundings;
  const node = ownNode(parsed, name);
  const local = localAddresses(network);
  const addresses = nodeAddresses(parsed, surroundings);
  return {
    services: parsed.services,
    endpoints: parsed.endpoints,
    node: {
      name,
      zone: node?.zone || null,
      addresses,
      localAddresses: local,
    },
    serviceCidrs: [...parsed.serviceCidrs, ...serviceCidrs],
    podsAtTc,
    nodePortAddresses: nodePortAddresses(nodePorts, network, addresses),
    wires: wiresOf(network, devices, addresses, detector, driverFeatures),
    sourceClasses: sourceClasses(detector, local, node?.podCidrs ?? []),
    removedBackends: [],
    bypass,
    routeMtus: routeMtusOf(network, devices),
  };
}

/** Does anything differ that decides about all Services? */
export function isOtherNode(before: World, after: World): boolean {
  const facts = ({ node }: World) =>
    JSON.stringify([node.zone, node.addresses, [...node.localAddresses].sort(), node.name]);
  return facts(before) !== facts(after);
}

/** Are there other rows of the node itself, which every plan looks at, whatever its scope? */
export function hasOtherRows(before: World, after: World): boolean {
  const facts = ({ bypass, serviceCidrs, podsAtTc, nodePortAddresses, wires, sourceClasses, routeMtus }: World) =>
    JSON.stringify([bypass, serviceCidrs, podsAtTc, nodePortAddresses, wires, sourceClasses, routeMtus]);
  return facts(before) !== facts(after);
}
