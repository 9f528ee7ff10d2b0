import { setImmediate } from 'node:timers/promises';
import { type BpfMap, destroySocket, listSockets } from 'libbpf-ts';
import { type Flow, flow, flowFlag, flowKey, socketKey, socketPeer } from '../layout.gen.ts';
import { addressFromHex, addressToHex, noAddressHex } from '../model/address.ts';
import type { Choice } from '../plan/removals.ts';
import type { StateName } from './sizes.ts';
import { readRow } from './tables.ts';

const UDP = 17;

/** A row with nothing but one field set tells where that field is: rows are many, so they are decoded only if they are new. */
const noKey = { ...noAddresses(), sourcePort: 0, destinationPort: 0, protocol: 0, hook: 0, device: 0 };
const noFlow = { ...noAddresses(), ...noFlowFields() };
const KEY_PROTOCOL = offsetOf(flowKey.encode({ ...noKey, protocol: 0xff }));
const FLOW_DESTINATION = offsetOf(flow.encode({ ...noFlow, destination: 'f'.repeat(32) }));
const FLOW_PORT = offsetOf(flow.encode({ ...noFlow, destinationPort: 0xffff }));
const FLOW_SERVICE_PORT = offsetOf(flow.encode({ ...noFlow, servicePort: 0xffffffff }));
/** Where the flags are in a row of `flows`. */
export const FLOW_FLAGS: number = offsetOf(flow.encode({ ...noFlow, flags: 0xff }));

function offsetOf(marked: string): number {
  return Buffer.from(marked, 'hex').indexOf(0xff);
}

function noAddresses(): { source: string; destination: string } {
  return { source: noAddressHex, destination: noAddressHex };
}

function noFlowFields(): Omit<Flow, 'source' | 'destination'> {
  return {
    sourcePort: 0,
    destinationPort: 0,
    servicePort: 0,
    state: 0,
    flags: 0,
    nextHop: '0'.repeat(12),
    check: 0,
    seen: 0,
  };
}

/**
 * The backends that UDP flows of Services, and unconnected sockets, were given. Each once; those of flows that are over
 * are among them for as long as their rows are.
 */
export async function udpChoices(state: Readonly<Record<StateName, BpfMap>>): Promise<readonly Choice[]> {
  const choices = new Map<string, Choice>();
  const add = (address: string, port: number, servicePort: number) => {
    if (servicePort === 0) return;
    choices.set(`${servicePort} ${address} ${port}`, { address: addressFromHex(address), port, servicePort });
  };
  const seen = new Set<string>();
  for (const name of ['flows', 'half_open'] as const) {
    for await (const { count, keys, values } of state[name].entries()) {
      const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
      const text = (at: number, size: number) => bytes.toString('latin1', at, at + size);
      for (let i = 0; i < count; i += 1) {
        const at = i * flow.size;
        if (keys[i * flowKey.size + KEY_PROTOCOL] !== UDP || (bytes[at + FLOW_FLAGS] ?? 0) & flowFlag.reply) continue;
        const choice = text(at + FLOW_DESTINATION, 16) + text(at + FLOW_PORT, 2) + text(at + FLOW_SERVICE_PORT, 4);
        if (seen.has(choice)) continue;
        seen.add(choice);
        const { destination, destinationPort, servicePort } = flow.decode(hexOf(values, i, flow.size));
        add(destination, destinationPort, servicePort);
      }
      await setImmediate();
    }
  }
  for await (const { count, values } of state.udp_choices.entries()) {
    for (let i = 0; i < count; i += 1) {
      const { address, port, servicePort } = socketPeer.decode(hexOf(values, i, socketPeer.size));
      add(address, port, servicePort);
    }
    await setImmediate();
  }
  return [...choices.values()];
}

function hexOf(rows: Uint8Array, index: number, size: number): string {
  return Buffer.from(rows.buffer, rows.byteOffset + index * size, size).toString('hex');
}

/**
 * Ends the connected UDP sockets of this network namespace that a Service gave a backend which no longer serves: they could
 * not be moved, and would wait for answers in vain. Their next call fails with ECONNABORTED. Returns how many there were.
 */
export async function endStaleSockets(reverse: BpfMap, serves: (choice: Choice) => boolean): Promise<number> {
  let ended = 0;
  for (const family of [4, 6] as const) {
    for (const socket of await listSockets({ family, protocol: 'udp', states: ['established'] })) {
      const { address, port } = socket.remote;
      const { cookie } = socket;
      const key = socketKey.encode({ cookie, address: addressToHex(address), port, protocol: UDP });
      const row = readRow(reverse, key);
      if (row === undefined) continue;
      const { servicePort } = socketPeer.decode(row);
      if (!serves({ address, port, servicePort }) && (await destroySocket(socket))) ended += 1;
    }
  }
  return ended;
}
