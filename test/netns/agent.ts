/** The agent as people run it: bin/bpfsvc on a node of a lab, with manifests that a test writes. */
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { stop } from './command.ts';
import type { CommandOptions, CommandResult, Lab, Node } from './lab.ts';

const cli: string = fileURLToPath(new URL('../../bin/bpfsvc', import.meta.url));

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly rows?: number;
}

export interface Agent extends AsyncDisposable {
  /** The folder of its one manifest file. */
  readonly manifests: string;
  /** Everything it has logged, over all of its lives. */
  readonly log: readonly LogLine[];
  /** Replaces the one manifest file, as an editor that saves by rename does. */
  write(text: string): void;
  /** Replaces it and waits for the pass that this makes. Only for a change that changes rows. */
  apply(text: string): Promise<void>;
  /** Ends it with a signal and waits until it is gone; what it set up stays. */
  end(signal?: NodeJS.Signals): Promise<void>;
  /** Stops its clock, or lets it go on. */
  signal(name: 'SIGSTOP' | 'SIGCONT'): void;
  /** Starts it again, with further flags or as another build's bin/bpfsvc if given, and waits for its first pass; tells how many rows that wrote. */
  start(flags?: readonly string[], env?: CommandOptions['env'], program?: string): Promise<number>;
  /** Waits for a line that is logged from now on. */
  logged(pattern: RegExp): Promise<LogLine>;
  /** bpfsvc on this node, with its pin directory. */
  bpfsvc(...words: string[]): Promise<CommandResult>;
}

/** Starts an agent with the text of its manifest, or with an API server, and waits for its first pass. The lab's close() ends it. */
export async function startAgent(
  lab: Lab,
  node: Node,
  from: string | { readonly kubeconfig: string },
  flags: readonly string[] = [],
): Promise<Agent> {
  const directory = mkdtempSync(join(tmpdir(), 'bpfsvc-manifests-'));
  const log: LogLine[] = [];
  const waiting = new Set<{ pattern: RegExp; resolve(line: LogLine): void; reject(error: Error): void }>();
  let child: ChildProcess | undefined;

  function take(text: string): void {
    const line = text.startsWith('{') ? (JSON.parse(text) as LogLine) : { level: 'stderr', msg: text };
    log.push(line);
    for (const one of waiting) {
      if (!one.pattern.test(line.msg)) continue;
      waiting.delete(one);
      one.resolve(line);
    }
  }
  const logged = (pattern: RegExp): Promise<LogLine> =>
    new Promise((resolve, reject) => waiting.add({ pattern, resolve, reject }));
  const write = (content: string): void => {
    writeFileSync(join(directory, '.next'), content);
    renameSync(join(directory, '.next'), join(directory, 'objects.json'));
  };
  async function start(more: readonly string[] = [], env: CommandOptions['env'] = {}, program = cli): Promise<number> {
    const source = typeof from === 'string' ? ['--manifests', directory] : ['--kubeconfig', from.kubeconfig];
    const base = ['--node', node.name, '--cgroup', node.cgroup, '--pin-dir', node.pinDir];
    const command = [program, 'run', ...source, ...base, '--log-format', 'json', ...flags, ...more];
    const ready = logged(/rows? written/);
    const born = lab.spawn(node, command, { env, stdio: ['ignore', 'ignore', 'pipe'] });
    child = born;
    const { stderr } = born;
    if (stderr === null) throw new Error('no pipe');
    createInterface({ input: stderr }).on('line', take);
    born.once('close', () => {
      if (child !== born) return; // the last lines of one may come after the start of the next
      for (const one of waiting) one.reject(new Error(`the agent ended:\n${log.map(({ msg }) => msg).join('\n')}`));
      waiting.clear();
    });
    return (await ready).rows ?? 0;
  }
  const end = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<void> => {
    if (child !== undefined) await stop(child, signal);
  };
  if (typeof from === 'string') write(from);
  await start();
  return {
    manifests: directory,
    log,
    write,
    async apply(content) {
      // not the one that a new agent makes for its own sake when its programs are attached: that is 'for 0 Services'
      const done = logged(/rows? written for [1-9]/);
      write(content);
      await done;
    },
    end,
    signal: (name) => void child?.kill(name),
    start,
    logged,
    bpfsvc: (...words) => lab.attempt(node, [cli, ...words, '--pin-dir', node.pinDir]),
    async [Symbol.asyncDispose]() {
      await end();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
