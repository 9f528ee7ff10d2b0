import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { type RefusedBind, watchBinds } from './bind-watch.ts';
import { driftOf } from './drift.ts';
import { apply, type Failed, type Write, writeTo } from './kernel/apply.ts';
import type { Attached } from './kernel/attached.ts';
import { recountFlows } from './kernel/connections.ts';
import { forgetCounters, keepCounters } from './kernel/counters.ts';
import type { Datapath } from './kernel/datapath.ts';
import type { Generation } from './kernel/generation.ts';
import { type BpfMap, synchronizeRcu } from './kernel/kernel.ts';
import { defaultSizes } from './kernel/objects.ts';
import { RefusedError } from './kernel/refused.ts';
import { chooseSizes, type Sizes } from './kernel/sizes.ts';
import { readTables } from './kernel/tables.ts';
import { u32 } from './layout.gen.ts';
import type { Problem } from './model/service.ts';
import { balancedBackends } from './plan/balanced.ts';
import {
  beginGrace,
  type Capacity,
  confirm,
  endGrace,
  type Inventory,
  inventory,
  makePlan,
  type Plan,
  type PlanOptions,
  type World,
} from './plan/plan.ts';
import { byTable, emptyTables, type Step, type TableName, tableNames } from './plan/tables.ts';
import { makeUdpKeeper } from './udp-keeper.ts';

/** What one pass did. */
export interface Pass {
  /** Rows set and deleted. */
  readonly rows: number;
  /** What was refused: its owners are to be looked at again. */
  readonly failed: readonly Failed[];
  /** By Service, to be merged by overwriting; of a pass over all, everything there is. */
  readonly problems: ReadonlyMap<string, readonly Problem[]>;
}

export interface KeeperOptions {
  readonly datapath: Datapath;
  readonly log: Logger;
  /** `--map-size` */
  readonly sizes: Partial<Sizes>;
  /** Makes the one function that writes rows of a generation; tests give one that fails. */
  readonly writer?: (tables: Readonly<Record<TableName, BpfMap>>) => Write;
  /** Told what a new generation that took its place was attached to. */
  readonly onAttached: (attached: Attached) => void;
  readonly signal: AbortSignal;
}

/** What to look at: names of Services, or everything. */
type Scope = 'all' | ReadonlySet<string>;

/** Keeps the service tables of the current generation what the world wants. One call at a time. */
export interface Keeper {
  /** Brings the kernel to the world: `scope` as for makePlan. The first one loads a generation if need be. */
  pass(world: World, scope: Scope, options: PlanOptions): Promise<Pass>;
  /** Forgets what it knows and reads the kernel again, so that the next pass repairs what others changed. */
  reread(): Promise<void>;
  /** The steps that would repair the kernel; to be asked after `reread`. */
  drift(world: World, options: PlanOptions): readonly Step[];
  /** A pass is due although no object changed: over no Services, if there is nothing else. */
  readonly isDue: boolean;
  /** How many rows each service table has, as far as is known. */
  readonly rowCounts: Partial<Readonly<Record<TableName, number>>>;
  /** NodePorts that processes of this node were refused since it was last asked. */
  refusedBinds(): readonly RefusedBind[];
  /** Now and then: looks again, in the next pass, whether UDP flows still point at backends that were removed, and counts flows. */
  review(): void;
}

const UNLIMITED: Capacity = byTable(() => Number.MAX_SAFE_INTEGER);

/** Filling a generation is given up when this many rounds in a row wrote nothing. */
const IDLE_ROUNDS = 5;

