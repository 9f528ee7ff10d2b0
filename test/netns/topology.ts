/**
 * What a lab looks like: who has which address, and the lines for `ip -batch` and the sysctls that build it. Pure: lab.ts
 * runs them.
 *
 *      outside 192.168.50.254 ─┐
 *                              ├─ switch (a bridge)      ptp:    each pod a /32 behind its own host veth, 169.254.1.1, proxy ARP
 *   node 1     192.168.50.1   ─┤                         bridge: host veths are ports of cni0, which holds the gateway
 *   node 2     192.168.50.2   ─┘   pods 10.1.<node>.<10 + k>, fd00:1:<node>::<10 + k>
 */

export type Shape = 'ptp' | 'bridge';
export type Underlay = 'routes' | 'vxlan';

/** Anything that is a network namespace of the lab: exec and spawn take it. */
export interface Place {
  readonly name: string;
  /** Name under /run/netns. */
  readonly netns: string;
  readonly ip4: string;
  readonly ip6: string;
}

export interface Pod extends Place {
  /** The host's end of the pod's veth, in the node's namespace; the pod's end is eth0. */
  readonly veth: string;
  readonly node: string;
}

export interface Node extends Place {
  /** 1, 2, …: the third byte of its pods' addresses. */
  readonly index: number;
  readonly podCidr4: string;
  readonly podCidr6: string;
  /** A private child of the cgroup2 hierarchy: what `bpfsvc run --cgroup` gets, and the processes that shall meet its socket hooks. */
  readonly cgroup: string;
  /** A directory on a bpffs that goes away with the lab. */
  readonly pinDir: string;
  /** As they are now: the lab adds and removes. */
  readonly pods: Pod[];
}

export const outsideAddress = { ip4: '192.168.50.254', ip6: 'fd00:50::fe' } as const;

export function nodeAddress(index: number): { ip4: string; ip6: string } {
  return { ip4: `192.168.50.${index}`, ip6: `fd00:50::${index}` };
}

export function podCidrs(index: number): { podCidr4: string; podCidr6: string } {
  return { podCidr4: `10.1.${index}.0/24`, podCidr6: `fd00:1:${index}::/64` };
}

/** Address of the k-th pod of a node, k from 1. */
export function podAddress(index: number, k: number): { ip4: string; ip6: string } {
  return { ip4: `10.1.${index}.${10 + k}`, ip6: `fd00:1:${index}::${10 + k}` };
}

/** The name of a pod's host veth; interface names end at 15 characters. */
export function vethName(pod: string): string {
  const name = `veth${pod}`;
  if (name.length > 15) throw new RangeError(`pod name ${pod}: ${name} is longer than 15 characters`);
  return name;
}

export type Sysctls = Readonly<Record<string, string | number>>;

/** Of every namespace, before its first device. No DAD: a tentative address answers nobody for a second. */
export function commonSysctls(mayBeCut: boolean | undefined): Sysctls {
  return {
    'net/ipv4/ip_no_pmtu_disc': mayBeCut ? 1 : 0,
    'net/ipv6/conf/all/disable_ipv6': 0,
    'net/ipv6/conf/default/disable_ipv6': 0,
    'net/ipv6/conf/all/accept_dad': 0,
    'net/ipv6/conf/default/accept_dad': 0,
    'net/ipv6/conf/default/accept_ra': 0,
    'net/ipv4/tcp_congestion_control': 'reno',
  };
}

export function nodeSysctls(rpFilter: 0 | 1 | 2, bridgeNetfilter: boolean | undefined): Sysctls {
  const names = ['net/bridge/bridge-nf-call-iptables', 'net/bridge/bridge-nf-call-ip6tables'];
  const bridge = bridgeNetfilter === undefined ? [] : names.map((name) => [name, bridgeNetfilter ? 1 : 0]);
  return {
    ...Object.fromEntries(bridge),
    'net/ipv4/ip_forward': 1,
    'net/ipv6/conf/all/forwarding': 1,
    'net/ipv4/conf/all/rp_filter': rpFilter,
    'net/ipv4/conf/default/rp_filter': rpFilter,
  };
}

/** The node's own devices but for its uplink, which the switch brings. */
export function nodeLinks(node: Node, shape: Shape): string[] {
  if (shape === 'ptp') return [];
  return [
    'link add cni0 type bridge',
    'link set cni0 up',
    `address add 10.1.${node.index}.1/24 dev cni0`,
    `address add fd00:1:${node.index}::1/64 dev cni0 nodad`,
  ];
}

