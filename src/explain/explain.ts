import { reason, servicePortName, u32 } from '../layout.gen.ts';
import { serviceName } from '../model/service.ts';
import type { Answer, Step, Verdict } from './answer.ts';
import { ask, type Candidates, candidatesOf, hookFor, isConnected, isReject, type Said } from './ask.ts';
import { type AskedRow, askedRow } from './place.ts';
import type { Question } from './question.ts';
import type { Stage } from './stage.ts';
import { stepsOf } from './steps.ts';

/** All that is known of one question, for the words to be made of. */
export interface Journey {
  readonly question: Question;
  readonly source: ReturnType<Stage['classify']>;
  /** What the first hook said, then that of the way out of the node, where the packet got there: none, if it met neither. */
  readonly said: readonly Said[];
  readonly verdict: Verdict;
  /** A number of `reason`; null: nothing of ours had a say. */
  readonly why: number | null;
  readonly asked: AskedRow | null;
  /** 'namespace/name:port name' */
  readonly service: string | null;
  readonly candidates: Candidates | null;
}

/** Puts the question to the programs. Nothing but the stage's own maps is touched. */
export async function explain(stage: Stage, question: Question): Promise<Answer> {
  return answerOf(stage, await travel(stage, question));
}

/** What a journey came to. */
export function answerOf(stage: Stage, journey: Journey): Answer {
  const { candidates, verdict, service } = journey;
  const { reason: words, steps } = stepsOf(stage, journey);
  return {
    verdict,
    backends: candidates?.backends ?? [],
    masqueraded: journey.source.kind === 'node' ? [] : (candidates?.masqueraded ?? []),
    service,
    reason: words,
    steps: steps satisfies readonly Step[],
  };
}

/** What the programs do, as they see it. */
export async function travel(stage: Stage, question: Question): Promise<Journey> {
  const source = stage.classify(question.from);
  const hook = hookFor(stage, source.kind, question);
  const said = await heard(stage, hook, question);
  const why = said.at(-1)?.reason ?? null;
  const asked = askedRow(stage.tables, question);
  const verdict = verdictOf(why);
  if (verdict === 'dnat' && asked === null)
    throw new Error(`${hook} chose a backend, and no row stands for what was asked`);
  const candidates = verdict === 'dnat' && asked !== null ? await candidatesOf(stage, hook, question, asked) : null;
  const service = why === null || why === reason.reject_undefined_port ? null : nameOf(stage, asked);
  return { question, source, said, verdict, why, asked, service, candidates };
}

/** What it lets pass may leave the node, and what stays there meets no way out. */
async function heard(stage: Stage, hook: Said['hook'], question: Question): Promise<Said[]> {
  const stays = stage.isLocal(question.to);
  if (hook === 'to_wire') return stays ? [] : [await ask(stage, hook, question)];
  const first = await ask(stage, hook, question);
  return first.reason === null && !stays ? [first, await ask(stage, 'to_wire', question)] : [first];
}

/** `why`: a number of `reason`; null: it was let pass as it is. */
export function verdictOf(why: number | null): Verdict {
  if (why === null || why === reason.connected_direct) return 'pass';
  if (isConnected(why)) return 'dnat';
  return isReject(why) ? 'reject' : 'drop';
}

function nameOf({ tables }: Stage, asked: AskedRow | null): string | null {
  const value = asked === null ? undefined : tables.names.get(u32.encode(asked.row.servicePort));
  if (value === undefined) return null;
  const { namespace, service, port } = servicePortName.decode(value);
  return `${serviceName({ namespace, name: service })}:${port}`;
}
