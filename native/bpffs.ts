import { mkdirSync } from 'node:fs';
import { addon } from './addon.ts';

/** Is the path on a mounted bpffs? false too for a path that does not exist. */
export function isBpfFs(path: string): boolean {
  return addon.isBpfFs(path);
}

/** Mounts a bpffs, mode 0700, and makes the directory; does nothing if the path is on one already. */
export function bpfFsMount(path: string): void {
  if (isBpfFs(path)) return;
  mkdirSync(path, { recursive: true });
  addon.bpfFsMount(path);
}
