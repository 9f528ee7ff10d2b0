import { classifyDevices, type Device, type Network } from '../kernel/devices.ts';
import type { Generation } from '../kernel/generation.ts';
import { netnsCookie } from '../kernel/kernel.ts';
import { localAddresses, readNetwork } from '../kernel/network.ts';
import { encodeConfig, generationHash, MASQUERADE_BIT, readObjects, type Settings } from '../kernel/objects.ts';
import { enterPrivateNetwork } from '../kernel/private-network.ts';
import { hasFibSource } from '../kernel/probes.ts';
import { Rehearsal, type Via } from '../kernel/rehearsal.ts';
import { routeTo } from '../kernel/route.ts';
import { readRow, readSettledTables } from '../kernel/tables.ts';
import { affinity, affinityKey, cidrKey, sourceClass, switches, u32 } from '../layout.gen.ts';
import {
  type Address,
  addressFromHex,
  addressToHex,
  cidrContains,
  endpointText,
  familyOf,
  noAddressHex,
} from '../model/address.ts';
import type { Tables } from '../plan/tables.ts';
import type { Question } from './question.ts';
import { openSockets, type Stage } from './stage.ts';

/**
 * A stage with copies of what is loaded, in the network as it is, and room for so many rows at least in each table. What
 * is loaded is read, and nothing else; it is closed at the end.
 */
export async function openLive(
  generation: Generation,
  questions: readonly Question[],
  cgroup: string | undefined,
  room?: number,
): Promise<{ stage: Stage } & AsyncDisposable> {
  const tables = await readSettledTables(generation.tables);
  const network = await readNetwork();
  const overrides = new Map();
  const devices = classifyDevices(network, { nodeAddresses: nodeAddresses(tables), overrides });
  const settings = settingsOf(generation);
  const rehearsal = await Rehearsal.open(readObjects(), encodeConfig(0n, settings), tables, room);
  const classify = (address: Address) => classOf(address, network, devices, tables);
  const wanted = questions.some(({ from }) => classify(from).kind === 'node');
  const inner = wanted ? await enterPrivateNetwork([]) : null;
  try {
    const sockets = await openSockets(rehearsal, inner && encodeConfig(netnsCookie(), settings), cgroup);
    inner?.leave();
    if ('missing' in sockets) rehearsal.offerLocalhost(tables);
    const own = localAddresses(network);
    const stage: Stage = {
      tables,
      rehearsal,
      sockets: inner === null || 'missing' in sockets ? sockets : connectingIn(inner, sockets),
      known: null,
      masqueradeAll: settings.masqueradeAll === true,
      classify,
      via: (hook, source) => viaOf(hook === 'from_pod' ? 'pod' : 'wire', source, network, devices),
      exit: (address) => exitOf(address, own, network, devices),
      remembered: (client, servicePort) => rememberedOf(generation, client, servicePort),
      isLocal: (address) => own.has(address) || deviceTo(address, network, devices)?.role === 'pod',
    };
    const close = async () => {
      if (!('missing' in sockets)) await sockets[Symbol.asyncDispose]();
      inner?.[Symbol.dispose]();
      rehearsal.close();
      generation[Symbol.dispose]();
    };
    return { stage, [Symbol.asyncDispose]: close };
  } catch (error) {
    inner?.[Symbol.dispose]();
    rehearsal.close();
    generation[Symbol.dispose]();
    throw error;
  }
}

/**
 * The settings that the programs were loaded with are told by nothing but the name of their generation, which is made of them:
 * those are taken that give this name. Of another release's it is what is usual.
 */
function settingsOf(generation: Generation): Partial<Settings> {
  const objects = readObjects();
  const cookie = netnsCookie();
  const usual = { fibSource: hasFibSource(), wiresOfPods: false, masqueradeAll: false };
  const isNamed = (settings: Partial<Settings>) =>
    generationHash(objects, generation.sizes, encodeConfig(cookie, settings)) === generation.hash;
  const found = variantsOf(usual).find(isNamed);
  /* what goes around the stack is told as if it did not: it gets where it would get */
  return { ...(found ?? usual), bypass: false, rehearses: true };
}

