import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { type PinDir, readText, removePin, writeText } from './pins.ts';

/** What the agent of a pin directory leaves there for those who ask, also when it is dead. */
export interface AgentNote {
  readonly pid: number;
  readonly version: string;
  readonly node: string;
  /** RFC 3339 */
  readonly started: string;
  /** Where its metrics and its status are: '127.0.0.1:10249'; null: nowhere. */
  readonly metrics: string | null;
  readonly healthz: string | null;
}

const NAME = 'agent';

/** In one step: there is no moment with half a note. The caller holds the lock of the directory. */
export function writeAgentNote(dir: PinDir, note: AgentNote): void {
  const next = join(dir.path, 'next-agent');
  removePin(next);
  writeText(next, JSON.stringify(note));
  renameSync(next, join(dir.path, NAME));
}

/** undefined: no agent has been here, or one of an older release. */
export function readAgentNote(dir: PinDir): AgentNote | undefined {
  const text = readText(join(dir.path, NAME));
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as AgentNote;
  } catch {
    return undefined;
  }
}

export function removeAgentNote(dir: PinDir): void {
  removePin(join(dir.path, NAME));
  removePin(join(dir.path, 'next-agent'));
}
