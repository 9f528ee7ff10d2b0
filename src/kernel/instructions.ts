/** struct bpf_insn, for probes: programs of a few instructions that need no compiler. */
export type Instruction = Buffer;

/** Numbers of helper functions (enum bpf_func_id). */
export const helpers = {
  get_socket_cookie: 46,
  fib_lookup: 69,
  get_netns_cookie: 122,
  ktime_get_coarse_ns: 160,
  set_retval: 187,
} as const;

/** r<register> = value */
export function set(register: number, value: number): Instruction {
  return instruction(0xb7, register, value);
}

/** r<register> = r10 + offset: an address on the stack, offset -512 to -8 */
export function stackAddress(register: number, offset: number): Instruction {
  return Buffer.concat([instruction(0xbf, 0xa0 | register, 0), instruction(0x07, register, offset)]);
}

/** Eight bytes of zero at r10 + offset */
export function zeroStack(offset: number): Instruction {
  const bytes = instruction(0x7a, 10, 0);
  bytes.writeInt16LE(offset, 2);
  return bytes;
}

export function call(helper: number): Instruction {
  return instruction(0x85, 0, helper);
}

export const exit: Instruction = instruction(0x95, 0, 0);

function instruction(code: number, register: number, immediate: number): Instruction {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt8(code, 0);
  bytes.writeUInt8(register, 1);
  bytes.writeInt32LE(immediate, 4);
  return bytes;
}
