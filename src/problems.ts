import type { Logger } from 'pino';
import type { Problem } from './model/service.ts';

/** Logs each problem once when it appears and once when it is gone. */
export interface ProblemLog {
  /** What is wrong now, all of it. */
  report(problems: Iterable<Problem>): void;
}

export function problemLog(log: Logger): ProblemLog {
  let known = new Map<string, Problem>();
  return {
    report(problems) {
      const now = new Map<string, Problem>();
      for (const problem of problems) now.set(`${problem.object}\0${problem.reason}`, problem);
      for (const [key, { object, reason }] of now) {
        if (!known.has(key)) log.warn({ object }, `${object}: ${reason}`);
      }
      for (const [key, { object, reason }] of known) {
        if (!now.has(key)) log.info({ object }, `no longer: ${object}: ${reason}`);
      }
      known = now;
    },
  };
}
