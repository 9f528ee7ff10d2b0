import type { Role } from '../kernel/devices.ts';
import type { NodePortSelection } from '../kernel/node-ports.ts';
import { LARGEST_MAP, type Sizes, stateNames } from '../kernel/sizes.ts';
import type { XdpChoice } from '../kernel/xdp.ts';
import type { AllocationRanges } from '../kube/allocate.ts';
import { type Cidr, familyOf, parseAddress, parseCidr } from '../model/address.ts';
import { tableNames } from '../plan/tables.ts';
import type { ServerAddress } from '../server.ts';
import { parsePairs, UsageError } from './usage.ts';

/** `--service-cidr A,B`, `--cluster-cidr A,B`: at most one of each family. `where` is what people call the place it stands in. */
export function parseCidrs(text: string, where: string): Cidr[] {
  const cidrs = text.split(',').map((part) => {
    const cidr = parseCidr(part);
    if (cidr === null) throw new UsageError(`${where} ${part} is not ADDRESS/LENGTH`);
    return cidr;
  });
  if (new Set(cidrs.map(({ address }) => familyOf(address))).size < cidrs.length) {
    throw new UsageError(`${where} ${text} names two ranges of one family`);
  }
  return cidrs;
}

/** `--node-port-range FIRST-LAST` */
export function parseNodePorts(text: string): AllocationRanges['nodePorts'] {
  const [, from, to] = /^(\d+)-(\d+)$/.exec(text) ?? [];
  const [first, last] = [Number(from), Number(to)];
  if (!(first >= 1 && first <= last && last <= 65535)) {
    throw new UsageError(`--node-port-range ${text} is not FIRST-LAST, such as 30000-32767`);
  }
  return { first, last };
}

/** `--nodeport-addresses A,B`, as kube-proxy has it: CIDRs and the words primary, localhost and all, which add up. */
export function parseNodePortAddresses(texts: readonly string[], where = '--nodeport-addresses'): NodePortSelection {
  const words = texts.flatMap((text) => text.split(',')).map((word) => word.trim());
  const cidrs = words.flatMap((word): Cidr[] => {
    if (word === 'primary' || word === 'localhost') return [];
    if (word === 'all') return everything;
    const cidr = parseCidr(word);
    if (cidr === null) {
      throw new UsageError(`${where} ${word} is not a CIDR, and not one of primary, localhost, all`);
    }
    return [cidr];
  });
  return { primary: words.includes('primary'), localhost: words.includes('localhost'), cidrs };
}

const everything: Cidr[] = [
  { address: '0.0.0.0', prefixLength: 0 },
  { address: '::', prefixLength: 0 },
];

/** `--device NAME=pod|wire|none` */
export function parseDevices(texts: readonly string[]): Map<string, Role> {
  return new Map(
    parsePairs('--device', texts).map(([name, role]) => {
      if (role !== 'pod' && role !== 'wire' && role !== 'none') {
        throw new UsageError(`--device ${name}=${role} is not one of pod, wire, none`);
      }
      return [name, role];
    }),
  );
}

/** `--xdp off|auto|NAME,…` */
export function parseXdp(text: string): XdpChoice {
  if (text === 'off' || text === 'auto') return text;
  const words = text.split(',').map((word) => word.trim());
  const odd = words.find((word) => word === '' || word === 'off' || word === 'auto');
  if (odd !== undefined) throw new UsageError(`--xdp ${text} is not off, auto, or names of devices`);
  return new Set(words);
}

/** IP:PORT, as kube-proxy has it; an address alone gets `defaultPort`, and '' is nowhere. */
export function parseBindAddress(text: string, where: string, defaultPort: number): ServerAddress | null {
  if (text === '') return null;
  const [, inBrackets, plain, digits] = /^(?:\[([^\]]*)\]|([^:]*)):(\d+)$/.exec(text) ?? [];
  const host = parseAddress(inBrackets ?? plain ?? text);
  const port = digits === undefined ? defaultPort : Number(digits);
  if (host === null || port > 65535) {
    throw new UsageError(`${where} ${text} is not IP:PORT, such as 127.0.0.1:${defaultPort} or [::1]:${defaultPort}`);
  }
  return { host, port };
}

/** Maps whose size is part of what the programs are. */
const ofOneSize: ReadonlySet<string> = new Set(['switches', 'flow_hints', 'counted_sockets', 'events', 'trace_filter']);

/** `--map-size MAP=ROWS` */
export function parseSizes(texts: readonly string[]): Partial<Sizes> {
  const names = [...tableNames, ...stateNames].filter((name) => !ofOneSize.has(name));
  const sizes: Record<string, number> = {};
  for (const [name, value] of parsePairs('--map-size', texts)) {
    if (!names.includes(name as (typeof names)[number])) {
      throw new UsageError(`--map-size ${name}: there is no such map, but ${names.join(', ')}`);
    }
    const rows = Number(value);
    if (!Number.isInteger(rows) || rows < 1 || rows > LARGEST_MAP) {
      throw new UsageError(`--map-size ${name}=${value} is not a number of rows from 1 to ${LARGEST_MAP}`);
    }
    sizes[name] = rows;
  }
  return sizes;
}
