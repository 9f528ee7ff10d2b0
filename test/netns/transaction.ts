/** One question to a server and its answer, over TCP or UDP, with everything that the client's kernel says about it. */
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, isIPv6, type Socket } from 'node:net';

export interface Target {
  readonly protocol: 'tcp' | 'udp';
  /** IPv4, IPv6, or IPv4 mapped ('::ffff:10.96.0.1'), which goes by an IPv6 socket. */
  readonly address: string;
  readonly port: number;
  readonly sourcePort?: number;
  readonly sourceAddress?: string;
  /** UDP: connect() first (default), or sendto() and recvfrom() like QUIC and many resolvers. */
  readonly connected?: boolean;
  /** TCP: how the connection ends. Default 'fin'. */
  readonly ending?: 'fin' | 'rst';
  /** Milliseconds that one answer may take. Default 2000. */
  readonly timeout?: number;
  /** Bytes of the question. Default 2. */
  readonly size?: number;
  /** The answer is to be as long as the question, which is longer than answers are. */
  readonly echo?: boolean;
  /** UDP: the hop limit of the question. */
  readonly ttl?: number;
}

export interface Answer {
  /** The name that the server gave. */
  readonly backend: string;
  /** Whom the server saw: 'address:port'. */
  readonly client: string;
  /** getpeername(); '' for unconnected UDP. */
  readonly peer: string;
  /** UDP: the source that recvfrom() gave with the answer; '' for TCP. */
  readonly from: string;
  /** getsockname(). */
  readonly local: string;
}

/** Something that can be asked again and again over one socket. Rejects with an error whose `code` is an errno name, or
 * 'TIMEOUT', or 'EOF' for a connection that the server closed. */
export interface Conversation {
  ask(): Promise<Answer>;
  close(): void;
}

export async function open(target: Target): Promise<Conversation> {
  return target.protocol === 'tcp' ? await openTcp(target) : await openUdp(target);
}

function question(target: Target): string {
  return `${(target.echo ? '=' : '?').padEnd((target.size ?? 2) - 1, '?')}\n`;
}

function endpoint(address: string | undefined, port: number | undefined): string {
  if (address === undefined) return '';
  return `${isIPv6(address) ? `[${address}]` : address}:${port}`;
}

/** Rejects with code 'TIMEOUT' unless the promise settles in time. */
async function within<T>(target: Target, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(Object.assign(new Error('no answer'), { code: 'TIMEOUT' })),
      target.timeout ?? 2000,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function openTcp(target: Target): Promise<Conversation> {
  const socket = connect({
    host: target.address,
    port: target.port,
    noDelay: true,
    ...(target.sourcePort === undefined ? {} : { localPort: target.sourcePort }),
    ...(target.sourceAddress === undefined ? {} : { localAddress: target.sourceAddress }),
  });
  const close = (): void => {
    if (target.ending === 'rst') socket.resetAndDestroy();
    else socket.end(() => socket.destroy());
  };
  try {
    await within(target, once(socket, 'connect'));
  } catch (error) {
    socket.destroy();
    throw error;
  }
  socket.on('error', () => {}); // Every question in flight hears of it by itself.
  return { ask: () => within(target, askTcp(socket, target)), close };
}

async function askTcp(socket: Socket, target: Target): Promise<Answer> {
  const line = new Promise<string>((resolve, reject) => {
    let text = '';
    const settle = (act: () => void): void => {
      socket.off('data', onData).off('error', onError).off('close', onClose);
      act();
    };
    const onData = (chunk: Buffer): void => {
      text += chunk.toString();
      if (text.endsWith('\n')) settle(() => resolve(text.trim()));
    };
    const onError = (error: Error): void => settle(() => reject(error));
    const onClose = (): void => settle(() => reject(Object.assign(new Error('closed by the server'), { code: 'EOF' })));
    socket.on('data', onData).on('error', onError).on('close', onClose);
    if (socket.destroyed) onClose();
  });
  socket.write(question(target));
  const text = await line;
  if (target.echo && text.length !== (target.size ?? 2) - 1) throw Object.assign(new Error(text), { code: 'SHORT' });
  const [backend = '', client = ''] = text.split(' ');
  const local = endpoint(socket.localAddress, socket.localPort);
  return { backend, client, peer: endpoint(socket.remoteAddress, socket.remotePort), from: '', local };
}

async function openUdp(target: Target): Promise<Conversation> {
  const socket = createSocket({ type: isIPv6(target.address) ? 'udp6' : 'udp4', reuseAddr: true });
  const close = (): void => {
    try {
      socket.close();
    } catch {} // An error has closed it already.
  };
  try {
    if (target.sourcePort !== undefined || target.sourceAddress !== undefined) {
      socket.bind(target.sourcePort ?? 0, target.sourceAddress);
      await once(socket, 'listening');
    }
    if (target.connected !== false) {
      socket.connect(target.port, target.address);
      await once(socket, 'connect');
    }
    if (target.ttl !== undefined) {
      if (target.connected === false && target.sourcePort === undefined)
        throw new Error('a hop limit needs a bound socket');
      socket.setTTL(target.ttl);
    }
  } catch (error) {
    close();
    throw error;
  }
  socket.on('error', () => {});
  return { ask: () => within(target, askUdp(socket, target)), close };
}

async function askUdp(socket: DatagramSocket, target: Target): Promise<Answer> {
  const connected = target.connected !== false;
  const stop = new AbortController();
  const message = once(socket, 'message', { signal: stop.signal });
  const sent = new Promise<void>((resolve, reject) => {
    const done = (error: Error | null): void => (error ? reject(error) : resolve());
    if (connected) socket.send(question(target), done);
    else socket.send(question(target), target.port, target.address, done);
  });
  try {
    const [[data, from]] = await Promise.all([message, sent]);
    const text = (data as Buffer).toString();
    if (target.echo && text.length !== (target.size ?? 2) - 1) throw Object.assign(new Error(text), { code: 'SHORT' });
    const [backend = '', client = ''] = text.split(' ');
    const self = socket.address();
    const peer = connected ? socket.remoteAddress() : undefined;
    return {
      backend,
      client,
      peer: endpoint(peer?.address, peer?.port),
      from: endpoint(from.address, from.port),
      local: endpoint(self.address, self.port),
    };
  } finally {
    message.catch(() => {});
    stop.abort();
  }
}
