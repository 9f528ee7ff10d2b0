import { u32 } from '../layout.gen.ts';
import { compileService, type Frontend, type Pool } from '../model/frontends.ts';
import type { Problem } from '../model/service.ts';
import { type Desired, emptyDesired } from './diff.ts';
import { emptyIds, type Ids, idOf } from './ids.ts';
import { heldFrontend, type Inventory, ownedBy, ownerOfId } from './inventory.ts';
import { poolSlots } from './maglev.ts';
import {
  cidrRow,
  encodeFrontend,
  encodeFrontendKey,
  encodeName,
  encodePool,
  nodeAddressRow,
  podRow,
  protocolNumbers,
  type Row,
  removedBackendRow,
  routeMtuRow,
  slotDigits,
  slotRows,
  sourceClassRow,
  sourceRow,
  switchesRow,
  wireRow,
} from './rows.ts';
import { findPlaces, noSegment, type Places, type Segment, segmentKey } from './segments.ts';
import { type NodeTableName, nodeTableNames, type TableName } from './tables.ts';
import type { PlanOptions, World } from './world.ts';

/** Desired rows in the making. Of `backends` only fresh slots: pools that are in the kernel already stay where they are. */
export interface Draft {
  readonly desired: Desired;
  readonly problems: Map<string, readonly Problem[]>;
  readonly places: Places;
  /** Ids that are not in the kernel yet. */
  readonly ids: Ids;
}

export function emptyDraft(held: Inventory): Draft {
  return {
    desired: emptyDesired(),
    problems: new Map(),
    places: findPlaces(held.segments),
    ids: emptyIds(),
  };
}

/** Adds the rows of the node itself: few, so every plan looks at all of them. */
export function draftNode(draft: Draft, world: World): void {
  const tables: Record<NodeTableName, readonly Row[]> = {
    wires: world.wires.map(wireRow),
    source_classes: world.sourceClasses.map(sourceClassRow),
    node_addresses: world.nodePortAddresses.map(nodeAddressRow),
    pods: (world.bypass ?? []).map(podRow),
    service_cidrs: world.serviceCidrs.map(cidrRow),
    route_mtus: (world.routeMtus ?? []).map(routeMtuRow),
    removed_backends: world.removedBackends.map(removedBackendRow),
    switches: [switchesRow(world)],
  };
  for (const table of nodeTableNames) for (const row of new Map(tables[table])) put(draft, table, row, '');
  draft.problems.set('', []);
}

/** Adds the rows of one Service; none, if it is gone. */
export function draftService(draft: Draft, world: World, held: Inventory, name: string, options: PlanOptions): void {
  const service = world.services.get(name);
  if (service === undefined) {
    draft.problems.set(name, []);
    return;
  }
  const compiled = compileService(service, world.endpoints.get(name) ?? new Map(), world.node, held.claims);
  draft.problems.set(name, compiled.problems);
  const known = knownPools(held, name);
  const contents = new Map<Pool, string>();
  const named = new Set<number>();
  const guarded = new Set<number>();
  for (const frontend of compiled.frontends) {
    const key = encodeFrontendKey(frontend);
    if (options.holdDeletes && isSomebodysUnheardOf(held, world, key)) continue;
    const { port } = frontend;
    const id = idOf(held.ids, draft.ids, { owner: name, port: port.name, protocol: protocolNumbers[port.protocol] });
    if (!named.has(id)) put(draft, 'names', [u32.encode(id), encodeName(service, port)], name);
    named.add(id);
    if (frontend.kind === 'port' && frontend.guarded) guarded.add(id);
    const [any, local] = poolsOf(frontend).map((pool) => {
      const content = contents.get(pool) ?? encodePool(pool, service.scheduler);
      contents.set(pool, content);
      return { start: place(draft, held, known, content, name), count: pool.length };
    });
    const row = encodeFrontend(key, frontend, id, any ?? noSegment, local ?? noSegment);
    put(draft, 'frontends', [key, row], name);
  }
  for (const id of guarded) {
    for (const row of new Map(compiled.sources.map((source) => sourceRow(id, source))))
      put(draft, 'source_ranges', row, name);
  }
}

function poolsOf(frontend: Frontend): readonly Pool[] {
  return frontend.kind === 'address' ? [] : [frontend.any ?? [], frontend.local ?? []];
}

/** The pools that the Service's rows point at, by content: what does not change stays in its segment. */
function knownPools(held: Inventory, name: string): Map<string, Segment> {
  const known = new Map<string, Segment>();
  for (const key of ownedBy(held, name).frontends) {
    const frontend = heldFrontend(held, key);
    for (const segment of frontend === null ? [] : poolSlots(frontend)) {
      const live = held.segments.live.get(segmentKey(segment));
      if (live?.content) known.set(live.content, live);
    }
  }
  return known;
}

/** The first slot of this content, where it is already or in a fresh segment. */
function place(draft: Draft, held: Inventory, known: Map<string, Segment>, content: string, owner: string): number {
  if (content === '') return noSegment.start;
  const there = known.get(content);
  if (there !== undefined) return there.start;
  const fresh = draft.places.take(content.length / slotDigits);
  for (const row of slotRows(fresh, content)) if (!isWritten(held, row)) put(draft, 'backends', row, owner);
  known.set(content, fresh);
  return fresh.start;
}

/** By an earlier plan, of which something later was refused: a pool does not have to be written at one go. */
function isWritten(held: Inventory, [key, value]: Row): boolean {
  return held.written.get(key) === value;
}

function put(draft: Draft, table: TableName, [key, value]: Row, owner: string): void {
  draft.desired[table].push({ op: 'set', table, key, value, owner });
}

/** While the listing is incomplete, a row may be of a senior Service that is not listed yet. */
function isSomebodysUnheardOf(held: Inventory, world: World, key: string): boolean {
  const row = heldFrontend(held, key);
  return row !== null && !world.services.has(ownerOfId(held, row.servicePort));
}
