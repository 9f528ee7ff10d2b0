import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { stop } from '../../test/netns/command.ts';
import type { Lab, Node } from '../../test/netns/lab.ts';
import type { Probe } from './objects.ts';

/** Watches whether a Service answers on a node, by connecting to it all the time. */
export interface Answering {
  /** Nanoseconds of CLOCK_MONOTONIC, when it was first seen to answer, or not to; undefined: not within so many seconds. */
  becomes(answers: boolean, seconds: number): Promise<bigint | undefined>;
  end(): Promise<void>;
}

const source = fileURLToPath(new URL('poll.c', import.meta.url));
const program = fileURLToPath(new URL('../../build/bench/poll', import.meta.url));

export function buildPoll(): void {
  mkdirSync(fileURLToPath(new URL('../../build/bench/', import.meta.url)), { recursive: true });
  execFileSync('cc', ['-O2', '-Wall', '-Wextra', '-o', program, source], { stdio: 'inherit' });
}

/** Its backend is on the node itself, at `port`. */
export function watchAnswering(lab: Lab, node: Node, probe: Probe, port: number): Answering {
  const command = [program, probe.address, String(probe.port), node.ip4, String(port)];
  const child = lab.spawn(node, command, { cgroup: node.cgroup, stdio: ['ignore', 'pipe', 'inherit'] });
  let state: { readonly answers: boolean; readonly since: bigint } | undefined;
  let notice = (): void => {};
  createInterface({ input: child.stdout as NonNullable<typeof child.stdout> }).on('line', (line) => {
    const [answers, since = '0'] = line.split(' ');
    state = { answers: answers === '1', since: BigInt(since) };
    notice();
  });
  return {
    becomes(answers, seconds) {
      return new Promise((resolve) => {
        const end = (at: bigint | undefined): void => {
          clearTimeout(timer);
          notice = () => {};
          resolve(at);
        };
        const timer = setTimeout(() => end(undefined), seconds * 1000);
        notice = () => {
          if (state?.answers === answers) end(state.since);
        };
        notice();
      });
    },
    end: () => stop(child, 'SIGKILL'),
  };
}
