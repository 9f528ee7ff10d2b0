import { constants } from 'node:os';
import { addon } from './addon.ts';

/** IPPROTO_... */
const protocols = { tcp: 6, udp: 17 } as const;

/** Numbers of the kernel's TCP_... states; a UDP socket is 'established' when it is connected, else 'close'. */
const states = {
  established: 1,
  syn_sent: 2,
  syn_recv: 3,
  fin_wait1: 4,
  fin_wait2: 5,
  time_wait: 6,
  close: 7,
  close_wait: 8,
  last_ack: 9,
  listen: 10,
  closing: 11,
} as const;

export type SocketState = keyof typeof states;

export interface SocketEnd {
  /** '::ffff:10.0.0.1' on an IPv6 socket that speaks IPv4. */
  address: string;
  port: number;
}

/** A socket of the network stack, whichever process holds it. */
export interface NetSocket {
  /** Of the socket: one of family 6 may speak IPv4. */
  family: 4 | 6;
  protocol: keyof typeof protocols;
  state: SocketState;
  local: SocketEnd;
  /** Port 0: not connected. */
  remote: SocketEnd;
  /** The device it is bound to; 0: none. */
  ifindex: number;
  /** As bpf_get_socket_cookie() gives it. */
  cookie: bigint;
}

export interface SocketFilter {
  readonly family: 4 | 6;
  readonly protocol: keyof typeof protocols;
  /** Default: all. */
  readonly states?: readonly SocketState[];
  /** Default: any. */
  readonly remotePort?: number;
}

const stateNames = new Map<number, SocketState>(
  Object.entries(states).map(([name, number]) => [number, name as SocketState]),
);

/**
 * The sockets of the calling thread's network namespace, in a worker. One that comes or goes meanwhile may be missing, or
 * be there twice. BpfError ENOENT: the kernel has no diagnosis of this protocol (CONFIG_INET_UDP_DIAG).
 */
export async function listSockets({
  family,
  protocol,
  states: wanted,
  remotePort,
}: SocketFilter): Promise<NetSocket[]> {
  const bits = wanted?.reduce((set, name) => set | (1 << states[name]), 0) ?? 0xfff;
  const rows = (await addon.listSockets(family, protocols[protocol], bits, remotePort ?? 0)) as (Omit<
    NetSocket,
    'state'
  > & { state: number })[];
  return rows.map((row) => ({ ...row, family, protocol, state: stateNames.get(row.state) ?? 'close' }));
}

/**
 * Ends a socket as if its device had gone: whoever waits on it, or uses it next, gets ECONNABORTED; TCP sends a RST.
 * false: it is gone already. BpfError EOPNOTSUPP: the kernel was built without CONFIG_INET_DIAG_DESTROY.
 */
export async function destroySocket({
  family,
  protocol,
  local,
  remote,
  ifindex,
  cookie,
}: Omit<NetSocket, 'state'>): Promise<boolean> {
  return await addon.destroySocket(
    family,
    protocols[protocol],
    local.address,
    local.port,
    remote.address,
    remote.port,
    ifindex,
    cookie,
  );
}

const socketTypes = { tcp: 1, udp: 2, sctp: 1 } as const;
const sctp = 132;

export interface ConnectAttempt {
  readonly protocol: keyof typeof socketTypes;
  /** SO_MARK of the socket; 0: none. */
  readonly mark: number;
  readonly address: string;
  readonly port: number;
}

/**
 * Calls connect() on a new socket of the calling thread's network namespace, without waiting for an answer, and closes it.
 * 'ok': connected or on its way; else the code of the refusal ('ECONNREFUSED', 'ENETUNREACH'). BpfError: the kernel has no
 * such socket (EPROTONOSUPPORT), or it may not be marked (EPERM).
 */
export function tryConnect({ protocol, mark, address, port }: ConnectAttempt): string {
  const family = address.includes(':') ? 6 : 4;
  const number = protocol === 'sctp' ? sctp : protocols[protocol];
  const errno = addon.tryConnect(family, socketTypes[protocol], number, mark, address, port);
  if (errno === 0 || errno === constants.errno.EINPROGRESS) return 'ok';
  return Object.entries(constants.errno).find(([, value]) => value === errno)?.[0] ?? String(errno);
}
