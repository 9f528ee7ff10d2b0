import { addon, type Handle } from './addon.ts';
import { type AttachType, attachTypeNumber, nameOf, numberOf, type ProgramType, programTypes } from './uapi.ts';

/** As the kernel tells it. `name` is cut by the kernel to 15 characters, `loadedAt` is nanoseconds since boot. */
export interface ProgramInfo {
  id: number;
  name: string;
  type: ProgramType;
  /** Hash over the instructions, 16 hex digits. */
  tag: string;
  loadedAt: bigint;
  mapIds: number[];
  verifiedInstructions: number;
  translatedBytes: number;
}

export interface TestRun {
  data?: Uint8Array;
  /** Room for the packet as the program leaves it; default 256 bytes more than `data`. */
  dataOutSize?: number;
  /** Raw context, such as struct __sk_buff or struct xdp_md. */
  context?: Uint8Array;
  repeat?: number;
}

export interface TestResult {
  retval: number;
  data: Uint8Array;
  /** The context after the run; empty if none was given. */
  context: Uint8Array;
  /** Of one run, the mean over `repeat`. */
  nanoseconds: number;
}

/** A loaded program. Close it (`using`); a closed one answers every call with BpfError EBADF. */
export class BpfProgram implements Disposable {
  /** Only for this package. */
  readonly handle: Handle;
  /** Asked from the kernel when the program was opened. */
  readonly info: ProgramInfo;

  /** Only for this package: use openPinned(), loadObject() or loadInstructions(). */
  constructor(open: Handle) {
    const { type, ...facts } = addon.programInfo(open);
    this.handle = open;
    this.info = { ...facts, type: nameOf(programTypes, type) };
  }

  /** BpfError ENOENT: nothing is pinned there. EINVAL: it is a map or a link. */
  static openPinned(path: string): BpfProgram {
    return new BpfProgram(addon.programOpen(path));
  }

  pin(path: string): void {
    addon.pin(this.handle, path);
  }

  /**
   * BPF_PROG_TEST_RUN: the program itself on a made-up packet, in the calling thread and its network namespace. Blocks
   * for `repeat` runs. BpfError ENOSPC: the packet grew over `dataOutSize`; ENOTSUPP: the type has no test run.
   */
  testRun(run: TestRun): TestResult {
    const { data, dataOutSize = data ? data.length + 256 : 0, context, repeat = 1 } = run;
    return addon.programRun(this.handle, data, dataOutSize, context, repeat);
  }

  close(): void {
    addon.close(this.handle);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Loads raw instructions (8 bytes each, struct bpf_insn) under a GPL licence: made for feature probes. The refusal is a
 * BpfError with the verifier's log.
 */
export function loadInstructions(
  type: ProgramType,
  instructions: Uint8Array,
  options: { attachType?: AttachType } = {},
): BpfProgram {
  const attachType = options.attachType === undefined ? 0 : attachTypeNumber(options.attachType);
  return new BpfProgram(addon.programLoad(numberOf(programTypes, type, 'program type'), attachType, instructions));
}
