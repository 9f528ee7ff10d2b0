// Names of the kernel's numbers (include/uapi/linux/bpf.h). The place in a list is the number; both only ever grow.

/** By bpf_map_type. */
export const mapTypes = [
  'unspec',
  'hash',
  'array',
  'prog_array',
  'perf_event_array',
  'percpu_hash',
  'percpu_array',
  'stack_trace',
  'cgroup_array',
  'lru_hash',
  'lru_percpu_hash',
  'lpm_trie',
  'array_of_maps',
  'hash_of_maps',
  'devmap',
  'sockmap',
  'cpumap',
  'xskmap',
  'sockhash',
  'cgroup_storage',
  'reuseport_sockarray',
  'percpu_cgroup_storage',
  'queue',
  'stack',
  'sk_storage',
  'devmap_hash',
  'struct_ops',
  'ringbuf',
  'inode_storage',
  'task_storage',
  'bloom_filter',
  'user_ringbuf',
  'cgrp_storage',
  'arena',
] as const;

/** By bpf_prog_type. */
export const programTypes = [
  'unspec',
  'socket_filter',
  'kprobe',
  'sched_cls',
  'sched_act',
  'tracepoint',
  'xdp',
  'perf_event',
  'cgroup_skb',
  'cgroup_sock',
  'lwt_in',
  'lwt_out',
  'lwt_xmit',
  'sock_ops',
  'sk_skb',
  'cgroup_device',
  'sk_msg',
  'raw_tracepoint',
  'cgroup_sock_addr',
  'lwt_seg6local',
  'lirc_mode2',
  'sk_reuseport',
  'flow_dissector',
  'cgroup_sysctl',
  'raw_tracepoint_writable',
  'cgroup_sockopt',
  'tracing',
  'struct_ops',
  'ext',
  'lsm',
  'sk_lookup',
  'syscall',
  'netfilter',
] as const;

/** bpf_attach_type of the hooks that BpfLink attaches to. */
export const cgroupAttachTypes = {
  ingress: 0,
  egress: 1,
  sock_create: 2,
  sock_ops: 3,
  bind4: 8,
  bind6: 9,
  connect4: 10,
  connect6: 11,
  post_bind4: 12,
  post_bind6: 13,
  sendmsg4: 14,
  sendmsg6: 15,
  recvmsg4: 19,
  recvmsg6: 20,
  getpeername4: 29,
  getpeername6: 30,
  getsockname4: 31,
  getsockname6: 32,
  sock_release: 34,
} as const;

export const deviceAttachTypes = { xdp: 37, tcx_ingress: 46, tcx_egress: 47 } as const;

export type MapType = (typeof mapTypes)[number];
export type ProgramType = (typeof programTypes)[number];
export type CgroupAttachType = keyof typeof cgroupAttachTypes;
export type AttachType = CgroupAttachType | keyof typeof deviceAttachTypes;

/** The number of a name; a name that is not in the list is a TypeError that says so. */
export function numberOf(names: readonly string[], name: string, what: string): number {
  const number = names.indexOf(name);
  if (number < 0) throw new TypeError(`${what} '${name}' is not one of ${names.join(', ')}`);
  return number;
}

/** The name of a number; of one newer than this list, the number as text. */
export function nameOf<Name extends string>(names: readonly Name[], number: number): Name {
  return names[number] ?? (String(number) as Name);
}

const attachTypes: Record<AttachType, number> = { ...cgroupAttachTypes, ...deviceAttachTypes };

export function attachTypeNumber(name: AttachType): number {
  const number = attachTypes[name];
  if (number === undefined)
    throw new TypeError(`attach type '${name}' is not one of ${Object.keys(attachTypes).join(', ')}`);
  return number;
}

export function attachTypeName(number: number): string {
  return Object.entries(attachTypes).find(([, value]) => value === number)?.[0] ?? String(number);
}
