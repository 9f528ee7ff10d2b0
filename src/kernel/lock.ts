import { readFileSync, statSync } from 'node:fs';
import { lockPath, type PathLock } from 'libbpf-ts';
import { RefusedError } from './refused.ts';

/**
 * Takes the lock that makes this process the only one to write below a pin directory. The kernel releases it when the
 * process ends, in whatever way. Throws a RefusedError that names the holder.
 */
export function lockPinDir(path: string): PathLock {
  return lockAlone(
    path,
    (pid) => `another bpfsvc agent${pid} holds ${path}: stop it first, or give this one a --pin-dir of its own`,
  );
}

/**
 * Takes the lock that makes this process the only one to listen: two would share the events between them at random. Throws
 * a RefusedError that names the other.
 */
export function lockTrace(path: string): PathLock {
  return lockAlone(path, (pid) => `another bpfsvc trace${pid} listens already, and only one can: end it first`);
}

/** `refusal` is given ' (pid 5)', or '' where that is not known. */
function lockAlone(path: string, refusal: (pid: string) => string): PathLock {
  const lock = lockPath(path);
  if (lock) return lock;
  const pid = pinDirHolder(path);
  throw new RefusedError(refusal(pid === undefined ? '' : ` (pid ${pid})`));
}

/** The process that holds the lock of a directory; undefined: none, or one in another pid namespace. */
export function pinDirHolder(path: string): number | undefined {
  const { dev, ino } = statSync(path, { bigint: true });
  return lockHolder(readFileSync('/proc/locks', 'utf8'), dev, ino);
}

/**
 * Who holds the flock on a file, from the text of /proc/locks ('1: FLOCK  ADVISORY  WRITE 5255 00:27:1 0 EOF').
 * undefined: nobody, or somebody in another pid namespace.
 */
export function lockHolder(locks: string, dev: bigint, ino: bigint): number | undefined {
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & 0xffffff00n);
  const hex = (n: bigint) => n.toString(16).padStart(2, '0');
  const file = `${hex(major)}:${hex(minor)}:${ino}`;
  for (const line of locks.split('\n')) {
    const [, kind, , , pid, where] = line.split(/\s+/);
    if (kind === 'FLOCK' && where === file && Number(pid) > 0) return Number(pid);
  }
  return undefined;
}
