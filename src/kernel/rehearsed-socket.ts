import { accessSync, constants, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BpfLink, type BpfObject, tryConnect } from 'libbpf-ts';
import { cgroupRoot, readMounts } from './mounts.ts';
import type { Counted, Rehearsal } from './rehearsal.ts';

/** SO_MARK of sockets that only rehearse: programs at work let them pass, see bpf/socket.h. */
const REHEARSAL_MARK = 0x62706673;

const hooks = ['connect4', 'connect6'] as const;
const NAME = 'bpfsvc-explain-';

export interface SocketOutcome {
  /** 'ok', or the code of the refusal, such as ECONNREFUSED. */
  readonly result: string;
  readonly counted: readonly Counted[];
}

/** A place where connect() meets the programs of a rehearsal. */
export interface RehearsedSockets extends AsyncDisposable {
  connect(protocol: 'tcp' | 'udp', address: string, port: number): SocketOutcome;
}

/**
 * Takes this process into a cgroup of its own, with the socket hooks attached there alone. `config` tells them which network
 * namespace is the node's; `parent`: where that cgroup is made, the root of the hierarchy unless given. Throws if there is no
 * such hierarchy, or this process may not move.
 */
export async function openRehearsedSockets(
  rehearsal: Rehearsal,
  config: string,
  parent?: string,
): Promise<RehearsedSockets> {
  const root = cgroupRoot(readMounts());
  if (root === undefined) throw new Error('no cgroup2 hierarchy is mounted');
  const home = join(root, ownCgroup(), 'cgroup.procs');
  accessSync(home, constants.W_OK); // a cgroup namespace may hide where this process comes from
  sweep(parent ?? root);
  const path = join(parent ?? root, `${NAME}${process.pid}`);
  mkdirSync(path);
  const links: BpfLink[] = [];
  const leave = async () => {
    writeFileSync(home, '0');
    for (const link of links) await link.detach();
    for (const link of links) link.close();
    rmdirSync(path);
  };
  try {
    const object = await rehearsal.load('connect', hooks, config);
    for (const hook of hooks) links.push(await attach(object, hook, path));
    writeFileSync(join(path, 'cgroup.procs'), '0');
  } catch (error) {
    await leave().catch(() => {});
    throw error;
  }
  return {
    connect(protocol, address, port) {
      rehearsal.takeCounted();
      const result = tryConnect({ protocol, mark: REHEARSAL_MARK, address, port });
      return { result, counted: rehearsal.takeCounted() };
    },
    [Symbol.asyncDispose]: leave,
  };
}

async function attach(object: BpfObject, hook: (typeof hooks)[number], path: string): Promise<BpfLink> {
  const program = object.programs[hook];
  if (program === undefined) throw new Error(`the compiled objects do not have '${hook}'`);
  return await BpfLink.attach({ kind: 'cgroup', path, attachType: hook }, program);
}

/** Where this process is in the cgroup2 hierarchy. */
function ownCgroup(): string {
  const line = readFileSync('/proc/self/cgroup', 'utf8')
    .split('\n')
    .find((one) => one.startsWith('0::'));
  return line?.slice(3) ?? '/';
}

/** Takes away what a process left here that was killed. */
function sweep(root: string): void {
  for (const name of readdirSync(root)) {
    if (!name.startsWith(NAME) || isAlive(Number(name.slice(NAME.length)))) continue;
    try {
      rmdirSync(join(root, name));
    } catch {
      // somebody else is at it
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
