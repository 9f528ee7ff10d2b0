import { LayeredMap } from './layered-map.ts';
import type { Parsed } from './parse.ts';

/** The names of the Services that came, went, or are not what they were: in themselves or in their endpoints. */
export function changedServices(before: Parsed | null, after: Parsed): Set<string> {
  if (before === null) return new Set(after.services.keys());
  const changed = LayeredMap.differing(before.services, after.services);
  for (const name of LayeredMap.differing(before.endpoints, after.endpoints)) changed.add(name);
  return changed;
}
