/** Puts one world's packets to the programs and to the reference. */
import { ask } from '../../src/explain/ask.ts';
import { answerOf, type Journey, travel } from '../../src/explain/explain.ts';
import { makeQuestion } from '../../src/explain/question.ts';
import type { Stage } from '../../src/explain/stage.ts';
import { endpointText } from '../../src/model/address.ts';
import type { Case } from './arbitraries.ts';
import type { Flow, World } from './objects.ts';
import { type Expected, expected } from './reference.ts';
import type { Theatre } from './theatre.ts';

/** What met: the hook that had the last word, and what the reference says of it. */
export interface Met {
  readonly hook: string;
  readonly flow: Flow;
  readonly expected: Expected;
}

/** They do not agree. */
export class Difference extends Error {
  override readonly name = 'Difference';
  readonly flow: Flow;

  constructor(flow: Flow, message: string) {
    super(message);
    this.flow = flow;
  }
}

/** Throws a Difference at the first packet that becomes something else than the specification says. */
export async function compare(theatre: Theatre, { world, flows }: Case): Promise<Met[]> {
  const stages = await theatre.show(world);
  const met: Met[] = [];
  for (const flow of flows) met.push(await compareFlow(stages, world, flow));
  await comparePicks(stages.packets, met);
  return met;
}

async function compareFlow(stages: Record<'packets' | 'sockets', Stage>, world: World, flow: Flow): Promise<Met> {
  const wanted = expected(world, flow);
  const stage = stages[wanted.source === 'node' ? 'sockets' : 'packets'];
  const journey = await travel(stage, makeQuestion(flow));
  const { verdict, backends, masqueraded, service } = answerOf(stage, journey);
  const got = textOf({ verdict, backends, masqueraded, service });
  if (journey.source.kind !== wanted.source)
    throw new Difference(flow, `source: ${journey.source.kind}, by the specification ${wanted.source}`);
  if (got !== textOf(wanted))
    throw new Difference(flow, `programs:      ${got}\nspecification: ${textOf(wanted)} (${wanted.rules.join(', ')})`);
  return { hook: lastHook(journey), flow, expected: wanted };
}

function lastHook({ said }: Journey): string {
  return said.at(-1)?.hook ?? 'none';
}

function textOf({
  verdict,
  backends,
  masqueraded,
  service,
}: Pick<Expected, 'verdict' | 'backends' | 'masqueraded' | 'service'>): string {
  const marked = backends.map((one) => (masqueraded.includes(one) ? `${one}*` : one));
  return [verdict, ...marked, service === null ? 'of no Service' : `of ${service}`].join(' ');
}

/**
 * Sends the packets of those that get a backend, twice each: it is one of the set, and under session affinity the one that this
 * client of this service port had before, by whichever address, while that is in the set that applies.
 */
async function comparePicks(stage: Stage, met: readonly Met[]): Promise<void> {
  stage.rehearsal.forget('affinity');
  const remembered = new Map<string, string>();
  for (const { hook, flow, expected: wanted } of [...met, ...met]) {
    if (wanted.verdict !== 'dnat' || (hook !== 'from_pod' && hook !== 'from_wire')) continue;
    const { becomes } = await ask(stage, hook, makeQuestion(flow));
    const picked = becomes === null ? 'nobody' : endpointText(becomes.destination, becomes.destinationPort);
    if (!wanted.backends.includes(picked))
      throw new Difference(flow, `chosen: ${picked}, of ${wanted.backends.join(' ')}`);
    if (!wanted.rules.includes('affinity')) continue;
    const key = `${flow.from} ${wanted.service} ${flow.protocol}`;
    const before = remembered.get(key) ?? '';
    if (wanted.backends.includes(before) && before !== picked)
      throw new Difference(flow, `affinity: chosen ${picked}, after ${before}`);
    remembered.set(key, picked);
  }
}
