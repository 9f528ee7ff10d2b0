import { readFileSync } from 'node:fs';

/** One line of /proc/self/mounts. */
export interface Mount {
  readonly type: string;
  readonly path: string;
}

/** Reads the text of /proc/self/mounts; blanks in paths are written there as \040. */
export function parseMounts(text: string): Mount[] {
  const mounts: Mount[] = [];
  for (const line of text.split('\n')) {
    const [, path, type] = line.split(' ');
    if (path === undefined || type === undefined) continue;
    mounts.push({
      type,
      path: path.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8))),
    });
  }
  return mounts;
}

/** The mounts that this process sees. */
export function readMounts(): Mount[] {
  return parseMounts(readFileSync('/proc/self/mounts', 'utf8'));
}

/** Where the cgroup2 hierarchy is mounted; undefined: nowhere. */
export function cgroupRoot(mounts: readonly Mount[]): string | undefined {
  return mounts.find((mount) => mount.type === 'cgroup2')?.path;
}

/** Where BPF filesystems are mounted, /sys/fs/bpf first. */
export function bpfFsRoots(mounts: readonly Mount[]): string[] {
  const usual = (path: string) => Number(path !== '/sys/fs/bpf');
  const roots = mounts.filter((mount) => mount.type === 'bpf').map((mount) => mount.path);
  return roots.sort((a, b) => usual(a) - usual(b));
}
