/** Floods of numbered datagrams, of which none may be lost: flood.c, steered by a test. */
import { once } from 'node:events';
import type { CommandOptions, Lab, Place } from './lab.ts';
import { buildTool } from './tool.ts';

export interface FloodOptions extends CommandOptions {
  readonly address: string;
  readonly port: number;
  /** Datagrams a second. */
  readonly rate: number;
  /** connect() and send(), or sendto(). */
  readonly connected: boolean;
}

/** What the sender says. */
export interface Sent {
  readonly sent: number;
  /** Replies that were asked for, and those that came from the very address that was asked. */
  readonly asked: number;
  readonly answered: number;
  readonly errors: number;
  /** The last error's name; '' for none. */
  readonly errno: string;
  readonly seconds: number;
}

/** What the receivers say, all of them together. */
export interface Received {
  readonly received: number;
  readonly duplicates: number;
  readonly replies: number;
  /** The first and the last number of what is missing before the highest one; at most twenty. */
  readonly gaps: readonly (readonly [first: number, last: number])[];
}

export interface Sink {
  stop(): Promise<Received>;
}

export interface Flood {
  stop(): Promise<Sent>;
}

/** One process that receives in all of these places; it listens when this returns. */
export async function startSink(lab: Lab, places: readonly Place[], port: number): Promise<Sink> {
  const [first] = places;
  if (first === undefined) throw new RangeError('nowhere to receive');
  const namespaces = places.map(({ netns }) => `/run/netns/${netns}`);
  return await startProgram<Received>(lab, first, ['receive', String(port), ...namespaces], {}, /^ready$/m);
}

export async function startFlood(lab: Lab, place: Place, options: FloodOptions): Promise<Flood> {
  const { address, port, rate, connected, ...rest } = options;
  const how = connected ? 'connected' : 'unconnected';
  return await startProgram<Sent>(lab, place, ['send', address, String(port), String(rate), how], rest);
}

async function startProgram<Result>(
  lab: Lab,
  place: Place,
  words: readonly string[],
  options: CommandOptions,
  ready?: RegExp,
): Promise<{ stop(): Promise<Result> }> {
  const child = lab.spawn(place, [buildTool('flood'), ...words], { ...options, stdio: ['pipe', 'pipe', 'inherit'] });
  let output = '';
  const closed = once(child, 'close');
  await new Promise<void>((resolve) => {
    child.stdout?.on('data', (chunk) => {
      output += chunk;
      if (ready?.test(output)) resolve();
    });
    child.once('exit', () => resolve());
    if (ready === undefined) resolve();
  });
  return {
    async stop() {
      child.stdin?.on('error', () => {}); // It may have ended by itself: then there is no result.
      child.stdin?.end();
      await closed;
      const last = output.trim().split('\n').at(-1) ?? '';
      if (!last.startsWith('{')) throw new Error(`flood ${words[0]} in ${place.netns} ended without a result`);
      return JSON.parse(last) as Result;
    },
  };
}
