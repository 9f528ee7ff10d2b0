import type { AgentInquiry } from '../agent-inquiry.ts';
import type { AgentStatus } from '../agent-status.ts';
import { counted } from '../count.ts';
import type { NodeStatus } from '../status.ts';

/** More are counted: it is one screen. */
const TOLD_PROBLEMS = 5;
const TOLD_DEVICES = 8;

/** One fact a line, the most important ones first. */
export function statusText(status: NodeStatus): string {
  const { agent, troubles } = status;
  const lines: (readonly [string, string])[] = [
    ['state', troubles.length === 0 ? 'well' : `not well: ${counted(troubles.length, 'reason')}, below`],
    ['version', `bpfsvc ${status.version} on Linux ${status.kernel}`],
    ['generation', `${status.generation ?? 'none'} below ${status.pinDir}`],
    ['agent', agentText(agent)],
    ...(agent.status === null ? [] : sourceLines(agent.status)),
    ['servers', serversText(agent)],
    ['hooks', hooksText(status.hooks)],
    ...countLines(status),
    ['drops', dropsText(status)],
    ...(agent.status === null ? [] : problemLines(agent.status)),
  ];
  const table = lines.map(([name, text]) => `${name.padEnd(12)}${text}\n`).join('');
  return table + troubles.map((trouble) => `not well: ${trouble}\n`).join('');
}

function agentText({ pid, note, status, silence }: AgentInquiry): string {
  if (status !== null) return `process ${status.pid} as Node ${status.node}, since ${status.started}`;
  if (pid !== null) return `process ${pid || 'elsewhere'}, which does not answer: ${silence}`;
  const last = note === null ? '' : `; the last one was process ${note.pid} as Node ${note.node}, from ${note.started}`;
  return `none runs${last}`;
}

function sourceLines({ source, synced, lastPass, lastAudit, healthz }: AgentStatus): (readonly [string, string])[] {
  const audit = lastAudit === null ? 'none yet' : `${lastAudit.at}, ${counted(lastAudit.drifted, 'row')} repaired`;
  return [
    ['source', `${source}, ${synced ? 'read in whole' : 'not whole'}`],
    ['last pass', lastPass ?? 'none yet'],
    ['last audit', audit],
    ['health', `/healthz says ${healthz.code}`],
  ];
}

function serversText({ note }: AgentInquiry): string {
  if (note === null) return 'not known';
  return `metrics ${note.metrics ?? 'nowhere'}, healthz ${note.healthz ?? 'nowhere'}`;
}

function hooksText({ devices, sockets }: NodeStatus['hooks']): string {
  const shown = devices.slice(0, TOLD_DEVICES).map(({ device, hooks }) => `${device} (${hooks.join(', ')})`);
  const more = devices.length > shown.length ? [`${devices.length - shown.length} more devices`] : [];
  return [...shown, ...more, counted(sockets.length, 'socket hook')].join(', ');
}

function countLines({ counts, maps }: NodeStatus): (readonly [string, string])[] {
  if (counts === null) return [];
  const { services, frontends, backends } = counts;
  const full = maps
    .filter(({ map }) => ['frontends', 'backends', 'flows', 'half_open', 'socket_reverse', 'affinity'].includes(map))
    .map(({ map, rows, size, percent }) => `${map} ${rows} of ${size} (${percent} %)`);
  return [
    ['serves', `${counted(services, 'Service')}, ${counted(frontends, 'frontend')}, ${counted(backends, 'backend')}`],
    ['maps', full.join(', ')],
  ];
}

function dropsText({ dropped, agent }: NodeStatus): string {
  const past = agent.status?.past;
  const list = (reasons: Readonly<Record<string, number>>) =>
    Object.entries(reasons)
      .sort(([, a], [, b]) => b - a)
      .slice(0, 4)
      .map(([reason, count]) => `${reason} ${count}`)
      .join(', ') || 'none';
  const recent =
    past === undefined || past.minutes === 0 ? '' : `; in the last ${past.minutes} min: ${list(past.reasons)}`;
  return `${list(dropped)} in all${recent}`;
}

function problemLines({ problems, problemCount }: AgentStatus): (readonly [string, string])[] {
  const told = problems.slice(0, TOLD_PROBLEMS).map(({ object, reason }) => ['', `${object}: ${reason}`] as const);
  const more = problemCount > told.length ? [['', `and ${problemCount - told.length} more`] as const] : [];
  return [['problems', problemCount === 0 ? 'none' : String(problemCount)], ...told, ...more];
}
