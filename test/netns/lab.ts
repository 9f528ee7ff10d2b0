/**
 * Real nodes and pods without a cluster: network namespaces with real routes and veths, in the two shapes that CNIs give
 * them. Needs root and iproute2; `firewall` and `masquerade` need nft or iptables, `offloads: false` needs ethtool.
 */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { attempt, type CommandOptions, type CommandResult, run, type StartOptions, start } from './command.ts';
import { addPods, buildLab, type LabOptions, type Layout, newPod } from './construct.ts';
import { hasProgram } from './firewall.ts';
import { labPrefix, removeLab, removeNamespaces, startReaper, sweepStaleLabs } from './reaper.ts';
import type { Node, Place, Pod } from './topology.ts';

export type { CommandOptions, CommandResult, LabOptions, Node, Place, Pod };

export interface Lab extends AsyncDisposable {
  /** What the names of all its namespaces begin with. */
  readonly prefix: string;
  readonly nodes: readonly Node[];
  /** A machine on the nodes' network that belongs to no cluster. */
  readonly outside: Place;
  /** A client behind two routers; throws in a lab without. */
  readonly abroad: Place;
  /** Of all nodes, as they are now. */
  readonly pods: readonly Pod[];
  /** The node, the pod of that name; both throw for an unknown one. */
  node(name: string): Node;
  pod(name: string): Pod;
  /** Runs a command to its end and returns what it printed; throws if it does not exit with 0. */
  exec(
    place: Place,
    command: readonly string[],
    options?: CommandOptions & { readonly input?: string },
  ): Promise<string>;
  /** The same for commands that may fail. */
  attempt(
    place: Place,
    command: readonly string[],
    options?: CommandOptions & { readonly input?: string },
  ): Promise<CommandResult>;
  /** Starts a command that close() kills if it still runs. */
  spawn(place: Place, command: readonly string[], options?: StartOptions): ChildProcess;
  /** A further pod, for an agent that runs already to notice. */
  addPod(node: Node, name?: string): Promise<Pod>;
  /** Kills what runs in the pod and deletes its namespace, and with it both ends of its veth. */
  removePod(pod: Pod): void;
  close(): Promise<void>;
}

let labs = 0;

/** Can this kernel show bridged traffic to iptables? Then `bridgeNetfilter` may be asked for. */
export function hasBridgeNetfilter(): boolean {
  return existsSync('/proc/sys/net/bridge/bridge-nf-call-iptables');
}

/** Can this kernel make devices of VLANs? */
export function hasVlans(): boolean {
  if (!existsSync('/proc/net/vlan')) spawnSync('modprobe', ['-q', '8021q']);
  return existsSync('/proc/net/vlan');
}

/** Builds a lab in about half a second. Everything is gone after close(), or with this process, however it ends. */
export async function createLab(options: LabOptions): Promise<Lab> {
  if (options.offloads === false && !hasProgram('ethtool')) throw new Error('a lab without offloads needs ethtool');
  if (options.bridgeNetfilter === true && !hasBridgeNetfilter()) {
    throw new Error('this kernel has no br_netfilter: modprobe br_netfilter');
  }
  if (labs === 0) sweepStaleLabs();
  labs += 1;
  const prefix = labPrefix(options.tag ?? 'lab', labs);
  const endReaper = startReaper(prefix);
  const children = new Set<ChildProcess>();
  const remove = (): void => {
    for (const child of children) child.kill('SIGKILL');
    removeLab(prefix);
    endReaper();
  };
  try {
    return face(prefix, await buildLab(prefix, options), options, children, remove);
  } catch (error) {
    remove();
    throw error;
  }
}

function face(
  prefix: string,
  layout: Layout,
  options: LabOptions,
  children: Set<ChildProcess>,
  remove: () => void,
): Lab {
  const pods = (): Pod[] => layout.nodes.flatMap((node) => node.pods);
  let open = true;
  const close = async (): Promise<void> => {
    if (open) remove();
    open = false;
  };
  return {
    prefix,
    nodes: layout.nodes,
    outside: layout.outside,
    get abroad() {
      if (layout.abroad === undefined) throw new RangeError('a lab without `abroad`');
      return layout.abroad;
    },
    get pods() {
      return pods();
    },
    node: (name) => named(layout.nodes, name),
    pod: (name) => named(pods(), name),
    exec: run,
    attempt,
    spawn(place, command, startOptions) {
      const child = start(place, command, startOptions);
      children.add(child);
      child.once('exit', () => children.delete(child));
      return child;
    },
    async addPod(node, name) {
      const pod = newPod(prefix, node, name);
      await addPods(node, [pod], options);
      return pod;
    },
    removePod(pod) {
      removeNamespaces([pod.netns]);
      for (const node of layout.nodes) node.pods.splice(0, Infinity, ...node.pods.filter((other) => other !== pod));
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

function named<T extends Place>(places: readonly T[], name: string): T {
  const place = places.find((candidate) => candidate.name === name);
  if (place === undefined)
    throw new RangeError(`no ${name} among ${places.map((candidate) => candidate.name).join(', ')}`);
  return place;
}
