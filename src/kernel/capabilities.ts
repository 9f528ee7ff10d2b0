import { readFileSync } from 'node:fs';
import { RefusedError } from './refused.ts';

/** What of root's power the agent needs, with the numbers of linux/capability.h. */
const needed = { CAP_BPF: 39, CAP_NET_ADMIN: 12, CAP_PERFMON: 38 } as const;
const CAP_SYS_ADMIN = 21;

/** The text of this process's /proc/self/status. */
export function ownStatus(): string {
  return readFileSync('/proc/self/status', 'utf8');
}

/** Which of these a process lacks, from the text of its /proc/PID/status. CAP_SYS_ADMIN stands for two of them. */
export function missingCapabilities(status: string): string[] {
  const isAdmin = has(status, CAP_SYS_ADMIN);
  return Object.entries(needed).flatMap(([name, bit]) =>
    has(status, bit) || (name !== 'CAP_NET_ADMIN' && isAdmin) ? [] : [name],
  );
}

/** Throws a RefusedError that names what a process lacks to load and attach programs. */
export function requireCapabilities(status: string = ownStatus()): void {
  const missing = missingCapabilities(status);
  if (missing.length === 0) return;
  const all = 'CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON';
  throw new RefusedError(
    `bpfsvc may not use BPF here, ${missing.join(' and ')} is missing: run it as root, or give it ${all}`,
  );
}

/** Whether a process may mount filesystems, as far as capabilities go. */
export function mayMount(status: string = ownStatus()): boolean {
  return has(status, CAP_SYS_ADMIN);
}

function has(status: string, bit: number): boolean {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  return ((effective >> BigInt(bit)) & 1n) === 1n;
}
