import { readFileSync } from 'node:fs';

/** One line of /proc/self/mountinfo. */
export interface Mount {
  readonly type: string;
  readonly path: string;
  /** What of the filesystem stands there: '/' for all of it; '/..' is above what this process may call its root. */
  readonly root: string;
}

/** Reads the text of /proc/self/mountinfo; blanks in paths are written there as \040. */
export function parseMounts(text: string): Mount[] {
  return text.split('\n').flatMap((line) => {
    const [left = '', right] = line.split(' - ');
    const [, , , root, path] = left.split(' ');
    const [type] = right?.split(' ') ?? [];
    if (root === undefined || path === undefined || type === undefined) return [];
    return [{ type, path: unescaped(path), root: unescaped(root) }];
  });
}

function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/** The mounts that this process sees. */
export function readMounts(): Mount[] {
  return parseMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
}

/**
 * Where the cgroup2 hierarchy is mounted, or the most of it: a container has its own part of it at the usual place, and beside
 * that what it was given of its node's. undefined: nowhere.
 */
export function cgroupRoot(mounts: readonly Mount[]): string | undefined {
  const depth = ({ root }: Mount): number =>
    root.split('/').reduce((sum, part) => sum + (part === '..' ? -1 : part === '' ? 0 : 1), 0);
  const all = mounts.filter((mount) => mount.type === 'cgroup2');
  return all.sort((a, b) => depth(a) - depth(b))[0]?.path;
}

/** Where BPF filesystems are mounted, /sys/fs/bpf first. */
export function bpfFsRoots(mounts: readonly Mount[]): string[] {
  const usual = (path: string) => Number(path !== '/sys/fs/bpf');
  const roots = mounts.filter((mount) => mount.type === 'bpf').map((mount) => mount.path);
  return roots.sort((a, b) => usual(a) - usual(b));
}
