/** Puts one world's packets to the programs and to the reference. */
import { ask } from '../../src/explain/ask.ts';
import { answerOf, type Journey, travel, verdictOf } from '../../src/explain/explain.ts';
import { makeQuestion } from '../../src/explain/question.ts';
import type { Stage } from '../../src/explain/stage.ts';
import { socketKey } from '../../src/layout.gen.ts';
import { addressFromHex, endpointText } from '../../src/model/address.ts';
import type { Case } from './arbitraries.ts';
import type { Flow, World } from './objects.ts';
import { type Expected, expected, isPodByAddress } from './reference.ts';
import { familyOf } from './reference-services.ts';
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

type Stages = Record<'packets' | 'sockets', Stage>;

/** Throws a Difference at the first packet that becomes something else than the specification says. */
export async function compare(theatre: Theatre, { world, flows }: Case): Promise<Met[]> {
  const stages = await theatre.show(world);
  const met: Met[] = [];
  for (const flow of flows) met.push(await compareFlow(stages, world, flow));
  await comparePicks(stages, met);
  const atWire: (Met | null)[] = [];
  for (const one of met) atWire.push(await compareAtWire(stages.packets, world, one));
  return [...met, ...atWire.filter((one) => one !== null)];
}

async function compareFlow(stages: Stages, world: World, flow: Flow): Promise<Met> {
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
 * client of this service port had before, by whichever address, while that is in the set that applies. A hash gives one client,
 * or all of one address, the same one of the same set, whoever asks for which Service.
 */
async function comparePicks(stages: Stages, met: readonly Met[]): Promise<void> {
  for (const { rehearsal } of Object.values(stages)) rehearsal.forget('affinity');
  const remembered = new Map<string, string>();
  const hashed = new Map<string, string>();
  for (const { hook, flow, expected: wanted } of [...met, ...met]) {
    if (wanted.verdict !== 'dnat') continue;
    const picked = await (hook === 'connect'
      ? pickOfSocket(stages.sockets, flow)
      : pickOfPacket(stages.packets, hook, flow));
    if (!wanted.backends.includes(picked))
      throw new Difference(flow, `chosen: ${picked}, of ${wanted.backends.join(' ')}`);
    const client = wanted.source === 'node' ? 'the node' : flow.from;
    if (!wanted.rules.includes('affinity')) {
      compareHashed(hashed, flow, wanted, client, picked);
      continue;
    }
    const key = `${client} ${wanted.service} ${flow.protocol} ${familyOf(flow.to)}`;
    const before = remembered.get(key) ?? '';
    if (wanted.backends.includes(before) && before !== picked)
      throw new Difference(flow, `affinity: chosen ${picked}, after ${before}`);
    remembered.set(key, picked);
  }
}

function compareHashed(
  hashed: Map<string, string>,
  flow: Flow,
  { rules, backends, service }: Expected,
  client: string,
  picked: string,
): void {
  const of = rules.includes('client hash') ? client : rules.includes('address hash') ? flow.to : null;
  if (of === null) return;
  const key = `${of} ${service} ${backends.join(' ')}`;
  const before = hashed.get(key) ?? picked;
  if (before !== picked) throw new Difference(flow, `a hash: chosen ${picked}, after ${before}`);
  hashed.set(key, picked);
}

async function pickOfPacket(stage: Stage, hook: string, flow: Flow): Promise<string> {
  const { becomes } = await ask(stage, hook as 'from_pod' | 'from_wire', makeQuestion(flow));
  return becomes === null ? 'nobody' : endpointText(becomes.destination, becomes.destinationPort);
}

/** What a socket talks to shows in what it remembers of its frontend. */
async function pickOfSocket(stage: Stage, flow: Flow): Promise<string> {
  stage.rehearsal.forget('socket_reverse');
  await ask(stage, 'connect', makeQuestion(flow));
  const row = stage.rehearsal.map('socket_reverse').nextKey(undefined);
  if (row === undefined) return 'nobody';
  const { address, port } = socketKey.decode(Buffer.from(row).toString('hex'));
  return endpointText(addressFromHex(address), port);
}

/** Who is known for a pod by its address is one where it comes in by a wire, too. */
async function compareAtWire(stage: Stage, world: World, { flow, expected: wanted }: Met): Promise<Met | null> {
  if (wanted.source !== 'pod' || !isPodByAddress(world, flow.from)) return null;
  const { reason } = await ask(stage, 'from_wire', makeQuestion(flow));
  const got = verdictOf(reason);
  /* what is not allocated goes on from here, and is dropped on its way out */
  const expectedHere = wanted.verdict === 'drop' && wanted.service === null ? 'pass' : wanted.verdict;
  if (got !== expectedHere) throw new Difference(flow, `at the wire: ${got}\nspecification: ${expectedHere}`);
  return { hook: 'from_wire', flow, expected: { ...wanted, verdict: expectedHere, rules: ['a pod at the wire'] } };
}
