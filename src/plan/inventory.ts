import { type Frontend, frontend, servicePortName, sourceRangeKey, u32 } from '../layout.gen.ts';
import { type Claims, emptyClaims } from '../model/claims.ts';
import { serviceName } from '../model/service.ts';
import { emptyIds, forgetId, type Ids, learnId } from './ids.ts';
import { poolSlots } from './maglev.ts';
import { disown, emptyOwned, type Owned, own } from './owned.ts';
import type { Row } from './rows.ts';
import {
  acquire,
  endQuarantine,
  type LiveSegment,
  readSegments,
  release,
  type Segment,
  type Segments,
} from './segments.ts';
import { emptyTables, nodeTableNames, type Rows, type Step, type Tables } from './tables.ts';

/**
 * What the kernel is known to hold, and indices over it. Changed by `confirm` and `endGrace` alone, but for `claims`,
 * which only remember the world that was last planned.
 */
export interface Inventory {
  /** `backends` is empty here: its live slots are the content of `segments`. */
  readonly rows: Tables;
  readonly segments: Segments;
  /** Slots that were written and that no row points at yet. */
  readonly written: Rows;
  readonly ids: Ids;
  /** Service port id → how many rows of `frontends` bear it. */
  readonly bearers: Map<number, number>;
  /** Ids with a row in `names` that no frontend bears. */
  readonly idle: Set<number>;
  /** By Service; '' has the frontends and ranges whose id nobody knows. */
  readonly owned: Map<string, Owned>;
  readonly claims: Claims;
}

const unowned: Owned = emptyOwned();

/**
 * `actual` as read from the kernel, or `emptyTables()`. Rows of `backends` outside the frontends' pools are ignored.
 * `reserved`: rows of `names` of the generation before, whose ids stay with their names in this one.
 *
 * It knows of no segment in quarantine: an RCU grace period must have passed since anybody's last write.
 */
export function inventory(actual: Tables, reserved: ReadonlyMap<string, string> = new Map()): Inventory {
  const pools: Segment[] = [];
  for (const value of actual.frontends.values()) {
    pools.push(...poolSlots(frontend.decode(value)));
  }
  const held: Inventory = {
    rows: emptyTables(),
    segments: readSegments(pools, (segment) => presentSlots(segment, actual.backends).map(([, row]) => row)),
    written: new Map(),
    ids: emptyIds(),
    bearers: new Map(),
    idle: new Set(),
    owned: new Map(),
    claims: emptyClaims(),
  };
  for (const [key, value] of reserved) learnName(held, key, value);
  for (const [key, value] of actual.names) foldName(held, key, value);
  for (const [key, value] of actual.frontends) foldFrontend(held, key, value);
  for (const [key, value] of actual.source_ranges) foldRange(held, key, value);
  for (const table of nodeTableNames) {
    for (const [key, value] of actual[table]) held.rows[table].set(key, value);
  }
  return held;
}

/** Folds what the kernel confirmed, and only that, in the order of the plan. */
export function confirm(held: Inventory, steps: readonly Step[]): void {
  for (const step of steps) {
    const value = step.op === 'set' ? step.value : undefined;
    if (step.table === 'backends') fold(held.written, step.key, value);
    else if (step.table === 'names') foldName(held, step.key, value);
    else if (step.table === 'frontends') movePools(held, step.key, value);
    else if (step.table === 'source_ranges') foldRange(held, step.key, value);
    else fold(held.rows[step.table], step.key, value);
  }
}

/** The segments that were free when a grace period began. */
export interface Grace {
  readonly segments: readonly LiveSegment[];
}

/** To be called before an RCU grace period begins, if steps may be confirmed while it lasts. */
export function beginGrace(held: Inventory): Grace {
  return { segments: [...held.segments.quarantine.values()] };
}

/** An RCU grace period has passed: freed segments may be used again. Without `grace`: all that are freed so far. */
export function endGrace(held: Inventory, grace: Grace = beginGrace(held)): void {
  endQuarantine(held.segments, grace.segments);
}

