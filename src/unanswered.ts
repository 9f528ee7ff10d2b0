import { changedServices } from './kube/changes.ts';
import type { Parsed } from './kube/parse.ts';
import type { Problem } from './model/service.ts';
import { unanswered } from './model/unanswered.ts';

/** Remembers what it was given last, and looks only at Services that are other ones since. */
export function unansweredServices(): (parsed: Parsed) => readonly Problem[] {
  let last: Parsed | null = null;
  /** Of those that have any. */
  const problems = new Map<string, readonly Problem[]>();
  return (parsed) => {
    for (const name of changedServices(last, parsed)) {
      const service = parsed.services.get(name);
      const reasons = service === undefined ? [] : unanswered(service, parsed.endpoints.get(name) ?? new Map());
      const found = reasons.map((reason) => ({ object: `Service ${name}`, reason }));
      if (found.length > 0) problems.set(name, found);
      else problems.delete(name);
    }
    last = parsed;
    return [...problems.values()].flat();
  };
}
