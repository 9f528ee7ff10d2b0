import { destroySocket, listSockets, type NetSocket } from 'libbpf-ts';
import { parseAddress } from '../model/address.ts';

/**
 * The connected UDP sockets of this network namespace that ask a Service by its own address: they were opened when no socket
 * hook was there to give them a backend, so that each of their packets needs somebody to translate it.
 */
export async function untranslatedSockets(
  isService: (address: string, port: number, protocol: string) => boolean,
): Promise<NetSocket[]> {
  const found: NetSocket[] = [];
  for (const family of [4, 6] as const) {
    for (const socket of await listSockets({ family, protocol: 'udp', states: ['established'] })) {
      const { address, port } = socket.remote;
      if (isService(parseAddress(address) ?? address, port, 'udp')) found.push(socket);
    }
  }
  return found;
}

/** Their next call fails with ECONNABORTED, so that their owner opens others. Returns how many there still were. */
export async function endSockets(sockets: readonly NetSocket[]): Promise<number> {
  let ended = 0;
  for (const socket of sockets) if (await destroySocket(socket)) ended += 1;
  return ended;
}
