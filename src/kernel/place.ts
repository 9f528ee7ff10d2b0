import { statSync } from 'node:fs';
import { join } from 'node:path';
import { bpfFsMount, isBpfFs } from 'libbpf-ts';
import { bpfFsRoot, cgroupRoot, type Mount, readMounts } from './mounts.ts';
import { makeDirectory } from './pins.ts';
import { RefusedError } from './refused.ts';

const BPF_FS = '/sys/fs/bpf';

/** Where things are pinned if nobody says otherwise. */
export function defaultPinDir(mounts: readonly Mount[] = readMounts()): string {
  return join(bpfFsRoot(mounts) ?? BPF_FS, 'bpfsvc');
}

/** Makes the pin directory and, for the default one, mounts a BPF filesystem if there is none. Returns its path. */
export function makePinDir(asked: string | undefined): string {
  const path = asked ?? defaultPinDir();
  if (asked === undefined && bpfFsRoot(readMounts()) === undefined) bpfFsMount(BPF_FS);
  const above = nearestDirectory(path);
  if (!isBpfFs(above)) {
    throw new RefusedError(
      `${path} is not on a BPF filesystem: run 'mount -t bpf bpf ${above}', or choose another --pin-dir`,
    );
  }
  makeDirectory(path);
  return path;
}

/** The path itself, or the first directory above it that exists. */
function nearestDirectory(path: string): string {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return path;
  const above = join(path, '..');
  return above === path ? path : nearestDirectory(above);
}

/** The cgroup2 directory whose sockets are served: the one asked for, else the root of the hierarchy. */
export function findCgroup(asked: string | undefined): string {
  const path = asked ?? cgroupRoot(readMounts());
  if (path === undefined) {
    throw new RefusedError(
      "no cgroup2 hierarchy is mounted: run 'mount -t cgroup2 none /sys/fs/cgroup', or name one with --cgroup",
    );
  }
  if (!statSync(join(path, 'cgroup.procs'), { throwIfNoEntry: false })) {
    throw new RefusedError(`${path} is not a cgroup2 directory: name one with --cgroup`);
  }
  return path;
}
