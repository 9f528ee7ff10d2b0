import type { Detector } from '../kernel/detector.ts';
import type { Network } from '../kernel/devices.ts';
import { netnsCookie } from '../kernel/kernel.ts';
import type { NodePortSelection } from '../kernel/node-ports.ts';
import { encodeConfig, readObjects } from '../kernel/objects.ts';
import { enterPrivateNetwork } from '../kernel/private-network.ts';
import { Rehearsal } from '../kernel/rehearsal.ts';
import type { Parsed } from '../kube/parse.ts';
import { type Address, type Cidr, cidrContains, familyOf } from '../model/address.ts';
import type { Problem } from '../model/service.ts';
import { makeWorld, ownNode } from '../own-node.ts';
import type { World } from '../plan/world.ts';
import { desiredTables } from './desired.ts';
import { type Question, QuestionError } from './question.ts';
import { openSockets, type Stage } from './stage.ts';

/** A node that is only described. */
export interface Described {
  readonly parsed: Parsed;
  readonly node: string;
  /** `--service-cidr`, if a person gave it. */
  readonly serviceCidrs: readonly Cidr[];
  /** What tells pods, beside Pod objects of the node. */
  readonly detector: Detector;
  readonly nodePorts: NodePortSelection;
  /** `--cgroup` */
  readonly cgroup?: string | undefined;
  /** False: the node's sockets are not asked, but the packet path for them. */
  readonly sockets?: boolean;
  /** `--bind-address`; null: what the Node says. */
  readonly primaryAddress?: Address | null;
}

/** Of a described node the kernel knows no addresses. */
const settings = { fibSource: false, rehearses: true };

/** The way out of the private network, and the node's loopback. */
const described = { loopback: 1, wire: 2 };

/** A stage for these questions: sockets are made ready only where one is about them. */
export async function openOffline(
  node: Described,
  questions: readonly Question[],
): Promise<{ stage: Stage; problems: readonly Problem[] } & AsyncDisposable> {
  const own = ownNode(node.parsed, node.node);
  if (own === undefined)
    throw new QuestionError(`there is no Node '${node.node}' among the manifests: name one of them with --node`);
  const closers: (() => Promise<void> | void)[] = [];
  const close = async () => {
    for (const one of closers.reverse()) await one();
    closers.length = 0;
  };
  try {
    const local = localAddressesOf(node);
    const network = await enterPrivateNetwork(local);
    closers.push(() => network[Symbol.dispose]());
    const world = worldOf(node, own.internalIPs, network.wire);
    const { tables, problems } = desiredTables(world);
    const rehearsal = await Rehearsal.open(readObjects(), encodeConfig(0n, settings), tables);
    closers.push(() => rehearsal.close());
    const fromNode = ({ from }: Question) => classify(node, world, from).kind === 'node';
    const wanted = node.sockets !== false && questions.some(fromNode);
    const sockets = await openSockets(rehearsal, wanted ? encodeConfig(netnsCookie(), settings) : null, node.cgroup);
    if ('missing' in sockets) rehearsal.offerLocalhost(tables);
    else closers.push(async () => await sockets[Symbol.asyncDispose]());
    const stage: Stage = {
      tables,
      rehearsal,
      sockets,
      known: { world, parsed: node.parsed },
      via: () => undefined,
      remembered: () => null,
      classify: (address) => classify(node, world, address),
      isLocal: (address) => local.has(address) || isLoopback(address),
    };
    return { stage, problems, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

function worldOf(node: Described, internalIPs: readonly Address[], wire: number): World {
  const addresses = [
    ...internalIPs.map((address) => ({
      ifindex: described.wire,
      family: familyOf(address),
      address,
      prefixLength: 0,
      scope: 0,
      flags: 0,
    })),
    ...['127.0.0.1', '::1'].map((address) => ({
      ifindex: described.loopback,
      family: familyOf(address),
      address,
      prefixLength: 8,
      scope: 254,
      flags: 0,
    })),
  ];
  const network: Network = {
    links: [],
    addresses: addresses.map((one) => (one.ifindex === described.wire ? { ...one, ifindex: wire } : one)),
    routes: [],
  };
  const devices = [{ ifindex: wire, name: 'wire', role: 'wire', hasLinkHeader: true, reason: 'described' }] as const;
  const { parsed, node: name, serviceCidrs, nodePorts, detector, primaryAddress = null } = node;
  const own = { name, serviceCidrs, nodePorts, detector, primaryAddress };
  return makeWorld(parsed, { ...own, network, devices, podsAtTc: true });
}

/** Those of the node and of all that runs on it. */
function localAddressesOf({ parsed, node }: Described): Set<Address> {
  const local = new Set<Address>(ownNode(parsed, node)?.internalIPs);
  for (const ports of parsed.endpoints.values()) {
    for (const endpoint of [...ports.values()].flat()) if (endpoint.nodeName === node) local.add(endpoint.address);
  }
  for (const address of podsOf({ parsed, node })) local.add(address);
  return local;
}

function podCidrsOf({ detector, parsed, node }: Described): readonly Cidr[] {
  if (detector.mode === 'NodeCIDR') return ownNode(parsed, node)?.podCidrs ?? [];
  return detector.mode === 'ClusterCIDR' ? detector.cidrs : [];
}

function podsOf({ parsed, node }: Pick<Described, 'parsed' | 'node'>): Set<string> {
  const pods = new Set<string>();
  for (const object of parsed.memory.objects.values()) {
    if (object.kind !== 'Pod' || object.spec.nodeName !== node) continue;
    const { podIP, podIPs } = object.status;
    for (const ip of [podIP, ...podIPs.map((one) => one.ip)]) if (ip !== '') pods.add(ip);
  }
  return pods;
}

function classify(node: Described, world: World, address: Address): ReturnType<Stage['classify']> {
  if (isLoopback(address)) return { kind: 'node', why: 'loopback' };
  if (world.node.localAddresses.has(address)) return { kind: 'node', why: `an address of Node ${node.node}` };
  const cidr = podCidrsOf(node).find((one) => cidrContains(one, address));
  if (cidr !== undefined) return { kind: 'pod', why: `in ${cidr.address}/${cidr.prefixLength}, where pods are` };
  if (podsOf(node).has(address)) return { kind: 'pod', why: `a Pod on ${node.node} has it` };
  return { kind: 'outside', why: `no address of Node ${node.node}, no Pod of it, and not where pods are` };
}

function isLoopback(address: Address): boolean {
  return address === '::1' || address.startsWith('127.');
}
