import { type NetLink, netXdpFeatures, type XdpFeatures } from 'libbpf-ts';
import type { Device, Network } from './devices.ts';
import { xdpIfindex } from './hooks.ts';
import { listLinkPins, type PinDir } from './pins.ts';

/** `--xdp`: nowhere, where it is sure to be right, or at the devices of these names. */
export type XdpChoice = 'off' | 'auto' | ReadonlySet<string>;

/** What drivers can do, by ifindex; undefined: the kernel does not tell. */
export type DriverFeatures = ReadonlyMap<number, XdpFeatures> | undefined;

/** A way out of the node, and whether XDP is to run there. */
export interface XdpDevice {
  readonly ifindex: number;
  readonly name: string;
  /** The choice means this device. */
  readonly wanted: boolean;
  readonly runs: boolean;
  /** In words, for `check` and the log. */
  readonly reason: string;
}

export async function readDriverFeatures(): Promise<DriverFeatures> {
  return await netXdpFeatures();
}

/** The devices at which a program of ours is pinned. */
export function pinnedXdp(dir: PinDir): Set<number> {
  return new Set(listLinkPins(dir).flatMap((pin) => xdpIfindex(pin) ?? []));
}

/**
 * Each wire, and each name of the choice that is none. `own`: the devices whose program is ours. Of itself only hardware
 * gets XDP: a device of software may hand it frames whose checksum is not finished (veth, tun), or in another's name (bond).
 */
export function chooseXdp(
  network: Network,
  devices: readonly Device[],
  features: DriverFeatures,
  choice: XdpChoice,
  own: ReadonlySet<number>,
): XdpDevice[] {
  const links = new Map(network.links.map((link) => [link.ifindex, link]));
  const wires = devices.filter(({ role }) => role === 'wire');
  const found = wires.flatMap((device): XdpDevice[] => {
    const link = links.get(device.ifindex);
    if (link === undefined) return [];
    const candidate = { device, link, network, features: features?.get(link.ifindex), choice, own };
    const unmeant = whyNotMeant(candidate);
    const hindrance = unmeant ?? hindranceOf(candidate);
    const known =
      features === undefined
        ? 'hardware; whether its driver has it, shows when it is tried'
        : 'hardware whose driver has it';
    const why = choice === 'auto' ? known : 'said so by --xdp';
    const { ifindex, name } = device;
    return [{ ifindex, name, wanted: unmeant === undefined, runs: hindrance === undefined, reason: hindrance ?? why }];
  });
  return [...found, ...misnamed(devices, choice)];
}

interface Candidate {
  readonly device: Device;
  readonly link: NetLink;
  readonly network: Network;
  readonly features: XdpFeatures | undefined;
  readonly choice: XdpChoice;
  readonly own: ReadonlySet<number>;
}

/** Why the choice leaves it out; undefined: it does not. */
function whyNotMeant({ device, link, network, features, choice }: Candidate): string | undefined {
  if (choice === 'off') return 'switched off by --xdp';
  if (choice !== 'auto') return choice.has(device.name) ? undefined : '--xdp does not name it';
  if (link.kind !== '') return `software (${link.kind}): only where --xdp names it`;
  if (features?.native === false) return 'its driver has no native XDP';
  const tagged = network.links.filter(({ parent, kind }) => parent === link.ifindex && kind === 'vlan');
  if (tagged.length > 0) return `it carries VLANs (${namesOf(tagged)}), whose tags the driver may hide`;
  return undefined;
}

/** Why it cannot be; undefined: it can. */
function hindranceOf({ device, link, features, own }: Candidate): string | undefined {
  if (!device.hasLinkHeader) return 'its packets have no link header';
  if (features?.native === false) return 'its driver has no native XDP';
  if (link.kind === 'veth' && features?.takesFrames === false) {
    return 'its peer would lose what is sent back: it has neither GRO nor XDP';
  }
  if (link.xdpProgram !== 0 && !own.has(link.ifindex)) return 'somebody else has an XDP program there';
  return undefined;
}

function namesOf(links: readonly NetLink[]): string {
  return links.map(({ name }) => name).join(', ');
}

function misnamed(devices: readonly Device[], choice: XdpChoice): XdpDevice[] {
  if (typeof choice === 'string') return [];
  return [...choice].flatMap((name) => {
    const device = devices.find((one) => one.name === name);
    if (device?.role === 'wire') return [];
    const reason = device === undefined ? 'no such device' : `no way out of the node (${device.reason})`;
    return [{ ifindex: device?.ifindex ?? 0, name, wanted: true, runs: false, reason }];
  });
}
