import { existsSync } from 'node:fs';
import {
  BpfError,
  BpfLink,
  BpfMap,
  type BpfProgram,
  destroySocket,
  listSockets,
  loadInstructions,
  type MapType,
} from 'libbpf-ts';
import type { Mechanism } from './hooks.ts';
import { call, exit, helpers, type Instruction, set, stackAddress, zeroStack } from './instructions.ts';

/** Something of the kernel that we use. */
export interface Feature {
  readonly name: string;
  /** The first Linux release that has it. */
  readonly minimumKernel: string;
  /** What is lost without it; undefined: bpfsvc does not run. */
  readonly cost: string | undefined;
  /** Tries it out. Throws only what says nothing of the feature, such as EPERM. */
  readonly isThere: () => boolean | Promise<boolean>;
}

/** Every feature that the programs and the agent need or use where it is present, tried by loading or making one. */
export const features: readonly Feature[] = [
  mapFeature('hash maps that allocate on demand', '4.6', 'hash', 1),
  mapFeature('least recently used hash maps', '4.10', 'lru_hash', 0),
  mapFeature('longest prefix match maps', '4.11', 'lpm_trie', 1),
  mapFeature('per-CPU hash maps', '4.6', 'percpu_hash', 1),
  {
    name: 'maps of maps',
    minimumKernel: '4.12',
    cost: undefined,
    isThere: () => {
      using innerMap = BpfMap.create({ type: 'array', name: 'probe', keySize: 4, valueSize: 4, maxEntries: 1 });
      const outer = {
        type: 'array_of_maps',
        name: 'probe',
        keySize: 4,
        valueSize: 4,
        maxEntries: 1,
        innerMap,
      } as const;
      return accepted(() => BpfMap.create(outer));
    },
  },
  callFeature('the coarse clock in packet programs', '5.11', 'sched_cls', undefined, [
    call(helpers.ktime_get_coarse_ns),
  ]),
  callFeature('socket cookies in packet programs', '4.12', 'sched_cls', undefined, [call(helpers.get_socket_cookie)]),
  callFeature('network namespace cookies in socket hooks', '5.7', 'cgroup_sock_addr', 'connect4', [
    call(helpers.get_netns_cookie),
  ]),
  callFeature('the peer name socket hook', '5.8', 'cgroup_sock_addr', 'getpeername4', []),
  callFeature('bpf_set_retval in socket hooks', '6.1', 'cgroup_sock_addr', 'connect4', [
    set(1, -111),
    call(helpers.set_retval),
  ]),
  {
    name: 'tcx links',
    minimumKernel: '6.6',
    cost: 'clsact filters are used instead: they do the same, but are not pinned',
    isThere: hasTcx,
  },
  {
    name: 'the source address of a route (BPF_FIB_LOOKUP_SRC)',
    minimumKernel: '6.7',
    cost: 'what goes on for a client from outside gets the first address of the way it takes',
    isThere: hasFibSource,
  },
  callFeature('network namespace cookies where a socket is bound', '5.15', 'cgroup_sock', 'post_bind4', [
    call(helpers.get_netns_cookie),
  ]),
  {
    name: 'ending sockets (CONFIG_INET_DIAG_DESTROY, CONFIG_INET_UDP_DIAG)',
    minimumKernel: '4.9',
    cost: 'a process of the node that keeps a connected UDP socket stays with a backend that is gone',
    isThere: canEndSockets,
  },
  {
    name: "the kernel's own BTF",
    minimumKernel: '5.2',
    cost: 'other tools cannot show the fields of our maps',
    isThere: () => existsSync('/sys/kernel/btf/vmlinux'),
  },
];

/** Asked to end a socket that nobody has, a kernel that can says so. */
async function canEndSockets(): Promise<boolean> {
  const end = { address: '127.0.0.1', port: 1 };
  try {
    await listSockets({ family: 4, protocol: 'udp', states: ['established'], remotePort: 1 });
    await destroySocket({ family: 4, protocol: 'udp', local: end, remote: end, ifindex: 0, cookie: 1n });
    return true;
  } catch (error) {
    if (error instanceof BpfError && ['EOPNOTSUPP', 'ENOENT'].includes(error.code)) return false;
    throw error;
  }
}

/** struct bpf_fib_lookup: 64 bytes. Asked about no family, a kernel that knows the flag says EAFNOSUPPORT, and else EINVAL. */
export function hasFibSource(): boolean {
  const [LOOKUP_SRC, EINVAL] = [16, 22];
  const zeros = Array.from({ length: 8 }, (_, i) => zeroStack(-64 + 8 * i));
  const asks = [...zeros, stackAddress(2, -64), set(3, 64), set(4, LOOKUP_SRC), call(helpers.fib_lookup), exit];
  using program = loadInstructions('sched_cls', Buffer.concat(asks));
  return (program.testRun({ data: Buffer.alloc(64) }).retval | 0) !== -EINVAL;
}

/** tcx where the kernel has it. */
export async function chooseMechanism(): Promise<Mechanism> {
  return (await hasTcx()) ? 'tcx' : 'clsact';
}

/** A kernel with tcx looks for the device, and there is none of that number; one without does not know the attach type. */
async function hasTcx(): Promise<boolean> {
  using program = load('sched_cls', undefined, []);
  try {
    using _link = await BpfLink.attach({ kind: 'tcx', ifindex: 0x7fffffff, direction: 'ingress' }, program);
    return true;
  } catch (error) {
    if (error instanceof BpfError && error.code === 'ENODEV') return true;
    if (error instanceof BpfError && error.code === 'EINVAL') return false;
    throw error;
  }
}

function mapFeature(name: string, minimumKernel: string, type: MapType, flags: number): Feature {
  const isThere = () =>
    accepted(() => BpfMap.create({ type, name: 'probe', keySize: 8, valueSize: 8, maxEntries: 1, flags }));
  return { name, minimumKernel, cost: undefined, isThere };
}

type ProgramType = Parameters<typeof loadInstructions>[0];
type AttachType = NonNullable<Parameters<typeof loadInstructions>[2]>['attachType'];

function callFeature(
  name: string,
  minimumKernel: string,
  type: ProgramType,
  attachType: AttachType,
  calls: readonly Instruction[],
): Feature {
  return { name, minimumKernel, cost: undefined, isThere: () => accepted(() => load(type, attachType, calls)) };
}

/** A program that makes these calls with the context in r1, and returns 1. */
function load(type: ProgramType, attachType: AttachType, calls: readonly Instruction[]): BpfProgram {
  const instructions = Buffer.concat([...calls, set(0, 1), exit]);
  return loadInstructions(type, instructions, attachType === undefined ? {} : { attachType });
}

function accepted(make: () => Disposable): boolean {
  try {
    make()[Symbol.dispose]();
    return true;
  } catch (error) {
    if (error instanceof BpfError && error.code !== 'EPERM') return false;
    throw error;
  }
}
