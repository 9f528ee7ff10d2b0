import type { Detector } from './kernel/detector.ts';
import type { Network } from './kernel/devices.ts';
import type { NodePortSelection } from './kernel/node-ports.ts';
import type { Parsed } from './kube/parse.ts';
import { type Address, type Cidr, familyOf, parseAddress } from './model/address.ts';
import { makeWorld, ownNode } from './own-node.ts';
import type { World } from './plan/world.ts';

/** A node that is only described. */
export interface Described {
  readonly parsed: Parsed;
  readonly node: string;
  /** `--service-cidr`, if a person gave it. */
  readonly serviceCidrs: readonly Cidr[];
  /** What tells pods, beside Pod objects of the node. */
  readonly detector: Detector;
  readonly nodePorts: NodePortSelection;
  /** `--masquerade-all` */
  readonly masqueradeAll?: boolean;
  /** `--bind-address`; null: what the Node says. */
  readonly primaryAddress?: Address | null;
}

/** RT_SCOPE_... */
const scopes = { global: 0, host: 254 } as const;
const LOOPBACK = 1;

/** What a node that tells no address of a family is called there: it has one, since it has a way out. RFC 7600 and RFC 6666. */
const NAMELESS: Readonly<Record<4 | 6, Address>> = { 4: '192.0.0.8', 6: '100::1' };

/**
 * The world of a node whose only devices are loopback, and a wire with all of its addresses. Throws an UnknownNodeError if
 * the manifests have no such Node.
 */
export function describedWorld(node: Described, wire: number): World {
  const { parsed, node: name, serviceCidrs, nodePorts, detector, primaryAddress = null } = node;
  const own = ownNode(parsed, name);
  if (own === undefined) throw new UnknownNodeError(name);
  const on = (ifindex: number, scope: keyof typeof scopes) => (address: Address) => {
    return { ifindex, family: familyOf(address), address, prefixLength: 0, scope: scopes[scope], flags: 0 };
  };
  const addresses = [...own.internalIPs.map(on(wire, 'global')), ...['127.0.0.1', '::1'].map(on(LOOPBACK, 'host'))];
  const network: Network = { links: [], addresses, routes: [] };
  const devices = [{ ifindex: wire, name: 'wire', role: 'wire', hasLinkHeader: true, reason: 'described' }] as const;
  const said = { name, serviceCidrs, nodePorts, detector, primaryAddress };
  const world = makeWorld(parsed, { ...said, network, devices, podsAtTc: true });
  return {
    ...world,
    wires: world.wires.map((one) => ({ ...one, ipv4: one.ipv4 ?? NAMELESS[4], ipv6: one.ipv6 ?? NAMELESS[6] })),
  };
}

/** The message is one sentence for people. */
export class UnknownNodeError extends Error {
  override readonly name: string = 'UnknownNodeError';

  constructor(node: string) {
    super(`there is no Node '${node}' among the manifests: name one of them with --node`);
  }
}

/** The addresses of the node's Pods that have one of their own or the node's. */
export function podAddresses({ parsed, node }: Described): Set<Address> {
  const texts = [...parsed.memory.objects.values()].flatMap((object) => {
    if (object.kind !== 'Pod' || object.spec.nodeName !== node) return [];
    return [object.status.podIP, ...object.status.podIPs.map(({ ip }) => ip)];
  });
  return new Set(texts.flatMap((text) => parseAddress(text) ?? []));
}

/** Where its pods are, by the detector. */
export function podCidrs({ detector, parsed, node }: Described): readonly Cidr[] {
  if (detector.mode === 'NodeCIDR') return ownNode(parsed, node)?.podCidrs ?? [];
  return detector.mode === 'ClusterCIDR' ? detector.cidrs : [];
}
