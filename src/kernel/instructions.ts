/** struct bpf_insn, for probes: programs of a few instructions that need no compiler. */
export type Instruction = Buffer;

/** Numbers of helper functions (enum bpf_func_id). */
export const helpers = {
  get_socket_cookie: 46,
  get_netns_cookie: 122,
  ktime_get_coarse_ns: 160,
  set_retval: 187,
} as const;

/** r<register> = value */
export function set(register: number, value: number): Instruction {
  return instruction(0xb7, register, value);
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
