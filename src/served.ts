import { backendText, rowText, servicePortText } from './drift.ts';
import {
  type Frontend,
  frontend,
  frontendFlag,
  frontendKey,
  type Segment,
  schedulerName,
  sourceRangeKey,
  u32,
} from './layout.gen.ts';
import { addressFromHex } from './model/address.ts';
import type { NodeTableName, Rows, Tables } from './plan/tables.ts';

/** What tables say of one place where a Service is asked, or of the node: by names, so that two such can be compared. */
export interface Served {
  /** 'default/web:http'; '' for the node's own. */
  readonly service: string;
  /** '10.96.0.1:80/TCP', 'address 10.96.0.1', 'nodePort 30080/TCP, IPv4', 'node_addresses 192.0.2.1' */
  readonly place: string;
  /** What holds there, in words; of sets the members. */
  readonly facts: Readonly<Record<string, readonly string[]>>;
}

/** By service and place. Segments, slots and ids say nothing to people, and are left out. */
export function servedOf(tables: Tables): Map<string, Served> {
  const served = [...frontendsOf(tables), ...nodeRows(tables)];
  return new Map(served.map((one) => [`${one.service} ${one.place}`, one]));
}

function frontendsOf(tables: Tables): Served[] {
  const ranges = rangesByPort(tables.source_ranges);
  return [...tables.frontends].map(([key, value]) => {
    const row = frontend.decode(value);
    const place = rowText({ table: 'frontends', key });
    return {
      service: servicePortText(tables.names, row.servicePort),
      place,
      facts: frontendKey.decode(key).port === 0 ? addressFacts(row) : portFacts(tables, row, ranges),
    };
  });
}

function addressFacts({ flags }: Frontend): Served['facts'] {
  return { 'other ports': [flags & frontendFlag.address ? 'rejected' : 'not ours'] };
}

function portFacts(tables: Tables, row: Frontend, ranges: ReadonlyMap<number, string[]>): Served['facts'] {
  const { flags, affinitySeconds, scheduler } = row;
  const isLocal = (flags & frontendFlag.local_only) !== 0;
  const pool = (segment: Segment) => slotsOf(tables, segment);
  const inside = { backends: pool(isLocal ? row.local : row.any) };
  const outside = flags & frontendFlag.local_outside ? { 'backends for outside': pool(row.local) } : {};
  const without = { 'without a backend': [flags & frontendFlag.has_endpoint ? 'dropped' : 'rejected'] };
  const affinity = affinitySeconds > 0 ? { 'session affinity': [`${affinitySeconds} s`] } : {};
  const guarded = flags & frontendFlag.source_ranges ? { 'source ranges': ranges.get(row.servicePort) ?? [] } : {};
  const by = scheduler > 0 ? { scheduler: [schedulerName(scheduler)] } : {};
  return { ...inside, ...outside, ...without, ...by, ...affinity, ...guarded };
}

function slotsOf({ backends }: Tables, { start, count }: Segment): string[] {
  const slots = Array.from({ length: count }, (_, i) => backends.get(u32.encode(start + i)));
  return slots.map((value) => (value === undefined ? 'an unknown slot' : backendText(value))).sort();
}

function rangesByPort(rows: Rows): Map<number, string[]> {
  const ranges = new Map<number, string[]>();
  for (const key of rows.keys()) {
    const { servicePort } = sourceRangeKey.decode(key);
    const [text = ''] = rowText({ table: 'source_ranges', key }).split(' of ');
    ranges.set(servicePort, [...(ranges.get(servicePort) ?? []), text].sort());
  }
  return ranges;
}

const nodeTables = ['node_addresses', 'service_cidrs', 'source_classes', 'wires'] as const satisfies NodeTableName[];

function nodeRows(tables: Tables): Served[] {
  return nodeTables.flatMap((table) =>
    [...tables[table]].map(([key, value]) => ({
      service: '',
      place: `${table} ${rowText({ table, key })}`,
      facts: table === 'wires' ? { sources: sourcesOf(value) } : { value: [value] },
    })),
  );
}

/** Of struct wire: both addresses; all zero is none. */
function sourcesOf(value: string): string[] {
  const addresses = [value.slice(0, 32), value.slice(32, 64)].filter((hex) => !/^0*$/.test(hex));
  return [...addresses.map(addressFromHex), ...(/^0*$/.test(value.slice(64)) ? [] : ['pods are behind it'])];
}
