import type { Network } from './kernel/devices.ts';
import { guessNodeAddresses, localAddresses } from './kernel/network.ts';
import type { Parsed } from './kube/parse.ts';
import type { Cidr } from './model/address.ts';
import type { World } from './plan/plan.ts';

/** The own Node, as the cluster tells it; undefined: no such object. */
export function ownNode(parsed: Parsed, name: string): Parsed['nodes'][number] | undefined {
  return parsed.nodes.find((node) => node.name === name);
}

/** The node's addresses, primary first: what the cluster says, else what the routes suggest. */
function nodeAddresses(parsed: Parsed, name: string, network: Network): readonly string[] {
  return ownNode(parsed, name)?.internalIPs ?? guessNodeAddresses(network);
}

/** What of a world does not come from the cluster's objects. */
export interface Surroundings {
  /** This node's */
  readonly name: string;
  /** What a person said, beside the cluster's ServiceCIDR objects. */
  readonly serviceCidrs: readonly Cidr[];
  readonly network: Network;
  readonly podsAtTc: boolean;
}

/** What the cluster wants and what this node is, put together for the plan. */
export function makeWorld(parsed: Parsed, { name, serviceCidrs, network, podsAtTc }: Surroundings): World {
  return {
    services: parsed.services,
    endpoints: parsed.endpoints,
    node: {
      name,
      zone: ownNode(parsed, name)?.zone || null,
      addresses: nodeAddresses(parsed, name, network),
      localAddresses: localAddresses(network),
    },
    serviceCidrs: [...parsed.serviceCidrs, ...serviceCidrs],
    podsAtTc,
    nodePortAddresses: [],
    wires: [],
    removedBackends: [],
  };
}

/** Does anything differ that is not of a single Service, so that a plan must look at all of them? */
export function isOtherNode(before: World, after: World): boolean {
  const facts = (world: World) =>
    JSON.stringify([
      world.node.zone,
      world.node.addresses,
      [...world.node.localAddresses].sort(),
      world.serviceCidrs,
      world.podsAtTc,
    ]);
  return facts(before) !== facts(after);
}
