/**
 * Processes inside the namespaces of a lab. Entered with `nsenter --net`, never with `ip netns exec`: that one mounts a
 * fresh /sys, and the bpffs and cgroup mounts below it would be gone.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import type { Place } from './topology.ts';

export interface CommandOptions {
  /** A cgroup directory to be in before the command starts: the socket hooks that are attached there see it. */
  readonly cgroup?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export type StartOptions = CommandOptions & Pick<SpawnOptions, 'stdio'>;

export interface CommandResult {
  /** 128 + signal for one that was killed, as in a shell. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts a command; its pid is the command's own, for every wrapper around it execs. The caller ends it. */
export function start(place: Place, command: readonly string[], options: StartOptions = {}): ChildProcess {
  const inside = ['nsenter', `--net=/run/netns/${place.netns}`, ...command];
  const argv =
    options.cgroup === undefined
      ? inside
      : ['sh', '-c', 'echo $$ >"$0/cgroup.procs" || exit 126; exec "$@"', options.cgroup, ...inside];
  const [program, ...rest] = argv as [string, ...string[]];
  // Root's programs first: an npm package puts another `nft` on the PATH of scripts.
  const env = { ...process.env, PATH: `/usr/sbin:/sbin:${process.env.PATH}`, ...options.env };
  return spawn(program, rest, { stdio: options.stdio ?? 'pipe', env });
}

/** Runs a command to its end and says how it ended; a code that is not 0 is a result like any other. */
export async function attempt(
  place: Place,
  command: readonly string[],
  options: CommandOptions & { readonly input?: string } = {},
): Promise<CommandResult> {
  // Node's own pipes are sockets, which nft 1.0.9 does not take for its input.
  const fed = options.input === undefined ? command : ['sh', '-c', 'cat | "$0" "$@"', ...command];
  const child = start(place, fed, options);
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(code ?? 128 + signalNumber(signal)));
  });
  child.stdin?.on('error', () => {}); // It may end without reading what it was given.
  child.stdin?.end(options.input);
  const [code, stdout, stderr] = await Promise.all([ended, text(child.stdout as never), text(child.stderr as never)]);
  return { code, stdout, stderr };
}

/** As attempt, for commands that must work: returns what was printed, throws with the whole story otherwise. */
export async function run(
  place: Place,
  command: readonly string[],
  options: CommandOptions & { readonly input?: string } = {},
): Promise<string> {
  const { code, stdout, stderr } = await attempt(place, command, options);
  if (code !== 0) throw new Error(`${command.join(' ')} in ${place.netns}: exit ${code}\n${stderr}${stdout}`);
  return stdout;
}

/** Ends a process that was started here and waits until it is gone. */
export async function stop(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await gone;
}

function signalNumber(signal: NodeJS.Signals | null): number {
  return signal === 'SIGKILL' ? 9 : signal === 'SIGINT' ? 2 : 15;
}
