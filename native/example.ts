// Watches loopback for three packets, and sends them itself: `sudo node native/example.ts`.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { BpfLink, type BpfMap, type BpfProgram, loadObject, netLinks, RingBuffer } from 'libbpf-ts';

// Its source is fixtures/packet.bpf.c: report_packet writes {mark, length} of each packet into the ring `events`.
const elf = readFileSync(new URL('./build/packet.bpf.o', import.meta.url));
using object = await loadObject(elf, { name: 'packet', programs: ['report_packet'] });
const program = object.programs.report_packet as BpfProgram;
console.log(`loaded ${program.info.name}: ${program.info.verifiedInstructions} instructions verified`);

const lo = (await netLinks()).find(({ name }) => name === 'lo');
if (!lo) throw new Error('this network namespace has no loopback device');
using link = await BpfLink.attach({ kind: 'tcx', ifindex: lo.ifindex, direction: 'egress' }, program);
console.log('attached:', link.info().attachType, lo.name);

const socket = createSocket('udp4');
socket.bind(0, '127.0.0.1');
await once(socket, 'listening');

let seen = 0;
using _ring = new RingBuffer(object.maps.events as BpfMap, (record) => {
  const [, length] = new Uint32Array(record.buffer);
  console.log(`packet ${++seen}: ${length} bytes`);
  if (seen === 3) socket.close();
});
for (const text of ['one', 'two and', 'three are many']) socket.send(text, socket.address().port, '127.0.0.1');
await once(socket, 'close');
