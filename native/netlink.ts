import { addon } from './addon.ts';
import { BpfError } from './error.ts';

export interface NetLink {
  ifindex: number;
  name: string;
  /** 'veth', 'bridge', 'vxlan'; '' for hardware and lo. */
  kind: string;
  /** IFF_UP. */
  up: boolean;
  /** IFF_... */
  flags: number;
  mtu: number;
  /** ARPHRD_...: 1 Ethernet, 772 loopback, 65534 none. */
  type: number;
  /** ifindex of the bridge, bond or VRF it belongs to; 0: none. */
  master: number;
  /** IFLA_LINK: the other end of a veth, the device below a VLAN; 0: none. In `linkNetnsid`, if that is there. */
  parent: number;
  /** undefined: `parent` is in this namespace. */
  linkNetnsid: number | undefined;
  /** Link layer address, '02:00:00:00:00:01'; '' if it has none. */
  address: string;
  qdisc: string;
  /** Id of the program that is attached at XDP, in whatever mode; 0: none. */
  xdpProgram: number;
}

/** A queueing discipline. */
export interface NetQdisc {
  ifindex: number;
  /** 'noqueue', 'fq_codel', 'clsact'. */
  kind: string;
  /** TC_H_...: 0xffffffff the root, 0xfffffff1 where clsact and ingress stand. */
  parent: number;
}

/** What a driver can do at XDP. */
export interface XdpFeatures {
  /** Runs programs in native mode, and sends frames back by the device they came from. */
  native: boolean;
  /** Sends frames that came by other devices. Some drivers only can while they have a program of their own. */
  takesFrames: boolean;
}

export interface NetAddress {
  ifindex: number;
  family: 4 | 6;
  /** Of a point-to-point device the local end. */
  address: string;
  prefixLength: number;
  /** RT_SCOPE_...: 0 global, 253 link, 254 host. */
  scope: number;
  /** IFA_F_... */
  flags: number;
}

export interface NetRoute {
  family: 4 | 6;
  /** '' for a default route. */
  destination: string;
  prefixLength: number;
  /** Of the first nexthop; 0: none (blackhole, unreachable). */
  ifindex: number;
  /** Of all nexthops. */
  ifindexes: number[];
  /** Of the first nexthop. May be of the other family. */
  gateway: string | undefined;
  /** The preferred source address. */
  source: string | undefined;
  /** 254 main, 255 local. */
  table: number;
  /** RTN_...: 1 unicast, 2 local, 3 broadcast, 6 blackhole, 7 unreachable. */
  type: number;
  /** RTPROT_...: 2 kernel, 3 boot, 4 static. */
  protocol: number;
  scope: number;
  /** The metric. */
  priority: number;
  /** Bytes of IP; 0: that of the device. */
  mtu: number;
  /** The kernel learns no other one for its destinations. */
  mtuLocked: boolean;
}

/** All devices of the calling thread's network namespace. Like the next two: in a worker, and asked again if interrupted. */
export async function netLinks(): Promise<NetLink[]> {
  return addon.netLinks() as Promise<NetLink[]>;
}

/** All addresses, IPv4 first. */
export async function netAddresses(): Promise<NetAddress[]> {
  return addon.netAddresses() as Promise<NetAddress[]>;
}

/** All routes of all tables, IPv4 first. Cached and cloned ones are not routes. */
export async function netRoutes(): Promise<NetRoute[]> {
  return addon.netRoutes() as Promise<NetRoute[]>;
}

/**
 * Asks rtnetlink for a change in the calling thread's network namespace, and waits until it is made. `type`: RTM_...;
 * `flags`: NLM_F_... beside those of a request that is acknowledged; `body`: the message without its header, at most 1,024
 * bytes. BpfError: the kernel's refusal, in its words where it has any.
 */
export function netRequest(type: number, flags: number, body: Uint8Array): void {
  addon.netRequest(type, flags, body);
}

/** All queueing disciplines, those included that the kernel gives a device by itself. */
export async function netQdiscs(): Promise<NetQdisc[]> {
  return addon.netQdiscs() as Promise<NetQdisc[]>;
}

/** NETDEV_XDP_ACT_BASIC, NETDEV_XDP_ACT_NDO_XMIT */
const [BASIC, NDO_XMIT] = [1, 4];

/** By ifindex, of the devices that know. undefined: the kernel is older than 6.3 and tells of none. In a worker. */
export async function netXdpFeatures(): Promise<Map<number, XdpFeatures> | undefined> {
  try {
    const [family] = await addon.genericFamily('netdev');
    if (family === undefined) return undefined;
    const rows = await addon.xdpFeatures(family);
    return new Map(
      rows.map(({ ifindex, features }) => [
        ifindex,
        { native: (features & BASIC) !== 0, takesFrames: (features & NDO_XMIT) !== 0 },
      ]),
    );
  } catch (error) {
    if (error instanceof BpfError && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
