/** usage: dns-server.ts ADDRESS…: answers each question for an IPv4 or IPv6 address over UDP, port 53, and says 'ready'. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import process from 'node:process';

const TYPE_A = 1;
const TYPE_AAAA = 28;

/** The question comes first in a query, and goes back as it came; the answer points at its name. */
function answer(query: Buffer): Buffer {
  let end = 12;
  while (query[end]) end += (query[end] ?? 0) + 1;
  const type = query.readUInt16BE(end + 1);
  const address = type === TYPE_A ? 'c0000201' : type === TYPE_AAAA ? '20010db8000000000000000000000001' : '';
  const head = Buffer.from(`${query.toString('hex', 0, 2)}858000010${address ? 1 : 0}`.padEnd(24, '0'), 'hex');
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(address ? 1 : 0, 6);
  const question = query.subarray(12, end + 5);
  if (!address) return Buffer.concat([head, question]);
  const record = Buffer.alloc(12);
  record.writeUInt16BE(0xc00c, 0);
  record.writeUInt16BE(type, 2);
  record.writeUInt16BE(1, 4);
  record.writeUInt32BE(5, 6);
  record.writeUInt16BE(address.length / 2, 10);
  return Buffer.concat([head, question, record, Buffer.from(address, 'hex')]);
}

for (const address of process.argv.slice(2)) {
  const socket = createSocket({ type: isIPv6(address) ? 'udp6' : 'udp4', ipv6Only: isIPv6(address) });
  socket.on('message', (query, from) => socket.send(answer(query), from.port, from.address, () => {}));
  socket.bind(53, address);
  await once(socket, 'listening');
}
process.stdout.write('ready\n');
