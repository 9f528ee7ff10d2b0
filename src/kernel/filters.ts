import { clsactAttach, clsactDetach, clsactQuery, type Filter, netLinks } from 'libbpf-ts';
import { type Attached, type Programs, refuse } from './attached.ts';
import type { Hook } from './hooks.ts';

/** Ours among the clsact filters of a device: the slot is fixed, so that a filter is found again and replaced in place. */
const HANDLE = 0xb9f5;
const PRIORITY = 0xb9f5;
const NAME = 'bpfsvc';

/** As attachHooks, for devices of a kernel without tcx: filters need no pin, and go with their device. */
export async function attachFilters(hooks: readonly Hook[], programs: Programs, done: Attached): Promise<void> {
  const slots = new Map(hooks.map((hook) => [slotKey(filterOf(hook)), hook]));
  for (const { filter, device } of await standingFilters()) {
    if (slots.has(slotKey(filter))) continue;
    if (await clsactDetach(filter)) done.detached.push(`${device} ${filter.direction}`);
  }
  for (const hook of hooks) {
    try {
      const filter = filterOf(hook);
      const program = programs[hook.program];
      const standing = await clsactQuery(filter);
      if (standing?.programId === program.info.id) continue;
      await clsactAttach(filter, program, NAME);
      (standing ? done.repointed : done.attached).push(hook.where);
    } catch (error) {
      refuse(done, hook.where, error);
    }
  }
}

/** Takes every filter of ours off the devices of this network namespace. Returns where they were. */
export async function detachFilters(): Promise<string[]> {
  const found: string[] = [];
  for (const { filter, device } of await standingFilters()) {
    if (await clsactDetach(filter)) found.push(`${device} ${filter.direction}`);
  }
  return found;
}

/** Ours on the devices of this network namespace. */
export async function standingFilters(): Promise<{ filter: Filter; device: string }[]> {
  const found: { filter: Filter; device: string }[] = [];
  for (const { ifindex, name } of await netLinks()) {
    for (const direction of ['ingress', 'egress'] as const) {
      const filter = { ifindex, direction, handle: HANDLE, priority: PRIORITY };
      if ((await clsactQuery(filter))?.name === NAME) found.push({ filter, device: name });
    }
  }
  return found;
}

function filterOf(hook: Hook): Filter {
  if (hook.target.kind !== 'tcx') throw new Error(`${hook.where} is not a device`);
  const { ifindex, direction } = hook.target;
  return { ifindex, direction, handle: HANDLE, priority: PRIORITY };
}

function slotKey({ ifindex, direction }: Filter): string {
  return `${ifindex} ${direction}`;
}
