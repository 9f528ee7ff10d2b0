import { BpfError, type BpfProgram } from 'libbpf-ts';
import type { ProgramName } from './hooks.ts';

export type Programs = Readonly<Record<ProgramName, BpfProgram>>;

/** What one round did, by the hooks' words. A device that vanished meanwhile is in none of the lists. */
export interface Attached {
  readonly attached: string[];
  readonly repointed: string[];
  readonly detached: string[];
  readonly failed: { readonly where: string; readonly error: Error }[];
  /** XDP, where the driver will not or somebody else is there: nothing is lost by it. */
  readonly left: { readonly where: string; readonly reason: string }[];
}

export function nothingAttached(): Attached {
  return { attached: [], repointed: [], detached: [], failed: [], left: [] };
}

/** Of two rounds, one after the other. */
export function joinAttached(first: Attached | undefined, second: Attached | undefined): Attached | undefined {
  if (first === undefined || second === undefined) return first ?? second;
  const { attached, detached } = first;
  /* What was pointed or failed in the first round, was or did so again in the second. */
  return { ...second, attached: [...attached, ...second.attached], detached: [...detached, ...second.detached] };
}

/** Notes a failure, but for that of a device that is gone: its disappearance is an event of its own. */
export function refuse(done: Attached, where: string, error: unknown): void {
  if (!(error instanceof BpfError)) throw error;
  if (error.code !== 'ENODEV' && error.code !== 'ENOLINK') done.failed.push({ where, error });
}
