import { existsSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';

/** Where the cgroup2 hierarchy is mounted: /sys/fs/cgroup, or beside version 1 hierarchies /sys/fs/cgroup/unified. */
export function cgroup2Mount(): string {
  for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n')) {
    const [, path, type] = line.split(' ');
    if (type === 'cgroup2' && path !== undefined) return path;
  }
  throw new Error('no cgroup2 hierarchy is mounted: mount -t cgroup2 none /sys/fs/cgroup/unified');
}

/** Where the hierarchies of cgroup version 1 are mounted; none on a machine that has version 2 alone. */
export function cgroup1Mounts(): string[] {
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '));
  return mounts.flatMap(([, path, type]) => (type === 'cgroup' && path !== undefined ? [path] : []));
}

/** Kills what still runs in a cgroup and below it, and removes it; nothing happens if it is not there. */
export function removeCgroup(path: string): void {
  let names: string[];
  try {
    names = readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
  } catch {
    return;
  }
  for (const name of names) removeCgroup(`${path}/${name}`);
  for (let attempt = 0; ; attempt++) {
    try {
      for (const pid of readFileSync(`${path}/cgroup.procs`, 'utf8').split('\n').filter(Boolean)) killNow(Number(pid));
      rmdirSync(path);
      return;
    } catch (error) {
      if (!existsSync(path)) return; // by somebody else
      // A killed process leaves its cgroup only when it is gone for good.
      if (attempt === 2000) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

/** SIGKILL; a process that is gone already is fine. */
export function killNow(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Moves a process that runs already. */
export function moveToCgroup(pid: number, path: string): void {
  writeFileSync(`${path}/cgroup.procs`, String(pid));
}
