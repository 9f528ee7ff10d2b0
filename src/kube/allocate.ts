import { hash } from 'node:crypto';
import { type Address, addressFromHex, addressToHex, type Cidr, cidrContains, familyOf } from '../model/address.ts';
import type { Problem } from '../model/service.ts';

/*
 * What an API server would hand out: clusterIPs and nodePorts. Each Service's place follows from its name alone, and who
 * finds it taken moves on in name order. So every node that reads the same objects, in whatever order, and after every
 * restart, comes to the same answer without talking to the others.
 */

/** Where to allocate from. Without a range of a family nothing of that family is handed out. */
export interface AllocationRanges {
  /** The first range of each family counts; the family that comes first is that of a Service that does not say. */
  readonly serviceCidrs: readonly Cidr[];
  /** Both inclusive. */
  readonly nodePorts: { readonly first: number; readonly last: number };
}

export const defaultRanges: AllocationRanges = {
  serviceCidrs: [
    { address: '10.96.0.0', prefixLength: 12 },
    { address: 'fd00:10:96::', prefixLength: 112 },
  ],
  nodePorts: { first: 30000, last: 32767 },
};

/** What one Service has and lacks. `owner` is 'namespace/name'. */
export interface AllocationRequest {
  readonly owner: string;
  readonly addresses: readonly Address[];
  readonly wantedFamilies: readonly (4 | 6)[];
  readonly nodePorts: readonly number[];
  /** Service port numbers that lack a nodePort; TCP and UDP of one number share it. */
  readonly wantedPorts: readonly number[];
}

/** What one Service got. */
export interface Grant {
  readonly addresses: ReadonlyMap<4 | 6, Address>;
  /** By service port number. */
  readonly nodePorts: ReadonlyMap<number, number>;
}

export interface Allocation {
  /** By 'namespace/name'; those that wanted nothing are not in it. */
  readonly grants: ReadonlyMap<string, Grant>;
  readonly problems: readonly Problem[];
}

export function allocate(requests: readonly AllocationRequest[], ranges: AllocationRanges): Allocation {
  const inOrder = requests
    .filter(({ wantedFamilies, wantedPorts }) => wantedFamilies.length + wantedPorts.length > 0)
    .sort((a, b) => (a.owner < b.owner ? -1 : 1));
  const grants = new Map(inOrder.map(({ owner }) => [owner, { addresses: new Map(), nodePorts: new Map() }]));
  const problems: Problem[] = [];
  for (const family of [4, 6] as const) {
    const explicit = requests.flatMap(({ addresses }) => addresses).filter((address) => familyOf(address) === family);
    problems.push(...allocateAddresses(inOrder, explicit, ranges, family, grants));
  }
  const explicit = requests.flatMap(({ nodePorts }) => nodePorts);
  problems.push(...allocateNodePorts(inOrder, explicit, ranges, grants));
  return { grants, problems };
}

type Grants = ReadonlyMap<string, { addresses: Map<4 | 6, Address>; nodePorts: Map<number, number> }>;

function allocateAddresses(
  requests: readonly AllocationRequest[],
  explicit: readonly Address[],
  ranges: AllocationRanges,
  family: 4 | 6,
  grants: Grants,
): Problem[] {
  const problems: Problem[] = [];
  const cidr = ranges.serviceCidrs.find(({ address }) => familyOf(address) === family);
  const range = cidr === undefined ? null : hostRange(cidr);
  const slots = openSlots(range?.size ?? 0, range === null ? [] : explicit.map(range.offset));
  for (const { owner, wantedFamilies } of requests) {
    if (!wantedFamilies.includes(family)) continue;
    const slot = slots.take(owner);
    if (slot !== null && range !== null) grants.get(owner)?.addresses.set(family, range.address(slot));
    else problems.push({ object: `Service ${owner}`, reason: noAddress(family, cidr) });
  }
  return problems;
}

function noAddress(family: 4 | 6, cidr: Cidr | undefined): string {
  return cidr === undefined
    ? `needs an IPv${family} clusterIP, and there is no service CIDR of that family`
    : `no free IPv${family} clusterIP in ${cidr.address}/${cidr.prefixLength}`;
}

function allocateNodePorts(
  requests: readonly AllocationRequest[],
  explicit: readonly number[],
  { nodePorts: { first, last } }: AllocationRanges,
  grants: Grants,
): Problem[] {
  const problems: Problem[] = [];
  const slots = openSlots(
    last - first + 1,
    explicit.map((port) => port - first),
  );
  for (const { owner, wantedPorts } of requests) {
    for (const port of [...new Set(wantedPorts)].sort((a, b) => a - b)) {
      const slot = slots.take(`${owner}:${port}`);
      if (slot !== null) grants.get(owner)?.nodePorts.set(port, first + slot);
      else problems.push({ object: `Service ${owner}`, reason: `port ${port}: no free nodePort in ${first}-${last}` });
    }
  }
  return problems;
}

/** Numbers below `size`, less those in `explicit` (others than such numbers are ignored). */
function openSlots(size: number, explicit: readonly number[]): { take(name: string): number | null } {
  const taken = new Set(explicit.filter((slot) => slot >= 0 && slot < size));
  return {
    take(name) {
      if (taken.size >= size) return null;
      let slot = hashOf(name) % size;
      while (taken.has(slot)) slot = (slot + 1) % size;
      taken.add(slot);
      return slot;
    },
  };
}

/** 48 bits: what a number holds exactly. */
const hashBits = 48;

function hashOf(name: string): number {
  return Number.parseInt(hash('sha256', name).slice(0, hashBits / 4), 16);
}

/**
 * The addresses of a range that may be handed out as numbers from 0: all but the network address, and in IPv4 the
 * broadcast address. Of a very large IPv6 range the first 2^48 are used.
 */
function hostRange(cidr: Cidr): { size: number; address(slot: number): Address; offset(address: Address): number } {
  const hex = addressToHex(cidr.address);
  const high = hex.slice(0, 32 - hashBits / 4);
  const low = Number.parseInt(hex.slice(-hashBits / 4), 16);
  const family = familyOf(cidr.address);
  const hostBits = (family === 4 ? 32 : 128) - cidr.prefixLength;
  const size = Math.max(0, 2 ** Math.min(hostBits, hashBits) - (family === 4 ? 2 : 1));
  return {
    size,
    address: (slot) => addressFromHex(high + (low + 1 + slot).toString(16).padStart(hashBits / 4, '0')),
    offset(address) {
      const digits = cidrContains(cidr, address) ? addressToHex(address) : '';
      return digits.startsWith(high) ? Number.parseInt(digits.slice(-hashBits / 4), 16) - low - 1 : -1;
    },
  };
}
