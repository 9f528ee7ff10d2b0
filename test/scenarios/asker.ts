/** The node of all stories, and who asks the real programs there what becomes of a packet. */
import { writeFileSync } from 'node:fs';
import { ask, hookFor, isConnected } from '../../src/explain/ask.ts';
import { explain } from '../../src/explain/explain.ts';
import { openLive } from '../../src/explain/live.ts';
import { makeQuestion, parseTarget, type Question } from '../../src/explain/question.ts';
import type { Stage } from '../../src/explain/stage.ts';
import type { Generation } from '../../src/kernel/generation.ts';
import type { BpfMap } from '../../src/kernel/kernel.ts';
import { readRows, readSettledTables } from '../../src/kernel/tables.ts';
import { endpointText } from '../../src/model/address.ts';
import type { Sandbox } from '../sandbox.ts';
import type { SeenFlow } from './judge.ts';

/** Who asks, where a story says no address: of the family that is asked. */
const askers: Readonly<Record<string, readonly [string, string]>> = {
  pod: ['10.1.0.9', 'fd00:1::9'],
  node: ['192.0.2.1', '2001:db8::1'],
  outside: ['203.0.113.9', '2001:db8:f::9'],
};

/** So many connections in a row tell that a client keeps its backend. */
const CONNECTIONS = 12;
/** More than any story has of anything. */
const ROOM = 1024;

/** This node, its pods behind a veth, and the world behind eth9. */
export function layNetwork(box: Sandbox): void {
  box.ip('link', 'set', 'lo', 'up');
  box.addPod('veth1');
  box.ip('addr', 'add', '192.0.2.254/32', 'dev', 'veth1');
  box.ip('link', 'add', 'eth9', 'type', 'veth', 'peer', 'name', 'far9');
  for (const end of ['eth9', 'far9']) box.ip('link', 'set', end, 'up');
  for (const own of ['192.0.2.1/24', '192.0.2.2/24']) box.ip('addr', 'add', own, 'dev', 'eth9');
  box.ip('addr', 'add', '2001:db8::1/64', 'dev', 'eth9', 'nodad');
  box.ip('route', 'add', 'default', 'via', '192.0.2.253');
  box.ip('-6', 'route', 'add', 'default', 'via', '2001:db8::ffff', 'dev', 'eth9');
  box.ip('route', 'add', '10.1.0.0/16', 'dev', 'veth1');
  box.ip('-6', 'route', 'add', 'fd00:1::/64', 'dev', 'veth1');
  for (const family of ['ipv4', 'ipv6']) writeFileSync(`/proc/sys/net/${family}/conf/all/forwarding`, '1');
}

/** One stage for all that is asked: programs are loaded once, and find copies of whatever is asked about. */
export interface Asker extends AsyncDisposable {
  /** What becomes of these flows ('pod -> 10.96.0.1:80') by what is loaded there now. One call at a time is served. */
  ask(generation: Generation, flows: readonly AskedFlow[]): Promise<SeenFlow[]>;
}

export interface AskedFlow {
  readonly text: string;
  /** It is also asked whether a client gets the same backend again. */
  readonly keeps: boolean;
}

export async function openAsker(box: Sandbox, generation: Generation): Promise<Asker> {
  const live = await openLive(generation, [questionOf('node -> 10.96.0.1:80')], box.cgroup, ROOM);
  let turn: Promise<unknown> = Promise.resolve();
  return {
    ask(of, flows) {
      const answers = turn.then(async () => await askAll(live.stage, of, flows));
      turn = answers.catch(() => {});
      return answers;
    },
    [Symbol.asyncDispose]: async () => await live[Symbol.asyncDispose](),
  };
}

async function askAll(opened: Stage, generation: Generation, flows: readonly AskedFlow[]): Promise<SeenFlow[]> {
  const tables = await readSettledTables(generation.tables);
  const stage: Stage = { ...opened, tables, remembered: () => null };
  stage.rehearsal.replace(tables);
  const answers: SeenFlow[] = [];
  for (const { text, keeps } of flows) {
    const question = questionOf(text);
    const kept = keeps ? `; keeps ${await keptBy(stage, generation, question)}` : '';
    const { verdict, backends, masqueraded, reason } = await explain(stage, question);
    const chosen = backends.map((backend) => (masqueraded.includes(backend) ? `${backend}*` : backend));
    answers.push({ outcome: `${verdict === 'dnat' ? chosen.join(', ') : verdict}${kept}`, reason });
  }
  return answers;
}

/** 'FROM -> TO:PORT[/PROTOCOL]'. Throws a QuestionError. */
function questionOf(flow: string): Question {
  const [, from = '', target = '', protocol = 'tcp'] = /^(\S+) -> (\S+:\d+)(?:\/(\w+))?$/.exec(flow) ?? [];
  const { to, port } = parseTarget(target);
  const [ipv4, ipv6] = askers[from] ?? [from, from];
  return makeQuestion({ from: to.includes(':') ? ipv6 : ipv4, to, port, protocol });
}

/** Connects again and again, from what the node remembers, and lets it remember that. */
async function keptBy(stage: Stage, generation: Generation, question: Question): Promise<string> {
  const copy = stage.rehearsal.map('affinity');
  const { affinity } = generation.state;
  await copyRows(affinity, copy);
  const hook = hookFor(stage, stage.classify(question.from).kind, question);
  const chosen = new Set<string>();
  for (let i = 0; i < CONNECTIONS; i += 1) {
    const { becomes, reason } = await ask(stage, hook, question);
    if (becomes === null || reason === null || !isConnected(reason)) return 'nobody';
    chosen.add(endpointText(becomes.destination, becomes.destinationPort));
  }
  await copyRows(copy, affinity);
  const [only] = chosen;
  return chosen.size === 1 && only !== undefined ? only : 'nobody';
}

async function copyRows(from: BpfMap, to: BpfMap): Promise<void> {
  const rows = await readRows(from);
  for (const key of (await readRows(to)).keys()) if (!rows.has(key)) to.delete(Buffer.from(key, 'hex'));
  for (const [key, value] of rows) to.update(Buffer.from(key, 'hex'), Buffer.from(value, 'hex'));
}
