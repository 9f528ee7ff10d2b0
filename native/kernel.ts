import { release } from 'node:os';
import { addon } from './addon.ts';

/** CPUs the kernel could ever have: a per-CPU value has room for each. */
export const possibleCpus: number = addon.possibleCpus;

export interface KernelRelease {
  /** '6.18.44-amd64'. */
  text: string;
  major: number;
  minor: number;
}

export function kernelRelease(): KernelRelease {
  const text = release();
  const [major = 0, minor = 0] = text.split('.').map((part) => Number.parseInt(part, 10));
  return { text, major, minor };
}

/** 'v1.1'. */
export function libbpfVersion(): string {
  return addon.libbpfVersion();
}

/**
 * Resolves after an RCU grace period (10 ms, waited for in a worker): no program that was running when this was called
 * runs any more. It is one write to a private array of maps, the one thing that waits so on every kernel.
 */
export async function synchronizeRcu(): Promise<void> {
  await addon.synchronizeRcu();
}

/**
 * Lets go of the pages of this process's programs and libraries that are there to be run. They stay in the kernel's page
 * cache, and those that are still needed come back one by one at a microsecond or less: of Node's 45 MB most are for its start.
 */
export function dropCode(): void {
  addon.dropCode();
}
