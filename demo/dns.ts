/**
 * usage: dns.ts NAME RECORD=ADDRESS…: a DNS server on port 5353, UDP and TCP. It knows the A records that it is given;
 * TXT of hostname.cluster.local tells the name of its pod.
 */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import process from 'node:process';
import { type Answer, AUTHORITATIVE_ANSWER, decode, encode, type Packet, streamDecode, streamEncode } from 'dns-packet';

const [name = '', ...pairs] = process.argv.slice(2);
const records = new Map(pairs.map((pair) => pair.split('=') as [string, string]));
const notFound = 3;

function reply(query: Packet): Packet {
  const answers: Answer[] = [];
  for (const question of query.questions ?? []) {
    const about = question.name.toLowerCase();
    const address = records.get(about);
    if (question.type === 'A' && address !== undefined) {
      answers.push({ type: 'A', name: question.name, ttl: 5, data: address });
    }
    if (question.type === 'TXT' && about === 'hostname.cluster.local') {
      answers.push({ type: 'TXT', name: question.name, ttl: 0, data: name });
    }
  }
  const flags = AUTHORITATIVE_ANSWER | (answers.length === 0 ? notFound : 0);
  return { type: 'response', id: query.id ?? 0, flags, questions: query.questions ?? [], answers };
}

const udp = createSocket('udp4');
udp.on('message', (bytes, from) => udp.send(encode(reply(decode(bytes))), from.port, from.address));

const tcp = createServer((socket) => {
  socket.on('error', () => {});
  socket.once('data', (bytes) => socket.end(streamEncode(reply(streamDecode(bytes)))));
});

udp.bind(5353, () => tcp.listen(5353, () => process.stdout.write('ready\n')));
