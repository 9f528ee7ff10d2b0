/**
 * A cluster to play with, that outlives this command: `up` leaves a process behind that holds it, `down` ends that.
 *
 *   node test/cluster/main.ts up|down          PROXY=bpfsvc|nftables|iptables|none
 */
import { fork } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { removeLab, sweepStaleLabs } from '../netns/reaper.ts';
import { clustersFolder, startCluster, sweepFolders } from './cluster.ts';
import { preparePrograms } from './programs.ts';
import { parseProxy } from './proxy.ts';
import { type Running, readRunning, removeTools, welcome, writeRunning, writeTools } from './tools.ts';

const self: string = fileURLToPath(import.meta.url);

/** What the holder tells. */
type Message = { readonly progress: string } | { readonly ready: string } | { readonly failed: string };

async function up(): Promise<number> {
  const proxy = parseProxy(process.env.PROXY || 'bpfsvc');
  const running = readRunning();
  if (running !== null) {
    const text = running.prefix === null ? 'A cluster is being started.' : welcome(running);
    console.log(running.prefix === null ? text : `A cluster is running already.\n\n${text}`);
    return 0;
  }
  clean();
  preparePrograms();
  mkdirSync(clustersFolder, { recursive: true });
  const log = openSync(join(clustersFolder, 'log'), 'w');
  // a session of its own: Ctrl-C here is told to it as SIGTERM, and it cleans up
  const holder = fork(self, ['hold', proxy], { detached: true, stdio: ['ignore', log, log, 'ipc'] });
  closeSync(log);
  const ended = new Promise<number>((resolve) => holder.once('exit', () => resolve(1)));
  let isInterrupted = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      isInterrupted = true;
      holder.kill('SIGTERM');
    });
  }
  const ready = new Promise<number>((resolve) =>
    holder.on('message', (message: Message) => {
      if ('progress' in message) console.log(`  ${message.progress}`);
      if ('failed' in message) console.error(message.failed);
      if ('ready' in message) console.log(`\n${message.ready}`);
      if ('ready' in message) resolve(0);
    }),
  );
  const code = await Promise.race([ready, ended]);
  if (code === 0) {
    holder.disconnect();
    holder.unref();
    return 0;
  }
  const text = readFileSync(join(clustersFolder, 'log'), 'utf8').trim();
  clean();
  console.error(
    isInterrupted
      ? 'Interrupted; everything is removed.'
      : `${text}\nThe cluster did not start; everything is removed.`,
  );
  return isInterrupted ? 130 : 1;
}

async function hold(proxy: string): Promise<void> {
  const tell = (message: Message): void => {
    if (process.connected) process.send?.(message);
  };
  let close = async (): Promise<void> => {};
  const name = parseProxy(proxy);
  writeRunning({ pid: process.pid, prefix: null, proxy: name });
  const stop = async (): Promise<void> => {
    await close();
    process.exit(0); // in the middle of a start the reaper and whoever waits for us take away what there is
  };
  process.on('SIGTERM', () => void stop());
  process.once('disconnect', stop); // who started us is dead
  try {
    const cluster = await startCluster({ tag: 'cluster', proxy: name, tell: (progress) => tell({ progress }) });
    close = async () => await cluster[Symbol.asyncDispose]();
    process.off('disconnect', stop);
    const running = writeTools(cluster, name);
    tell({ ready: welcome(running) });
  } catch (error) {
    tell({ failed: `${error instanceof Error ? error.message : error}` });
    process.exit(1);
  }
  setInterval(() => {}, 1 << 30);
}

async function down(): Promise<number> {
  const running = readRunning();
  if (running !== null) await end(running);
  clean();
  console.log(running === null ? 'No cluster is running.' : 'The cluster is gone.');
  return 0;
}

async function end({ pid, prefix }: Running): Promise<void> {
  process.kill(pid, 'SIGTERM');
  for (let waited = 0; readRunning()?.pid === pid; waited += 100) {
    if (waited === 30_000) process.kill(pid, 'SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  if (prefix !== null) removeLab(prefix);
}

/** What holders have left that did not end in peace. */
function clean(): void {
  sweepStaleLabs();
  removeTools();
  sweepFolders();
}

const [word, argument] = process.argv.slice(2);
mkdirSync(clustersFolder, { recursive: true });
if (word === 'up') process.exit(await up());
else if (word === 'down') process.exit(await down());
else if (word === 'hold') await hold(argument ?? '');
else {
  console.error('usage: main.ts up|down');
  process.exit(2);
}
