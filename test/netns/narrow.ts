/** Links that are narrow in one direction: no device tells the ends of it, they have to find out. */
import type { Lab, Place } from './lab.ts';

/** Bytes of IP: what any link of IPv6 must take. */
export const NARROW = 1280;

export function addressesOf(lab: Lab, pod: string): string[] {
  return [lab.pod(pod).ip4, lab.pod(pod).ip6];
}

/**
 * Gives a node's routes to these destinations an mtu of their own. For what is its neighbour it gets such a route. Locked:
 * bpf_fib_lookup takes no other into account for IPv4.
 */
export async function narrowRoutes(lab: Lab, node: string, destinations: readonly string[]): Promise<void> {
  for (const destination of destinations) {
    const family = destination.includes(':') ? '-6' : '-4';
    const text = await lab.exec(lab.node(node), ['ip', '-j', family, 'route', 'show', 'exact', destination]);
    const [route] = JSON.parse(text) as { gateway?: string; dev: string }[];
    const way = [...(route?.gateway === undefined ? [] : ['via', route.gateway]), 'dev', route?.dev ?? 'eth0'];
    if (route !== undefined) await lab.exec(lab.node(node), ['ip', family, 'route', 'del', destination]);
    await lab.exec(lab.node(node), ['ip', family, 'route', 'add', destination, ...way, 'mtu', 'lock', `${NARROW}`]);
  }
}

/** What a place's route to `address` has learnt of the path; undefined: nothing. */
export async function learnt(lab: Lab, place: Place, address: string): Promise<number | undefined> {
  const text = await lab.exec(place, ['ip', 'route', 'get', address]);
  const found = /\bmtu (\d+)/.exec(text);
  return found === null ? undefined : Number(found[1]);
}

/** Pods whose links are wider than the tunnel between the nodes. */
export async function widen(lab: Lab): Promise<void> {
  for (const pod of lab.pods) {
    await lab.exec(pod, ['ip', 'link', 'set', 'eth0', 'mtu', '1500']);
    await lab.exec(lab.node(pod.node), ['ip', 'link', 'set', pod.veth, 'mtu', '1500']);
  }
}
