import { statSync } from 'node:fs';
import type { AgentStatus } from './agent-status.ts';
import { type AgentNote, readAgentNote } from './kernel/agent-note.ts';
import { pinDirHolder } from './kernel/lock.ts';
import { pinDir } from './kernel/pins.ts';

/** What is known of the agent of a pin directory. */
export interface AgentInquiry {
  /** null: none runs. 0: one does, in a pid namespace that cannot be seen from here. */
  readonly pid: number | null;
  /** null: none has been here, or one of an older release. */
  readonly note: AgentNote | null;
  /** null: nobody answered; `silence` says why. */
  readonly status: AgentStatus | null;
  /** For people; '' if it answered. */
  readonly silence: string;
}

const PATIENCE_MS = 5000;

/** Looks who holds the directory, and asks that agent how it is. */
export async function askAgent(path: string): Promise<AgentInquiry> {
  if (!statSync(path, { throwIfNoEntry: false })) {
    return { pid: null, note: null, status: null, silence: 'no agent has been here' };
  }
  const note = readAgentNote(pinDir(path)) ?? null;
  const holder = pinDirHolder(path) ?? null;
  const answer = await ask(note, '/status');
  if ('text' in answer) {
    const status = JSON.parse(answer.text) as AgentStatus;
    /* on one machine two nodes may have their metrics at one place */
    const isIts = status.pid === note?.pid && (holder === null || holder === status.pid);
    if (isIts) return { pid: holder ?? 0, note, status, silence: '' };
  }
  const silence = 'why' in answer ? answer.why : 'another agent answers where it should';
  return { pid: holder, note, status: null, silence: holder === null ? 'no agent runs' : silence };
}

/** What the agent's metrics server says at a path; null: nobody is there. */
export async function askMetricsServer(path: string, page: string): Promise<string | null> {
  const answer = await ask(readAgentNote(pinDir(path)) ?? null, page);
  return 'text' in answer ? answer.text : null;
}

async function ask(note: AgentNote | null, page: string): Promise<{ text: string } | { why: string }> {
  if (note === null) return { why: 'it is of an older release, which tells nothing' };
  if (note.metrics === null) return { why: 'it runs without --metrics-bind-address, where it would answer' };
  const url = `http://${note.metrics.replace(/^0\.0\.0\.0:/, '127.0.0.1:').replace(/^\[::\]:/, '[::1]:')}${page}`;
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(PATIENCE_MS) });
    return answer.ok ? { text: await answer.text() } : { why: `${url} answers with ${answer.status}` };
  } catch (error) {
    const { cause } = error as Error;
    return { why: `${url} does not answer: ${cause instanceof Error ? cause.message : (error as Error).message}` };
  }
}
