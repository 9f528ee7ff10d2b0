/**
 * A customer: real HTTP requests and DNS queries, each over a connection or a socket of its own. Obeys lines of JSON on
 * standard input and answers each with one; what went wrong is counted, not thrown.
 */
import { Resolver } from 'node:dns/promises';
import { get } from 'node:http';
import process from 'node:process';
import { createInterface } from 'node:readline';

export type Wish =
  | { readonly do: 'visit'; readonly url: string; readonly times: number }
  /** Visits at a rate until 'stop'. */
  | { readonly do: 'keep visiting'; readonly url: string; readonly perSecond: number }
  | { readonly do: 'stop' }
  /** What has been seen until now of what is kept up. */
  | { readonly do: 'so far' }
  /** One A query, then TXT queries that ask who answers. */
  | { readonly do: 'resolve'; readonly server: string; readonly name: string; readonly times: number };

/** Answers by who gave them, errors by their code. */
export interface Tally {
  readonly answers: Record<string, number>;
  readonly errors: Record<string, number>;
  /** Of 'resolve': what the name means. */
  addresses: string[];
}

const emptyTally = (): Tally => ({ answers: {}, errors: {}, addresses: [] });

function count(into: Record<string, number>, what: string): void {
  into[what] = (into[what] ?? 0) + 1;
}

async function visit(url: string, tally: Tally): Promise<void> {
  try {
    const body = await new Promise<string>((resolve, reject) => {
      const request = get(url, { agent: false, timeout: 2000 }, async (response) => {
        let text = '';
        for await (const chunk of response) text += chunk;
        resolve(text.trim());
      });
      request.on('error', reject).on('timeout', () => request.destroy(new Error('timeout')));
    });
    count(tally.answers, body);
  } catch (error) {
    count(tally.errors, (error as NodeJS.ErrnoException).code ?? String(error));
  }
}

async function visitTimes(url: string, times: number): Promise<Tally> {
  const tally = emptyTally();
  for (let i = 0; i < times; i++) await visit(url, tally);
  return tally;
}

async function resolve(server: string, name: string, times: number): Promise<Tally> {
  const tally = emptyTally();
  for (let i = 0; i < times; i++) {
    // A new one each time: a resolver keeps its socket, and with it its backend.
    const resolver = new Resolver({ timeout: 1000, tries: 1 });
    resolver.setServers([server]);
    try {
      if (i === 0) tally.addresses = await resolver.resolve4(name);
      const [text] = await resolver.resolveTxt('hostname.cluster.local');
      count(tally.answers, text?.join('') ?? '');
    } catch (error) {
      count(tally.errors, (error as NodeJS.ErrnoException).code ?? String(error));
    }
  }
  return tally;
}

let kept = emptyTally();
let timer: NodeJS.Timeout | undefined;
const underway = new Set<Promise<void>>();

function keepVisiting(url: string, perSecond: number): Tally {
  kept = emptyTally();
  timer = setInterval(() => {
    const one = visit(url, kept).finally(() => underway.delete(one));
    underway.add(one);
  }, 1000 / perSecond);
  return kept;
}

async function grant(wish: Wish): Promise<Tally> {
  if (wish.do === 'visit') return await visitTimes(wish.url, wish.times);
  if (wish.do === 'resolve') return await resolve(wish.server, wish.name, wish.times);
  if (wish.do === 'keep visiting') return keepVisiting(wish.url, wish.perSecond);
  if (wish.do === 'stop') {
    clearInterval(timer);
    await Promise.all(underway);
  }
  return kept;
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await grant(JSON.parse(line) as Wish))}\n`);
}
process.exit();
