/**
 * A corner of this machine for one test file: a BPF filesystem, a cgroup and a network namespace of its own. Calls that
 * the test makes into the kernel, and the processes it starts, are in that namespace. Needs root and iproute2.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bpfFsMount } from 'libbpf-ts';
import { cgroup2Mount, removeCgroup } from './netns/cgroup.ts';
import { enterNetns } from './netns/inside.ts';

export interface Sandbox {
  /** An empty directory for whatever. */
  readonly directory: string;
  /** A mounted BPF filesystem. */
  readonly bpfFs: string;
  readonly cgroup: string;
  /** The namespace's name, as `ip netns` knows it. */
  readonly netns: string;
  /** Runs iproute2's `ip` in the namespace. */
  ip(...args: string[]): string;
  /** A further namespace with a veth into this one; returns the name of the namespace. */
  addPod(device: string): string;
  /** Takes everything away; the calling thread is in the first namespace again. */
  close(): void;
}

const PREFIX = 'bpfsvc-box-';
let count = 0;

export function makeSandbox(): Sandbox {
  if (count === 0) sweepStale();
  count += 1;
  const netns = `${PREFIX}${process.pid}-${process.hrtime.bigint() % 1_000_000n}-${count}`;
  const directory = join(tmpdir(), netns);
  mkdirSync(directory);
  const bpfFs = join(directory, 'bpf');
  const cgroup = join(cgroup2Mount(), netns);
  const pods: string[] = [];
  run('netns', 'add', netns);
  const leave = enterNetns(netns);
  bpfFsMount(bpfFs);
  mkdirSync(cgroup);
  return {
    directory,
    bpfFs,
    cgroup,
    netns,
    ip: (...args) => run('-n', netns, ...args),
    addPod(device) {
      const pod = `${netns}-${device}`;
      run('netns', 'add', pod);
      pods.push(pod);
      run('-n', netns, 'link', 'add', device, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', pod);
      run('-n', netns, 'link', 'set', device, 'up');
      run('-n', pod, 'link', 'set', 'eth0', 'up');
      return pod;
    },
    close() {
      leave();
      for (const name of [...pods, netns]) run('netns', 'del', name);
      execFileSync('umount', ['--lazy', bpfFs]);
      rmSync(directory, { recursive: true });
      removeCgroup(cgroup);
    },
  };
}

function run(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Removes what test processes that were killed have left. */
function sweepStale(): void {
  for (const name of stale('/run/netns')) run('netns', 'del', name);
  for (const name of stale(cgroup2Mount())) removeCgroup(join(cgroup2Mount(), name));
  for (const name of stale(tmpdir())) {
    spawnSync('umount', ['--lazy', join(tmpdir(), name, 'bpf')]);
    rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}

function stale(directory: string): string[] {
  const names = existsSync(directory) ? readdirSync(directory) : [];
  return names.filter((name) => {
    const pid = name.startsWith(PREFIX) ? name.slice(PREFIX.length).split('-')[0] : undefined;
    return pid !== undefined && !existsSync(`/proc/${pid}`);
  });
}
