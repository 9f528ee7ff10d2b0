import { type NetQdisc, netQdiscs } from 'libbpf-ts';
import type { Device, Network } from './devices.ts';

/** A pod's device, and whether flows may enter the pod there around the node's stack. */
export interface BypassDevice {
  readonly ifindex: number;
  readonly name: string;
  readonly runs: boolean;
  /** In words, for `check`. */
  readonly reason: string;
}

/** Qdiscs that only stand where there is none: nothing is shaped by them. */
const plain: readonly string[] = ['noqueue'];

/**
 * Each pod's device. What somebody does to packets there must not be gone around: a bandwidth plugin's qdiscs, whatever
 * filters hang in clsact or ingress. At a bridge only its own table knows which pod is behind which port, and forgets it of
 * one that it sees no packets of; and who leaves the way around there meets a conntrack that sees half of a connection.
 */
export function chooseBypass(
  { links }: Network,
  devices: readonly Device[],
  qdiscs: readonly NetQdisc[],
): BypassDevice[] {
  const pods = devices.filter(({ role }) => role === 'pod');
  return pods.map(({ ifindex, name }) => {
    const others = qdiscs.filter((qdisc) => qdisc.ifindex === ifindex && !plain.includes(qdisc.kind));
    const kinds = [...new Set(others.map(({ kind }) => kind))].join(', ');
    if (kinds !== '') return { ifindex, name, runs: false, reason: `somebody has a qdisc there (${kinds})` };
    const isPort = links.some((link) => link.ifindex === ifindex && link.master !== 0);
    if (isPort) return { ifindex, name, runs: false, reason: 'port of a bridge' };
    return { ifindex, name, runs: true, reason: 'routed, no qdisc' };
  });
}

/** The devices that flows may enter, by their ifindex. */
export async function bypassDevices(network: Network, devices: readonly Device[]): Promise<number[]> {
  return (await readBypass(network, devices)).flatMap(({ ifindex, runs }) => (runs ? [ifindex] : []));
}

export async function readBypass(network: Network, devices: readonly Device[]): Promise<BypassDevice[]> {
  return chooseBypass(network, devices, await netQdiscs());
}