export function makeKeeper({ datapath, log, sizes, writer = writeTo, onAttached, signal }: KeeperOptions): Keeper {
  let held: Inventory | undefined;
  let grace: Promise<void> | undefined;
  let graceWanted = false;
  /** What a person asked for decides once; afterwards maps only grow. */
  let asked: Partial<Sizes> = sizes;
  let isRecountDue = true;
  const udp = makeUdpKeeper(log);
  const findRefusedBinds = watchBinds();

  async function pass(wanted: World, scope: Scope, options: PlanOptions): Promise<Pass> {
    const { generation } = datapath;
    if (generation === undefined) {
      const first = await replace(udp.withRemovals(wanted), options, {});
      if (held && datapath.generation) await udp.note(wanted, held, scope, datapath.generation.state, options);
      return first;
    }
    const known = held ?? (await read(generation));
    await udp.note(wanted, known, scope, generation.state, options);
    const world = udp.withRemovals(wanted);
    let plan = makePlan(world, known, held === undefined ? 'all' : scope, generation.sizes, options);
    held = known;
    if (!plan.fits && grace) {
      await grace;
      plan = makePlan(world, known, 'all', generation.sizes, options);
    }
    if (!plan.fits) return await replace(world, options, plan.required);
    const settled = datapath.isCurrent(chooseSizes(defaultSizes, generation.sizes, asked, {}));
    if (!settled && !options.holdDeletes) return await replace(world, options, {});
    asked = settled ? {} : asked;
    return await run(generation, known, world, plan);
  }

  async function run(generation: Generation, known: Inventory, world: World, plan: Plan): Promise<Pass> {
    const { confirmed, failed } = await apply(plan.steps, writer(generation.tables), signal);
    confirm(known, confirmed);
    await forgetCounters(generation.state.counters, idsDeleted(confirmed));
    await udp.endSockets(world, known, generation.state);
    if (plan.frees) wantGrace();
    if (isRecountDue) await recount(generation, known);
    return { rows: confirmed.length, failed, problems: plan.problems };
  }

  /** The flow tables are large: nobody looks through them while no Service asks for its connections, nor did. */
  async function recount({ state }: Generation, known: Inventory): Promise<void> {
    isRecountDue = false;
    const served = balancedBackends(known);
    const isCounted = [state.flow_connections, state.socket_connections].some((map) => map.nextKey(undefined));
    if (served.size > 0 || isCounted) await recountFlows(state, (key) => served.has(key));
  }

  async function replace(world: World, options: PlanOptions, required: Partial<Capacity>): Promise<Pass> {
    const names = await datapath.pinnedNames();
    if (options.holdDeletes && names.size > 0) {
      throw new RefusedError(
        'a new generation has to wait until every manifest was read once: until then it would lose Services',
      );
    }
    const nothing = () => inventory(emptyTables(), names);
    const planned = nothing();
    const plan = makePlan(world, planned, 'all', UNLIMITED, options);
    const old = datapath.generation;
    const target = chooseSizes(defaultSizes, datapath.pinnedSizes(), asked, largest(plan.required, required));
    log.info(`loading a new generation${describe(datapath.pinnedSizes(), target)}`);
    let filled: Pass | undefined;
    const attached = await datapath.replace(target, async (next) => {
      // with the claims that were planned, or the next pass, however small, would look at all Services again
      const known = { ...nothing(), claims: planned.claims };
      filled = await fill(next, known, world, plan, old !== undefined);
      held = known;
    });
    if (attached) onAttached(attached);
    asked = {};
    log.info(`generation ${datapath.generation?.hash} is in charge`);
    if (filled === undefined) throw new Error('a generation took its place without being filled');
    return filled;
  }

  /** Writes everything. Nobody reads these tables yet, so that freed segments may be used again at once. */
  async function fill(next: Generation, known: Inventory, world: World, first: Plan, complete: boolean): Promise<Pass> {
    const write = writer(next.tables);
    let plan = first;
    let rows = 0;
    for (let idle = 0; ; ) {
      if (!tableNames.every((name) => plan.required[name] <= next.sizes[name])) throw tooMany(plan);
      const { confirmed, failed } = await apply(plan.steps, write, signal);
      confirm(known, confirmed);
      endGrace(known);
      rows += confirmed.length;
      signal.throwIfAborted();
      idle = confirmed.length > 0 ? 0 : idle + 1;
      const done = { rows, failed, problems: plan.problems };
      const [refused] = failed;
      if (refused === undefined) return done;
      if (idle === IDLE_ROUNDS && complete) throw refused.error;
      if (idle === IDLE_ROUNDS) return done;
      await sleep(100 * idle, undefined, { signal });
      plan = makePlan(world, known, 'all', next.sizes, { holdDeletes: false });
    }
  }

  async function read(generation: Generation): Promise<Inventory> {
    await grace;
    await synchronizeRcu();
    const tables = await readTables(generation.tables);
    await keepCounters(generation.state.counters, new Set([...tables.names.keys()].map(u32.decode)));
    return inventory(tables);
  }

  /** One grace period at a time, beside the passes; a segment that is freed meanwhile waits for the next. */
  function wantGrace(): void {
    graceWanted = true;
    grace ??= waitGraces().finally(() => {
      grace = undefined;
    });
  }

  async function waitGraces(): Promise<void> {
    while (graceWanted && held) {
      graceWanted = false;
      const known = held;
      const begun = beginGrace(known);
      try {
        await synchronizeRcu();
        endGrace(known, begun);
      } catch (error) {
        log.warn({ err: error }, 'freed segments stay unused until the next grace period');
      }
    }
  }

  return {
    pass,
    async reread() {
      const { generation } = datapath;
      held = generation && (await read(generation));
      udp.mistrust();
    },
    drift(world, options) {
      const { generation } = datapath;
      return held && generation ? driftOf(udp.withRemovals(world), held, generation.sizes, options) : [];
    },
    get isDue() {
      return udp.isDue || (isRecountDue && held !== undefined);
    },
    get rowCounts() {
      if (held === undefined) return {};
      const { rows, segments } = held;
      const backends = [...segments.live.values()].reduce((sum, { count }) => sum + count, 0);
      return { ...byTable((name) => rows[name].size), backends };
    },
    refusedBinds() {
      const { generation } = datapath;
      return held && generation ? findRefusedBinds(held, generation.state.counters) : [];
    },
    review() {
      isRecountDue ||= held !== undefined && balancedBackends(held).size > 0;
      udp.review();
    },
  };
}

function tooMany({ required }: Plan): Error {
  const rows = tableNames.map((name) => `${name} ${required[name]}`).join(', ');
  return new RefusedError(`the Services need more rows than a map may have (${rows}): split them over several nodes`);
}

function idsDeleted(steps: readonly Step[]): number[] {
  return steps.flatMap(({ op, table, key }) => (op === 'delete' && table === 'names' ? [u32.decode(key)] : []));
}

function largest(a: Capacity, b: Partial<Capacity>): Capacity {
  return byTable((name) => Math.max(a[name], b[name] ?? 0));
}

/** ': frontends 16384 to 32768, …' */
function describe(before: Partial<Sizes>, after: Sizes): string {
  const changes = Object.entries(after).flatMap(([name, size]) => {
    const was = before[name as keyof Sizes];
    return was === undefined || was === size ? [] : [`${name} ${was} to ${size}`];
  });
  return changes.length === 0 ? '' : `: ${changes.join(', ')}`;
}
