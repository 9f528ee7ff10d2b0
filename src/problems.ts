import type { Logger } from 'pino';
import type { Problem } from './model/service.ts';

/** Logs each of a changing set of things once when it appears and once when it is gone. */
export interface ProblemLog {
  /** What there is now, all of it. */
  report(problems: Iterable<Problem>): void;
}

/** `level` is for what appears; what goes is good news, 'info'. */
export function problemLog(log: Logger, level: 'info' | 'warn'): ProblemLog {
  let known = new Map<string, Problem>();
  return {
    report(problems) {
      const now = new Map<string, Problem>();
      for (const problem of problems) now.set(`${problem.object}\0${problem.reason}`, problem);
      for (const [key, { object, reason }] of now) {
        if (!known.has(key)) log[level]({ object, reason }, `${object}: ${reason}`);
      }
      for (const [key, { object, reason }] of known) {
        if (!now.has(key)) log.info({ object, reason }, `no longer: ${object}: ${reason}`);
      }
      known = now;
    },
  };
}
