import type { Logger } from 'pino';
import type { RefusedBind } from './bind-watch.ts';
import type { Pass } from './keeper.ts';
import type { Attached } from './kernel/attached.ts';
import type { Device } from './kernel/devices.ts';
import type { ManifestSnapshot } from './kube/manifests.ts';
import type { Parsed } from './kube/parse.ts';
import type { Problem } from './model/service.ts';
import type { Step } from './plan/tables.ts';
import { problemLog } from './problems.ts';

/** What the agent tells people of its work: one place that owns the words. */
export interface Report {
  attached(attached: Attached, devices: readonly Device[], level: 'info' | 'warn'): void;
  swept(names: readonly string[]): void;
  refusedBinds(binds: readonly RefusedBind[]): void;
  drift(steps: readonly Step[]): void;
  pass(pass: Pass, scope: PassScope): void;
  /** Everything that is wrong now, in files, objects and plan; told when it appears and when it is gone. */
  problems(snapshot: ManifestSnapshot, parsed: Parsed | undefined): void;
}

export interface PassScope {
  /** How many Services were looked at. */
  readonly services: number;
  readonly isAll: boolean;
  readonly isFirst: boolean;
  readonly milliseconds: number;
}

export function makeReport(log: Logger): Report {
  const problems = problemLog(log, 'warn');
  const unserved = problemLog(log, 'info');
  let planned = new Map<string, readonly Problem[]>();
  return {
    attached({ attached, repointed, detached }, devices, level) {
      const byName = new Map(devices.map((device) => [device.name, device]));
      for (const where of attached) {
        const device = byName.get(where.split(' ')[0] ?? '');
        log[level](`attached at ${where}${device ? ` (${device.role}: ${device.reason})` : ''}`);
      }
      if (repointed.length > 0) log[level](`pointed ${repointed.length} hooks at the current programs`);
      for (const where of detached) log.info(`detached ${where}`);
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
      const keys = steps.slice(0, 10).map(({ op, table, key }) => `${op} ${table} ${key}`);
      if (steps.length === 0) log.debug('audit: every row is as it should be');
      else log.warn({ keys }, `audit: ${steps.length} rows were not as they should be: repairing`);
    },
    pass({ rows, problems: found }, { services, isAll, isFirst, milliseconds }) {
      if (isAll) planned = new Map(found);
      else for (const [name, reasons] of found) planned.set(name, reasons);
      const text = `${rows} rows written for ${services} Services in ${milliseconds.toFixed(1)} ms`;
      log[isFirst || rows > 0 ? 'info' : 'debug']({ rows, services, ms: Math.round(milliseconds) }, text);
    },
    problems(snapshot, parsed) {
      const all = [...snapshot.problems, ...(parsed?.problems ?? []), ...[...planned.values()].flat()];
      const told = new Set(all.map(({ object, reason }) => `${object}: ${reason}`));
      const reasons = [...(parsed?.unserved ?? [])].map(([name, reason]) => ({ object: `Service ${name}`, reason }));
      problems.report(all);
      unserved.report(reasons.filter(({ object, reason }) => !told.has(`${object}: ${reason}`)));
    },
  };
}