/** In the switch's namespace: the bridge and a cable to each member, whose end there is eth0. */
export function switchLinks(members: readonly Place[]): string[] {
  return [
    'link add br0 type bridge',
    'link set br0 up',
    ...members.flatMap((member, i) => [
      `link add port${i} type veth peer name eth0 netns ${member.netns}`,
      `link set port${i} master br0 up`,
    ]),
  ];
}

/** In the namespace of a node or of the client outside, once its eth0 is there. */
export function uplink(self: Place): string[] {
  return ['link set eth0 up', `address add ${self.ip4}/24 dev eth0`, `address add ${self.ip6}/64 dev eth0 nodad`];
}

/** Routes of one node: everything unknown goes outside, pods of other nodes go to their node. */
export function nodeRoutes(self: Node, nodes: readonly Node[], underlay: Underlay): string[] {
  const others = nodes.filter((node) => node.index !== self.index);
  const lines = [`route add default via ${outsideAddress.ip4}`, `route add default via ${outsideAddress.ip6}`];
  if (underlay === 'routes') return [...lines, ...others.flatMap(podRoutes)];
  lines.push(
    `link add vxlan.1 address ${tunnelMac(self)} mtu 1450 type vxlan id 1 dev eth0 local ${self.ip4} dstport 8472 nolearning udpcsum`,
    'link set vxlan.1 up',
    `address add 10.1.${self.index}.0/32 dev vxlan.1`,
    `address add fd00:1:${self.index}::/128 dev vxlan.1 nodad`,
  );
  for (const other of others) {
    const mac = tunnelMac(other);
    lines.push(
      `route add ${other.podCidr4} via 10.1.${other.index}.0 dev vxlan.1 onlink`,
      `route add ${other.podCidr6} via fd00:1:${other.index}:: dev vxlan.1 onlink`,
      `neighbour add 10.1.${other.index}.0 lladdr ${mac} dev vxlan.1 nud permanent`,
      `neighbour add fd00:1:${other.index}:: lladdr ${mac} dev vxlan.1 nud permanent`,
    );
  }
  return lines;
}

function tunnelMac(node: Node): string {
  return `02:00:00:00:00:${node.index.toString(16).padStart(2, '0')}`;
}

/** Lines for `bridge -batch` in a node that has vxlan.1: which node is behind which MAC. */
export function tunnelPeers(self: Node, nodes: readonly Node[]): string[] {
  return nodes
    .filter((node) => node.index !== self.index)
    .map((other) => `fdb append ${tunnelMac(other)} dev vxlan.1 dst ${other.ip4}`);
}

/** The pods of a node, reached over the wire. */
export function podRoutes(node: Node): string[] {
  return [`route add ${node.podCidr4} via ${node.ip4}`, `route add ${node.podCidr6} via ${node.ip6}`];
}

/** In the node's namespace: the pod's cable. */
export function podLink(pod: Pod, shape: Shape, mtu: number): string[] {
  const lines = [`link add ${pod.veth} mtu ${mtu} type veth peer name eth0 netns ${pod.netns}`];
  if (shape === 'bridge') return [...lines, `link set ${pod.veth} master cni0 up`];
  return [
    ...lines,
    `link set ${pod.veth} up`,
    `address add fe80::1/64 dev ${pod.veth} nodad`,
    `route add ${pod.ip4}/32 dev ${pod.veth}`,
    `route add ${pod.ip6}/128 dev ${pod.veth}`,
  ];
}

/** In the node's namespace, once the pod's cable is there. */
export function podLinkSysctls(pod: Pod, shape: Shape): Sysctls {
  return shape === 'ptp'
    ? { [`net/ipv4/conf/${pod.veth}/proxy_arp`]: 1, [`net/ipv4/neigh/${pod.veth}/proxy_delay`]: 0 }
    : {};
}

/** In the pod's namespace, once its eth0 is there. */
export function podInside(pod: Pod, node: Node, shape: Shape, mtu: number): string[] {
  const up = `link set eth0 mtu ${mtu} up`;
  if (shape === 'bridge') {
    return [
      up,
      `address add ${pod.ip4}/24 dev eth0`,
      `route add default via 10.1.${node.index}.1`,
      `address add ${pod.ip6}/64 dev eth0 nodad`,
      `route add default via fd00:1:${node.index}::1`,
    ];
  }
  return [
    up,
    `address add ${pod.ip4}/32 dev eth0`,
    'route add 169.254.1.1 dev eth0 scope link',
    'route add default via 169.254.1.1 dev eth0',
    `address add ${pod.ip6}/128 dev eth0 nodad`,
    'route add default via fe80::1 dev eth0',
  ];
}
