import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { bpfFsMount, isBpfFs } from 'libbpf-ts';
import { mayMount } from './capabilities.ts';
import { bpfFsRoots, cgroupRoot, type Mount, readMounts } from './mounts.ts';
import { makeDirectory } from './pins.ts';
import { RefusedError } from './refused.ts';

const BPF_FS = '/sys/fs/bpf';
const NAME = 'bpfsvc';

/** What a process without CAP_SYS_ADMIN is told, most likely one in a container. */
export const CANNOT_MOUNT =
  "and this process may not mount one: run 'mount -t bpf bpf /sys/fs/bpf' on the node, and give it to the container as a volume";

/** Where things are pinned if nobody says otherwise: where they are, else at the usual place. */
export function defaultPinDir(mounts: readonly Mount[] = readMounts()): string {
  const roots = bpfFsRoots(mounts);
  const root = roots.find((path) => existsSync(join(path, NAME)));
  return join(root ?? BPF_FS, NAME);
}

/** Makes the pin directory and, for the default one, mounts a BPF filesystem if need be. Returns its path. */
export function makePinDir(asked: string | undefined): string {
  const path = asked ?? mountDefault();
  const above = nearestDirectory(path);
  if (!isBpfFs(above)) {
    throw new RefusedError(
      `${path} is not on a BPF filesystem: run 'mount -t bpf bpf ${above}', or choose another --pin-dir`,
    );
  }
  makeDirectory(path);
  return path;
}

/** A container may not be allowed to mount, and may have been given a BPF filesystem elsewhere. */
function mountDefault(): string {
  const path = defaultPinDir();
  if (path !== join(BPF_FS, NAME)) return path;
  const [elsewhere] = bpfFsRoots(readMounts());
  try {
    bpfFsMount(BPF_FS);
    return path;
  } catch (error) {
    if (elsewhere !== undefined) return join(elsewhere, NAME);
    throw mayMount() ? error : new RefusedError(`no BPF filesystem is mounted, ${CANNOT_MOUNT}`);
  }
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
