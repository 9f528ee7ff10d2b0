import type { Detector } from '../kernel/detector.ts';
import type { Role } from '../kernel/devices.ts';
import type { NodePortSelection } from '../kernel/node-ports.ts';
import { LARGEST_MAP, type Sizes, stateNames } from '../kernel/sizes.ts';
import type { AllocationRanges } from '../kube/allocate.ts';
import type { MetricsAddress } from '../metrics-server.ts';
import { type Cidr, familyOf, parseAddress, parseCidr } from '../model/address.ts';
import { tableNames } from '../plan/tables.ts';
import { parsePairs, UsageError } from './usage.ts';

/** `--service-cidr A,B`: at most one of each family. */
export function parseServiceCidrs(text: string): Cidr[] {
  const cidrs = text.split(',').map((part) => parseFlagCidr('--service-cidr', part));
  if (new Set(cidrs.map(({ address }) => familyOf(address))).size < cidrs.length) {
    throw new UsageError(`--service-cidr ${text} names two ranges of one family`);
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
export function parseNodePortAddresses(texts: readonly string[]): NodePortSelection {
  const words = texts.flatMap((text) => text.split(',')).map((word) => word.trim());
  const cidrs = words.flatMap((word): Cidr[] => {
    if (word === 'primary' || word === 'localhost') return [];
    if (word === 'all') return everything;
    const cidr = parseCidr(word);
    if (cidr === null) {
      throw new UsageError(`--nodeport-addresses ${word} is not a CIDR, and not one of primary, localhost, all`);
    }
    return [cidr];
  });
  return { primary: words.includes('primary'), localhost: words.includes('localhost'), cidrs };
}

export interface DetectorFlags {
  clusterCidr?: string;
  detectLocalMode: Detector['mode'];
  podBridgeInterface?: string;
  podInterfaceNamePrefix?: string;
}

/** `--detect-local-mode` and what it needs, as kube-proxy has them. */
export function parseDetector(flags: DetectorFlags): Detector {
  const { clusterCidr = '', detectLocalMode: mode, podBridgeInterface: bridge, podInterfaceNamePrefix: prefix } = flags;
  if (mode === 'NodeCIDR') return { mode };
  if (mode === 'BridgeInterface') return { mode, bridge: needed(bridge, mode, '--pod-bridge-interface') };
  if (mode === 'InterfaceNamePrefix') return { mode, prefix: needed(prefix, mode, '--pod-interface-name-prefix') };
  const texts = clusterCidr.split(',').filter((text) => text.trim() !== '');
  return { mode, cidrs: texts.map((text) => parseFlagCidr('--cluster-cidr', text)) };
}

function needed(value: string | undefined, mode: string, flag: string): string {
  if (!value) throw new UsageError(`--detect-local-mode ${mode} needs ${flag}`);
  return value;
}

function parseFlagCidr(flag: string, text: string): Cidr {
  const cidr = parseCidr(text);
  if (cidr === null) throw new UsageError(`${flag} ${text} is not ADDRESS/LENGTH`);
  return cidr;
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

/** `--metrics-bind-address IP:PORT`, as kube-proxy has it; an address alone gets kube-proxy's port. */
export function parseMetricsAddress(text: string): MetricsAddress | null {
  if (text === '') return null;
  const [, inBrackets, plain, digits] = /^(?:\[([^\]]*)\]|([^:]*)):(\d+)$/.exec(text) ?? [];
  const host = parseAddress(inBrackets ?? plain ?? text);
  const port = digits === undefined ? 10249 : Number(digits);
  if (host === null || port > 65535) {
    throw new UsageError(`--metrics-bind-address ${text} is not IP:PORT, such as 127.0.0.1:10249 or [::1]:10249`);
  }
  return { host, port };
}

/** Maps whose size is part of what the programs are. */
const ofOneSize: ReadonlySet<string> = new Set(['switches', 'flow_hints', 'events', 'trace_filter']);

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
