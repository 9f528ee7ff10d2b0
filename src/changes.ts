import type { Parsed } from './kube/parse.ts';
import { familyOf } from './model/address.ts';
import { type Change, families } from './progress.ts';

/** What became of the Services `names`, for those who count it. */
export function changesOf(names: Iterable<string>, before: Parsed | undefined, after: Parsed): Change[] {
  return [...names].map((name) => {
    const services = [before?.services.get(name), after.services.get(name)];
    const addresses = services.flatMap((service) => service?.clusterIPs ?? []);
    return {
      name,
      families: families.filter((family) => addresses.some((address) => familyOf(address) === family)),
      isService: services[0] !== services[1],
      isEndpoints: before?.endpoints.get(name) !== after.endpoints.get(name),
    };
  });
}
