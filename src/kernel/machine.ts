import { readFileSync } from 'node:fs';
import { BpfError, BpfMap, kernelRelease } from 'libbpf-ts';
import { features } from './probes.ts';
import { RefusedError, UnsupportedError } from './refused.ts';

/** Older ones lack bpf_set_retval for socket hooks, or have it with faults. */
export const MINIMUM_KERNEL = { major: 6, minor: 1 } as const;

/** What of root's power the agent needs, with the numbers of linux/capability.h. */
const capabilities = { CAP_BPF: 39, CAP_NET_ADMIN: 12, CAP_PERFMON: 38 } as const;
const CAP_SYS_ADMIN = 21;

/** Which of these a process lacks, from the text of its /proc/PID/status. CAP_SYS_ADMIN stands for two of them. */
export function missingCapabilities(status: string): string[] {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  const has = (bit: number): boolean => ((effective >> BigInt(bit)) & 1n) === 1n;
  return Object.entries(capabilities).flatMap(([name, bit]) =>
    has(bit) || (name !== 'CAP_NET_ADMIN' && has(CAP_SYS_ADMIN)) ? [] : [name],
  );
}

/** Throws a RefusedError if this process may not load programs and attach them. */
export function requirePermission(status: string = readFileSync('/proc/self/status', 'utf8')): void {
  const missing = missingCapabilities(status);
  if (missing.length > 0) {
    const all = 'CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON';
    throw new RefusedError(
      `bpfsvc may not use BPF here, ${missing.join(' and ')} is missing: run it as root, or give it ${all}`,
    );
  }
  try {
    BpfMap.create({ type: 'lpm_trie', name: 'probe', keySize: 8, valueSize: 4, maxEntries: 1, flags: 1 }).close();
  } catch (error) {
    if (error instanceof BpfError && error.code === 'EPERM') {
      throw new RefusedError(
        'bpfsvc may not use BPF here, though it has the capabilities: a seccomp profile, a user namespace or kernel lockdown forbids it',
      );
    }
    throw error;
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
