import type { Cidr } from '../model/address.ts';
import type { NodeFacts } from '../model/node.ts';
import type { Endpoints, Service } from '../model/service.ts';

/** All that the desired tables depend on. Services and endpoints are keyed by 'namespace/name'. */
export interface World {
  readonly services: ReadonlyMap<string, Service>;
  readonly endpoints: ReadonlyMap<string, Endpoints>;
  readonly node: NodeFacts;
  readonly serviceCidrs: readonly Cidr[];
  readonly podsAtTc: boolean;
}

export interface PlanOptions {
  /** The first listing is incomplete: delete nothing, and leave what a Service holds that the world does not know yet. */
  readonly holdDeletes: boolean;
}
