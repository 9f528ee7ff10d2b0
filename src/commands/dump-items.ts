import {
  backend,
  frontend,
  frontendFlag,
  frontendKey,
  reasonName,
  type Segment,
  servicePortName,
  u32,
} from '../layout.gen.ts';
import { addressFromHex } from '../model/address.ts';
import type { Tables } from '../plan/tables.ts';
import { byService, compare, endpointText, protocolText, type Reading, refOf, type ServiceRef } from './service-ref.ts';

/** Which of the pools the programs choose from: that of the whole cluster, or that of this node. */
export type PoolName = 'any' | 'local';

export interface ServiceItem extends ServiceRef {
  readonly port: number;
  readonly protocol: string;
  readonly clusterIPs: readonly string[];
  readonly pool: PoolName;
  /** 0: no session affinity. */
  readonly affinitySeconds: number;
  /** 'address:port' of whom new connections may reach now. */
  readonly backends: readonly string[];
  /** Connections and packets by reason. */
  readonly counters: Readonly<Record<string, number>>;
}

export interface FrontendItem extends ServiceRef {
  readonly address: string;
  /** null, with the protocol: any other port of the address, which is refused. */
  readonly port: number | null;
  readonly protocol: string | null;
  readonly pool: PoolName;
  readonly affinitySeconds: number;
  readonly hasEndpoint: boolean;
  readonly backends: number;
  readonly segments: Readonly<Record<PoolName, Segment>>;
}

export interface BackendItem extends ServiceRef {
  readonly address: string;
  readonly port: number;
  readonly servicePort: number;
  readonly protocol: string;
  readonly pools: readonly PoolName[];
}

/** Every port that is served: one that is not has no row in `frontends`, even if its name stands for its Service. */
export function serviceItems({ tables, counters }: Reading): ServiceItem[] {
  const rows = readFrontends(tables);
  const clusterIPs = new Set(rows.filter(({ port }) => port === 0).map(({ address }) => address));
  const byId = Map.groupBy(
    rows.filter(({ port }) => port !== 0),
    ({ servicePort }) => servicePort,
  );
  const items = [...tables.names].flatMap(([key, value]): ServiceItem[] => {
    const id = u32.decode(key);
    const name = servicePortName.decode(value);
    const own = (byId.get(id) ?? []).sort((a, b) => familyOrder(a.address, b.address));
    const [first] = own;
    if (first === undefined) return [];
    const item = {
      ...refOf(tables, id),
      port: name.number,
      protocol: protocolText(name.protocol),
      clusterIPs: own.flatMap(({ address }) => (clusterIPs.has(address) ? [address] : [])),
      pool: first.pool,
      affinitySeconds: first.affinitySeconds,
      backends: distinct(own.flatMap((row) => slotsOf(tables, row[row.pool]).map(slotText))),
      counters: countersOf(counters.get(id)),
    };
    return [item];
  });
  return items.sort(byService);
}

export function frontendItems({ tables }: Reading): FrontendItem[] {
  const items = readFrontends(tables).map((row): FrontendItem => {
    return {
      ...refOf(tables, row.servicePort),
      address: row.address,
      port: row.port || null,
      protocol: row.port === 0 ? null : protocolText(row.protocol),
      pool: row.pool,
      affinitySeconds: row.affinitySeconds,
      hasEndpoint: (row.flags & frontendFlag.has_endpoint) !== 0,
      backends: row[row.pool].count,
      segments: { any: row.any, local: row.local },
    };
  });
  return items.sort((a, b) => byService(a, b) || compare(a.address, b.address) || (a.port ?? 0) - (b.port ?? 0));
}

export function backendItems({ tables }: Reading): BackendItem[] {
  const items = new Map<string, { item: BackendItem; pools: Set<PoolName> }>();
  for (const row of readFrontends(tables)) {
    for (const pool of ['any', 'local'] as const) {
      for (const { address, port } of slotsOf(tables, row[pool])) {
        const key = `${row.servicePort} ${address} ${port}`;
        const known = items.get(key);
        if (known) known.pools.add(pool);
        else items.set(key, { item: backendItem(tables, row, addressFromHex(address), port), pools: new Set([pool]) });
      }
    }
  }
  return [...items.values()]
    .map(({ item, pools }) => ({ ...item, pools: [...pools] }))
    .sort((a, b) => byService(a, b) || familyOrder(a.address, b.address) || a.port - b.port);
}

function backendItem(tables: Tables, row: FrontendRow, address: string, port: number): BackendItem {
  const ref = refOf(tables, row.servicePort);
  return { ...ref, address, port, servicePort: row.port, protocol: protocolText(row.protocol), pools: [] };
}

interface FrontendRow {
  readonly address: string;
  readonly port: number;
  readonly protocol: number;
  readonly any: Segment;
  readonly local: Segment;
  readonly pool: PoolName;
  readonly servicePort: number;
  readonly affinitySeconds: number;
  readonly flags: number;
}

function readFrontends(tables: Tables): FrontendRow[] {
  return [...tables.frontends].map(([key, value]) => {
    const { address, port, protocol } = frontendKey.decode(key);
    const row = frontend.decode(value);
    const pool: PoolName = row.flags & frontendFlag.local_only ? 'local' : 'any';
    return { ...row, address: addressFromHex(address), port, protocol, pool };
  });
}

function slotsOf(tables: Tables, { start, count }: Segment): { address: string; port: number }[] {
  return Array.from({ length: count }, (_, i) => tables.backends.get(u32.encode(start + i))).flatMap((value) =>
    value === undefined ? [] : [backend.decode(value)],
  );
}

function slotText({ address, port }: { address: string; port: number }): string {
  return endpointText(addressFromHex(address), port);
}

function countersOf(reasons: ReadonlyMap<number, bigint> | undefined): Record<string, number> {
  const sorted = [...(reasons ?? [])].sort(([a], [b]) => a - b);
  return Object.fromEntries(sorted.map(([why, count]) => [reasonName(why), Number(count)]));
}

function distinct(texts: readonly string[]): string[] {
  return [...new Set(texts)];
}

/** IPv4 first. */
function familyOrder(a: string, b: string): number {
  return Number(a.includes(':')) - Number(b.includes(':')) || compare(a, b);
}
