import type { Parsed } from './parse.ts';

/** The names of the Services that came, went, or are not what they were: in themselves or in their endpoints. */
export function changedServices(before: Parsed | null, after: Parsed): Set<string> {
  const changed = new Set<string>();
  for (const [name, service] of after.services) {
    if (before?.services.get(name) !== service || before.endpoints.get(name) !== after.endpoints.get(name))
      changed.add(name);
  }
  for (const name of before?.services.keys() ?? []) if (!after.services.has(name)) changed.add(name);
  return changed;
}
