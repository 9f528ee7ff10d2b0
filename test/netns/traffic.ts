/** Servers and clients of the packet tests, and how a test steers them. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type CommandOptions, stop } from './command.ts';
import type { Lab, Place } from './lab.ts';
import type { Answer, Target } from './transaction.ts';

export type { Answer, Target };

export interface Plan extends Target {
  /** How many sockets. Default 1; a source port counts up from socket to socket. */
  readonly count?: number;
  /** How many questions over each socket, one after the other. Default 1. */
  readonly questions?: number;
  /** Milliseconds from an answer, or a failure, to the next question. Default 0. */
  readonly pause?: number;
  /** How many sockets at a time. Default 1. */
  readonly concurrency?: number;
  /** Of a stream: sockets opened each second. Default 100. */
  readonly perSecond?: number;
}

/** What became of the questions. Each record counts how often each value was seen. */
export interface Tally {
  asked: number;
  ok: number;
  failed: number;
  readonly backends: Record<string, number>;
  /** Client addresses as the servers saw them, without the port. */
  readonly clients: Record<string, number>;
  /** getpeername(), 'address:port'. */
  readonly peers: Record<string, number>;
  /** Sources of UDP answers, 'address:port'. */
  readonly froms: Record<string, number>;
  /** By errno name, or 'TIMEOUT' or 'EOF'. */
  readonly errors: Record<string, number>;
  /** `at` in ms since 1970, `after` how long the question took to fail. */
  readonly failures: { readonly at: number; readonly code: string; readonly after: number }[];
  /** The slowest good answer in ms. */
  slowest: number;
}

export type Command =
  | { readonly id: number; readonly do: 'request' | 'stream'; readonly plan: Plan }
  | { readonly id: number; readonly do: 'open'; readonly target: Target }
  | { readonly id: number; readonly do: 'ask' | 'close'; readonly of: number };

export interface Reply {
  readonly id: number;
  readonly tally?: Tally;
  readonly answer?: Answer;
  readonly error?: { readonly code: string; readonly message: string };
}

/** A conversation over one socket that stays open. */
export interface Connection {
  /** What the question at its opening was answered with. */
  readonly first: Answer;
  /** Rejects with an error whose `code` is an errno name, 'TIMEOUT' or 'EOF'. */
  ask(): Promise<Answer>;
  close(): Promise<void>;
}

export interface Stream {
  /** Ends it, waits for what is still in flight, and tells. */
  stop(): Promise<Tally>;
}

export interface Client extends AsyncDisposable {
  readonly pid: number;
  request(plan: Plan): Promise<Tally>;
  open(target: Target): Promise<Connection>;
  /** Questions at a steady rate in the background. */
  stream(plan: Plan): Stream;
  close(): Promise<void>;
}

const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/**
 * Starts an echo server on TCP and UDP and waits until it listens; it answers with `name`, the place's unless given. It
 * binds the place's addresses: a UDP server on the any-address answers with whichever of a node's addresses is nearest.
 */
export async function startServer(
  lab: Lab,
  place: Place,
  ports: readonly number[],
  options: CommandOptions & { readonly name?: string; readonly addresses?: readonly string[] } = {},
): Promise<ChildProcess> {
  const argv = [
    process.execPath,
    script('server.ts'),
    options.name ?? place.name,
    ports.join(','),
    ...(options.addresses ?? [place.ip4, place.ip6]),
  ];
  const child = lab.spawn(place, argv, { ...options, stdio: ['ignore', 'pipe', 'inherit'] });
  const ready = once(child.stdout as NonNullable<typeof child.stdout>, 'data');
  const ended = once(child, 'exit').then(() => Promise.reject(new Error(`the server in ${place.name} ended`)));
  ended.catch(() => {});
  await Promise.race([ready, ended]);
  return child;
}

/** Starts a client; `cgroup` decides whether socket hooks see its sockets. */
export function startClient(lab: Lab, place: Place, options: CommandOptions = {}): Client {
  const child = lab.spawn(place, [process.execPath, script('client.ts')], {
    ...options,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const waiting = new Map<number, { resolve(reply: Reply): void; reject(error: Error): void }>();
  let lastId = 0;
  createInterface({ input: child.stdout as NonNullable<typeof child.stdout> }).on('line', (line) => {
    const reply = JSON.parse(line) as Reply;
    const { resolve, reject } = waiting.get(reply.id) ?? {};
    waiting.delete(reply.id);
    if (reply.error === undefined) resolve?.(reply);
    else reject?.(Object.assign(new Error(`${place.name}: ${reply.error.message}`), { code: reply.error.code }));
  });
  child.once('exit', () => {
    for (const { reject } of waiting.values()) reject(new Error(`the client in ${place.name} ended`));
  });
  const tell = (command: DistributiveOmit<Command, 'id'>): { id: number; reply: Promise<Reply> } => {
    const id = ++lastId;
    const reply = new Promise<Reply>((resolve, reject) => waiting.set(id, { resolve, reject }));
    child.stdin?.write(`${JSON.stringify({ ...command, id })}\n`);
    return { id, reply };
  };
  const close = async (): Promise<void> => await stop(child, 'SIGKILL');
  return {
    pid: child.pid as number,
    request: async (plan) => (await tell({ do: 'request', plan }).reply).tally as Tally,
    async open(target) {
      const { id, reply } = tell({ do: 'open', target });
      const first = (await reply).answer as Answer;
      return {
        first,
        ask: async () => (await tell({ do: 'ask', of: id }).reply).answer as Answer,
        close: async () => void (await tell({ do: 'close', of: id }).reply),
      };
    },
    stream(plan) {
      const { id, reply } = tell({ do: 'stream', plan });
      reply.catch(() => {}); // A test that fails meanwhile does not ask any more.
      return {
        async stop() {
          const [{ tally }] = await Promise.all([reply, tell({ do: 'close', of: id }).reply]);
          return tally as Tally;
        },
      };
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
