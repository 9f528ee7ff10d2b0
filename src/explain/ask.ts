import { type Tuple, tupleOf } from '../kernel/probe-packet.ts';
import type { Outcome, RehearsedHook } from '../kernel/rehearsal.ts';
import { backend, type Frontend, flowFlag, reason, type Segment, u32 } from '../layout.gen.ts';
import { addressFromHex, endpointText } from '../model/address.ts';
import { noSegment } from '../plan/segments.ts';
import { type AskedRow, protocolNumbers } from './place.ts';
import type { Question } from './question.ts';
import type { SourceClass, Stage } from './stage.ts';

/** What the programs said of one first packet, or one connect(). */
export interface Said {
  readonly hook: 'connect' | RehearsedHook;
  /** A number of `reason`; null: it was let pass as it is. */
  readonly reason: number | null;
  readonly servicePort: number;
  readonly sent: Tuple;
  /** The packet as it goes on; null: it does not, or it is no packet. */
  readonly becomes: Tuple | null;
  /** The source that the backend sees; null: nothing was chosen, or it is a socket. */
  readonly source: string | null;
  /** Where that took the client's place, if not at this hook. */
  readonly exit: 'to_pod' | 'to_wire' | null;
}

const UNSPEC = 0xffffffff;
const firstSourcePort = 40_000;
const sourcePorts = 20_000;
let nextPort = 0;

/**
 * The hook that meets a source of this class first. Of the node's own SCTP that is the way out: no socket hook knows it. Where
 * sockets cannot be asked, a pod's packet stands for them.
 */
export function hookFor(stage: Stage, kind: SourceClass, { protocol }: Question): 'connect' | RehearsedHook {
  if (kind === 'outside') return 'from_wire';
  if (kind === 'pod') return 'from_pod';
  if (protocol === 'sctp') return 'to_wire';
  return 'missing' in stage.sockets ? 'from_pod' : 'connect';
}

/** Puts the question to a hook. Every time it is another connection. */
export async function ask(stage: Stage, hook: 'connect' | RehearsedHook, question: Question): Promise<Said> {
  const sent: Tuple = {
    source: question.from,
    sourcePort: firstSourcePort + (nextPort++ % sourcePorts),
    destination: question.to,
    destinationPort: question.port,
    protocol: protocolNumbers[question.protocol],
  };
  if (hook === 'connect') return connect(stage, question, sent);
  const outcome = await stage.rehearsal.run(hook, sent, stage.via(hook, question.from));
  const first = said(hook, sent, outcome);
  return outcome.flow !== null && outcome.flow.flags & flowFlag.exit ? await leaving(stage, first, outcome) : first;
}

/** With masquerade-all the source is replaced where the packet leaves towards its backend: that hook is asked, too. */
async function leaving(stage: Stage, first: Said, { packet, mark }: Outcome): Promise<Said> {
  const hook = first.becomes === null ? null : stage.exit(first.becomes.destination);
  if (hook === null) return first;
  const outcome = await stage.rehearsal.pass(hook.hook, packet, mark, hook.via);
  const left = tupleOf(outcome.packet);
  return left === null || outcome.counted.length > 0
    ? first
    : { ...first, becomes: left, source: left.source, exit: hook.hook };
}

function connect({ sockets }: Stage, { to, port, protocol }: Question, sent: Tuple): Said {
  if ('missing' in sockets || protocol === 'sctp') throw new Error('there are no sockets to be asked');
  const [counted] = sockets.connect(protocol, to, port).counted;
  const [why, servicePort] = [counted?.reason ?? null, counted?.servicePort ?? 0];
  return { hook: 'connect', reason: why, servicePort, sent, becomes: null, source: null, exit: null };
}

function said(hook: RehearsedHook, sent: Tuple, { verdict, packet, counted, flow }: Outcome): Said {
  const told = counted.find(({ reason: why }) => why !== reason.connected_moved);
  const why = told?.reason ?? null;
  if (why === null && verdict !== UNSPEC) throw new Error(`${hook} answered ${verdict} and did not say why`);
  const goesOn = why === null || isConnected(why);
  const source = goesOn && flow !== null ? addressFromHex(flow.source) : null;
  return {
    hook,
    reason: why,
    servicePort: told?.servicePort ?? 0,
    sent,
    becomes: goesOn ? tupleOf(packet) : null,
    source,
    exit: null,
  };
}

export function isConnected(why: number): boolean {
  return why < reason.reject_no_endpoint;
}

export function isReject(why: number): boolean {
  return why >= reason.reject_no_endpoint && why < reason.drop_no_local_endpoint;
}

/** Everybody whom a new connection could get, and of whom it could get under another source. */
export interface Candidates {
  readonly pool: 'any' | 'local';
  readonly backends: readonly string[];
  readonly masqueraded: readonly string[];
}

/**
 * Finds out by the programs themselves: which pool they take shows when the other one is empty, and what becomes of the source
 * when a backend is alone.
 */
export async function candidatesOf(
  stage: Stage,
  hook: 'connect' | RehearsedHook,
  question: Question,
  { key, row }: AskedRow,
): Promise<Candidates> {
  const { rehearsal } = stage;
  const variant = async (change: Partial<Frontend>): Promise<Said> => {
    rehearsal.setFrontend(key, { ...row, ...change });
    return await ask(stage, hook, question);
  };
  try {
    const withoutAny = await variant({ any: noSegment });
    const pool = withoutAny.reason !== null && isConnected(withoutAny.reason) ? 'local' : 'any';
    const backends: string[] = [];
    const masqueraded: string[] = [];
    for (const { slot, text } of slotsOf(stage, row[pool])) {
      backends.push(text);
      if (hook === 'connect') continue;
      const alone = { start: slot, count: 1 };
      const { source } = await variant({ any: alone, local: alone });
      if (source !== null && source !== question.from) masqueraded.push(text);
    }
    return { pool, backends: backends.sort(), masqueraded: masqueraded.sort() };
  } finally {
    rehearsal.setFrontend(key, row);
  }
}

function slotsOf({ tables }: Stage, { start, count }: Segment): { slot: number; text: string }[] {
  return Array.from({ length: count }, (_, i) => {
    const value = tables.backends.get(u32.encode(start + i));
    if (value === undefined) throw new Error(`slot ${start + i} of a pool has no row`);
    const { address, port } = backend.decode(value);
    return { slot: start + i, text: endpointText(addressFromHex(address), port) };
  });
}
