import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { BpfError, netLinks, netRequest, setNetns, unshareNetns } from 'libbpf-ts';
import { type Address, addressToHex, familyOf } from '../model/address.ts';
import { RefusedError } from './refused.ts';

/** rtnetlink(7) and netlink(7). */
const RTM_NEWLINK = 16;
const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const NLM_F_EXCL = 0x200;
const NLM_F_CREATE = 0x400;
const IFF_UP = 1;
const IFLA_IFNAME = 3;
const IFLA_LINKINFO = 18 | 0x8000;
const IFLA_INFO_KIND = 1;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTPROT_STATIC = 4;
const families = { 4: { number: 2, bytes: 4 }, 6: { number: 10, bytes: 16 } } as const;
const ways = {
  local: { type: 2, table: 255, scope: 254 },
  out: { type: 1, table: 254, scope: 253 },
} as const;

const LOOPBACK = 1;
const OWN_NETNS = '/proc/thread-self/ns/net';

/** A network namespace of the calling thread's own, which is in it until it leaves. */
export interface PrivateNetwork extends Disposable {
  /** ifindex of the device that everything leaves by that is not local. */
  readonly wire: number;
  /** Back to where the thread was, and in again. */
  leave(): void;
  enter(): void;
  /** Other addresses are local from now on, instead of those before. */
  setLocal(local: Iterable<Address>): void;
}

/**
 * Moves the calling thread into a network namespace of its own, made for routes to be looked up in: the given addresses are
 * local there, and there is a way out to all others. What is sent there reaches nobody. Throws a RefusedError if this
 * process may not have one.
 */
export async function enterPrivateNetwork(local: Iterable<Address>): Promise<PrivateNetwork> {
  const home = openSync(OWN_NETNS, 'r');
  let inside = home;
  const leave = () => setNetns(`/proc/self/fd/${home}`);
  const close = () => {
    leave();
    for (const fd of new Set([home, inside])) closeSync(fd);
  };
  try {
    unshareNetns();
    inside = openSync(OWN_NETNS, 'r');
    const wire = await makeWays();
    let own: ReadonlySet<Address> = new Set();
    const setLocal = (next: Iterable<Address>) => {
      own = changeLocal(own, new Set(next));
    };
    setLocal(local);
    return { wire, leave, enter: () => setNetns(`/proc/self/fd/${inside}`), setLocal, [Symbol.dispose]: close };
  } catch (error) {
    close();
    throw refusal(error);
  }
}

function refusal(error: unknown): unknown {
  if (error instanceof BpfError || (error instanceof Error && 'code' in error)) {
    return new RefusedError(`a network namespace to look routes up in cannot be made (${error.message})`);
  }
  return error;
}

async function makeWays(): Promise<number> {
  const kind = attribute(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, Buffer.from('veth')));
  const name = attribute(IFLA_IFNAME, Buffer.from('wire\0'));
  netRequest(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, Buffer.concat([linkHeader(0), name, kind]));
  const hasIPv6 = existsSync('/proc/sys/net/ipv6');
  if (hasIPv6) setting('ipv6', 'disable_ipv6', '0');
  const links = await netLinks();
  for (const { ifindex } of links) netRequest(RTM_NEWLINK, 0, linkHeader(ifindex));
  const wire = links.find((link) => link.name === 'wire')?.ifindex ?? 0;
  setting('ipv4', 'forwarding', '1');
  netRequest(RTM_NEWROUTE, NLM_F_CREATE, routeTo(null, 4, 'out', wire));
  if (hasIPv6) {
    setting('ipv6', 'forwarding', '1');
    netRequest(RTM_NEWROUTE, NLM_F_CREATE, routeTo(null, 6, 'out', wire));
  }
  return wire;
}

/** Nothing is written where it is so already: sysctls may be read-only in a container. */
function setting(family: 'ipv4' | 'ipv6', name: string, value: string): void {
  const path = `/proc/sys/net/${family}/conf/all/${name}`;
  if (readFileSync(path, 'utf8').trim() !== value) writeFileSync(path, value);
}

/** Loopback is local by itself. */
function changeLocal(before: ReadonlySet<Address>, after: ReadonlySet<Address>): ReadonlySet<Address> {
  const hasIPv6 = existsSync('/proc/sys/net/ipv6');
  const isOrdinary = (address: Address) => !/^(127\.|::1$)/.test(address) && (hasIPv6 || familyOf(address) === 4);
  const way = (address: Address) => routeTo(address, familyOf(address), 'local', LOOPBACK);
  for (const address of before) {
    if (!after.has(address) && isOrdinary(address)) netRequest(RTM_DELROUTE, 0, way(address));
  }
  for (const address of after) {
    if (!before.has(address) && isOrdinary(address)) netRequest(RTM_NEWROUTE, NLM_F_CREATE, way(address));
  }
  return after;
}

/** struct ifinfomsg of a device that is to be up. */
function linkHeader(ifindex: number): Buffer {
  const header = Buffer.alloc(16);
  header.writeInt32LE(ifindex, 4);
  header.writeUInt32LE(IFF_UP, 8);
  header.writeUInt32LE(IFF_UP, 12);
  return header;
}

/** struct rtmsg and its attributes; null: the default route. */
function routeTo(destination: Address | null, family: 4 | 6, way: keyof typeof ways, ifindex: number): Buffer {
  const { number, bytes } = families[family];
  const { type, table, scope } = ways[way];
  const header = Buffer.alloc(12);
  header[0] = number;
  header[1] = destination === null ? 0 : bytes * 8;
  header[4] = table;
  header[5] = RTPROT_STATIC;
  header[6] = family === 4 ? scope : 0;
  header[7] = type;
  const device = Buffer.alloc(4);
  device.writeUInt32LE(ifindex);
  const parts = [header, attribute(RTA_OIF, device)];
  if (destination !== null)
    parts.push(attribute(RTA_DST, Buffer.from(addressToHex(destination), 'hex').subarray(-bytes)));
  return Buffer.concat(parts);
}

/** struct rtattr */
function attribute(type: number, data: Buffer): Buffer {
  const bytes = Buffer.alloc((4 + data.length + 3) & ~3);
  bytes.writeUInt16LE(4 + data.length, 0);
  bytes.writeUInt16LE(type, 2);
  data.copy(bytes, 4);
  return bytes;
}
