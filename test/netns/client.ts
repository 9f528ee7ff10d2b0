/**
 * The client of the packet tests: one process for many requests, for a Node start costs more than a thousand of them.
 * Reads commands as lines of JSON from standard input, and writes one line of JSON for each, with its id:
 *
 *   {id, do: 'request', plan}   → {id, tally}          many questions, each over its own socket
 *   {id, do: 'open', target}    → {id, answer}         asks once and keeps the conversation under this id
 *   {id, do: 'ask', of}         → {id, answer}         asks again in a conversation
 *   {id, do: 'stream', plan}    → when closed: {id, tally}  questions at a steady rate, whatever becomes of them
 *   {id, do: 'close', of}       → {id}                 ends a conversation or a stream
 *
 * A command that failed is {id, error: {code, message}}.
 */
import process from 'node:process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command, Plan, Reply, Tally } from './traffic.ts';
import { type Conversation, open, type Target } from './transaction.ts';

const conversations = new Map<number, Conversation>();
const streams = new Map<number, () => Promise<void>>();

function emptyTally(): Tally {
  return {
    asked: 0,
    ok: 0,
    failed: 0,
    backends: {},
    clients: {},
    peers: {},
    froms: {},
    errors: {},
    failures: [],
    slowest: 0,
  };
}

function count(into: Record<string, number>, what: string): void {
  if (what !== '') into[what] = (into[what] ?? 0) + 1;
}

/** One socket: as many questions as the plan says, each counted. */
async function serve(plan: Plan, nth: number, tally: Tally): Promise<void> {
  const target: Target = plan.sourcePort === undefined ? plan : { ...plan, sourcePort: plan.sourcePort + nth };
  let conversation: Conversation | undefined;
  for (let i = 0; i < (plan.questions ?? 1); i++) {
    if (i > 0 && plan.pause) await sleep(plan.pause);
    const began = performance.now();
    tally.asked += 1;
    try {
      conversation ??= await open(target);
      const answer = await conversation.ask();
      tally.ok += 1;
      count(tally.backends, answer.backend);
      count(tally.clients, answer.client.replace(/:\d+$/, ''));
      count(tally.peers, answer.peer);
      count(tally.froms, answer.from);
      tally.slowest = Math.max(tally.slowest, performance.now() - began);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? String(error);
      tally.failed += 1;
      count(tally.errors, code);
      tally.failures.push({ at: Date.now(), code, after: performance.now() - began });
    }
  }
  conversation?.close();
}

async function request(plan: Plan): Promise<Tally> {
  const tally = emptyTally();
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < (plan.count ?? 1)) await serve(plan, next++, tally);
  };
  await Promise.all(Array.from({ length: plan.concurrency ?? 1 }, worker));
  return tally;
}

/** Open loop: a server that hangs does not slow the questions down. */
function stream(id: number, plan: Plan): void {
  const tally = emptyTally();
  const running = new Set<Promise<void>>();
  const began = performance.now();
  let started = 0;
  const timer = setInterval(() => {
    for (const due = ((performance.now() - began) * (plan.perSecond ?? 100)) / 1000; started < due; started++) {
      const one = serve(plan, started, tally).finally(() => running.delete(one));
      running.add(one);
    }
  }, 5);
  streams.set(id, async () => {
    clearInterval(timer);
    await Promise.all(running);
    reply({ id, tally });
  });
}

function reply(line: Reply): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function obey(command: Command): Promise<void> {
  const { id } = command;
  if (command.do === 'request') {
    reply({ id, tally: await request(command.plan) });
  } else if (command.do === 'stream') {
    stream(id, command.plan);
  } else if (command.do === 'open') {
    const conversation = await open(command.target);
    conversations.set(id, conversation);
    reply({ id, answer: await conversation.ask() });
  } else if (command.do === 'ask') {
    reply({ id, answer: await (conversations.get(command.of) as Conversation).ask() });
  } else if (command.do === 'close') {
    conversations.get(command.of)?.close();
    await streams.get(command.of)?.();
    reply({ id });
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line) as Command;
  obey(command).catch((error: NodeJS.ErrnoException) => {
    reply({ id: command.id, error: { code: error.code ?? '', message: error.message } });
  });
}
process.exit();
