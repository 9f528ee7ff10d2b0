/**
 * Takes a lab away, whatever became of the process that made it. Run as a program with the lab's prefix it waits until
 * its standard input ends, which the kernel does for a process that was killed -9 too, and cleans up then.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync, rmdirSync, statSync } from 'node:fs';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { cgroup1Mounts, cgroup2Mount, killNow, removeCgroup } from './cgroup.ts';

/** Holds the private bpffs of each lab. */
export const mountRoot = '/run/bpfsvc-lab';

const namePattern = /^(bpfsvc-[a-z0-9]+-(\d+)-\d+)(-|$)/;

/** The name of a lab, and the beginning of the names of all that belongs to it: it tells whose it is. */
export function labPrefix(tag: string, number: number): string {
  if (!/^[a-z0-9]+$/.test(tag)) throw new RangeError(`lab tag '${tag}': small letters and digits only`);
  return `bpfsvc-${tag}-${process.pid}-${number}`;
}

/** Removes the labs of processes that are dead. */
export function sweepStaleLabs(): void {
  const names = [...list('/run/netns'), ...list(mountRoot), ...list(cgroup2Mount())];
  const stale = new Set<string>();
  for (const name of names) {
    const [, prefix, pid] = namePattern.exec(name) ?? [];
    if (prefix !== undefined && !existsSync(`/proc/${pid}`)) stale.add(prefix);
  }
  for (const prefix of stale) removeLab(prefix);
}

/** Ends the processes in a lab's namespaces and removes these, its cgroups and its bpffs. What is not there is fine. */
export function removeLab(prefix: string): void {
  removeNamespaces(list('/run/netns').filter((name) => name.startsWith(`${prefix}-`)));
  // a cluster's nodes have cgroups in the hierarchies of version 1 too, where there are some
  for (const mount of [cgroup2Mount(), ...cgroup1Mounts()]) removeCgroup(`${mount}/${prefix}`);
  const mount = `${mountRoot}/${prefix}`;
  if (!existsSync(mount)) return;
  // Lazy: a program that is still being torn down may hold it for a moment.
  execFileSync('sh', ['-c', 'umount -l "$1" 2>/dev/null; true', 'sh', mount]);
  try {
    rmdirSync(mount);
  } catch (error) {
    if (existsSync(mount)) throw error;
  }
}

/** Kills what runs in them, and deletes them. */
export function removeNamespaces(namespaces: readonly string[]): void {
  if (namespaces.length === 0) return;
  killInside(namespaces);
  try {
    execFileSync('ip', ['-force', '-batch', '-'], {
      input: namespaces.map((name) => `netns delete ${name}\n`).join(''),
      stdio: 'pipe',
    });
  } catch (error) {
    // the reaper may be at it too, when somebody cleans up after a process that was killed
    if (namespaces.some((name) => existsSync(`/run/netns/${name}`))) throw error;
  }
}

function killInside(namespaces: readonly string[]): void {
  const inodes = new Set(namespaces.flatMap((name) => inode(`/run/netns/${name}`) ?? []));
  if (inodes.size === 0) return;
  for (const pid of list('/proc').filter((name) => /^\d+$/.test(name))) {
    const net = inode(`/proc/${pid}/ns/net`);
    if (net !== undefined && inodes.has(net)) killNow(Number(pid));
  }
}

function inode(path: string): number | undefined {
  try {
    return statSync(path).ino;
  } catch {
    return undefined; // A process that has just ended.
  }
}

function list(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

/** Starts the watcher of a lab; the returned function ends it, for a lab that was removed in peace. */
export function startReaper(prefix: string): () => void {
  // A session of its own: Ctrl-C in a terminal goes to the whole group, and would end it before its work begins.
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), prefix], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  child.unref();
  (child.stdin as unknown as { unref(): void }).unref();
  return () => child.kill('SIGKILL');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const prefix = process.argv[2];
  if (prefix === undefined) throw new Error('usage: reaper.ts PREFIX');
  process.stdin.on('end', () => removeLab(prefix)).resume();
}
