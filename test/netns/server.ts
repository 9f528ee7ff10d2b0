/**
 * usage: server.ts NAME PORT[,PORT…] [ADDRESS…]
 *
 * The backend of the packet tests: answers every line over TCP, and every datagram, with 'NAME CLIENT:PORT', the client
 * as the kernel tells it; what begins with '=' gets an answer as long as itself. Listens on each port for both protocols,
 * on both families' any-address unless addresses are given. Prints 'ready' when all of them listen.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, isIPv6 } from 'node:net';
import process from 'node:process';

const [name, ports, ...addresses] = process.argv.slice(2);
if (name === undefined || ports === undefined) throw new Error('usage: server.ts NAME PORT[,PORT…] [ADDRESS…]');

function answer(address: string | undefined, port: number | undefined): string {
  return `${name} ${isIPv6(address ?? '') ? `[${address}]` : address}:${port}`;
}

function padded(text: string, question: string): string {
  return question.startsWith('=') ? `${text} `.padEnd(question.length, '=') : text;
}

async function listenTcp(port: number, host: string): Promise<void> {
  const server = createServer({ noDelay: true }, (socket) => {
    const line = answer(socket.remoteAddress, socket.remotePort);
    let asked = '';
    socket.on('error', () => {}); // A client that resets is a test of its own, not a fault here.
    socket.on('data', (chunk) => {
      const questions = (asked + chunk.toString('latin1')).split('\n');
      asked = questions.pop() as string;
      for (const question of questions) socket.write(`${padded(line, question)}\n`);
    });
  });
  server.listen({ port, host, ipv6Only: isIPv6(host), backlog: 4096 });
  await once(server, 'listening');
}

async function listenUdp(port: number, host: string): Promise<void> {
  const socket = createSocket({
    type: isIPv6(host) ? 'udp6' : 'udp4',
    ipv6Only: isIPv6(host),
    recvBufferSize: 4 << 20,
  });
  socket.on('message', (data, from) => {
    const text = padded(answer(from.address, from.port), data.toString('latin1').trimEnd());
    socket.send(text, from.port, from.address, () => {});
  });
  socket.bind(port, host);
  await once(socket, 'listening');
}

const hosts = addresses.length > 0 ? addresses : ['0.0.0.0', '::'];
await Promise.all(
  ports
    .split(',')
    .flatMap((port) => hosts.flatMap((host) => [listenTcp(Number(port), host), listenUdp(Number(port), host)])),
);
process.stdout.write('ready\n');
