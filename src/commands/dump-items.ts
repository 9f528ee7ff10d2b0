import {
  backend,
  connectionsKey,
  frontend,
  frontendFlag,
  frontendKey,
  reasonName,
  type Segment,
  schedulerName,
  servicePortName,
  u32,
} from '../layout.gen.ts';
import { addressFromHex, addressToHex, endpointText } from '../model/address.ts';
import { anyAddress } from '../model/places.ts';
import { isByConnections, type Scheduler } from '../model/scheduler.ts';
import type { Tables } from '../plan/tables.ts';
import { protocolText } from '../protocol.ts';
import { byService, compare, type Reading, refOf, type ServiceRef } from './service-ref.ts';

/** Which of the pools the programs choose from: that of the whole cluster, or that of this node. */
export type PoolName = (typeof poolNames)[number];

const poolNames = ['any', 'local'] as const;

/** As far as the kernel knows: a LoadBalancer is one once it has an address. */
export type ServiceType = 'ClusterIP' | 'NodePort' | 'LoadBalancer';

/** What an address is to its Service; that of a nodePort is the any-address of its family. */
export type FrontendKind = 'clusterIP' | 'externalIP' | 'loadBalancerIP' | 'nodePort';

export interface ServiceItem extends ServiceRef {
  readonly type: ServiceType;
  readonly port: number;
  readonly protocol: string;
  /** null: none. */
  readonly nodePort: number | null;
  readonly clusterIPs: readonly string[];
  /** Load balancer IPs among them. */
  readonly externalIPs: readonly string[];
  /** That of the clusterIPs. */
  readonly pool: PoolName;
  /** 0: no session affinity. */
  readonly affinitySeconds: number;
  /** 'random', 'lc' */
  readonly scheduler: string;
  /** 'address:port' of whom new connections may reach now. */
  readonly backends: readonly string[];
  /** Connections and packets by reason. */
  readonly counters: Readonly<Record<string, number>>;
}

export interface FrontendItem extends ServiceRef {
  readonly address: string;
  readonly kind: FrontendKind;
  /** null, with the protocol: any other port of the address, which is refused if that is a clusterIP. */
  readonly port: number | null;
  readonly protocol: string | null;
  readonly pool: PoolName;
  /** What clients get that are neither pods nor this node. */
  readonly outsidePool: PoolName;
  readonly affinitySeconds: number;
  /** null, as `port` is. */
  readonly scheduler: string | null;
  readonly hasEndpoint: boolean;
  /** Only sources in the Service's ranges may ask. */
  readonly sourceRanges: boolean;
  /** How many `pool` has. */
  readonly backends: number;
  readonly segments: Readonly<Record<PoolName, Segment>>;
}

export interface BackendItem extends ServiceRef {
  readonly address: string;
  readonly port: number;
  readonly servicePort: number;
  readonly protocol: string;
  readonly pools: readonly PoolName[];
  /** Those of this node, as far as the scheduler asks for them; null: it does not. */
  readonly connections: number | null;
}

/** Every port that is served: one that is not has no row in `frontends`, even if its name stands for its Service. */
export function serviceItems({ tables, counters }: Reading): ServiceItem[] {
  const rows = readFrontends(tables);
  const byId = Map.groupBy(
    rows.filter(({ port }) => port !== 0),
    ({ servicePort }) => servicePort,
  );
  const items = [...tables.names].flatMap(([key, value]): ServiceItem[] => {
    const id = u32.decode(key);
    const name = servicePortName.decode(value);
    const own = (byId.get(id) ?? []).sort((a, b) => order(a) - order(b) || familyOrder(a.address, b.address));
    const [first] = own;
    const at = (...kinds: FrontendKind[]) =>
      own.flatMap(({ kind, address }) => (kinds.includes(kind) ? [address] : []));
    if (first === undefined) return [];
    const item = {
      ...refOf(tables, id),
      type: typeOf(own),
      port: name.number,
      protocol: protocolText(name.protocol),
      nodePort: own.find(({ kind }) => kind === 'nodePort')?.port ?? null,
      clusterIPs: at('clusterIP'),
      externalIPs: at('loadBalancerIP', 'externalIP'),
      pool: first.pool,
      affinitySeconds: first.affinitySeconds,
      scheduler: schedulerName(first.scheduler),
      backends: distinct(
        own.flatMap((row) => poolsOf(row).flatMap((pool) => slotsOf(tables, row[pool]).map(slotText))),
      ),
      counters: countersOf(counters.get(id)),
    };
    return [item];
  });
  return items.sort(byService);
}

function typeOf(rows: readonly FrontendRow[]): ServiceType {
  if (rows.some(({ kind }) => kind === 'loadBalancerIP')) return 'LoadBalancer';
  return rows.some(({ kind }) => kind === 'nodePort') ? 'NodePort' : 'ClusterIP';
}

/** What a person looks for first. */
function order({ kind }: FrontendRow): number {
  return ['clusterIP', 'loadBalancerIP', 'externalIP', 'nodePort'].indexOf(kind);
}

