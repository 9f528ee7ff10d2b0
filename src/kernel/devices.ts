import type { NetAddress, NetLink, NetRoute } from 'libbpf-ts';

/** What a device is to us: the way to a pod, a way out of the node, or nothing of ours. */
export type Role = 'pod' | 'wire' | 'none';

export interface Device {
  readonly ifindex: number;
  readonly name: string;
  readonly role: Role;
  /** Its packets begin with an Ethernet header, and not with that of layer 3. */
  readonly hasLinkHeader: boolean;
  /** In words, for `check` and the log. */
  readonly reason: string;
}

/** All that roles are told by. */
export interface Network {
  readonly links: readonly NetLink[];
  readonly addresses: readonly NetAddress[];
  readonly routes: readonly NetRoute[];
}

export interface RoleRules {
  /** The InternalIPs of this Node, as text. */
  readonly nodeAddresses: readonly string[];
  /** `--device NAME=ROLE`. */
  readonly overrides: ReadonlyMap<string, Role>;
}

/** rtnetlink(7): the table of the node's own addresses, and the type of an ordinary route. */
const LOCAL_TABLE = 255;
const UNICAST = 1;

/** One that packets to others take. */
export function isOrdinaryRoute({ table, type }: NetRoute): boolean {
  return table !== LOCAL_TABLE && type === UNICAST;
}

/** ARPHRD_...: of these the kernel hands packets on without a link header (dev_is_mac_header_xmit and ppp): ppp, raw IP, ipip, ip6tnl, sit, gre, pimreg, ip6gre, none (tun, WireGuard), void. */
const headless: ReadonlySet<number> = new Set([512, 519, 768, 769, 776, 778, 779, 823, 65534, 65535]);

interface Facts {
  readonly rules: RoleRules;
  readonly links: ReadonlyMap<number, NetLink>;
  readonly ports: ReadonlyMap<number, readonly NetLink[]>;
  /** ifindex → the node address it carries */
  readonly nodeAddress: ReadonlyMap<number, string>;
  readonly defaultRoute: ReadonlySet<number>;
  /** ifindex → destination of a route by way of a gateway */
  readonly gatewayRoute: ReadonlyMap<number, string>;
}

/**
 * Roles go by routes first and by kind second: a node's uplink may itself be a veth. Pure; one Device for each link, in
 * the order of the links.
 */
export function classifyDevices(network: Network, rules: RoleRules): Device[] {
  const facts = gather(network, rules);
  return network.links.map((link) => {
    const { role, reason } = roleOf(link, facts);
    return { ifindex: link.ifindex, name: link.name, role, hasLinkHeader: !headless.has(link.type), reason };
  });
}

type Verdict = Pick<Device, 'role' | 'reason'>;

function roleOf(link: NetLink, facts: Facts): Verdict {
  const override = facts.rules.overrides.get(link.name);
  if (override !== undefined) return { role: override, reason: 'said so by --device' };
  if (isLoopback(link)) return { role: 'none', reason: 'loopback' };
  return byRoutes(link, facts) ?? byKind(link, facts);
}

function byRoutes(link: NetLink, facts: Facts): Verdict | undefined {
  if (link.master !== 0 || !link.up) return undefined;
  const address = facts.nodeAddress.get(link.ifindex);
  if (address !== undefined) return { role: 'wire', reason: `carries the node address ${address}` };
  if (facts.defaultRoute.has(link.ifindex)) return { role: 'wire', reason: 'carries the default route' };
  const destination = facts.gatewayRoute.get(link.ifindex);
  if (link.kind === 'veth' && destination !== undefined) {
    return { role: 'wire', reason: `carries a route to ${destination} by way of a gateway` };
  }
  return undefined;
}

function byKind(link: NetLink, facts: Facts): Verdict {
  const master = facts.links.get(link.master);
  if (isPodVeth(link, facts)) {
    const where = master === undefined ? '' : `, port of ${master.name}`;
    return { role: 'pod', reason: `veth whose peer is in another namespace${where}` };
  }
  if (link.master !== 0) return { role: 'none', reason: `port of ${master?.name ?? `device ${link.master}`}` };
  if (!link.up) return { role: 'none', reason: 'down' };
  if (link.kind === 'bridge') return bridgeRole(link, facts);
  if (link.kind === 'ifb') return { role: 'none', reason: 'only shapes what other devices carry' };
  return { role: 'wire', reason: `a way out of the node (${link.kind || 'hardware'})` };
}

function bridgeRole(link: NetLink, facts: Facts): Verdict {
  const ports = facts.ports.get(link.ifindex) ?? [];
  if (ports.length === 0) return { role: 'none', reason: 'bridge without ports' };
  const pods = ports.filter((port) => isPodVeth(port, facts));
  if (pods.length > 0)
    return { role: 'none', reason: `bridge of ${pods.length} pod veth${pods.length > 1 ? 's' : ''}` };
  return { role: 'wire', reason: 'bridge of devices that are not pods' };
}

/** A port of something that is not a bridge (a bond, a VRF) is that thing's own. */
function isPodVeth(link: NetLink, facts: Facts): boolean {
  if (facts.rules.overrides.has(link.name)) return facts.rules.overrides.get(link.name) === 'pod';
  if (link.kind !== 'veth' || link.linkNetnsid === undefined) return false;
  if (link.master !== 0) return facts.links.get(link.master)?.kind === 'bridge';
  return byRoutes(link, facts) === undefined;
}

function isLoopback(link: NetLink): boolean {
  const IFF_LOOPBACK = 8;
  return (link.flags & IFF_LOOPBACK) !== 0;
}

function gather(network: Network, rules: RoleRules): Facts {
  const ports = new Map<number, NetLink[]>();
  for (const link of network.links) {
    if (link.master === 0) continue;
    const siblings = ports.get(link.master);
    if (siblings) siblings.push(link);
    else ports.set(link.master, [link]);
  }
  const nodeAddress = new Map<number, string>();
  for (const { ifindex, address } of network.addresses) {
    if (rules.nodeAddresses.includes(address)) nodeAddress.set(ifindex, address);
  }
  const defaultRoute = new Set<number>();
  const gatewayRoute = new Map<number, string>();
  for (const route of network.routes) {
    if (!isOrdinaryRoute(route)) continue;
    const devices = route.ifindexes.length > 0 ? route.ifindexes : [route.ifindex];
    for (const ifindex of devices) {
      if (route.prefixLength === 0) defaultRoute.add(ifindex);
      else if (route.gateway !== undefined) gatewayRoute.set(ifindex, `${route.destination}/${route.prefixLength}`);
    }
  }
  return {
    rules,
    links: new Map(network.links.map((link) => [link.ifindex, link])),
    ports,
    nodeAddress,
    defaultRoute,
    gatewayRoute,
  };
}
