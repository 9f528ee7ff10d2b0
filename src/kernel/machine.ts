import { BpfError, BpfMap, kernelRelease } from 'libbpf-ts';
import { requireCapabilities } from './capabilities.ts';
import { features } from './probes.ts';
import { RefusedError, UnsupportedError } from './refused.ts';

/** Older ones lack bpf_set_retval for socket hooks, or have it with faults. */
export const MINIMUM_KERNEL = { major: 6, minor: 1 } as const;

/** Throws a RefusedError if this process may not use bpf(2). */
export function requirePermission(): void {
  try {
    BpfMap.create({ type: 'lpm_trie', name: 'probe', keySize: 8, valueSize: 4, maxEntries: 1, flags: 1 }).close();
  } catch (error) {
    if (!(error instanceof BpfError && error.code === 'EPERM')) throw error;
    requireCapabilities();
    throw new RefusedError(
      'bpfsvc may not use BPF here, though it has the capabilities: a seccomp profile, a user namespace or kernel lockdown forbids it',
    );
  }
}

/** Throws an UnsupportedError for the first thing that bpfsvc cannot do without. */
export async function requireKernel(release: ReturnType<typeof kernelRelease> = kernelRelease()): Promise<void> {
  const { major, minor, text } = release;
  if (major < MINIMUM_KERNEL.major || (major === MINIMUM_KERNEL.major && minor < MINIMUM_KERNEL.minor)) {
    throw new UnsupportedError(
      'socket hooks that can refuse a connection',
      `${MINIMUM_KERNEL.major}.${MINIMUM_KERNEL.minor}`,
      text,
    );
  }
  for (const feature of features) {
    if (feature.cost === undefined && !(await feature.isThere())) {
      throw new UnsupportedError(feature.name, feature.minimumKernel, text);
    }
  }
}
