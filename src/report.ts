import type { Logger } from 'pino';
import type { RefusedBind } from './bind-watch.ts';
import { counted } from './count.ts';
import { rowText } from './drift.ts';
import type { Pass } from './keeper.ts';
import type { Attached } from './kernel/attached.ts';
import type { Device } from './kernel/devices.ts';
import { isXdpPlace } from './kernel/hooks.ts';
import type { XdpDevice } from './kernel/xdp.ts';
import type { Parsed } from './kube/parse.ts';
import type { Snapshot } from './kube/source.ts';
import type { Problem } from './model/service.ts';
import type { Step } from './plan/tables.ts';
import { problemLog } from './problems.ts';
import { unansweredServices } from './unanswered.ts';

/** What the agent tells people of its work: one place that owns the words. */
export interface Report {
  attached(attached: Attached, devices: readonly Device[], level: 'info' | 'warn'): void;
  /** Where XDP is wanted and cannot be; told when it appears and when it is gone. */
  xdp(devices: readonly XdpDevice[], attached: Attached): void;
  swept(names: readonly string[]): void;
  refusedBinds(binds: readonly RefusedBind[]): void;
  drift(steps: readonly Step[]): void;
  pass(pass: Pass, scope: PassScope): void;
  /** Everything that is wrong now, in files, objects, plan and what there is more; told when it appears and when it is gone. Returns how much. */
  problems(snapshot: Snapshot, parsed: Parsed | undefined, more: readonly Problem[]): number;
}

export interface PassScope {
  /** How many Services were looked at. */
  readonly services: number;
  readonly isAll: boolean;
  readonly isFirst: boolean;
  readonly milliseconds: number;
}

/** `onProblems` is told all that there are, with each pass. */
export function makeReport(log: Logger, onProblems?: (problems: readonly Problem[]) => void): Report {
  const problems = problemLog(log, 'warn');
  const unserved = problemLog(log, 'info');
  const withoutXdp = problemLog(log, 'warn');
  const findUnanswered = unansweredServices();
  let planned = new Map<string, readonly Problem[]>();
  return {
    attached({ attached, repointed, detached }, devices, level) {
      if (attached.length > 0) {
        log[level](`attached at ${placesText(attached, devices)}`);
        log.debug(`attached at ${attached.join(', ')}`);
      }
      if (repointed.length > 0) log[level](`pointed ${counted(repointed.length, 'hook')} at the current programs`);
      for (const where of detached) log.info(`detached ${where}`);
    },
    xdp(devices, { left }) {
      const hindered = devices.filter(({ wanted, runs }) => wanted && !runs);
      withoutXdp.report([
        ...hindered.map(({ name, reason }) => ({ object: `${name} xdp`, reason })),
        ...left.map(({ where, reason }) => ({ object: where, reason })),
      ]);
    },
    swept(names) {
      for (const name of names) log.info(`removed ${name}, left over from an earlier run`);
    },
    refusedBinds(binds) {
      for (const { port, protocol, service, times } of binds) {
        const often = times === 1n ? '' : `, ${times} times`;
        log.warn(
          { port, protocol, service },
          `a process of this node may not listen on port ${port}/${protocol}: it is the NodePort of Service ${service}${often}`,
        );
      }
    },
    drift(steps) {
      const keys = steps.slice(0, 10).map((step) => `${step.op} ${step.table} ${rowText(step)}`);
      if (steps.length === 0) log.debug('audit: every row is as it should be');
      else log.warn({ keys }, `audit: ${counted(steps.length, 'row')} not as it should be: repairing`);
    },
    pass({ rows, problems: found }, { services, isAll, isFirst, milliseconds }) {
      if (isAll) planned = new Map();
      for (const [name, reasons] of found) {
        if (reasons.length > 0) planned.set(name, reasons);
        else planned.delete(name);
      }
      const text = `${counted(rows, 'row')} written for ${counted(services, 'Service')} in ${milliseconds.toFixed(1)} ms`;
      log[isFirst || rows > 0 ? 'info' : 'debug']({ rows, services, ms: Math.round(milliseconds) }, text);
    },
    problems(snapshot, parsed, more) {
      const all = [...snapshot.problems, ...(parsed?.problems ?? []), ...[...planned.values()].flat(), ...more];
      const told = new Set(all.map(({ object, reason }) => `${object}: ${reason}`));
      const reasons = [...(parsed?.unserved ?? [])].map(([name, reason]) => ({ object: `Service ${name}`, reason }));
      if (parsed !== undefined) reasons.push(...findUnanswered(parsed));
      problems.report(all);
      onProblems?.(all);
      unserved.report(reasons.filter(({ object, reason }) => !told.has(`${object}: ${reason}`)));
      return all.length;
    },
  };
}

/** One device by its name and why, several by their number. */
function placesText(hooks: readonly string[], devices: readonly Device[]): string {
  const names = new Set(hooks.map((where) => where.slice(0, where.indexOf(' '))));
  const own = devices.filter(({ name }) => names.has(name));
  const [only] = own;
  const places =
    only !== undefined && own.length === 1
      ? [`${only.name} (${only.role}: ${only.reason})`]
      : (['wire', 'pod'] as const).flatMap((role) => {
          const count = own.filter((device) => device.role === role).length;
          return count > 0 ? counted(count, `${role} device`) : [];
        });
  const xdp = hooks.filter(isXdpPlace).map((where) => `XDP of ${where.slice(0, where.indexOf(' '))}`);
  const sockets = hooks.filter((where) => where.includes(' of ')).length;
  return [...places, ...xdp, ...(sockets > 0 ? [counted(sockets, 'socket hook')] : [])].join(', ');
}
