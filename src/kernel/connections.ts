import { setImmediate } from 'node:timers/promises';
import type { BpfMap } from 'libbpf-ts';
import { connections, connectionsKey, type Flow, flow, flowFlag, flowKey, flowState } from '../layout.gen.ts';
import { bootSeconds } from './clock.ts';
import { lifetimes } from './objects.ts';
import type { StateName } from './sizes.ts';
import { readRow, readRows } from './tables.ts';
import { FLOW_FLAGS } from './udp-choices.ts';

type State = Readonly<Record<StateName, BpfMap>>;

const TCP = 6;
const bytes = (hex: string) => Buffer.from(hex, 'hex');

/** How many connections each backend has, as the programs see it: sockets and flows, by the hex of their common key. */
export async function readConnections(state: State): Promise<Map<string, number>> {
  const sums = new Map<string, number>();
  for (const name of ['socket_connections', 'flow_connections'] as const) {
    for (const [key, value] of await readRows(state[name])) sums.set(key, (sums.get(key) ?? 0) + countOf(value));
  }
  return sums;
}

/** Two that ended one flow at a time may have counted below zero. */
function countOf(value: string | undefined): number {
  return value === undefined ? 0 : Math.max(0, connections.decode(value) | 0);
}

/**
 * Counts the flows again, since nobody tells when one is evicted or idle for too long, and forgets backends that nobody can
 * choose (`isServed` of a key's hex) and that have nothing left. A count that lies between those before and after the look is
 * left as it is: what happened meanwhile is in it. Sockets are never corrected, for their counts are exact. Returns how many
 * were corrected.
 */
export async function recountFlows(state: State, isServed: (key: string) => boolean): Promise<number> {
  const { flow_connections: counts, socket_connections: sockets } = state;
  const before = await readRows(counts);
  const living = await countFlows(state);
  let corrected = 0;
  for (const key of new Set([...before.keys(), ...living.keys()])) {
    const found = living.get(key) ?? 0;
    const bounds = [countOf(before.get(key)), countOf(readRow(counts, key))];
    if (found === 0 && !isServed(key)) counts.delete(bytes(key));
    else if (found < Math.min(...bounds) || found > Math.max(...bounds)) {
      counts.update(bytes(key), bytes(connections.encode(found)));
      corrected += 1;
    }
  }
  for (const [key, value] of await readRows(sockets)) {
    if (countOf(value) === 0 && !isServed(key)) sockets.delete(bytes(key));
  }
  return corrected;
}

/** By backend. One that was confirmed may still stand in half_open, too. */
async function countFlows(state: State): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  const known = new Set<string>();
  const now = bootSeconds();
  for (const name of ['flows', 'half_open'] as const) {
    for await (const { count, keys, values } of state[name].entries()) {
      for (let i = 0; i < count; i += 1) {
        const flags = values[i * flow.size + FLOW_FLAGS] ?? 0;
        if ((flags & (flowFlag.counted | flowFlag.reply)) !== flowFlag.counted) continue;
        const text = hexOf(keys, i, flowKey.size);
        if (known.has(text)) continue;
        known.add(text);
        const row = flow.decode(hexOf(values, i, flow.size));
        if (isOver(row, flowKey.decode(text).protocol, name === 'half_open', now)) continue;
        const { destination: address, destinationPort: port, servicePort } = row;
        const key = connectionsKey.encode({ address, servicePort, port });
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
      await setImmediate();
    }
  }
  return counts;
}

/** As is_closing() and is_expired() in bpf/flow.h. */
function isOver({ state, seen }: Flow, protocol: number, isTentative: boolean, now: number): boolean {
  const both = flowState.client_fin | flowState.backend_fin;
  if (state & flowState.reset || (state & both) === both) return true;
  const age = (now - seen) | 0;
  if (protocol !== TCP) return age > lifetimes.udpSeconds;
  if (isTentative || !(state & flowState.replied)) return age > lifetimes.halfOpenSeconds;
  return age > (state & both ? lifetimes.tcpHalfClosedSeconds : lifetimes.tcpEstablishedSeconds);
}

function hexOf(rows: Uint8Array, index: number, size: number): string {
  return Buffer.from(rows.buffer, rows.byteOffset + index * size, size).toString('hex');
}
