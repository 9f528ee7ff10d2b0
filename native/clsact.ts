import { addon } from './addon.ts';
import type { Direction } from './link.ts';
import type { BpfProgram } from './program.ts';

/** One slot of a device's clsact qdisc. Handle and priority are the caller's, fixed: they are how it is found again. */
export interface Filter {
  ifindex: number;
  direction: Direction;
  handle: number;
  /** 1 to 65535; the lower runs first. */
  priority: number;
}

export interface AttachedFilter {
  programId: number;
  name: string;
}

/**
 * cls_bpf in direct action, where tcx is missing (Linux before 6.6). Adds the clsact qdisc if the device has none; a
 * filter in the same slot is replaced without a gap. It outlives the process without a pin.
 */
export async function clsactAttach(filter: Filter, program: BpfProgram, name: string): Promise<void> {
  const { ifindex, direction, handle: slot, priority } = filter;
  await addon.clsactAttach(ifindex, direction === 'egress', slot, priority, program.handle, name);
}

/** undefined: nothing is in that slot, there is no clsact qdisc, or the device is gone. */
export async function clsactQuery(filter: Filter): Promise<AttachedFilter | undefined> {
  return addon.clsactQuery(filter.ifindex, filter.direction === 'egress', filter.handle, filter.priority);
}

/** false: nothing was in that slot. The qdisc stays: it may be somebody else's. */
export async function clsactDetach(filter: Filter): Promise<boolean> {
  return addon.clsactDetach(filter.ifindex, filter.direction === 'egress', filter.handle, filter.priority);
}
