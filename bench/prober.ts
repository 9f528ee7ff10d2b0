import { execFileSync } from 'node:child_process';
import { mkdirSync, statSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { CommandOptions, Lab, Place } from '../test/netns/lab.ts';

/** 'rr': a byte there and back over one connection; 'connect': a new connection, a byte there and back, reset. */
export type Test = 'rr' | 'connect';

/** One visit: transactions, and their time in nanoseconds. */
export interface Sample {
  readonly count: number;
  readonly errors: number;
  /** The last error's name, '' for none. */
  readonly errno: string;
  readonly p50: number;
  readonly p90: number;
}

export interface Prober {
  measure(test: Test, address: string, port: number, seconds: number): Promise<Sample>;
}

const source = fileURLToPath(new URL('net.c', import.meta.url));
const program = fileURLToPath(new URL('../build/bench/net', import.meta.url));

/** Compiles bench/net.c unless that is done. */
export function buildTools(): void {
  const made = statSync(program, { throwIfNoEntry: false });
  if (made !== undefined && made.mtimeMs > statSync(source).mtimeMs) return;
  mkdirSync(fileURLToPath(new URL('../build/bench/', import.meta.url)), { recursive: true });
  execFileSync('cc', ['-O2', '-Wall', '-Wextra', '-o', program, source], { stdio: 'inherit' });
}

/** Starts the server of a backend pod and waits until it listens. */
export async function startBackend(lab: Lab, pod: Place, cpu: number, ports: readonly number[]): Promise<void> {
  const child = lab.spawn(pod, [program, 'serve', String(cpu), ...ports.map(String)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`the server in ${pod.netns} ended with ${code}`)));
  });
}

/** Starts a client that stays; an idle one costs nothing while others are measured. */
export function startProber(lab: Lab, place: Place, cpu: number, options: CommandOptions = {}): Prober {
  const child = lab.spawn(place, [program, 'client', String(cpu)], { ...options, stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout as NonNullable<typeof child.stdout> })[Symbol.asyncIterator]();
  return {
    async measure(test, address, port, seconds) {
      child.stdin?.write(`${test} ${address} ${port} ${seconds}\n`);
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`the client in ${place.netns} ended`);
      return JSON.parse(value) as Sample;
    },
  };
}
