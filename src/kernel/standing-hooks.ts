import { join } from 'node:path';
import { BpfLink, netLinks } from 'libbpf-ts';
import { standingFilters } from './filters.ts';
import { listLinkPins, type PinDir } from './pins.ts';

/** What is attached now, whether an agent runs or not. */
export interface StandingHooks {
  /** Device → 'ingress', 'egress', 'xdp'. */
  readonly devices: ReadonlyMap<string, readonly string[]>;
  /** 'connect4', 'sendmsg6', … of the cgroup. */
  readonly sockets: readonly string[];
  /** Pins of links whose device or cgroup is gone. */
  readonly dead: readonly string[];
}

export async function standingHooks(dir: PinDir): Promise<StandingHooks> {
  const names = new Map((await netLinks()).map(({ ifindex, name }) => [ifindex, name]));
  const devices = new Map<string, string[]>();
  const sockets: string[] = [];
  const dead: string[] = [];
  const add = (device: string, where: string) => devices.set(device, [...(devices.get(device) ?? []), where]);
  for (const pin of listLinkPins(dir)) {
    const [, kind = '', ifindex = '', direction = 'xdp'] = /^(tcx|xdp)-(\d+)(?:-(\w+))?$/.exec(pin) ?? [];
    if (!isAlive(join(dir.links, pin))) dead.push(pin);
    else if (kind !== '') add(names.get(Number(ifindex)) ?? `device ${ifindex}`, direction);
    else sockets.push(pin.replace(/^cgroup-/, ''));
  }
  for (const { filter, device } of await standingFilters()) add(device, filter.direction);
  return { devices, sockets, dead };
}

/** A pinned link outlives its device or cgroup. */
function isAlive(path: string): boolean {
  using link = BpfLink.openPinned(path);
  const { ifindex, cgroupId } = link.info();
  return ifindex !== 0 && cgroupId !== 0n;
}
