import { existsSync } from 'node:fs';
import { type AgentInquiry, askAgent } from './agent-inquiry.ts';
import { isDropOrRefusal } from './agent-status.ts';
import { counted } from './count.ts';
import { readCounters } from './kernel/counters.ts';
import type { Generation } from './kernel/generation.ts';
import { socketHooks } from './kernel/hooks.ts';
import { kernelRelease } from './kernel/kernel.ts';
import { occupancy } from './kernel/occupancy.ts';
import { pinDir } from './kernel/pins.ts';
import { type StandingHooks, standingHooks } from './kernel/standing-hooks.ts';
import { readSettledTables } from './kernel/tables.ts';
import { reasonName, servicePortName } from './layout.gen.ts';
import { ownVersion } from './own-version.ts';
import { isAddressKey } from './plan/rows.ts';
import type { Tables } from './plan/tables.ts';

/** How a node is doing: what `bpfsvc status -o json` prints. */
export interface NodeStatus {
  readonly version: string;
  readonly kernel: string;
  readonly pinDir: string;
  /** null: nothing is loaded. */
  readonly generation: string | null;
  readonly agent: AgentInquiry;
  readonly hooks: {
    readonly devices: readonly { readonly device: string; readonly hooks: readonly string[] }[];
    readonly sockets: readonly string[];
    /** Devices where the agent wants programs and none are. */
    readonly missing: readonly string[];
  };
  readonly counts: { readonly services: number; readonly frontends: number; readonly backends: number } | null;
  /** How full maps are. Of flows there are two rows each; those whose time is over count, too. */
  readonly maps: readonly MapStatus[];
  /** Refusals and drops by reason, since the counters were made. */
  readonly dropped: Readonly<Record<string, number>>;
  /** What is not well, for people; empty: all is. */
  readonly troubles: readonly string[];
}

export interface MapStatus {
  readonly map: string;
  readonly rows: number;
  readonly size: number;
  /** Whole, rounded up: 1 is anything up to a hundredth. */
  readonly percent: number;
}

/** A table that is fuller grows soon, and one of flows begins to evict. */
const FULL_PERCENT = 90;

/** Those that evict when they are full: with room to spare in `half_open`, whose rows are left to themselves. */
const evicting: ReadonlySet<string> = new Set(['flows', 'affinity', 'udp_choices', 'socket_reverse']);

/** `generation`: what is loaded below `path`; a text: why that cannot be read. */
export async function nodeStatus(path: string, generation: Generation | string): Promise<NodeStatus> {
  const agent = await askAgent(path);
  const hooks: StandingHooks = existsSync(path)
    ? await standingHooks(pinDir(path))
    : { devices: new Map(), sockets: [], dead: [] };
  const loaded = typeof generation === 'string' ? null : await readLoaded(generation);
  const wanted = agent.status?.devices ?? [];
  const missing = wanted.flatMap(({ name }) => ((hooks.devices.get(name)?.length ?? 0) < 2 ? [name] : []));
  const facts = {
    version: ownVersion(),
    kernel: kernelRelease().text,
    pinDir: path,
    generation: typeof generation === 'string' ? null : generation.hash,
    agent,
    hooks: {
      devices: [...hooks.devices].map(([device, own]) => ({ device, hooks: own })),
      sockets: hooks.sockets,
      missing,
    },
    counts: loaded?.counts ?? null,
    maps: loaded?.maps ?? [],
    dropped: loaded?.dropped ?? {},
  };
  const unread = typeof generation === 'string' ? [generation] : [];
  return {
    ...facts,
    troubles: [...unread, ...agentTroubles(agent), ...hookTroubles(facts), ...mapTroubles(facts.maps)],
  };
}

async function readLoaded(
  generation: Generation,
): Promise<{ counts: NonNullable<NodeStatus['counts']>; maps: MapStatus[]; dropped: Record<string, number> }> {
  const tables = await readSettledTables(generation.tables);
  const rows = Object.entries({
    frontends: tables.frontends.size,
    backends: tables.backends.size,
    names: tables.names.size,
    source_ranges: tables.source_ranges.size,
    ...(await occupancy(generation)),
  });
  const maps = rows.map(([map, count]): MapStatus => {
    const size = generation.sizes[map as keyof Generation['sizes']];
    return { map, rows: count, size, percent: Math.ceil((100 * count) / size) };
  });
  return { counts: countsOf(tables), maps, dropped: await droppedBy(generation) };
}

function countsOf(tables: Tables): NonNullable<NodeStatus['counts']> {
  const services = new Set(
    [...tables.names.values()].map((value) => {
      const { namespace, service } = servicePortName.decode(value);
      return `${namespace}/${service}`;
    }),
  );
  const frontends = [...tables.frontends.keys()].filter((key) => !isAddressKey(key)).length;
  return { services: services.size, frontends, backends: tables.backends.size };
}

async function droppedBy({ state }: Generation): Promise<Record<string, number>> {
  const totals: Record<string, number> = {};
  for (const reasons of (await readCounters(state.counters)).values()) {
    for (const [why, count] of reasons) {
      const name = reasonName(why);
      if (isDropOrRefusal(name)) totals[name] = (totals[name] ?? 0) + Number(count);
    }
  }
  return totals;
}

function agentTroubles({ pid, status, silence }: AgentInquiry): string[] {
  if (pid === null) return ['no agent runs: what is loaded goes on working, and nothing new is learnt'];
  if (status === null) return [`the agent does not tell how it is: ${silence}`];
  const { synced, lastPass, healthz, refusedRows, problemCount, unattached, lastAudit } = status;
  const { report, code } = healthz;
  return [
    ...(synced ? [] : ['the source of objects is not whole: what is known stays in use']),
    ...(lastPass === null ? ['nothing has been programmed by this agent yet'] : []),
    ...(report.healthy ? [] : ['a change has been waiting for more than a minute to get into the kernel']),
    ...(report.healthy && code !== 200 ? ['the node is not eligible for traffic: it is unknown, or about to go'] : []),
    ...(refusedRows > 0 ? [`the kernel refuses ${refusedRows} rows`] : []),
    ...(problemCount > 0 ? [`${counted(problemCount, 'problem')} with objects or files`] : []),
    ...unattached.map(({ where, reason }) => `cannot attach at ${where}: ${reason}`),
    ...((lastAudit?.drifted ?? 0) > 0
      ? [`the last audit found ${lastAudit?.drifted} rows changed by somebody else`]
      : []),
  ];
}

function hookTroubles({ hooks, generation }: Pick<NodeStatus, 'hooks' | 'generation'>): string[] {
  if (generation === null) return [];
  const lacking = socketHooks.filter((name) => !hooks.sockets.includes(name));
  return [
    ...hooks.missing.map((device) => `${device} lacks its programs`),
    ...(lacking.length > 0 ? [`socket hooks are missing: ${lacking.join(', ')}`] : []),
  ];
}

function mapTroubles(maps: readonly MapStatus[]): string[] {
  return maps
    .filter(({ map, percent }) => evicting.has(map) && percent > FULL_PERCENT)
    .map(({ map, percent }) => `${map} is full to ${percent} %, and evicts the oldest when it is full: --map-size`);
}
