import { addon, type Handle } from './addon.ts';

/** A held lock. The kernel releases it when it is closed and when the process ends, in whatever way. */
export class PathLock implements Disposable {
  readonly #open: Handle;

  /** Only for this package: use lockPath(). */
  constructor(open: Handle) {
    this.#open = open;
  }

  close(): void {
    addon.close(this.#open);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** flock(2), exclusive, on a file or a directory that exists (on bpffs too). undefined: somebody holds it. */
export function lockPath(path: string): PathLock | undefined {
  const open = addon.lockPath(path);
  return open && new PathLock(open);
}
