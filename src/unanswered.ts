import type { Parsed } from './kube/parse.ts';
import type { Endpoints, Problem, Service } from './model/service.ts';
import { unanswered } from './model/unanswered.ts';

interface Seen {
  readonly service: Service;
  readonly endpoints: Endpoints;
  readonly problems: readonly Problem[];
}

/** Remembers what it was given last, and looks only at Services that are other ones since. */
export function unansweredServices(): (parsed: Parsed) => readonly Problem[] {
  let last: Parsed | undefined;
  let seen = new Map<string, Seen>();
  let problems: readonly Problem[] = [];
  return (parsed) => {
    if (parsed === last) return problems;
    const now = new Map<string, Seen>();
    for (const [name, service] of parsed.services) {
      const endpoints: Endpoints = parsed.endpoints.get(name) ?? new Map();
      const before = seen.get(name);
      const isSame = before?.service === service && before.endpoints === endpoints;
      now.set(name, isSame ? before : { service, endpoints, problems: problemsOf(name, service, endpoints) });
    }
    last = parsed;
    seen = now;
    problems = [...now.values()].flatMap((one) => one.problems);
    return problems;
  };
}

function problemsOf(name: string, service: Service, endpoints: Endpoints): Problem[] {
  return unanswered(service, endpoints).map((reason) => ({ object: `Service ${name}`, reason }));
}
