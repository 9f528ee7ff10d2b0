import type { LinkTarget } from 'libbpf-ts';
import type { Device } from './devices.ts';

export const socketHooks = [
  'connect4',
  'connect6',
  'sendmsg4',
  'sendmsg6',
  'recvmsg4',
  'recvmsg6',
  'getpeername4',
  'getpeername6',
  'post_bind4',
  'post_bind6',
  'sock_release',
] as const;
export const podHooks = ['from_pod', 'to_pod'] as const;
/** Those that end in _l3 are for devices without a link header. */
export const wireHooks = ['from_wire', 'to_wire', 'from_wire_l3', 'to_wire_l3'] as const;
/** At wires too, but before the kernel makes packets of frames. */
export const xdpHooks = ['from_wire_xdp'] as const;
export type PacketHook = (typeof podHooks)[number] | (typeof wireHooks)[number] | (typeof xdpHooks)[number];
export type ProgramName = PacketHook | (typeof socketHooks)[number];
export const programNames: readonly ProgramName[] = [...podHooks, ...wireHooks, ...xdpHooks, ...socketHooks];

/** How programs are tied to devices: pinned tcx links, or clsact filters where the kernel is older than 6.6. */
export type Mechanism = 'tcx' | 'clsact';

/** A place in the kernel where one of our programs shall run. */
export interface Hook {
  /** What its pin is called: says the place and not the program, so that a device may change its role in one swap. */
  readonly pin: string;
  readonly program: ProgramName;
  readonly target: LinkTarget;
  /** For people: 'veth3 ingress', 'connect4 of /sys/fs/cgroup'. */
  readonly where: string;
}

/** The hooks of all sockets below a cgroup directory: those of answers before those of questions, as for devices. */
export function cgroupHooks(path: string): Hook[] {
  return socketHooks.toReversed().map((name) => ({
    pin: `cgroup-${name}`,
    program: name,
    target: { kind: 'cgroup', path, attachType: name },
    where: `${name} of ${path}`,
  }));
}

/**
 * The hooks of devices. Wires come first, since an untranslated address must not leave by them; and before each way there
 * the way back, so that whatever a program begins finds its answers translated: programs find the flows of those before.
 * What came in by one wire may go back by another; pods are apart from each other. XDP begins nothing, and what it does not
 * know it leaves to those before. `xdp`: the ifindexes of the wires that have it.
 */
export function deviceHooks(devices: readonly Device[], xdp: ReadonlySet<number> = new Set()): Hook[] {
  const wires = devices.filter((device) => device.role === 'wire');
  const pods = devices.filter((device) => device.role === 'pod');
  return [
    ...wires.map((device) => deviceHook(device, 'egress', device.hasLinkHeader ? 'to_wire' : 'to_wire_l3')),
    ...wires.map((device) => deviceHook(device, 'ingress', device.hasLinkHeader ? 'from_wire' : 'from_wire_l3')),
    ...wires.filter(({ ifindex }) => xdp.has(ifindex)).map(xdpHook),
    ...pods.flatMap((device) => [deviceHook(device, 'egress', 'to_pod'), deviceHook(device, 'ingress', 'from_pod')]),
  ];
}

function deviceHook(device: Device, direction: 'ingress' | 'egress', program: ProgramName): Hook {
  return {
    pin: `tcx-${device.ifindex}-${direction}`,
    program,
    target: { kind: 'tcx', ifindex: device.ifindex, direction },
    where: `${device.name} ${direction}`,
  };
}

const XDP_PIN = /^xdp-(\d+)$/;

function xdpHook({ ifindex, name }: Device): Hook {
  return { pin: `xdp-${ifindex}`, program: 'from_wire_xdp', target: { kind: 'xdp', ifindex }, where: `${name} xdp` };
}

/** Is it one of XDP, by a hook's words? */
export function isXdpPlace(where: string): boolean {
  return where.endsWith(' xdp');
}

/** The device of a link's pin, if it is one of XDP. */
export function xdpIfindex(pin: string): number | undefined {
  const [, ifindex] = XDP_PIN.exec(pin) ?? [];
  return ifindex === undefined ? undefined : Number(ifindex);
}
