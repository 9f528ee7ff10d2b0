import type { Sizes } from './kernel/sizes.ts';
import {
  backend,
  cidrKey,
  frontendKey,
  removedBackendKey,
  servicePortName,
  sourceRangeKey,
  u32,
} from './layout.gen.ts';
import { type Address, addressFromHex, endpointText, familyOf } from './model/address.ts';
import { anyAddress } from './model/places.ts';
import { type Inventory, makePlan, type PlanOptions, type World } from './plan/plan.ts';
import { isAddressKey } from './plan/rows.ts';
import type { Step, TableName, Tables } from './plan/tables.ts';
import { protocolText } from './protocol.ts';

/**
 * The steps that would make the kernel what the world wants; none: it is that, byte by byte. `held` must have been read from
 * the kernel just now; what the world says of removed backends is the caller's.
 */
export function driftOf(world: World, held: Inventory, sizes: Sizes, options: PlanOptions): readonly Step[] {
  return makePlan(world, held, 'all', sizes, options).steps;
}

/** One row that is not as it should be. Bytes are hex; null: it is not there, or should not be. */
export interface Deviation {
  readonly table: TableName;
  /** What the row is about, in words. */
  readonly row: string;
  readonly key: string;
  readonly found: string | null;
  readonly wanted: string | null;
}

export function deviationOf(step: Step, actual: Tables): Deviation {
  const { table, key } = step;
  const found = actual[table].get(key) ?? null;
  return { table, row: rowText(step), key, found, wanted: step.op === 'set' ? step.value : null };
}

/** What a row is about: '10.96.0.1:80/TCP', 'nodePort 30080/TCP', 'slot 7'. */
export function rowText({ table, key }: Pick<Step, 'table' | 'key'>): string {
  switch (table) {
    case 'frontends':
      return frontendText(key);
    case 'names':
      return `service port ${u32.decode(key)}`;
    case 'backends':
      return `slot ${u32.decode(key)}`;
    case 'source_ranges': {
      const { prefixLength, servicePort, source } = sourceRangeKey.decode(key);
      return `${cidrText(source, prefixLength - 32)} of service port ${servicePort}`;
    }
    case 'wires':
    case 'pods':
      return `device ${u32.decode(key)}`;
    case 'node_addresses':
      return addressFromHex(key);
    case 'service_cidrs':
    case 'source_classes':
    case 'route_mtus': {
      const { prefixLength, address } = cidrKey.decode(key);
      return cidrText(address, prefixLength);
    }
    case 'removed_backends': {
      const { address, port, servicePort } = removedBackendKey.decode(key);
      return `${endpointText(addressFromHex(address), port)} of service port ${servicePort}`;
    }
    case 'switches':
      return 'what changes at run time';
  }
}

function frontendText(key: string): string {
  const { address, port, protocol } = frontendKey.decode(key);
  const ip = addressFromHex(address);
  if (isAddressKey(key)) return `address ${ip}`;
  const number = `${port}/${protocolText(protocol)}`;
  return isAny(ip) ? `nodePort ${number}, IPv${familyOf(ip)}` : `${endpointText(ip, port)}/${protocolText(protocol)}`;
}

function isAny(address: Address): boolean {
  return address === anyAddress[4] || address === anyAddress[6];
}

/** `bits` of 128. */
function cidrText(hex: string, bits: number): string {
  const address = addressFromHex(hex);
  return `${address}/${familyOf(address) === 4 ? bits - 96 : bits}`;
}

/** 'default/web:http', '' for rows of the node or of nobody who is known: by the names that are held or wanted. */
export function servicePortText(names: ReadonlyMap<string, string>, id: number): string {
  const value = names.get(u32.encode(id));
  if (value === undefined) return '';
  const { namespace, service, port } = servicePortName.decode(value);
  return `${namespace}/${service}:${port}`;
}

/** 'address:port' of a row of `backends`. */
export function backendText(value: string): string {
  const { address, port } = backend.decode(value);
  return endpointText(addressFromHex(address), port);
}
