/** Runs `bpfsvc` as people do: a process of its own, in the network namespace of the calling thread. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts it; the caller ends it. */
export function startCli(args: readonly string[]): ChildProcess {
  return spawn(process.execPath, ['--disable-warning=ExperimentalWarning', main, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

export async function runCli(...args: string[]): Promise<CliResult> {
  const child = startCli(args);
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (text) => {
    stdout += text;
  });
  child.stderr?.on('data', (text) => {
    stderr += text;
  });
  const [code] = await once(child, 'close');
  return { code: code as number | null, stdout, stderr };
}

/** Resolves to what it wrote to standard error when that matches; rejects if it ends before, or has not said so for a minute. */
export async function untilSays(child: ChildProcess, pattern: RegExp): Promise<string> {
  let text = '';
  await new Promise<void>((resolve, reject) => {
    const fail = (how: string) => reject(new Error(`it ${how} and never said ${pattern}:\n${text}`));
    const timer = setTimeout(fail, 60_000, 'waited');
    child.stderr?.on('data', (chunk) => {
      text += chunk;
      if (pattern.test(text)) resolve();
    });
    child.once('close', () => fail('ended'));
    child.once('close', () => clearTimeout(timer));
  });
  return text;
}
