import { u32 } from '../layout.gen.ts';
import { endpoint, web as webService } from '../model/fixture.ts';
import type { Service } from '../model/service.ts';
import {
  type Capacity,
  confirm,
  type Inventory,
  inventory,
  makePlan,
  type Plan,
  type PlanOptions,
  type World,
} from './plan.ts';
import { byTable, emptyTables, type Step, type Tables } from './tables.ts';

/* What the tests of this folder tell their stories with. */

export const roomy: Capacity = { ...byTable(() => 100), backends: 200_000 };
export const nothing: World = {
  services: new Map(),
  endpoints: new Map(),
  node: { name: 'here', zone: null, addresses: ['192.0.2.1'], localAddresses: new Set() },
  serviceCidrs: [],
  podsAtTc: false,
  nodePortAddresses: [],
  wires: [],
  sourceClasses: [],
  removedBackends: [],
};

/** A world of Services with one port http (80/TCP) at 10.96.0.1, and what stands behind it. */
export function worldOf(services: Record<string, Partial<Service> & { behind?: readonly string[] }>): World {
  const entries = Object.entries(services).map(([name, { behind = [], ...more }]) => {
    const service: Service = { ...webService, name, ...more };
    const endpoints = behind.map((address) => endpoint(address));
    const ports = service.ports.map((port) => [`${port.name}/${port.protocol}`, endpoints] as const);
    return { name: `default/${name}`, service, endpoints: new Map(ports) };
  });
  return {
    ...nothing,
    services: new Map(entries.map(({ name, service }) => [name, service])),
    endpoints: new Map(entries.map(({ name, endpoints }) => [name, endpoints])),
  };
}

/** Tables that take every step, and what is known of them. */
export interface Story {
  readonly tables: Tables;
  readonly held: Inventory;
  plan(world: World, scope?: 'all' | readonly string[], options?: Partial<PlanOptions>, capacity?: Capacity): Plan;
  take(steps: readonly Step[]): void;
}

/** The story begins when `world` has been written to `tables`. */
export function start(world: World = nothing, tables: Tables = emptyTables()): Story {
  const held = inventory(tables);
  const plan: Story['plan'] = (world, scope = 'all', options = {}, capacity = roomy) =>
    makePlan(world, held, scope === 'all' ? 'all' : new Set(scope), capacity, { holdDeletes: false, ...options });
  const take = (steps: readonly Step[]) => {
    for (const step of steps) {
      if (step.op === 'set') tables[step.table].set(step.key, step.value);
      else tables[step.table].delete(step.key);
    }
    confirm(held, steps);
  };
  take(plan(world).steps);
  return { tables, held, plan, take };
}

function text(step: Step): string {
  const key = step.table === 'names' ? 'id' : step.table === 'backends' ? u32.decode(step.key) : step.key.slice(24, 36);
  return `${step.op} ${step.table} ${key} (${step.owner})`;
}

/** 'set frontends 0a6000010050 (default/web)': the end of the address, and the port. */
export function texts(plan: Plan): string[] {
  return plan.steps.map(text);
}

/** Service → what the plan reports of it. */
export function reasons(plan: Plan): Record<string, string[]> {
  return Object.fromEntries([...plan.problems].map(([name, problems]) => [name, problems.map(({ reason }) => reason)]));
}

export const web: World = worldOf({ web: { behind: ['10.0.0.1', '10.0.0.2'] } });
export const webChanged: World = worldOf({ web: { behind: ['10.0.0.1', '10.0.0.3'] } });