/** Null: there is no such row. */
export function heldFrontend(held: Inventory, key: string): Frontend | null {
  const value = held.rows.frontends.get(key);
  return value === undefined ? null : frontend.decode(value);
}

/** '': nobody is known to. */
export function ownerOfId(held: Inventory, id: number): string {
  return held.ids.byId.get(id)?.owner ?? '';
}

export function ownedBy(held: Inventory, owner: string): Owned {
  return held.owned.get(owner) ?? unowned;
}

function fold(rows: Rows, key: string, value: string | undefined): void {
  if (value === undefined) rows.delete(key);
  else rows.set(key, value);
}

function foldName(held: Inventory, key: string, value: string | undefined): void {
  const id = u32.decode(key);
  if (held.rows.names.has(key)) disown(held.owned, 'names', ownerOfId(held, id), key);
  fold(held.rows.names, key, value);
  if (value === undefined) forgetId(held.ids, id);
  else own(held.owned, 'names', learnName(held, key, value), key);
  noteIdle(held, id);
}

/** Returns the owner. */
function learnName(held: Inventory, key: string, value: string): string {
  const { namespace, service, port, protocol } = servicePortName.decode(value);
  const owner = serviceName({ namespace, name: service });
  learnId(held.ids, u32.decode(key), { owner, port, protocol });
  return owner;
}

function foldRange(held: Inventory, key: string, value: string | undefined): void {
  const owner = ownerOfId(held, sourceRangeKey.decode(key).servicePort);
  if (held.rows.source_ranges.has(key)) disown(held.owned, 'source_ranges', owner, key);
  fold(held.rows.source_ranges, key, value);
  if (value !== undefined) own(held.owned, 'source_ranges', owner, key);
}

function movePools(held: Inventory, key: string, value: string | undefined): void {
  const before = heldFrontend(held, key);
  const after = value === undefined ? null : frontend.decode(value);
  for (const segment of after === null ? [] : poolSlots(after)) {
    acquire(held.segments, segment, (fresh) => takeWritten(held, fresh));
  }
  for (const segment of before === null ? [] : poolSlots(before)) release(held.segments, segment);
  foldFrontend(held, key, value);
}

function foldFrontend(held: Inventory, key: string, value: string | undefined): void {
  const before = heldFrontend(held, key);
  if (before !== null) {
    disown(held.owned, 'frontends', ownerOfId(held, before.servicePort), key);
    countBearer(held, before.servicePort, -1);
  }
  fold(held.rows.frontends, key, value);
  const after = heldFrontend(held, key);
  if (after !== null) {
    own(held.owned, 'frontends', ownerOfId(held, after.servicePort), key);
    countBearer(held, after.servicePort, 1);
  }
}

function countBearer(held: Inventory, id: number, change: number): void {
  const count = (held.bearers.get(id) ?? 0) + change;
  if (count > 0) held.bearers.set(id, count);
  else held.bearers.delete(id);
  noteIdle(held, id);
}

function noteIdle(held: Inventory, id: number): void {
  if (!held.bearers.has(id) && held.rows.names.has(u32.encode(id))) held.idle.add(id);
  else held.idle.delete(id);
}

/** The content of a segment whose slots were all written; null if one was not. */
function takeWritten(held: Inventory, segment: Segment): string | null {
  const present = presentSlots(segment, held.written);
  if (present.length < segment.count) return null;
  for (const [key] of present) held.written.delete(key);
  return present.map(([, row]) => row).join('');
}

/** The slots up to the first one that is not there. */
function presentSlots({ start, count }: Segment, rows: ReadonlyMap<string, string>): Row[] {
  const present: Row[] = [];
  for (let slot = start; slot < start + count; slot++) {
    const key = u32.encode(slot);
    const row = rows.get(key);
    if (row === undefined) break;
    present.push([key, row]);
  }
  return present;
}
