/**
 * As resolve.c. usage: resolve.ts HOW SERVER NAME COUNT PAUSE_MS TIMEOUT_MS, where HOW is
 *   c-ares       the resolver that Node brings
 *   connected    one connected socket for all questions, as forwarders keep them; opened anew when it fails
 *   unconnected  one socket and so one port for all questions
 */
import { createSocket, type Socket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';

const [how, server = '', name = '', ...numbers] = process.argv.slice(2);
const [count, pause, timeout] = numbers.map(Number) as [number, number, number];

type Ask = () => Promise<unknown>;

function cares(): Ask {
  const resolver = new Resolver({ timeout, tries: 2 });
  resolver.setServers([isIPv6(server) ? `[${server}]` : server]);
  return () => Promise.all([resolver.resolve4(name), resolver.resolve6(name)]);
}

function query(id: number): Buffer {
  const labels = name.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  const head = Buffer.from('000001000001000000000000', 'hex');
  head.writeUInt16BE(id, 0);
  return Buffer.concat([head, ...labels, Buffer.from('0000010001', 'hex')]);
}

async function open(connected: boolean): Promise<Socket> {
  const socket = createSocket(isIPv6(server) ? 'udp6' : 'udp4');
  if (!connected) return socket;
  socket.connect(53, server);
  await once(socket, 'connect');
  return socket;
}

function kept(connected: boolean): Ask {
  let socket: Socket | undefined;
  let id = 0;
  const forget = (broken: Socket | undefined): void => {
    if (socket === broken) socket = undefined;
    broken?.close();
  };
  const askOnce = async (): Promise<void> => {
    const used: Socket = socket ?? (await open(connected));
    if (used !== socket) used.on('error', () => forget(used));
    socket = used;
    id += 1;
    const answered = once(used, 'message', { signal: AbortSignal.timeout(timeout) });
    if (connected) used.send(query(id), () => {});
    else used.send(query(id), 53, server, () => {});
    const [answer] = (await answered) as [Buffer];
    if (answer.readUInt16BE(0) !== id) throw new Error('the answer to another question');
  };
  return async () => {
    try {
      await askOnce();
    } catch (error) {
      if (socket) forget(socket);
      if ((error as Error).name === 'AbortError') throw error;
      await askOnce();
    }
  };
}

const ask = how === 'c-ares' ? cares() : kept(how === 'connected');
let [failed, slowest, last] = [0, 0, 'none'];
for (let i = 0; i < count; i++) {
  const began = performance.now();
  try {
    await ask();
  } catch (error) {
    failed += 1;
    last = (error as NodeJS.ErrnoException).code ?? String(error);
  }
  slowest = Math.max(slowest, performance.now() - began);
  await sleep(pause);
}
process.stdout.write(`${count} ${failed} ${Math.round(slowest)} ${last}\n`);
process.exit();
