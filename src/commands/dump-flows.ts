import { affinity, affinityKey, flow, flowFlag, flowKey, flowState, hookName } from '../layout.gen.ts';
import { addressFromHex, endpointText } from '../model/address.ts';
import { protocolText } from '../protocol.ts';
import { byService, compare, type Reading, refOf, type ServiceRef } from './service-ref.ts';

export interface FlowItem extends ServiceRef {
  readonly hook: string;
  readonly protocol: string;
  readonly from: Tuple;
  readonly becomes: Tuple;
  /** The way back. */
  readonly reply: boolean;
  readonly hairpin: boolean;
  /** The backend is elsewhere and sees this node's address. */
  readonly masquerade: boolean;
  /** Not confirmed by the client yet. */
  readonly halfOpen: boolean;
  readonly state: readonly string[];
  readonly idleSeconds: number;
}

export interface Tuple {
  readonly source: string;
  readonly destination: string;
}

export interface AffinityItem extends ServiceRef {
  readonly client: string;
  /** The cookie of a network namespace whose sockets are one client; null: it is an address. */
  readonly netns: string | null;
  readonly backend: string;
  readonly idleSeconds: number;
}

/** No client has a multicast address: see client_of() in bpf/asked.h. */
const NETNS_PREFIX = 'ff00000000000000';

/** A flow that was confirmed stays in half_open too until the room is needed: what counts is its row in flows. */
export function flowItems(reading: Reading): FlowItem[] {
  const halfOpen = [...reading.halfOpen].filter(([key]) => !reading.flows.has(key));
  const items = [
    ...[...reading.flows].map(([key, value]) => flowItem(reading, key, value, false)),
    ...halfOpen.map(([key, value]) => flowItem(reading, key, value, true)),
  ];
  const order = new Map(items.map((item) => [item, clientFirst(item)]));
  return items.sort((a, b) => byService(a, b) || compare(order.get(a) ?? '', order.get(b) ?? ''));
}

/** Sorts by client, with the twins of a flow side by side, the way there first. */
function clientFirst({ reply, from, becomes, hook }: FlowItem): string {
  const [client, address] = reply ? [becomes.destination, becomes.source] : [from.source, from.destination];
  return `${client} ${address} ${reply} ${hook}`;
}

function flowItem({ tables, nowSeconds }: Reading, key: string, value: string, halfOpen: boolean): FlowItem {
  const from = flowKey.decode(key);
  const to = flow.decode(value);
  return {
    ...refOf(tables, to.servicePort),
    hook: hookName(from.hook),
    protocol: protocolText(from.protocol),
    from: tuple(from),
    becomes: tuple(to),
    reply: (to.flags & flowFlag.reply) !== 0,
    hairpin: (to.flags & flowFlag.hairpin) !== 0,
    masquerade: (to.flags & (flowFlag.masquerade | flowFlag.exit)) !== 0,
    halfOpen: halfOpen || (to.state & flowState.replied) === 0,
    state: stateNames(to.state),
    idleSeconds: Math.max(0, nowSeconds - to.seen),
  };
}

/** Where a row stood before is the programs' own business. */
function stateNames(state: number): string[] {
  return Object.entries(flowState).flatMap(([name, bit]) => (state & bit && name !== 'promoted' ? [name] : []));
}

export function affinityItems({ tables, affinity: rows, nowSeconds }: Reading): AffinityItem[] {
  const items = [...rows].map(([key, value]): AffinityItem => {
    const { client, servicePort } = affinityKey.decode(key);
    const { backend: address, backendPort, seen } = affinity.decode(value);
    return {
      ...refOf(tables, servicePort),
      client: addressFromHex(client),
      netns: client.startsWith(NETNS_PREFIX) ? String(BigInt(`0x${client.slice(NETNS_PREFIX.length)}`)) : null,
      backend: endpointText(addressFromHex(address), backendPort),
      idleSeconds: Math.max(0, nowSeconds - seen),
    };
  });
  return items.sort((a, b) => byService(a, b) || compare(a.client, b.client));
}

function tuple(of: { source: string; sourcePort: number; destination: string; destinationPort: number }): Tuple {
  return {
    source: endpointText(addressFromHex(of.source), of.sourcePort),
    destination: endpointText(addressFromHex(of.destination), of.destinationPort),
  };
}
