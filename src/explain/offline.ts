import { type Described, describedWorld, podAddresses, podCidrs } from '../described-node.ts';
import { desiredTables } from '../desired.ts';
import { netnsCookie } from '../kernel/kernel.ts';
import { encodeConfig, readObjects } from '../kernel/objects.ts';
import { enterPrivateNetwork } from '../kernel/private-network.ts';
import { Rehearsal, type RehearsedHook } from '../kernel/rehearsal.ts';
import { type Address, cidrContains } from '../model/address.ts';
import type { Problem } from '../model/service.ts';
import { ownNode } from '../own-node.ts';
import type { World } from '../plan/world.ts';
import type { Question } from './question.ts';
import { type Known, openSockets, type SourceClass, type Stage } from './stage.ts';

export interface OfflineOptions {
  /** `--cgroup` */
  readonly cgroup?: string | undefined;
  /** False: the node's sockets are not asked, but the packet path for them. */
  readonly sockets?: boolean;
}

/** Of a described node the kernel knows no addresses. */
export const settings = { fibSource: false, rehearses: true };

/** What leaves is not looked at for whom it is. */
const NO_MAC = '00:00:00:00:00:00';

/** A stage for these questions: sockets are made ready only where one is about them. */
export async function openOffline(
  node: Described,
  questions: readonly Question[],
  { cgroup, sockets: asksSockets = true }: OfflineOptions = {},
): Promise<{ stage: Stage; problems: readonly Problem[] } & AsyncDisposable> {
  const closers: (() => Promise<void> | void)[] = [];
  const close = async () => {
    for (const one of closers.reverse()) await one();
    closers.length = 0;
  };
  try {
    const local = localAddressesOf(node);
    const network = await enterPrivateNetwork(local);
    closers.push(() => network[Symbol.dispose]());
    const world = describedWorld(node, network.wire);
    const { tables, problems } = desiredTables(world);
    const config = { ...settings, masqueradeAll: node.masqueradeAll ?? false };
    const rehearsal = await Rehearsal.open(readObjects(), encodeConfig(0n, config), tables);
    closers.push(() => rehearsal.close());
    const classify = classifier(node, world);
    if (questions.length > 1) rehearsal.prepare(hooksOf(questions.map(({ from }) => classify(from).kind)));
    const wanted = asksSockets && questions.some(({ from }) => classify(from).kind === 'node');
    const sockets = await openSockets(rehearsal, wanted ? encodeConfig(netnsCookie(), config) : null, cgroup);
    if ('missing' in sockets) rehearsal.offerLocalhost(tables);
    else closers.push(async () => await sockets[Symbol.asyncDispose]());
    const stage = stageOf(node, { world, parsed: node.parsed, problems }, { tables, rehearsal, sockets });
    return { stage, problems, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Where many questions go in all likelihood: of a single one that waits for the answer of the hook before. */
function hooksOf(kinds: readonly SourceClass[]): Set<RehearsedHook> {
  const first = { pod: 'from_pod', outside: 'from_wire', node: 'to_wire' } as const;
  return new Set<RehearsedHook>([...kinds.map((kind) => first[kind]), 'to_wire']);
}

/** What is asked on a described node, once its rows are where programs find them. */
export function stageOf(node: Described, known: Known, parts: Pick<Stage, 'tables' | 'rehearsal' | 'sockets'>): Stage {
  const local = localAddressesOf(node);
  const classify = classifier(node, known.world);
  const ifindex = known.world.wires[0]?.ifindex ?? 0;
  return {
    ...parts,
    known,
    masqueradeAll: node.masqueradeAll ?? false,
    via: () => undefined,
    exit: (backend) => {
      if (classify(backend).kind === 'node') return null;
      if (local.has(backend)) return { hook: 'to_pod', via: undefined };
      return { hook: 'to_wire', via: { ifindex, mac: NO_MAC } };
    },
    remembered: () => null,
    classify,
    isLocal: (address) => local.has(address) || isLoopback(address),
  };
}

/** Those of the node and of all that runs on it. */
export function localAddressesOf(node: Described): Set<Address> {
  const { parsed, node: name } = node;
  const endpoints = [...parsed.endpoints.values()].flatMap((ports) => [...ports.values()].flat());
  const own = endpoints.flatMap(({ nodeName, address }) => (nodeName === name ? address : []));
  return new Set([...(ownNode(parsed, name)?.internalIPs ?? []), ...own, ...podAddresses(node)]);
}

/** With no hook to go by, addresses tell. */
function classifier(node: Described, world: World): Stage['classify'] {
  const pods = podAddresses(node);
  const cidrs = podCidrs(node);
  return (address) => {
    if (isLoopback(address)) return { kind: 'node', why: 'loopback' };
    if (world.node.localAddresses.has(address)) return { kind: 'node', why: `an address of Node ${node.node}` };
    const cidr = cidrs.find((one) => cidrContains(one, address));
    if (cidr !== undefined) return { kind: 'pod', why: `in ${cidr.address}/${cidr.prefixLength}, where pods are` };
    if (pods.has(address)) return { kind: 'pod', why: `a Pod on ${node.node} has it` };
    return { kind: 'outside', why: `no address of Node ${node.node}, no Pod of it, and not where pods are` };
  };
}

function isLoopback(address: Address): boolean {
  return address === '::1' || address.startsWith('127.');
}