export function frontendItems({ tables }: Reading): FrontendItem[] {
  const items = readFrontends(tables).map((row): FrontendItem => {
    return {
      ...refOf(tables, row.servicePort),
      address: row.address,
      kind: row.kind,
      port: row.port || null,
      protocol: row.port === 0 ? null : protocolText(row.protocol),
      pool: row.pool,
      outsidePool: row.outsidePool,
      affinitySeconds: row.affinitySeconds,
      scheduler: row.port === 0 ? null : schedulerName(row.scheduler),
      hasEndpoint: (row.flags & frontendFlag.has_endpoint) !== 0,
      sourceRanges: (row.flags & frontendFlag.source_ranges) !== 0,
      backends: row[row.pool].count,
      segments: { any: row.any, local: row.local },
    };
  });
  return items.sort((a, b) => byService(a, b) || compare(a.address, b.address) || (a.port ?? 0) - (b.port ?? 0));
}

export function backendItems({ tables, connections }: Reading): BackendItem[] {
  const items = new Map<string, { item: BackendItem; pools: Set<PoolName> }>();
  for (const row of readFrontends(tables)) {
    for (const pool of poolNames) {
      for (const { address, port } of slotsOf(tables, row[pool])) {
        const key = `${row.servicePort} ${address} ${port}`;
        const known = items.get(key);
        if (known) known.pools.add(pool);
        else {
          const asked = isByConnections(schedulerName(row.scheduler) as Scheduler);
          const count = connections.get(connectionsKey.encode({ address, servicePort: row.servicePort, port })) ?? 0;
          const item = backendItem(tables, row, addressFromHex(address), port);
          items.set(key, { item: { ...item, connections: asked ? count : null }, pools: new Set([pool]) });
        }
      }
    }
  }
  return [...items.values()]
    .map(({ item, pools }) => ({ ...item, pools: poolNames.filter((pool) => pools.has(pool)) }))
    .sort((a, b) => byService(a, b) || familyOrder(a.address, b.address) || a.port - b.port);
}

function backendItem(tables: Tables, row: FrontendRow, address: string, port: number): BackendItem {
  const ref = refOf(tables, row.servicePort);
  return {
    ...ref,
    address,
    port,
    servicePort: numberOf(tables, row),
    protocol: protocolText(row.protocol),
    pools: [],
    connections: null,
  };
}

/** Of a nodePort too that of the Service port; without a name, what clients ask for. */
function numberOf(tables: Tables, row: FrontendRow): number {
  const value = tables.names.get(u32.encode(row.servicePort));
  return value === undefined ? row.port : servicePortName.decode(value).number;
}

const anyAddresses: ReadonlySet<string> = new Set(Object.values(anyAddress).map(addressToHex));

interface FrontendRow {
  readonly kind: FrontendKind;
  readonly address: string;
  readonly port: number;
  readonly protocol: number;
  readonly any: Segment;
  readonly local: Segment;
  readonly pool: PoolName;
  readonly outsidePool: PoolName;
  readonly servicePort: number;
  readonly affinitySeconds: number;
  readonly scheduler: number;
  readonly flags: number;
}

function readFrontends(tables: Tables): FrontendRow[] {
  const external = externalAddresses(tables);
  return [...tables.frontends].map(([key, value]) => {
    const { address, port, protocol } = frontendKey.decode(key);
    const row = frontend.decode(value);
    const pool: PoolName = row.flags & frontendFlag.local_only ? 'local' : 'any';
    const outsidePool: PoolName = row.flags & frontendFlag.local_outside ? 'local' : pool;
    return {
      ...row,
      kind: kindOf(address, row.flags, external),
      address: addressFromHex(address),
      port,
      protocol,
      pool,
      outsidePool,
    };
  });
}

function poolsOf({ pool, outsidePool }: FrontendRow): PoolName[] {
  return pool === outsidePool ? [pool] : [pool, outsidePool];
}

/** Those that are nobody's clusterIP, as hex. */
function externalAddresses({ frontends }: Tables): Set<string> {
  const external = new Set<string>();
  for (const [key, value] of frontends) {
    if (frontend.decode(value).flags & frontendFlag.external_address) external.add(frontendKey.decode(key).address);
  }
  return external;
}

function kindOf(address: string, flags: number, external: ReadonlySet<string>): FrontendKind {
  if (anyAddresses.has(address)) return 'nodePort';
  if (flags & frontendFlag.assigned) return 'loadBalancerIP';
  return external.has(address) ? 'externalIP' : 'clusterIP';
}

function slotsOf(tables: Tables, { start, count }: Segment): { address: string; port: number }[] {
  return Array.from({ length: count }, (_, i) => tables.backends.get(u32.encode(start + i))).flatMap((value) =>
    value === undefined ? [] : [backend.decode(value)],
  );
}

function slotText({ address, port }: { address: string; port: number }): string {
  return endpointText(addressFromHex(address), port);
}

/** By their names, in the order of the reasons. */
export function countersOf(reasons: ReadonlyMap<number, bigint> | undefined): Record<string, number> {
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
