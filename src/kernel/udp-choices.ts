import { setImmediate } from 'node:timers/promises';
import { type BpfMap, destroySocket, listSockets } from 'libbpf-ts';
import { flow, flowFlag, flowKey, socketKey, socketPeer } from '../layout.gen.ts';
import { addressFromHex, addressToHex } from '../model/address.ts';
import type { Choice } from '../plan/removals.ts';
import type { StateName } from './sizes.ts';

const UDP = 17;

/** Most rows are of TCP; to see that, they are not decoded. */
const FLOW_PROTOCOL = Buffer.from(
  flowKey.encode({ ...noAddresses(), sourcePort: 0, destinationPort: 0, protocol: 0xff, hook: 0, device: 0 }),
  'hex',
).indexOf(0xff);

function noAddresses(): { source: string; destination: string } {
  return { source: '0'.repeat(32), destination: '0'.repeat(32) };
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
  for (const name of ['flows', 'half_open'] as const) {
    for await (const { count, keys, values } of state[name].entries()) {
      for (let i = 0; i < count; i += 1) {
        if (keys[i * flowKey.size + FLOW_PROTOCOL] !== UDP) continue;
        const { destination, destinationPort, servicePort, flags } = flow.decode(hexOf(values, i, flow.size));
        if (!(flags & flowFlag.reply)) add(destination, destinationPort, servicePort);
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
      const row = reverse.lookup(Buffer.from(key, 'hex'));
      if (row === undefined) continue;
      const { servicePort } = socketPeer.decode(Buffer.from(row).toString('hex'));
      if (!serves({ address, port, servicePort }) && (await destroySocket(socket))) ended += 1;
    }
  }
  return ended;
}