/** The likely ones first: each is a hash over all programs. */
function variantsOf(usual: Partial<Settings>): Partial<Settings>[] {
  const bits = [MASQUERADE_BIT, ...Array.from({ length: 32 }, (_, bit) => bit).filter((bit) => bit !== MASQUERADE_BIT)];
  const masquerading = bits.map((masqueradeBit) => ({ ...usual, masqueradeAll: true, masqueradeBit }));
  return [usual, { ...usual, bypass: true }, ...masquerading].flatMap((one) => [one, { ...one, wiresOfPods: true }]);
}

function exitOf(
  address: Address,
  own: ReadonlySet<Address>,
  network: Network,
  devices: readonly Device[],
): ReturnType<Stage['exit']> {
  const role = deviceTo(address, network, devices)?.role;
  if (own.has(address) || (role !== 'pod' && role !== 'wire')) return null;
  return { hook: role === 'pod' ? 'to_pod' : 'to_wire', via: viaOf(role, address, network, devices) };
}

/** What a socket asks for must reach nobody. */
function connectingIn(
  inner: { enter(): void; leave(): void },
  sockets: Exclude<Stage['sockets'], { missing: string }>,
): typeof sockets {
  return {
    ...sockets,
    connect(protocol, address, port) {
      inner.enter();
      try {
        return sockets.connect(protocol, address, port);
      } finally {
        inner.leave();
      }
    },
  };
}

/** As the programs have them: the primary one of each family. */
function nodeAddresses({ switches: rows }: Tables): Address[] {
  const row = rows.get(u32.encode(0));
  if (row === undefined) return [];
  const { nodeIpv4, nodeIpv6 } = switches.decode(row);
  return [nodeIpv4, nodeIpv6].filter((hex) => hex !== noAddressHex).map(addressFromHex);
}

function classOf(
  address: Address,
  network: Network,
  devices: readonly Device[],
  tables: Tables,
): ReturnType<Stage['classify']> {
  if (localAddresses(network).has(address)) return { kind: 'node', why: 'a device of this node has that address' };
  const device = deviceTo(address, network, devices);
  if (device?.role === 'pod') return { kind: 'pod', why: `the route to it is by ${device.name}, a pod's` };
  for (const [key, value] of tables.source_classes) {
    const { prefixLength, address: hex } = cidrKey.decode(key);
    const network = addressFromHex(hex);
    const cidr = { address: network, prefixLength: familyOf(network) === 4 ? prefixLength - 96 : prefixLength };
    if (u32.decode(value) === sourceClass.outside || !cidrContains(cidr, address)) continue;
    return { kind: 'pod', why: `in ${cidr.address}/${cidr.prefixLength}, where pods are` };
  }
  return { kind: 'outside', why: `no address of this node, and the route to it is by ${device?.name ?? 'no device'}` };
}

function deviceTo(address: Address, network: Network, devices: readonly Device[]): Device | undefined {
  const route = routeTo(network.routes, address);
  return devices.find(({ ifindex }) => ifindex === route?.ifindex);
}

/** A wire without a link header cannot be rehearsed: loopback stands for it. */
function viaOf(role: 'pod' | 'wire', source: Address, network: Network, devices: readonly Device[]): Via | undefined {
  const told = deviceTo(source, network, devices);
  const device = told?.role === role ? told : devices.find((one) => one.role === role && one.hasLinkHeader);
  const link = network.links.find(({ ifindex }) => ifindex === device?.ifindex);
  return device?.hasLinkHeader && link !== undefined ? { ifindex: link.ifindex, mac: link.address } : undefined;
}

function rememberedOf({ state }: Generation, client: Address, servicePort: number): string | null {
  const row = readRow(state.affinity, affinityKey.encode({ client: addressToHex(client), servicePort }));
  if (row === undefined) return null;
  const { backend, backendPort } = affinity.decode(row);
  return endpointText(addressFromHex(backend), backendPort);
}
