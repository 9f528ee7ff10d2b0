/** Questions from all three kinds of clients at once, in the background, of which none may fail. */
import type { Lab, Node, Pod } from './lab.ts';
import { type Client, type Stream, startClient, type Tally } from './traffic.ts';

export interface Visitors {
  /** Outside the socket hooks: its packets are translated at its veth. */
  readonly pod: Client;
  /** A pod's process under the socket hooks. */
  readonly socket: Client;
  /** A process of the node. */
  readonly host: Client;
}

/** Three clients: two in the pod and one on its node. */
export function startVisitors(lab: Lab, node: Node, pod: Pod): Visitors {
  return {
    pod: startClient(lab, pod),
    socket: startClient(lab, pod, { cgroup: node.cgroup }),
    host: startClient(lab, node, { cgroup: node.cgroup }),
  };
}

/** Whom to ask, in both families. */
export interface Addressee {
  readonly addresses: readonly string[];
  readonly port: number;
  /** Milliseconds. Default 10 s, for a machine that is busy: an answer that is lost is missing all the same. */
  readonly timeout?: number;
}

export interface Questions {
  /** Ends them, waits for what is in flight, and tells: 'who protocol' → what became of them. */
  stop(): Promise<ReadonlyMap<string, Tally>>;
}

const kinds = [
  { name: 'TCP', plan: { protocol: 'tcp' }, perSecond: 70 },
  { name: 'connected UDP', plan: { protocol: 'udp', connected: true, questions: 2 }, perSecond: 10 },
  { name: 'unconnected UDP', plan: { protocol: 'udp', connected: false, questions: 2 }, perSecond: 10 },
] as const;

/** 70 TCP connections and 40 UDP questions a second from each visitor, over all addresses. */
export function startQuestions(visitors: Partial<Visitors>, addressee: Addressee): Questions {
  const { addresses, port, timeout = 10_000 } = addressee;
  const streams: { name: string; stream: Stream }[] = [];
  for (const [who, client] of Object.entries(visitors)) {
    for (const { name, plan, perSecond } of kinds) {
      for (const address of addresses) {
        const rate = perSecond / addresses.length;
        const stream = client.stream({ ...plan, address, port, perSecond: rate, timeout });
        streams.push({ name: `${who}: ${name} to ${address}`, stream });
      }
    }
  }
  return {
    stop: async () =>
      new Map(await Promise.all(streams.map(async ({ name, stream }) => [name, await stream.stop()] as const))),
  };
}

/** 'who protocol: errors' of those with failures. */
export function failures(tallies: ReadonlyMap<string, Tally>): string[] {
  return [...tallies].flatMap(([name, { asked, ok, errors, failures }]) =>
    ok === asked ? [] : [`${name}: ${ok} of ${asked}, ${JSON.stringify(errors)} at ${failures.map(({ at }) => at)}`],
  );
}

/** How many were asked, for the log of a test. */
export function summary(tallies: ReadonlyMap<string, Tally>): string {
  const all = [...tallies.values()];
  const asked = all.reduce((sum, tally) => sum + tally.asked, 0);
  const slowest = Math.max(...all.map((tally) => tally.slowest));
  return `${asked} questions over ${all.length} streams, the slowest took ${Math.round(slowest)} ms`;
}
