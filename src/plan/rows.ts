import {
  backend,
  cidrKey,
  frontend,
  frontendFlag,
  frontendKey,
  nodeAddress,
  nodeAddressFlag,
  removedBackendKey,
  scheduler,
  servicePortName,
  sourceClass,
  sourceRangeKey,
  switches,
  u32,
  wire,
  wireFlag,
} from '../layout.gen.ts';
import { type Address, addressToHex, type Cidr, familyOf, firstOfFamily, noAddressHex } from '../model/address.ts';
import type { Frontend, LocalFor, Pool } from '../model/frontends.ts';
import type { Scheduler } from '../model/scheduler.ts';
import type { Protocol, Service, ServicePort } from '../model/service.ts';
import { checkOf } from './check.ts';
import { maglevTable, tableSize } from './maglev.ts';
import { noSegment, type Segment } from './segments.ts';
import type { RemovedBackend, RouteMtu, SourceClass, Wire, World } from './world.ts';

/** A row of a table, both as hex. */
export type Row = readonly [key: string, value: string];

/** Hex digits of one slot of `backends`. */
export const slotDigits: number = 2 * backend.size;

/** IPPROTO_... */
export const protocolNumbers: Readonly<Record<Protocol, number>> = { TCP: 6, UDP: 17, SCTP: 132 };

/**
 * The slots of a pool, one after the other, sorted by the bytes of address and port as the programs' search needs them; then
 * those of the table that the scheduler needs, if it does.
 */
export function encodePool(pool: Pool, by: Scheduler = 'random'): string {
  const rows = pool
    .map(({ address, port }) => backend.encode({ address: addressToHex(address), port, flags: 0 }))
    .sort();
  const size = tableSize(scheduler[by], rows.length);
  if (size === 0) return rows.join('');
  return [...rows, ...Array.from(maglevTable(rows, size), (i) => rows[i])].join('');
}

/** The rows of the slots of `segment`, whose content is an encoded pool. */
export function slotRows({ start, count }: Segment, content: string): Row[] {
  return Array.from({ length: count }, (_, i): Row => {
    return [u32.encode(start + i), content.slice(i * slotDigits, (i + 1) * slotDigits)];
  });
}

export function encodeFrontendKey(of: Frontend): string {
  const isAddress = of.kind === 'address';
  return frontendKey.encode({
    address: addressToHex(of.address),
    port: isAddress ? 0 : of.number,
    protocol: isAddress ? 0 : protocolNumbers[of.port.protocol],
  });
}

/** Is this the key of an address as such, not of a port of it? */
export function isAddressKey(key: string): boolean {
  return key.endsWith('00000000');
}

/** `key` as from `encodeFrontendKey`; the segments hold the backends of the frontend's pools, `noSegment` for an empty one or none. */
export function encodeFrontend(key: string, of: Frontend, servicePort: number, any: Segment, local: Segment): string {
  const isAddress = of.kind === 'address';
  const row = {
    any: isAddress ? noSegment : any,
    local: isAddress ? noSegment : local,
    servicePort,
    affinitySeconds: isAddress ? 0 : of.affinitySeconds,
    flags: flagsOf(of),
    scheduler: scheduler[isAddress ? 'random' : of.scheduler],
  };
  const unchecked = frontend.encode({ ...row, check: 0 });
  return frontend.encode({ ...row, check: checkOf(key, unchecked.slice(0, -8)) });
}

const localFlags: Readonly<Record<LocalFor, number>> = {
  nobody: 0,
  outside: frontendFlag.local_outside,
  everybody: frontendFlag.local_only,
};

function flagsOf(of: Frontend): number {
  const origin = of.place === 'loadBalancer' ? frontendFlag.assigned : 0;
  if (of.kind === 'address') {
    return origin | (of.place === 'cluster' ? frontendFlag.address : frontendFlag.external_address);
  }
  return (
    origin |
    localFlags[of.localFor] |
    (of.hasEndpoint ? frontendFlag.has_endpoint : 0) |
    (of.guarded ? frontendFlag.source_ranges : 0)
  );
}

export function encodeName(service: Service, port: ServicePort): string {
  return servicePortName.encode({
    namespace: service.namespace,
    service: service.name,
    port: port.name,
    number: port.number,
    protocol: protocolNumbers[port.protocol],
  });
}

/** The value only has to be there: an address inside that no Service has must not leave the node. */
export function cidrRow({ address, prefixLength }: Cidr): Row {
  return [
    cidrKey.encode({ prefixLength: bitsOf({ address, prefixLength }), address: addressToHex(address) }),
    u32.encode(1),
  ];
}

/** The value only has to be there: a source inside may ask where a frontend of this service port is guarded. */
export function sourceRow(servicePort: number, source: Cidr): Row {
  const key = { prefixLength: 32 + bitsOf(source), servicePort, source: addressToHex(source.address) };
  return [sourceRangeKey.encode(key), u32.encode(1)];
}

/** Of 128: an IPv4 prefix counts from the mapped address. */
function bitsOf({ address, prefixLength }: Cidr): number {
  return familyOf(address) === 4 ? prefixLength + 96 : prefixLength;
}

export function switchesRow({ node, podsAtTc, removedBackends }: World): Row {
  const primary = (family: 4 | 6) => addressOrZeros(firstOfFamily(node.addresses, family));
  const row = {
    nodeIpv4: primary(4),
    nodeIpv6: primary(6),
    podsAtTc: podsAtTc ? 1 : 0,
    hasRemovedBackends: removedBackends.length > 0 ? 1 : 0,
  };
  return [u32.encode(0), switches.encode(row)];
}

/** Of the loopback addresses NodePorts are offered to the node's own sockets, never to packets. */
export function nodeAddressRow(address: Address): Row {
  const flags = /^(127\.|::1$)/.test(address) ? nodeAddressFlag.localhost : 0;
  return [addressToHex(address), nodeAddress.encode(flags)];
}

export function wireRow({
  ifindex,
  ipv4,
  ipv6,
  ofPods,
  mac,
  takesFrames,
  returnsFrames,
  routeMtus = false,
}: Wire): Row {
  const row = {
    ipv4: addressOrZeros(ipv4),
    ipv6: addressOrZeros(ipv6),
    flags:
      (ofPods ? wireFlag.pods : 0) |
      (takesFrames ? wireFlag.takes_frames : 0) |
      (returnsFrames ? wireFlag.returns_frames : 0) |
      (routeMtus ? wireFlag.route_mtus : 0),
    mac: (mac ?? '00:00:00:00:00:00').replaceAll(':', ''),
  };
  return [u32.encode(ifindex), wire.encode(row)];
}

export function podRow(ifindex: number): Row {
  return [u32.encode(ifindex), u32.encode(1)];
}

export function sourceClassRow({ sources, are }: SourceClass): Row {
  const key = { prefixLength: bitsOf(sources), address: addressToHex(sources.address) };
  return [cidrKey.encode(key), u32.encode(sourceClass[are])];
}

export function routeMtuRow({ destination, mtu }: RouteMtu): Row {
  const key = { prefixLength: bitsOf(destination), address: addressToHex(destination.address) };
  return [cidrKey.encode(key), u32.encode(mtu)];
}

export function removedBackendRow({ address, port, servicePort, removed }: RemovedBackend): Row {
  const key = { address: addressToHex(address), servicePort, port };
  return [removedBackendKey.encode(key), u32.encode(removed)];
}

function addressOrZeros(address: Address | null | undefined): string {
  return address ? addressToHex(address) : noAddressHex;
}
