import type { Health, HealthReport } from './health.ts';
import { readCounters } from './kernel/counters.ts';
import type { Datapath } from './kernel/datapath.ts';
import { BpfError } from './kernel/kernel.ts';
import { reasonName } from './layout.gen.ts';
import type { Problem } from './model/service.ts';
import type { Report } from './report.ts';

/** More are only counted: a person looks at the first ones. */
const TOLD_PROBLEMS = 100;

/** How far back drops are told of, and in which steps they are counted. */
const PAST_MINUTES = 10;
const MINUTE_MS = 60_000;

/** What an agent says of itself, at /status beside its metrics. Times are RFC 3339; null: it has not happened yet. */
export interface AgentStatus {
  readonly version: string;
  readonly pid: number;
  readonly node: string;
  readonly started: string;
  /** 'manifests /etc/bpfsvc', 'API server' */
  readonly source: string;
  /** Everything has been read once, and the source is whole. */
  readonly synced: boolean;
  readonly healthz: { readonly code: number; readonly report: HealthReport };
  /** When objects last became rows. */
  readonly lastPass: string | null;
  /** Rows that the kernel refused in that pass. */
  readonly refusedRows: number;
  /** When all rows were last compared, and how many were not as they should be. */
  readonly lastAudit: { readonly at: string; readonly drifted: number } | null;
  readonly problemCount: number;
  readonly problems: readonly Problem[];
  /** Hooks that could not be attached when it was last tried. */
  readonly unattached: readonly { readonly where: string; readonly reason: string }[];
  /** Where its programs are wanted. */
  readonly devices: readonly { readonly name: string; readonly role: 'pod' | 'wire' }[];
  /** Packets refused or dropped, by reason, in so many minutes. */
  readonly past: { readonly minutes: number; readonly reasons: Readonly<Record<string, number>> };
}

/** Collects what the agent tells of its work. */
export interface StatusBoard {
  /** A report that is passed on, and noted. */
  watch(report: Report): Report;
  /** All that is wrong now. */
  problems(problems: readonly Problem[]): void;
  status(): AgentStatus;
  /** Counts refusals and drops from now on, once a minute, until `signal` is aborted. */
  count(signal: AbortSignal): void;
}

export interface BoardFacts extends Pick<AgentStatus, 'version' | 'node' | 'source'> {
  readonly health: Health;
  readonly datapath: Pick<Datapath, 'generation'>;
}

type Totals = ReadonlyMap<string, number>;

export function makeStatusBoard({ health, datapath, ...facts }: BoardFacts): StatusBoard {
  const started = new Date().toISOString();
  let synced = false;
  let lastPass: string | null = null;
  let refusedRows = 0;
  let lastAudit: AgentStatus['lastAudit'] = null;
  let known: readonly Problem[] = [];
  let unattached: AgentStatus['unattached'] = [];
  let wanted: AgentStatus['devices'] = [];
  const past: Totals[] = [];

  async function sample(): Promise<void> {
    const totals = await dropTotals(datapath.generation).catch(notWhileReplaced);
    if (totals === undefined) return;
    past.push(totals);
    if (past.length > PAST_MINUTES + 1) past.shift();
  }

  return {
    watch: (report) => ({
      ...report,
      pass(pass, scope) {
        lastPass = new Date().toISOString();
        refusedRows = pass.failed.length;
        report.pass(pass, scope);
      },
      drift(steps) {
        lastAudit = { at: new Date().toISOString(), drifted: steps.length };
        report.drift(steps);
      },
      attached(attached, devices, level) {
        unattached = attached.failed.map(({ where, error }) => ({ where, reason: error.message }));
        wanted = devices.flatMap(({ name, role }) => (role === 'none' ? [] : [{ name, role }]));
        report.attached(attached, devices, level);
      },
      problems(snapshot, parsed, more) {
        synced = snapshot.synced;
        return report.problems(snapshot, parsed, more);
      },
    }),
    problems(problems) {
      known = problems;
    },
    status: () => ({
      ...facts,
      pid: process.pid,
      started,
      synced,
      healthz: health.healthz(),
      lastPass,
      refusedRows,
      lastAudit,
      problemCount: known.length,
      problems: known.slice(0, TOLD_PROBLEMS),
      unattached,
      devices: wanted,
      past: { minutes: Math.max(0, past.length - 1), reasons: grownBy(past[0], past.at(-1)) },
    }),
    count(signal) {
      void sample();
      const timer = setInterval(() => void sample(), MINUTE_MS).unref();
      signal.addEventListener('abort', () => clearInterval(timer), { once: true });
    },
  };
}

/** How often each reason to refuse or drop was met, over all service ports. */
export async function dropTotals(generation: Datapath['generation']): Promise<Totals | undefined> {
  if (generation === undefined) return undefined;
  const totals = new Map<string, number>();
  for (const reasons of (await readCounters(generation.state.counters)).values()) {
    for (const [why, count] of reasons) {
      const name = reasonName(why);
      if (isDropOrRefusal(name)) totals.set(name, (totals.get(name) ?? 0) + Number(count));
    }
  }
  return totals;
}

export function isDropOrRefusal(reason: string): boolean {
  return reason.startsWith('drop_') || reason.startsWith('reject_');
}

/** Counters of a Service that is gone are gone, too: then the sum may be less than it was. */
function grownBy(before: Totals | undefined, after: Totals | undefined): Record<string, number> {
  const grown = [...(after ?? [])].map(([reason, count]) => [reason, count - (before?.get(reason) ?? 0)] as const);
  return Object.fromEntries(grown.filter(([, count]) => count > 0));
}

function notWhileReplaced(error: unknown): undefined {
  if (!(error instanceof BpfError)) throw error;
}
