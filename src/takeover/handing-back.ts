import { apply, writeTo } from '../kernel/apply.ts';
import { bootSeconds } from '../kernel/clock.ts';
import type { Generation } from '../kernel/generation.ts';
import { lockPinDir } from '../kernel/lock.ts';
import { readRows } from '../kernel/tables.ts';
import { flow, flowFlag, flowKey, flowState } from '../layout.gen.ts';
import { isAddressKey } from '../plan/rows.ts';
import type { Step } from '../plan/tables.ts';
import type { Survey } from './survey.ts';

/** Why handing back to kube-proxy would break something, each with its cure. */
export function backHindrances(
  { agent, rules, disagreements }: Survey,
  { acceptDifferences }: { readonly acceptDifferences: boolean },
): string[] {
  const lost = disagreements.filter(({ known }) => known === 'bpfsvc');
  const isThere = rules.peers.length > 0;
  return [
    ...(agent.pid === null ? [] : ['the agent runs, and would write its tables again: stop it first']),
    ...(isThere ? [] : ['kube-proxy has no rules here: start it first, and wait until it has written them']),
    ...(isThere && lost.length > 0 && !acceptDifferences
      ? [
          `bpfsvc serves what kube-proxy does not: ${lost
            .slice(0, 3)
            .map(({ place }) => place)
            .join(', ')}; or --accept-differences`,
        ]
      : []),
  ];
}

/**
 * Makes all programs leave new connections alone; flows that they remember go on. Rows of addresses go first: with one of
 * them a port whose own row is gone would be refused. Returns how many rows there were. The agent fills them again.
 */
export async function stepAside(path: string, { tables }: Pick<Generation, 'tables'>): Promise<number> {
  using _lock = lockPinDir(path);
  const frontends = [...(await readRows(tables.frontends)).keys()];
  const cidrs = [...(await readRows(tables.service_cidrs)).keys()];
  const ordered = [...frontends.filter(isAddressKey), ...frontends.filter((key) => !isAddressKey(key))];
  const gone = (table: Step['table'], key: string): Step => ({ op: 'delete', table, key, owner: '' });
  const steps = [...cidrs.map((key) => gone('service_cidrs', key)), ...ordered.map((key) => gone('frontends', key))];
  const { failed } = await apply(steps, writeTo(tables));
  const [first] = failed;
  if (first !== undefined) throw first.error;
  return steps.length;
}

const TCP = 6;

/** Longer than most keepalives: who has been silent for so long is asked by nobody. */
const IDLE_SECONDS = 3 * 3600;

/** How many TCP connections still need the programs: all that were begun by a packet, and not at a socket. */
export async function livingConnections({ state }: Pick<Generation, 'state'>): Promise<number> {
  const now = bootSeconds();
  const isOver = (bits: number) =>
    (bits & flowState.reset) !== 0 || ((bits & flowState.client_fin) !== 0 && (bits & flowState.backend_fin) !== 0);
  return [...(await readRows(state.flows))].filter(([key, value]) => {
    const { flags, state: bits, seen } = flow.decode(value);
    const isForward = (flags & flowFlag.reply) === 0;
    return isForward && flowKey.decode(key).protocol === TCP && !isOver(bits) && now - seen < IDLE_SECONDS;
  }).length;
}
