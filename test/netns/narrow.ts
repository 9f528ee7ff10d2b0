/** Links that are narrow in one direction: no device tells the ends of it, they have to find out. */
import type { ExecutionContext } from 'ava';
import type { Lab, Place } from './lab.ts';
import type { Client } from './traffic.ts';

/** Bytes of IP: what any link of IPv6 must take. */
export const NARROW = 1280;

/** A way that is narrow for one direction. */
export interface Strait {
  readonly name: string;
  readonly service: 'near' | 'far';
  /** Whose routes to where are narrow. */
  readonly node: 'n1' | 'n2';
  readonly destinations: (lab: Lab, client: Place) => readonly string[];
  /** Who learns of it. */
  readonly learns: 'client' | 'backend';
}

export const straits: readonly Strait[] = [
  {
    name: 'the node itself, towards another node,',
    service: 'far',
    node: 'n1',
    destinations: (lab) => [lab.node('n2').podCidr4, lab.node('n2').podCidr6],
    learns: 'client',
  },
  {
    name: 'the node itself, towards its own pod,',
    service: 'near',
    node: 'n1',
    destinations: (lab) => addressesOf(lab, 'n1p2'),
    learns: 'client',
  },
  {
    name: 'a hop behind the node',
    service: 'far',
    node: 'n2',
    destinations: (lab) => addressesOf(lab, 'n2p1'),
    learns: 'client',
  },
  ...(['far', 'near'] as const).map(
    (service): Strait => ({
      name: `the node itself, towards the client, with a ${service} backend,`,
      service,
      node: 'n1',
      destinations: (_, client) => [client.ip4, client.ip6],
      learns: 'backend',
    }),
  ),
];

export function addressesOf(lab: Lab, pod: string): string[] {
  return [lab.pod(pod).ip4, lab.pod(pod).ip6];
}

/**
 * Gives a node's routes to these destinations an mtu of their own; for what is its neighbour it gets such a route. `locked`:
 * the kernel does not learn another one by itself.
 */
export async function narrowRoutes(
  lab: Lab,
  node: string,
  destinations: readonly string[],
  locked = true,
): Promise<void> {
  const mtu = ['mtu', ...(locked ? ['lock'] : []), `${NARROW}`];
  for (const destination of destinations) {
    const family = destination.includes(':') ? '-6' : '-4';
    const text = await lab.exec(lab.node(node), ['ip', '-j', family, 'route', 'show', 'exact', destination]);
    const [route] = JSON.parse(text) as { gateway?: string; dev: string }[];
    const way = [...(route?.gateway === undefined ? [] : ['via', route.gateway]), 'dev', route?.dev ?? 'eth0'];
    if (route !== undefined) await lab.exec(lab.node(node), ['ip', family, 'route', 'del', destination]);
    await lab.exec(lab.node(node), ['ip', family, 'route', 'add', destination, ...way, ...mtu]);
  }
}

/** Where a Service is asked. */
export interface Door {
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

/** A megabyte there and back. */
export async function bulk(
  t: ExecutionContext,
  client: Client,
  { address, port, name }: Door,
  sourcePort: number,
): Promise<void> {
  const plan = { protocol: 'tcp', address, port, size: 1_000_000, echo: true, timeout: 20_000, sourcePort } as const;
  const tally = await client.request(plan);
  t.is(tally.ok, 1, `1 MB there and back, ${name} ${address}: ${JSON.stringify(tally.errors)}`);
}

/**
 * Datagrams that fit the first link, but no strait and no tunnel. `lost`: of the first ones so many may be, one for each end to learn, and its
 * sender is told.
 */
export async function datagrams(
  t: ExecutionContext,
  client: Client,
  { address, port, name }: Door,
  sourcePort: number,
  lost = 3,
): Promise<void> {
  const plan = { protocol: 'udp', address, port, size: 1440, echo: true, timeout: 300, sourcePort } as const;
  for (let i = 0; i < lost; i++) await client.request(plan);
  const tally = await client.request({ ...plan, questions: 5, timeout: lost ? plan.timeout : 2000 });
  t.is(tally.ok, 5, `datagrams, ${name} ${address}: ${JSON.stringify(tally.errors)}`);
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
