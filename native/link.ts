import { addon, type Handle } from './addon.ts';
import type { BpfProgram } from './program.ts';
import {
  attachTypeName,
  attachTypeNumber,
  type CgroupAttachType,
  cgroupAttachTypes,
  deviceAttachTypes,
  numberOf,
} from './uapi.ts';

export type Direction = 'ingress' | 'egress';

/** Where a program is attached. xdp: `native` unless told otherwise; a driver without it answers EOPNOTSUPP. */
export type LinkTarget =
  | { kind: 'tcx'; ifindex: number; direction: Direction }
  | { kind: 'xdp'; ifindex: number; mode?: 'native' | 'generic' }
  | { kind: 'cgroup'; path: string; attachType: CgroupAttachType };

/** What the kernel says of a link. Which of the optional ones there are follows from the kind. */
export interface LinkInfo {
  id: number;
  programId: number;
  kind: 'tcx' | 'xdp' | 'cgroup' | 'other';
  /** tcx, xdp. 0: the device is gone, or the link was detached. */
  ifindex?: number;
  /** tcx. */
  direction?: Direction;
  /** tcx ('tcx_ingress'), xdp ('xdp'), cgroup ('connect4'). */
  attachType?: string;
  /** cgroup: the inode number of its directory. 0: the cgroup is gone, or the link was detached. */
  cgroupId?: bigint;
}

const linkKinds: Record<number, LinkInfo['kind']> = { 3: 'cgroup', 6: 'xdp', 11: 'tcx' };
const xdpModes = { generic: 2, native: 4 } as const;

/**
 * The tie between a program and a hook. It holds until it is detached, or until its last descriptor and pin are gone.
 * Pin it to let it outlive the process. Calls that wait in the kernel run in a worker thread, in the network namespace
 * of the calling thread.
 */
export class BpfLink implements Disposable {
  /** Only for this package. */
  readonly handle: Handle;

  /** Only for this package: use attach() or openPinned(). */
  constructor(open: Handle) {
    this.handle = open;
  }

  /**
   * Takes an RCU grace period (10 ms) at tcx. BpfError EINVAL at tcx: the kernel is older than 6.6. ENODEV: no such
   * device. EBUSY at xdp: somebody else is attached.
   */
  static async attach(target: LinkTarget, program: BpfProgram): Promise<BpfLink> {
    return new BpfLink(await attach(target, program.handle));
  }

  /** BpfError ENOENT: nothing is pinned there. EINVAL: it is a map or a program. */
  static openPinned(path: string): BpfLink {
    return new BpfLink(addon.linkOpen(path));
  }

  /** Asked anew each time. */
  info(): LinkInfo {
    const { id, programId, type, ifindex, attachType, cgroupId } = addon.linkInfo(this.handle);
    const kind = linkKinds[type] ?? 'other';
    if (kind === 'other') return { id, programId, kind };
    if (kind === 'xdp') return { id, programId, kind, ifindex, attachType: 'xdp' };
    const name = attachTypeName(attachType);
    if (kind === 'cgroup') return { id, programId, kind, cgroupId, attachType: name };
    const direction = attachType === deviceAttachTypes.tcx_egress ? 'egress' : 'ingress';
    return { id, programId, kind, ifindex, direction, attachType: name };
  }

  /** Swaps the program without a gap: each packet or call meets the old one or the new one. */
  async update(program: BpfProgram): Promise<void> {
    await addon.linkUpdate(this.handle, program.handle);
  }

  /** Takes the program off its hook, pinned or not. The pin, if any, stays as a name of an idle link. */
  async detach(): Promise<void> {
    await addon.linkDetach(this.handle);
  }

  pin(path: string): void {
    addon.pin(this.handle, path);
  }

  /** Of an unpinned link this detaches, and waits for it in the calling thread: detach() first where that hurts. */
  close(): void {
    addon.close(this.handle);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

async function attach(target: LinkTarget, program: Handle): Promise<Handle> {
  switch (target.kind) {
    case 'tcx': {
      const { ifindex, direction } = target;
      const number = attachTypeNumber(`tcx_${direction}`);
      return addon.linkAttach(program, ifindex, undefined, number, 0, `tcx ${direction}`);
    }
    case 'xdp': {
      const { ifindex, mode = 'native' } = target;
      return addon.linkAttach(program, ifindex, undefined, deviceAttachTypes.xdp, xdpModes[mode], 'xdp');
    }
    case 'cgroup': {
      const { path, attachType } = target;
      numberOf(Object.keys(cgroupAttachTypes), attachType, 'cgroup attach type');
      return addon.linkAttach(program, 0, path, cgroupAttachTypes[attachType], 0, attachType);
    }
  }
}
